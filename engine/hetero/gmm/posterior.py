"""Latents of particles by their likelihood: where each lies, how sure that is, and whether its view could show it."""

from dataclasses import dataclass

import torch

from hetero.gmm.dynamic import DynamicLoss
from hetero.gmm.fused import make_projector
from hetero.gmm.images import ParticleSpectra
from hetero.gmm.scene import project_cloud
from hetero.progress import Progress, silent

_BATCH = 128
_SMALL = 0.05  # s.d. of the latents, to take differences by
_LONGEST = 0.7  # s.d. that a step may be


@dataclass(frozen=True, eq=False)
class Posterior:
    """Of n particles.

    Attributes:
        mean: ``(n, zdim)``, the most likely latents.
        covariance: ``(n, zdim, zdim)`` around them.
        detectability: ``(n,)`` 0 to 1: the share of the latents' spread that this particle's own image settles, a mean
            over directions. Near 0 where the view hides the change, and the latent is little but the prior's middle.
    """

    mean: torch.Tensor
    covariance: torch.Tensor
    detectability: torch.Tensor


@torch.no_grad()
def refine_latents(
    loss: DynamicLoss, data: ParticleSpectra, z: torch.Tensor, steps: int, progress: Progress = silent
) -> Posterior:
    """Gauss-Newton on each particle's likelihood under a Gaussian prior, which is that of the latents at the start.

    A step that makes a particle less likely is not taken. The derivative of a projection over the latent is a
    difference; ``zdim + 2`` projections a step and particle.

    Args:
        loss: the model, calibrated.
        data: the particles.
        z: ``(n, zdim)``, the encoder's.
        steps: 0 leaves ``z`` as it is.
    """
    problem = _Problem(loss, data, z)
    z = z.clone()
    n, d = z.shape
    information = torch.empty(n, d, d)
    for step in range(max(1, steps)):
        for items in torch.arange(n).split(_BATCH):
            z[items], information[items] = problem.step(z[items], items, move=steps > 0)
            progress(step * n + int(items[-1]), max(1, steps) * n, "refining latents")
    covariance = torch.linalg.inv(information + problem.precision)
    kept = torch.einsum("nij,ji->n", covariance, problem.precision) / d
    return Posterior(z, covariance, 1 - kept)


class _Problem:
    def __init__(self, loss: DynamicLoss, data: ParticleSpectra, z: torch.Tensor):
        self.loss, self.data = loss, data
        self.projector = make_projector(loss.rings, len(loss.model.neutral))
        self.mean, self.sd = z.mean(0), z.std(0).clamp_min(1e-6)
        spread = torch.cov(z.T).reshape(z.shape[1], z.shape[1])
        self.precision = torch.linalg.inv(spread + 1e-6 * torch.diag(self.sd**2))
        ring = torch.from_numpy(loss.rings.ring)
        self.whiten = loss.variance[ring].rsqrt()
        self.scale = loss.ring_scale * self.whiten

    def project(self, z: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """``(b, 2 p)`` as the whitened images should be."""
        data = self.data
        cloud = self.loss.model.decode(z)
        seen = project_cloud(self.projector, cloud, data.rotations[items], data.shifts[items]) * self.scale
        if data.ctf is not None:
            seen = seen * data.ctf[items][:, None]
        return seen.flatten(1)

    def energy(self, z: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        """``(b,)`` minus the logarithm of the posterior."""
        away = z - self.mean
        return 0.5 * (left**2).sum(1) + 0.5 * ((away @ self.precision) * away).sum(1)

    def step(self, z: torch.Tensor, items: torch.Tensor, move: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents after one step, and each particle's information ``(b, d, d)``."""
        here = self.project(z, items)
        left = (self.data.spectra[items] * self.whiten).flatten(1) - here
        slopes = []
        for i, sd in enumerate(self.sd):
            small = torch.zeros_like(z)
            small[:, i] = _SMALL * sd
            slopes.append((self.project(z + small, items) - here) / (_SMALL * sd))
        slope = torch.stack(slopes, 2)  # (b, 2 p, d)
        information = slope.transpose(1, 2) @ slope
        if not move:
            return z, information
        downhill = (slope.transpose(1, 2) @ left[..., None])[..., 0] - (z - self.mean) @ self.precision
        way = torch.linalg.solve(information + self.precision, downhill)
        length = (way / self.sd).norm(dim=1, keepdim=True)
        tried = z + way * (_LONGEST / length.clamp_min(_LONGEST))
        after = (self.data.spectra[items] * self.whiten).flatten(1) - self.project(tried, items)
        better = self.energy(tried, after) < self.energy(z, left)
        return torch.where(better[:, None], tried, z), information
