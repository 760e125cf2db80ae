"""What the encoder is given: the gradient of each particle's loss over the neutral Gaussians, in the model's frame."""

import torch

from hetero.gmm.fused import make_projector
from hetero.gmm.images import ParticleSpectra
from hetero.gmm.scene import Cloud, losses_of_cloud
from hetero.progress import Progress, silent

_BATCH = 128
_SAMPLE = 4096  # particles that the axes are found with
_AXES = 64  # of places, and as many of masses


def feature_count(particles: int, moving: int) -> int:
    """Numbers that :func:`gradient_features` gives for each particle."""
    return sum(min(_AXES, particles, columns) for columns in (6 * moving, 2 * moving))


def gradient_features(
    data: ParticleSpectra,
    neutral: Cloud,
    moving: torch.Tensor,
    loss_of,
    scale: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    progress: Progress = silent,
) -> torch.Tensor:
    """Principal components of the gradients over places and over masses, at two resolutions: all rings, and the lower
    half of them.

    One particle's gradients are little but noise, and a change of few Gaussians is lost in thousands of columns. Noise
    differs from particle to particle in every direction alike; what particles differ in lies along few.

    Args:
        data: the particles.
        neutral: the model.
        moving: ``(m,)`` which Gaussians.
        loss_of: ``FRC`` or ``Likelihood``.
        scale: ``(p,)`` of the projections; see :meth:`ParticleSpectra.images`.
        weights: of the rings, ``(1 or n, rings)``; by signal if not given.

    Returns:
        ``(n, feature_count)`` float32, each of s.d. 1.

    Memory: that, and 32 bytes for each of m Gaussians and of at most 4,096 particles.
    """
    weights = data.ring_weights() if weights is None else weights
    gradients = _Gradients(data, neutral, moving, loss_of, scale, weights)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    sample, rest = order[:_SAMPLE], order[_SAMPLE:]
    parts = []
    for items in sample.split(_BATCH):
        parts.append(gradients(items))
        progress(len(parts) * _BATCH, len(data), "gradients of the particles")
    columns = [torch.cat(kind) for kind in zip(*parts, strict=True)]
    axes = [_Axes(kind) for kind in columns]
    found = torch.empty(len(data), feature_count(len(data), len(moving)))
    found[sample] = torch.cat([a(kind) for a, kind in zip(axes, columns, strict=True)], 1)
    for done, items in enumerate(rest.split(_BATCH)):
        found[items] = torch.cat([a(kind) for a, kind in zip(axes, gradients(items), strict=True)], 1)
        progress(_SAMPLE + done * _BATCH, len(data), "gradients of the particles")
    return found / found.std(0).clamp_min(1e-12)


class _Axes:
    """Principal components of columns of one kind, each column of mean 0 and s.d. 1."""

    def __init__(self, columns: torch.Tensor):
        self.mean, self.sd = columns.mean(0), columns.std(0).clamp_min(1e-12)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            scaled = (columns - self.mean) / self.sd
            self.axes = torch.svd_lowrank(scaled, q=min(_AXES, *columns.shape), niter=3)[2]

    def __call__(self, columns: torch.Tensor) -> torch.Tensor:
        return ((columns - self.mean) / self.sd) @ self.axes


class _Gradients:
    """Of some particles: over places ``(b, 6 m)`` and over masses ``(b, 2 m)``."""

    def __init__(self, data: ParticleSpectra, neutral: Cloud, moving: torch.Tensor, loss_of, scale, weights):
        self.data, self.neutral, self.moving, self.scale, self.weights = data, neutral, moving, scale, weights
        self.projector, self.loss = make_projector(data.rings, len(neutral)), loss_of(data.rings)
        rings = data.rings.count
        self.bands = (torch.ones(rings), (torch.arange(rings) < (rings + 1) // 2).float())

    def __call__(self, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        images, neutral = self.data.images(items, self.weights, self.scale), self.neutral
        places, masses = [], []
        for band in self.bands:
            centre = neutral.centres.expand(len(items), -1, -1).clone().requires_grad_()
            mass = neutral.masses.expand(len(items), -1).clone().requires_grad_()
            rotations, shifts = self.data.rotations[items], self.data.shifts[items]
            here = images.weighted(images.weights * band)
            cloud = Cloud(centre, mass, neutral.sigmas)
            losses_of_cloud(self.projector, self.loss, cloud, rotations, shifts, here).sum().backward()
            places.append(centre.grad[:, self.moving].flatten(1))
            masses.append(mass.grad[:, self.moving])
        return torch.cat(places, 1), torch.cat(masses, 1)
