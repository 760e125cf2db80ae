"""The neutral model: few Gaussians at low resolution, doubled until their projections agree with the data."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from hetero.errors import HeteroError
from hetero.gmm.fused import make_projector
from hetero.gmm.images import ParticleSpectra
from hetero.gmm.losses import FRC, correlate
from hetero.gmm.model import GaussianModel
from hetero.gmm.rings import Rings
from hetero.gmm.scene import Cloud, losses_of_cloud, model_of, project_cloud
from hetero.progress import Progress, silent

_FIRST, _COARSEST = 256, 50.0  # Gaussians and Å, as in the paper
_AGREE = 0.95
_BATCH = 64
_SIGMA = 0.25  # of the target resolution: the width of all


@dataclass(frozen=True)
class Round:
    """One of the rounds in which a neutral model grew.

    Attributes:
        gaussians: how many.
        resolution: Å that it was fitted to.
        agreement: lowest Fourier ring correlation with the data (their noise allowed for) from ring to ring, to there.
    """

    gaussians: int
    resolution: float
    agreement: float


def fit_neutral(
    data: ParticleSpectra,
    frame: GaussianModel,
    most: int,
    seed: int = 0,
    steps: int = 150,
    keep: Callable[[GaussianModel], np.ndarray] | None = None,
    progress: Progress = silent,
) -> tuple[GaussianModel, list[Round]]:
    """Fit a neutral model to particles, or to a map's projections in their place.

    Starts with 256 Gaussians at 50 Å, drawn from the back-projected images; as long as the projections' FRC is not
    above 0.95 at every ring to the round's resolution, the number is doubled, unless that gained nothing the last time;
    then the resolution rises, to the data's last ring.

    Args:
        data: the images, at the target resolution.
        frame: a model in whose map the answer lies; its Gaussians do not matter.
        most: Gaussians allowed.
        seed: of drawing and shuffling.
        steps: of the optimiser, with 64 images, in each round.
        keep: which Gaussians of a model may stay, ``(g,)`` booleans (a mask); all if not given.

    Returns:
        The model, largest mass 1, and its rounds.
    """
    torch.manual_seed(seed)
    rings, rounds = data.rings, []
    sigma = torch.tensor(_SIGMA * rings.resolution)
    levels = _resolutions(rings)
    cloud = _drawn(data, min(_FIRST, most), sigma, levels[0], seed)
    for i, last in enumerate(levels):
        while True:
            here = _cut(data, last)
            progress(i, len(levels), f"fitting {len(cloud):,} Gaussians to {here.rings.resolution:.1f} Å")
            cloud = _optimised(cloud, here, steps)
            if keep is not None:
                cloud = _taken(cloud, keep(model_of(cloud, frame)))
            rounds.append(Round(len(cloud), here.rings.resolution, _agreement(cloud, here)))
            if rounds[-1].agreement > _AGREE or 2 * len(cloud) > most or _no_better(rounds):
                break
            cloud = _doubled(cloud, here.rings.resolution)
    masses = cloud.masses / cloud.masses.max()
    return model_of(Cloud(cloud.centres, masses, cloud.sigmas), frame), rounds


def _resolutions(rings: Rings) -> list[int]:
    """Last rings of the rounds: 50 Å, then each a factor of 1.6 finer, to the target."""
    last = max(rings.first + 1, round(rings.extent / _COARSEST))
    found = []
    while last < rings.last / 1.2:
        found.append(last)
        last = max(last + 1, round(1.6 * last))
    return [*found, rings.last]


def _cut(data: ParticleSpectra, last: int) -> ParticleSpectra:
    """The data to a ring; pixels are sorted by ring."""
    rings = Rings(data.rings.box, data.rings.apix, data.rings.first, last, data.rings.as_published)
    p, r = len(rings.ring), rings.count
    ctf = None if data.ctf is None else data.ctf[:, :p]
    return ParticleSpectra(
        rings, data.spectra[..., :p], ctf, data.rotations, data.shifts, data.noise[:r], data.signal[:r]
    )


def _drawn(data: ParticleSpectra, n: int, sigma: torch.Tensor, last: int, seed: int) -> Cloud:
    """Gaussians where the images, projected back, are dense."""
    rng, here = np.random.default_rng(seed), _cut(data, last)
    radius = 0.45 * here.rings.extent
    trial = rng.normal(size=(20 * n, 3))
    trial *= radius * rng.uniform(0, 1, (len(trial), 1)) ** (1 / 3) / np.linalg.norm(trial, axis=1, keepdims=True)
    centres = torch.tensor(trial, dtype=torch.float32)
    masses = torch.ones(len(centres), requires_grad=True)
    items = torch.from_numpy(rng.permutation(len(here))[:500])
    loss = _Overlap()
    cloud = Cloud(centres, masses, sigma)
    projector = make_projector(here.rings, len(centres))
    rotations, shifts = here.rotations[items], here.shifts[items]
    losses_of_cloud(projector, loss, cloud, rotations, shifts, here.images(items, here.ring_weights())).sum().backward()
    density = (masses.grad - masses.grad.median()).clamp_min(0).double().numpy() ** 2
    if not density.sum() > 0:
        raise HeteroError("The images show no particle: projected back, they are empty.")
    chosen = (
        rng.choice(len(centres), n, replace=False, p=density / density.sum())
        if (density > 0).sum() >= n
        else (np.argsort(density)[-n:])
    )
    return Cloud(centres[torch.from_numpy(chosen)], torch.ones(n), sigma)


class _Overlap:
    """The product of images and projections: its gradient over masses is the images, projected back."""

    def __call__(self, projections, images):
        seen = images.spectra if images.transfer is None else images.spectra * images.transfer[:, None]
        return (projections * seen).sum((1, 2)), seen


def _optimised(cloud: Cloud, data: ParticleSpectra, steps: int) -> Cloud:
    """Centres and masses after ``steps`` of Adam on the weighted FRC."""
    resolution = data.rings.resolution
    centres, logs = cloud.centres.clone().requires_grad_(), cloud.masses.log().requires_grad_()
    optimiser = torch.optim.Adam(
        [{"params": [centres], "lr": 0.05 * resolution}, {"params": [logs], "lr": 0.1}], betas=(0.9, 0.95)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [0.05 * resolution, 0.1], total_steps=steps, pct_start=0.1, final_div_factor=100
    )
    projector, loss, weights = make_projector(data.rings, len(cloud)), FRC(data.rings), data.ring_weights()
    order = torch.cat([torch.randperm(len(data)) for _ in range(-(-steps * _BATCH // len(data)))])
    for items in order[: steps * _BATCH].split(_BATCH):
        optimiser.zero_grad()
        here = Cloud(centres, logs.exp(), cloud.sigmas)
        images = data.images(items, weights)
        losses_of_cloud(projector, loss, here, data.rotations[items], data.shifts[items], images).mean().backward()
        optimiser.step()
        schedule.step()
    return Cloud(centres.detach(), logs.detach().exp(), cloud.sigmas)


def _agreement(cloud: Cloud, data: ParticleSpectra) -> float:
    """The lowest ring's correlation with the data, over 500 images; noise is taken off the data's power."""
    items = torch.arange(0, len(data), max(1, len(data) // 500))
    projector = make_projector(data.rings, len(cloud))
    projections = project_cloud(projector, cloud, data.rotations[items], data.shifts[items])
    if data.ctf is not None:
        projections = projections * data.ctf[items][:, None]
    sums = [t.double().sum(0) for t in correlate(projections, data.spectra[items], data.rings.members())]
    cross, power, total = sums
    if data.noise.any():
        total = total - 2 * len(items) * torch.as_tensor(data.rings.sizes)
        trusted = torch.as_tensor(data.signal > 0.02)
        total = torch.where(trusted, total, cross**2 / power)
    return float((cross / (power * total.clamp_min(1e-30)).sqrt()).min())


def _no_better(rounds: list[Round]) -> bool:
    """Whether the last doubling at one resolution gained nothing."""
    if len(rounds) < 2 or rounds[-1].resolution != rounds[-2].resolution:
        return False
    return rounds[-1].agreement < rounds[-2].agreement + 0.005


def _doubled(cloud: Cloud, resolution: float) -> Cloud:
    """Each Gaussian and one beside it, which share its mass."""
    beside = cloud.centres + 0.2 * resolution * torch.randn_like(cloud.centres)
    return Cloud(torch.cat([cloud.centres, beside]), torch.cat([cloud.masses, cloud.masses]) / 2, cloud.sigmas)


def _taken(cloud: Cloud, chosen: np.ndarray) -> Cloud:
    chosen = torch.from_numpy(chosen)
    return Cloud(cloud.centres[chosen], cloud.masses[chosen], cloud.sigmas)
