"""The published level network: its protocol, and its training as in the paper (Kinman et al. 2025, eq. 4).

This module imports torch.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch

from hetero.errors import HeteroError
from hetero.level.networks import PublishedLevelNetwork
from hetero.level.normalise import LevelScale, normalise_level, normalise_map
from hetero.level.plan import TrainingPlan
from hetero.level.training import soft_count_loss
from hetero.maps import Volume, resample_fourier
from hetero.progress import Progress, silent

BATCH, RATE = 32, 5e-6


def published_input(volume: Volume) -> tuple[LevelScale, np.ndarray]:
    """What the published network sees of a map, and the scale that brings its answer back to the map's values.

    The map is padded to a cube, Fourier-resampled to 64^3 and normalised by its own values; the normalised level is
    taken to be the same for the raw map and this copy.

    Returns:
        scale of the raw map; ``(64, 64, 64)`` float32.
    """
    scale = LevelScale.of(volume.data)
    cube = resample_fourier(_padded_to_cube(volume.data), (PublishedLevelNetwork.box,) * 3)
    return scale, normalise_map(cube)


def train_published(
    maps: Iterable[tuple[Volume, float]],
    plan: TrainingPlan,
    progress: Progress = silent,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    start: PublishedLevelNetwork | None = None,
) -> PublishedLevelNetwork:
    """Train the published network on maps and their levels: Adam, rate 5e-6, 32 maps a step, no weight decay.

    About 3 s a map and epoch on two CPU cores: for a GPU, or as a baseline. Maps that cannot be normalised are left
    out.

    Raises:
        HeteroError: no map is left.
    """
    cubes, labels = [], []
    for done, (volume, level) in enumerate(maps):
        progress(done, 0, "preparing maps")
        try:
            scale, cube = published_input(volume)
        except HeteroError:
            continue
        cubes.append(cube.astype(np.float16))
        labels.append(normalise_level(level, scale))
    if not cubes:
        raise HeteroError("None of the maps can be normalised; nothing is left to train on.")
    torch.set_num_threads(plan.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = PublishedLevelNetwork()
        if start:
            network.load_state_dict(start.state_dict())
        network = network.to(device).train()
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
        rng = np.random.default_rng([plan.seed, 2])
        for epoch in range(plan.epochs):
            order, losses = rng.permutation(len(cubes)), []
            for first in range(0, len(order), BATCH):
                progress(epoch * len(order) + first, plan.epochs * len(order), f"training, epoch {epoch + 1}")
                chosen = order[first : first + BATCH]
                values = torch.from_numpy(np.stack([cubes[i] for i in chosen])).float().to(device)
                true = torch.tensor([labels[i] for i in chosen], dtype=torch.float32, device=device)
                loss = soft_count_loss(values.flatten(1), network(values), true)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            report(epoch, math.fsum(losses) / len(losses))
    return network.cpu().eval()


def _padded_to_cube(data: np.ndarray) -> np.ndarray:
    """The map in the middle of a cube, surrounded by the median of its faces."""
    side = max(data.shape)
    if data.shape == (side,) * 3:
        return data
    faces = np.concatenate([np.take(data, end, axis).ravel() for axis in range(3) for end in (0, -1)])
    before = [(side - n) // 2 for n in data.shape]
    around = [(b, side - n - b) for b, n in zip(before, data.shape, strict=True)]
    return np.pad(data, around, constant_values=np.median(faces))
