"""Probabilistic PCA of volumes by expectation maximisation (Tagare et al. 2015; Punjani & Fleet 2021).

``y = C P (v_0 + sum_k z_k v_k) + noise``, ``z ~ N(0, I)``, noise white within a Fourier ring. Poses, CTFs and shifts
are known.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from hetero.linear.grid import Grid
from hetero.linear.posterior import Posterior, Statistics, posterior, samples_of, statistics
from hetero.linear.slices import Disc, whiten
from hetero.linear.solve import Equations
from hetero.linear.store import Store


@dataclass(frozen=True, eq=False)
class LinearMaps:
    """A state of the fit.

    Attributes:
        maps: ``(q + 1, box, box, box)`` float32, the mean and the components, for latents of s.d. 1.
        noise: ``(rings,)`` variance of a complex Fourier sample of the noise, by ring.
    """

    maps: np.ndarray
    noise: np.ndarray

    @property
    def zdim(self) -> int:
        """Components."""
        return len(self.maps) - 1

    def turned(self, matrix: np.ndarray) -> "LinearMaps":
        """Components ``(q, ...)`` replaced by ``matrix @ components``."""
        turned = np.tensordot(matrix, self.maps[1:], axes=1).astype(np.float32)
        return replace(self, maps=np.concatenate([self.maps[:1], turned]))


@dataclass(frozen=True, eq=False)
class Expectation:
    """What the E-step says of all particles.

    Attributes:
        posterior: of their latents.
        statistics: from which it came.
        cost: minus the log likelihood of all images.
    """

    posterior: Posterior
    statistics: Statistics
    cost: float


def power_by_ring(store: Store) -> np.ndarray:
    """``(rings,)`` mean squared amplitude of the samples: noise and signal."""
    total = np.zeros(len(store.pixels.places))
    for _, slices in store.batches():
        total += np.einsum("npk,npk->p", slices.values, slices.values, dtype=np.float64)
    return _ring_mean(total / len(store), store.pixels)


def start_mean(store: Store, grid: Grid) -> LinearMaps:
    """The mean map alone, and the noise about it."""
    state = LinearMaps(np.zeros((1, *[grid.box] * 3), np.float32), power_by_ring(store))
    for _ in range(2):
        state, _ = em_step(store, grid, state)
    return state


def start_components(state: LinearMaps, zdim: int, rng: np.random.Generator) -> LinearMaps:
    """Components to begin from: the mean map times smooth random fields, for what varies lies where density is."""
    from scipy.ndimage import gaussian_filter

    box = state.maps.shape[1]
    fields = np.stack([gaussian_filter(rng.standard_normal((box,) * 3), box / 8) for _ in range(zdim)])
    fields *= 0.3 / fields.std(axis=(1, 2, 3), keepdims=True)
    return replace(state, maps=np.concatenate([state.maps[:1], (fields * state.maps[0]).astype(np.float32)]))


@dataclass(frozen=True, eq=False)
class Sums:
    """What one pass over images gives to the M-step; sums of several sets of images may be added.

    Attributes:
        equations: for the maps.
        moments: ``(q + 1, q + 1)`` sum of ``E[z z']``.
        left: ``(p,)`` sum of expected squared residuals, in units of the noise's variance of a real number.
        cost: minus the log likelihood.
        n: images.
    """

    equations: Equations
    moments: np.ndarray
    left: np.ndarray
    cost: float
    n: int

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def em_step(store: Store, grid: Grid, state: LinearMaps) -> tuple[LinearMaps, float]:
    """One iteration, and the cost (minus the log likelihood) of the state that it began from."""
    sums = sum_up(store, grid, state)
    return improve(state, sums, store.pixels), sums.cost


def sum_up(store: Store, grid: Grid, state: LinearMaps) -> Sums:
    """The E-step, and the sums over images that the M-step needs. Memory: one batch, and the equations."""
    ring = store.pixels.ring
    parts, equations = grid.transform(state.maps), Equations.empty(grid, len(state.maps))
    total = np.zeros((len(state.maps),) * 2)
    left, cost = np.zeros(len(ring)), _noise_cost(store, state.noise)
    for _, slices in store.batches():
        white = whiten(slices, state.noise, ring)
        values, samples = white.values.reshape(len(white), -1), samples_of(white, grid, parts)
        found = posterior(statistics(samples, values))
        moments = found.moments()
        expected = samples @ moments
        left += _residual_power(values, samples, expected)
        equations.add(white, values[..., None] * moments[:, None, 0] - expected, moments)
        total += moments.sum(axis=0, dtype=np.float64)
        cost += float(found.cost.sum())
    return Sums(equations, total, left, cost, len(store))


def improve(state: LinearMaps, sums: Sums, pixels: Disc) -> LinearMaps:
    """The M-step.

    The latents' mean and covariance over all particles are estimated too and then moved into the maps (parameter
    expansion, Liu et al. 1998): the same maximum in fewer iterations.
    """
    maps = state.maps + sums.equations.step(state.maps)
    noise = state.noise * _ring_mean(sums.left / (2 * sums.n), pixels)
    return replace(_absorbed(replace(state, maps=maps), sums.moments / sums.n), noise=noise)


def _residual_power(values: np.ndarray, samples: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """``(p,)`` expected squared residuals, real and imaginary part together, summed over images."""
    # E (y - z's)^2 = y^2 - 2 y E z's + s' E[z z'] s
    both = np.einsum("ni,ni->i", values, values) - 2 * np.einsum("ni,ni->i", values, expected[..., 0])
    both = both + np.einsum("nic,nic->i", samples, expected)
    return both.reshape(-1, 2).sum(axis=1)


def _absorbed(state: LinearMaps, moments: np.ndarray) -> LinearMaps:
    """The same model with latents of mean 0 and covariance I; ``moments`` are the mean of ``E[z z']`` with z_0 = 1."""
    if not state.zdim:
        return state
    mean = moments[0, 1:]
    root = np.linalg.cholesky(moments[1:, 1:] - np.outer(mean, mean))
    middle = state.maps[:1] + np.tensordot(mean, state.maps[1:], axes=1)[None].astype(np.float32)
    return replace(state, maps=np.concatenate([middle, state.maps[1:]])).turned(root.T)


def expect(store: Store, grid: Grid, state: LinearMaps) -> Expectation:
    """The E-step alone."""
    parts, ring, found = grid.transform(state.maps), store.pixels.ring, []
    for _, slices in store.batches():
        white = whiten(slices, state.noise, ring)
        found.append(statistics(samples_of(white, grid, parts), white.values.reshape(len(white), -1)))
    return expectation(joined(found), _noise_cost(store, state.noise))


def expectation(found: Statistics, constant: float = 0.0) -> Expectation:
    """The posteriors that statistics give."""
    latents = posterior(found)
    return Expectation(latents, found, float(latents.cost.sum() + constant))


def joined(parts: list[Statistics]) -> Statistics:
    """Statistics of batches, one after the other."""
    return Statistics(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("gram", "overlap", "power")))


def _noise_cost(store: Store, noise: np.ndarray) -> float:
    return len(store) * float(np.log(noise[store.pixels.ring]).sum())


def _ring_mean(values: np.ndarray, pixels: Disc) -> np.ndarray:
    """Means over the rings of values at pixels; 1 for the centre, which is not looked at."""
    result = np.ones(pixels.radius + 1)
    counts = np.bincount(pixels.ring)
    result[counts > 0] = (np.bincount(pixels.ring, weights=values) / np.maximum(counts, 1))[counts > 0]
    return result
