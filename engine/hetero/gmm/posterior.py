"""Latents of particles by their likelihood: where each lies, how sure that is, and whether its view could show it.

Poses may be found with them: a small turn and shift of each particle, under a prior whose width is that of all
particles' together. What the pose leaves open about a latent is then part of its covariance.
"""

import math
from dataclasses import dataclass, replace

import torch

from hetero.gmm.dynamic import DynamicLoss
from hetero.gmm.fused import make_projector
from hetero.gmm.images import ParticleSpectra, moved_poses
from hetero.gmm.scene import project_cloud
from hetero.progress import Progress, silent
from hetero.threads import in_slices

_BATCH = 128
_SMALL = 0.05  # s.d. of the latents, to take differences by
_LONGEST = 0.7  # s.d. of the latents that a step may be
_FURTHEST = 2.0  # s.d. of the poses' prior that a step may be
_TURN = math.radians(0.3)  # to take differences by


@dataclass(frozen=True, eq=False)
class Posterior:
    """Of n particles.

    Attributes:
        mean: ``(n, zdim)``, the most likely latents.
        covariance: ``(n, zdim, zdim)`` around them.
        detectability: ``(n,)`` 0 to 1, see :func:`settled`. Near 0 where the view hides the change, and the latent is
            little but the prior's middle.
        poses: ``(n, 5)`` as in :class:`hetero.gmm.dynamic.DynamicLoss`, with what was found; None where they were kept.
        pose_sd: ``(2,)`` s.d. of turns (radians) and of shifts (Å) over all particles, their own uncertainty included.
    """

    mean: torch.Tensor
    covariance: torch.Tensor
    detectability: torch.Tensor
    poses: torch.Tensor | None = None
    pose_sd: torch.Tensor | None = None


@torch.no_grad()
def refine_latents(
    loss: DynamicLoss,
    data: ParticleSpectra,
    z: torch.Tensor,
    steps: int,
    poses: bool = False,
    progress: Progress = silent,
) -> Posterior:
    """Gauss-Newton on each particle's likelihood under a Gaussian prior, which is that of the latents at the start.

    A step that makes a particle less likely is not taken. The derivative of a projection over the latent is a
    difference; ``zdim + 2`` projections a step and particle, three more with poses.

    Args:
        loss: the model, calibrated; poses start at ``loss.poses``, with a prior of ``loss.pose_sd``.
        data: the particles, at the poses that were given.
        z: ``(n, zdim)``, the encoder's.
        steps: 0 leaves ``z`` as it is.
        poses: find these too.
    """
    problem = _Problem(loss, data, z, poses)
    n, d = z.shape
    state = torch.cat([z, loss.poses], 1) if poses else z.clone()
    covariance, spread = torch.empty(n, d, d), torch.empty(n, state.shape[1])
    shown, total = torch.empty(n, d, d), max(1, steps) * n

    for step in range(max(1, steps)):

        def refine(part: slice, last: bool = step >= steps - 1) -> None:
            items = torch.arange(part.start, part.stop)
            state[part], information = problem.step(state[part], items, move=steps > 0)
            if last:
                whole = torch.linalg.inv(information + problem.precision)
                covariance[part] = whole[:, :d, :d]
                spread[part] = state[part] ** 2 + whole.diagonal(dim1=1, dim2=2)
                shown[part] = problem.shown(state[part], items)

        def tell(part: slice, before: int = step * n) -> None:
            progress(before + part.stop, total, "refining latents")

        in_slices(refine, n, _BATCH, z.device, tell)
    found = Posterior(state[:, :d], covariance, settled(shown, problem.precision[:d, :d]))
    if not poses:
        return found
    turn, shift = (part.mean() for part in spread[:, d:].split([3, 2], 1))
    return replace(found, poses=state[:, d:], pose_sd=torch.stack([turn, shift]).sqrt())


def settled(information: torch.Tensor, precision: torch.Tensor) -> torch.Tensor:
    """``(n,)`` the share of the latents' spread that each particle's own image settles.

    Directions count by how much the average particle's image changes along them, so that numbers of a latent that mean
    nothing do not: ``1 - tr((I_i + P)^-1 M) / tr(P^-1 M)``, M the mean of I.

    Args:
        information: ``(n, d, d)`` I, of the particles.
        precision: ``(d, d)`` P, of the prior.
    """
    mean = information.mean(0)
    left = torch.einsum("nij,ji->n", torch.linalg.inv(information + precision), mean)
    return 1 - left / (torch.linalg.inv(precision) * mean).sum().clamp_min(1e-30)


def covariance_of(z: torch.Tensor) -> torch.Tensor:
    """``(d, d)`` of latents ``(n, d)``, safe to invert."""
    return torch.cov(z.T).reshape(z.shape[1], -1) + 1e-6 * torch.diag(z.var(0).clamp_min(1e-12))


class _Problem:
    """Latents, and with ``poses`` turns and shifts, as one vector ``(b, q)``."""

    def __init__(self, loss: DynamicLoss, data: ParticleSpectra, z: torch.Tensor, poses: bool):
        self.loss, self.data, self.zdim = loss, data, z.shape[1]
        self.projector = make_projector(loss.rings, len(loss.model.neutral))
        self.mean, self.sd = z.mean(0), z.std(0).clamp_min(1e-6)
        self.precision = torch.linalg.inv(covariance_of(z))
        if poses:
            sd = loss.pose_sd.repeat_interleave(torch.tensor([3, 2]))
            self.mean, self.sd = torch.cat([self.mean, torch.zeros(5)]), torch.cat([self.sd, sd])
            self.precision = torch.block_diag(self.precision, torch.diag(sd**-2))
        ring = torch.from_numpy(loss.rings.ring)
        self.whiten = loss.variance[ring].rsqrt()
        self.scale = loss.ring_scale * self.whiten
        self.k = torch.tensor(loss.rings.pixels.T / loss.rings.extent, dtype=torch.float32)  # (2, p)

    def project(self, state: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """``(b, 2, p)`` as the whitened images should be."""
        data = self.data
        cloud = self.loss.model.decode(state[:, : self.zdim])
        rotations, shifts = data.rotations[items], data.shifts[items]
        if state.shape[1] > self.zdim:
            rotations, shifts = moved_poses(rotations, shifts, state[:, self.zdim :])
        seen = project_cloud(self.projector, cloud, rotations, shifts) * self.scale
        return seen if data.ctf is None else seen * data.ctf[items][:, None]

    def energy(self, state: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        """``(b,)`` minus the logarithm of the posterior."""
        away = state - self.mean
        return 0.5 * (left**2).sum((1, 2)) + 0.5 * ((away @ self.precision) * away).sum(1)

    def slopes(self, state: torch.Tensor, items: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
        """``(b, 2 p, q)``: differences, and for shifts the phases' own derivative."""
        small = [*(_SMALL * self.sd[: self.zdim]), *[torch.tensor(_TURN)] * 3]
        found = []
        for i in range(min(state.shape[1], self.zdim + 3)):
            beside = state.clone()
            beside[:, i] += small[i]
            found.append((self.project(beside, items) - here) / small[i])
        if state.shape[1] > self.zdim:
            turned = 2 * math.pi * torch.stack([here[:, 1], -here[:, 0]], 1)  # times -2 pi i
            found += [turned * k for k in self.k]
        return torch.stack([slope.flatten(1) for slope in found], 2)

    def shown(self, state: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """``(b, d, d)`` information of what a particle's view shows of all latents: differences over one s.d. either
        way from their middle. Around a particle's own latent alone a change that has ended there would seem hidden."""
        slopes = []
        for i, sd in enumerate(self.sd[: self.zdim]):
            ends = []
            for way in (sd, -sd):
                there = state.clone()
                there[:, : self.zdim] = self.mean[: self.zdim]
                there[:, i] += way
                ends.append(self.project(there, items))
            slopes.append(((ends[0] - ends[1]) / (2 * sd)).flatten(1))
        slope = torch.stack(slopes, 2)
        return slope.transpose(1, 2) @ slope

    def step(self, state: torch.Tensor, items: torch.Tensor, move: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The vectors after one step, and each particle's information ``(b, q, q)``."""
        here = self.project(state, items)
        images = self.data.spectra[items] * self.whiten
        slope = self.slopes(state, items, here)
        information = slope.transpose(1, 2) @ slope
        if not move:
            return state, information
        left = images - here
        downhill = (slope.transpose(1, 2) @ left.flatten(1)[..., None])[..., 0]
        downhill = downhill - (state - self.mean) @ self.precision
        way = torch.linalg.solve(information + self.precision, downhill)
        z, pose = (way / self.sd).split([self.zdim, way.shape[1] - self.zdim], 1)
        length = torch.maximum(z.norm(dim=1) / _LONGEST, pose.norm(dim=1) / _FURTHEST).clamp_min(1)
        tried = state + way / length[:, None]
        better = self.energy(tried, images - self.project(tried, items)) < self.energy(state, left)
        return torch.where(better[:, None], tried, state), information
