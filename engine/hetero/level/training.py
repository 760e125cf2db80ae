"""Training the envelope network on simulated maps, and measuring it on structures it has never seen.

This module imports torch.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import hetero
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.level.framing import CHANNELS, GRID, frame_map, frame_weights
from hetero.level.networks import FORMAT, EnvelopeNetwork
from hetero.level.simulate import simulate_map
from hetero.maps import Structure
from hetero.progress import Progress, silent

_THRESHOLDS = 96  # candidates for the level inside the loss
_DICE_WIDTH = 0.01  # wider than in prediction, so that the gradient reaches more of the map


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes:
        maps: simulated maps, made once and kept in memory (0.5 MB each).
        epochs: passes over them.
        batch: maps a step.
        rate: highest learning rate of the one-cycle schedule.
        held_out: share of the structures that training never sees.
        seed: of the simulation, the split, the first weights and the order.
        threads: CPU threads of torch.
        max_box: largest simulated box.
        processes: that simulate side by side; the maps are the same with any number.
        bfloat16: multiply in bfloat16 (faster where the CPU has it); loss and weights stay in float32.
    """

    maps: int = 4000
    epochs: int = 3
    batch: int = 8
    rate: float = 4e-3
    held_out: float = 0.2
    seed: int = 0
    threads: int = 1
    max_box: int = 128
    processes: int = 1
    bfloat16: bool = False


def split_structures(structures: list[Structure], share: float, seed: int) -> tuple[list[Structure], list[Structure]]:
    """Structures to train on and structures held out, relatives on the same side.

    Two structures are taken for relatives (states of one complex, homologues) when their electrons agree to 10 % and
    their radii of gyration to 5 %; relatives of relatives are relatives.

    Returns:
        (training, held out); the latter has at least one structure where there are two families.
    """
    size = np.log([s.weights.sum() for s in structures])
    radius = np.log([np.sqrt(s.positions.var(axis=0).sum()) for s in structures])
    family = np.arange(len(structures))
    for i in range(len(structures)):
        for j in range(i):
            if abs(size[i] - size[j]) < 0.1 and abs(radius[i] - radius[j]) < 0.05:
                family[family == family[i]] = family[j]
    names = np.random.default_rng(seed).permutation(np.unique(family))
    away: list[int] = []
    for name in names[:-1]:
        if len(away) >= max(1, round(share * len(structures))):
            break
        members = np.flatnonzero(family == name)
        if len(members) <= max(1, share * len(structures)):  # a family as large as Pol I's stays in training
            away += members.tolist()
    return [s for i, s in enumerate(structures) if i not in away], [structures[i] for i in sorted(away)]


def simulate_frames(
    structures: list[Structure], plan: TrainingPlan, progress: Progress = silent
) -> tuple[torch.Tensor, torch.Tensor]:
    """Framed maps ``(maps, 3, n, n, n)`` and their envelopes ``(maps, n, n, n)``, both float16."""
    features = np.empty((plan.maps, CHANNELS, GRID, GRID, GRID), np.float16)
    envelopes = np.empty((plan.maps, GRID, GRID, GRID), np.float16)
    for i, (maps, envelope) in enumerate(_frames(partial(_simulated_frame, structures, plan), plan)):
        if i % 20 == 0:
            progress(i, plan.maps, "simulating maps")
        features[i], envelopes[i] = maps, envelope
    return torch.from_numpy(features), torch.from_numpy(envelopes)


def _frames(frame_of: Callable[[int], tuple], plan: TrainingPlan) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if plan.processes == 1:
        yield from map(frame_of, range(plan.maps))
        return
    with get_context("spawn").Pool(plan.processes, _keep, (frame_of,)) as pool:
        yield from pool.imap(_kept_frame, range(plan.maps), chunksize=8)


_kept: list[Callable[[int], tuple]] = []


def _keep(frame_of) -> None:
    """Runs once in each simulating process: the structures travel once, not with every map."""
    torch.set_num_threads(1)
    _kept.append(frame_of)


def _kept_frame(i: int) -> tuple[np.ndarray, np.ndarray]:
    return _kept[0](i)


def _simulated_frame(structures: list[Structure], plan: TrainingPlan, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Map ``i`` in its frame: features and envelope, float16."""
    rng = np.random.default_rng([plan.seed, 1, i])
    while True:  # a map in which nothing stands out above its faces teaches nothing
        simulated = simulate_map(structures[rng.integers(len(structures))], rng, plan.max_box)
        apix = np.full(3, simulated.apix)
        try:
            frame = frame_map(simulated.data, apix)
            break
        except HeteroError:
            continue
    envelope = frame_weights(simulated.envelope, frame, apix)
    return frame.features.astype(np.float16), envelope.astype(np.float16)


def agreeing_level(values: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Differentiable twin of :func:`hetero.level.framing.agreeing_threshold`, on a coarse grid of thresholds.

    Args:
        values: ``(b, v)`` map values from 0 to 1 (others are clamped).
        inside: ``(b, v)`` probabilities of being inside; the gradient flows through these.

    Returns:
        ``(b,)`` levels.
    """
    index = (values.clamp(0, 1) * _THRESHOLDS).long()
    empty = inside.new_zeros(len(values), _THRESHOLDS + 1)
    above = (values > 0).to(inside.dtype)
    counts = empty.scatter_add(1, index, above).flip(1).cumsum(1).flip(1)
    agreeing = empty.scatter_add(1, index, inside * above).flip(1).cumsum(1).flip(1)
    dice = 2 * agreeing / (counts + inside.sum(1, keepdim=True) + 1)
    share = torch.softmax(dice / _DICE_WIDTH, dim=1)
    return share @ torch.linspace(0, 1, _THRESHOLDS + 1, dtype=inside.dtype, device=inside.device)


def soft_count_loss(values: torch.Tensor, predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Eq. 4 of Kinman et al.: mean over voxels of ``(sigmoid(10 (v - p)) - sigmoid(10 (v - t)))^2``, normalised units.

    Args:
        values: ``(b, v)``; predicted, true: ``(b,)`` levels.
    """
    difference = torch.sigmoid(10 * (values - predicted[:, None])) - torch.sigmoid(10 * (values - true[:, None]))
    return (difference**2).mean()


def envelope_loss(log_odds: torch.Tensor, features: torch.Tensor, envelope: torch.Tensor) -> torch.Tensor:
    """What training makes small: wrong voxels (cross-entropy, Dice) and a wrong level (soft count, absolute error).

    Args:
        log_odds, envelope: ``(b, n, n, n)``; features: ``(b, 3, n, n, n)``.
    """
    inside = torch.sigmoid(log_odds).flatten(1)
    truth, means = envelope.flatten(1), features[:, 0].flatten(1)
    cross_entropy = F.binary_cross_entropy_with_logits(log_odds, envelope)
    dice = 1 - (2 * (inside * truth).sum(1) + 1) / (inside.sum(1) + truth.sum(1) + 1)
    values = means / means.amax(1, keepdim=True).clamp_min(1e-6)
    predicted, true = agreeing_level(values, inside), agreeing_level(values, truth)
    # Levels from 0 to 1 become normalised levels, from -1 to 1, as the paper's loss expects.
    counts = soft_count_loss(2 * values - 1, 2 * predicted - 1, 2 * true - 1)
    return 2 * cross_entropy + dice.mean() + 10 * counts + 2 * (predicted - true).abs().mean()


def train_network(
    features: torch.Tensor,
    envelopes: torch.Tensor,
    plan: TrainingPlan,
    progress: Progress = silent,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    start: EnvelopeNetwork | None = None,
) -> EnvelopeNetwork:
    """Train on framed maps, from random weights or from those of ``start``, which stays as it is.

    ``report(epoch, mean loss)`` is called after each epoch.

    Raises:
        HeteroError: fewer maps than one batch.
    """
    if len(features) < plan.batch:
        raise HeteroError(f"{len(features)} maps are fewer than one batch of {plan.batch}; give more maps.")
    torch.set_num_threads(plan.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = copy.deepcopy(start) if start else EnvelopeNetwork(CHANNELS)
    network = network.to(device).to(memory_format=torch.channels_last_3d).train()
    steps = len(features) // plan.batch
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps * plan.epochs)
    rng = np.random.default_rng([plan.seed, 2])
    for epoch in range(plan.epochs):
        order, losses = rng.permutation(len(features)), []
        for step in range(steps):
            progress(epoch * steps + step, steps * plan.epochs, f"training, epoch {epoch + 1} of {plan.epochs}")
            chosen = torch.from_numpy(order[step * plan.batch : (step + 1) * plan.batch])
            maps, truth = features[chosen].to(device).float(), envelopes[chosen].to(device).float()
            with torch.autocast(device, torch.bfloat16, enabled=plan.bfloat16):
                log_odds = network(maps)
            loss = envelope_loss(log_odds.float(), maps, truth)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        report(epoch, math.fsum(losses) / len(losses))
    return network.cpu().eval()


def save_network(path: Path | str, network: EnvelopeNetwork, metadata: dict) -> None:
    """Write weights that ``torch.load(weights_only=True)`` reads, whole or not at all."""
    state = {name: value.detach().contiguous().cpu() for name, value in network.state_dict().items()}
    versions = {"hetero": hetero.__version__, "torch": str(torch.__version__), "numpy": np.__version__}
    with atomic_path(path) as temporary:
        torch.save({"format": FORMAT, "state": state, "metadata": {**metadata, "versions": versions}}, temporary)
