"""Reading how a model moves: displacements, motions of a region alone, and rigid bodies; without torch."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.transform import Rotation

from hetero.errors import HeteroError

_SAMPLES = 64
_STEP = 0.5  # s.d. of the latents, either way, that a direction is judged by
_RIDGE = 1e-3  # of the motion outside, so that a region that holds everything has directions too


class Moving(Protocol):
    """What :class:`hetero.gmm.decoder.GaussianDecoder` offers."""

    def gaussians(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres ``(b, g, 3)`` Å along z, y, x and masses ``(b, g)`` of latents ``(b, zdim)``."""


@dataclass(frozen=True, eq=False)
class Motion:
    """From one latent point to another.

    Attributes:
        start, end: ``(zdim,)``.
        centres: ``(g, 3)`` Å along z, y, x, at the start.
        displacements: ``(g, 3)`` Å.
        masses: ``(g, 2)`` at the start and at the end.
    """

    start: np.ndarray
    end: np.ndarray
    centres: np.ndarray
    displacements: np.ndarray
    masses: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """``(g,)`` Å."""
        return np.linalg.norm(self.displacements, axis=1)


def motion_between(decoder: Moving, start: np.ndarray, end: np.ndarray) -> Motion:
    """The displacement of every Gaussian from latent ``start`` to ``end``."""
    points = np.stack([np.asarray(start, dtype=float), np.asarray(end, dtype=float)])
    centres, masses = decoder.gaussians(points)
    return Motion(points[0], points[1], centres[0], centres[1] - centres[0], masses.T)


@dataclass(frozen=True, eq=False)
class LocalisedMotions:
    """Latent directions through the origin, the most localised first.

    Attributes:
        origin: ``(zdim,)`` the mean latent.
        directions: ``(m, zdim)``, each of such a length that latents have s.d. 1 along it.
        ratio: ``(m,)`` root mean square change inside the region over that outside.
    """

    origin: np.ndarray
    directions: np.ndarray
    ratio: np.ndarray

    def path(self, i: int, latents: np.ndarray, n: int, span: tuple[float, float] = (5.0, 95.0)) -> np.ndarray:
        """``(n, zdim)`` points along direction ``i``, between percentiles of where ``latents`` lie along it.

        A particle's place is its latent's share of each direction, the others' shares taken off.
        """
        shares = (latents - self.origin) @ np.linalg.pinv(self.directions)
        low, high = np.percentile(shares[:, i], span)
        return self.origin + np.linspace(low, high, n)[:, None] * self.directions[i]


def localised_motions(decoder: Moving, latents: np.ndarray, inside: np.ndarray, seed: int = 0) -> LocalisedMotions:
    """Directions that change the chosen Gaussians most and the others least (Chen & Ludtke 2021, "eigen-motions").

    Generalised eigenvectors of two quadratic forms: the squared change inside and outside, means over 64 particles'
    latents, by steps of half a s.d. either way. A change is ``sqrt(mass)`` times a Gaussian's displacement, and times
    its relative change of mass over one nearest-neighbour distance: density that goes from one Gaussian to the next
    has moved that far.

    Args:
        decoder: the model.
        latents: ``(n, zdim)`` of all particles.
        inside: ``(g,)`` booleans, the region.

    Raises:
        HeteroError: a region of no Gaussians, or of all.
    """
    if not inside.any() or inside.all():
        raise HeteroError(
            f"The region holds {int(inside.sum()):,} of {len(inside):,} Gaussians; some inside and some outside were "
            "expected."
        )
    latents = np.asarray(latents, dtype=float)
    origin, spread = latents.mean(0), np.atleast_2d(np.cov(latents.T))
    whiten = np.linalg.cholesky(spread + 1e-9 * np.trace(spread) * np.eye(len(spread)))
    chosen = np.random.default_rng(seed).permutation(len(latents))[:_SAMPLES]
    forms = np.zeros((2, len(origin), len(origin)))
    for z in latents[chosen]:
        slopes = _slopes(decoder, z, whiten)  # (zdim, g, 4)
        for i, part in enumerate((inside, ~inside)):
            flat = slopes[:, part].reshape(len(origin), -1)
            forms[i] += flat @ flat.T / part.sum()
    within, without = forms
    ridge = _RIDGE * max(np.trace(without), 1e-9 * np.trace(within)) * np.eye(len(origin))
    _, vectors = eigh(within, without + ridge)
    vectors = vectors[:, ::-1] / np.linalg.norm(vectors[:, ::-1], axis=0)
    most, least = (np.einsum("im,ij,jm->m", vectors, form, vectors).clip(0) for form in (within, without))
    return LocalisedMotions(origin, (whiten @ vectors).T, np.sqrt(most / np.maximum(least, 1e-6 * most + 1e-300)))


def _slopes(decoder: Moving, z: np.ndarray, whiten: np.ndarray) -> np.ndarray:
    """``(zdim, g, 4)`` weighted change of places and masses for each whitened latent axis."""
    steps = _STEP * whiten.T
    centres, masses = decoder.gaussians(np.concatenate([z + steps, z - steps]))
    n = len(z)
    moved = (centres[:n] - centres[n:]) / (2 * _STEP)
    louder = (np.log(masses[:n]) - np.log(masses[n:])) / (2 * _STEP)
    weight = np.sqrt(masses.mean(0))
    return weight[None, :, None] * np.concatenate([moved, spacing(centres[0]) * louder[..., None]], axis=2)


def spacing(centres: np.ndarray) -> float:
    """Median distance of a Gaussian to its nearest neighbour, Å."""
    from scipy.spatial import cKDTree

    return float(np.median(cKDTree(centres).query(centres, 2)[0][:, 1]))


@dataclass(frozen=True, eq=False)
class RigidBody:
    """How a region turned and shifted as one.

    Attributes:
        angle: degrees.
        axis: ``(3,)`` along z, y, x; turning is right-handed about it.
        shift: ``(3,)`` Å along z, y, x, of the region's centre of mass.
        left: Å, root mean square of what the rigid motion does not explain.
        moved: Å, root mean square displacement.
    """

    angle: float
    axis: np.ndarray
    shift: np.ndarray
    left: float
    moved: float


def rigid_body(motion: Motion, inside: np.ndarray) -> RigidBody:
    """The best rotation and shift of the Gaussians in a region (Kabsch), weighed by their mass at the start.

    Raises:
        HeteroError: fewer than three Gaussians.
    """
    if np.count_nonzero(inside) < 3:
        raise HeteroError(f"The region holds {int(inside.sum())} Gaussians; three or more turn as a body.")
    weights = motion.masses[inside, 0] / motion.masses[inside, 0].sum()
    start = motion.centres[inside][:, ::-1]
    end = start + motion.displacements[inside][:, ::-1]
    middle, moved_middle = weights @ start, weights @ end
    rotation, _ = Rotation.align_vectors(end - moved_middle, start - middle, weights=weights)
    turn = rotation.as_rotvec(degrees=True)
    angle = float(np.linalg.norm(turn))
    left = end - moved_middle - rotation.apply(start - middle)
    return RigidBody(
        angle,
        (turn / angle if angle > 1e-9 else np.array([0.0, 0.0, 1.0]))[::-1],
        (moved_middle - middle)[::-1],
        float(np.sqrt(weights @ (left**2).sum(1))),
        float(np.sqrt(weights @ (motion.displacements[inside] ** 2).sum(1))),
    )
