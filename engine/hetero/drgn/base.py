"""Maps under the coordinate network, fitted to the particles as smooth functions of the latents of an earlier run.

A network sees a particle at a time and finds small differences slowly, and with them noise. Least squares sees all of
them at once, and two half sets say how far each Fourier shell can be believed: what is left to the network is the rest.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from hetero.drgn.half_disc import HalfDisc
from hetero.drgn.images import PreparedImages
from hetero.drgn.start import Start
from hetero.latent.clusters import k_means
from hetero.linear.full import image_power, regularised, solve_halves, table_bytes
from hetero.linear.grid import Grid
from hetero.linear.halves import shell_power, split
from hetero.linear.posterior import Posterior
from hetero.linear.slices import Disc, disc, slice_points
from hetero.progress import Progress, silent

_FUNCTIONS = 8  # at most
_LINEAR = 2  # of them: three classes differ by two
_FOR_A_MAP = 200  # particles
_CENTRES = 60
_WIDTH = 0.5  # of the Gaussians, in the root mean square distance of the particles from their middle
_DRAWS = 8  # of each latent
_SAMPLE = 100_000  # draws that functions are made from
_REAL = 1e-5  # of the largest variance: below are roundings
_LARGEST_BOX = 128
_LARGEST_TABLES = 4 << 30
_LEAST = 1e-3  # of the largest spread: no shell is shut


@dataclass(frozen=True, eq=False)
class Base:
    """``V(k, z) = map_0(k) + sum_j f_j(z) map_j(k) + spread(|k|) network(k, z)``.

    The functions f have variance 1 over the latents' posteriors and are not correlated. The first are linear; then come
    the first principal components of what is left of Gaussians around places in the latent space: what a curved path
    needs.

    Attributes:
        maps: ``(m + 1, b, b, b)`` float32; ``b`` voxels over the extent of the particles' box, or fewer.
        spread: ``(b / 2,)`` float32, by shell: root mean square of what sets the particles' transforms apart in these
            maps, in voxels of the particles' box. The network learns numbers of about 1 everywhere, and has little say
            where the data have.
        centres: ``(k, d)`` float32 places among the first d numbers of a latent.
        length: ``(1,)`` float32 s.d. of the Gaussians.
        offset, mix: ``(d + k,)`` and ``(d + k, m)`` float32: ``f = ((first d numbers, Gaussians) - offset) @ mix``.
    """

    maps: np.ndarray
    spread: np.ndarray
    centres: np.ndarray
    length: np.ndarray
    offset: np.ndarray
    mix: np.ndarray

    def spread_at(self, radius: np.ndarray) -> np.ndarray:
        """The spread at any radius, cycles per box; beyond the last shell it is the last one's. float32."""
        return np.interp(radius, np.arange(len(self.spread)), self.spread).astype(np.float32)

    def functions(self, z: torch.Tensor) -> torch.Tensor:
        """``(b, m)`` values of f at latents ``(b, zdim)``."""
        centres, length, offset, mix = (
            torch.as_tensor(getattr(self, name), device=z.device, dtype=z.dtype)
            for name in ("centres", "length", "offset", "mix")
        )
        z = z[:, : centres.shape[1]]
        apart = (z[:, None] - centres).square().sum(dim=-1)
        return (torch.cat([z, torch.exp(-apart / (2 * length**2))], dim=1) - offset) @ mix

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it, for a file."""
        return {f.name: torch.from_numpy(getattr(self, f.name)) for f in fields(self)}


def fit_base(
    images: PreparedImages, start: Start, noise: np.ndarray | None = None, progress: Progress = silent
) -> Base | None:
    """Fit maps to all particles at the latents that training starts from.

    Memory: 4 GB at most, besides a batch of images.

    Args:
        images: what is learned from, with CTFs.
        start: latents of the same images.
        noise: ``(b / 2,)`` variance of the noise in a complex Fourier sample, by ring, where a linear run has found it;
            the images' power otherwise.

    Returns:
        None where there are too few particles for two maps.
    """
    particles, n = images.particles, len(images)
    box = min(particles.box, _LARGEST_BOX)
    m = min(_FUNCTIONS, n // images.copies // _FOR_A_MAP - 1)
    while m > 0 and table_bytes(box, m) > _LARGEST_TABLES:
        m -= 1
    if m < 1:
        return None
    draws = _draws(start)
    some = draws[:, :: max(1, n * _DRAWS // _SAMPLE)].reshape(-1, start.known)
    base = functions_of(some, m)
    own = particles.half_set
    half = np.repeat(split(None if own is None else own[:: images.copies], n // images.copies), images.copies)
    if noise is None or len(noise) != box // 2:
        noise = image_power(particles, box, disc(box // 2 - 1))
    maps, _ = regularised(*solve_halves(particles, half, _posterior(base, draws), noise, box, progress))
    spread = np.sqrt(shell_power(maps[1:]).sum(axis=0)) * (particles.box / box) ** 3
    spread = np.maximum(spread, _LEAST * spread.max()).astype(np.float32)
    return replace(base, maps=maps.astype(np.float32), spread=spread)


def _draws(start: Start) -> np.ndarray:
    """``(draws, n, known)`` of each latent's posterior.

    Taken as sharp, latents would be believed in their errors too: these come from the images' noise, which the maps
    would then show.
    """
    rng = np.random.default_rng(0)
    mean, sd = start.mean[:, : start.known], np.exp(0.5 * start.log_variance[:, : start.known])
    return mean + sd * rng.standard_normal((_DRAWS, *mean.shape), dtype=np.float32)


def _posterior(base: Base, draws: np.ndarray) -> Posterior:
    """Mean and covariance of the functions of each latent."""
    values = np.stack([base.functions(torch.from_numpy(z)).numpy() for z in draws])
    middle = values.mean(axis=0)
    spread = np.einsum("sni,snj->nij", values - middle, values - middle) / len(draws)
    return Posterior(middle, spread, np.zeros(len(middle)))


def functions_of(latents: np.ndarray, m: int) -> Base:
    """At most m functions of latents ``(n, d)`` float32; no maps yet."""
    d = latents.shape[1]
    different = len(np.unique(latents[:: max(1, len(latents) // 10_000)], axis=0))
    centres = k_means(latents, min(_CENTRES, different), seed=0).centres.astype(np.float32)
    length = _WIDTH * np.sqrt(latents.var(axis=0).sum(keepdims=True)).astype(np.float32)
    k, nothing = d + len(centres), np.zeros(0, np.float32)
    every = Base(nothing, nothing, centres, length, np.zeros(k, np.float32), np.eye(k, dtype=np.float32))
    values = every.functions(torch.from_numpy(latents)).numpy().astype(float)
    offset = values.mean(axis=0)
    values -= offset
    straight = np.zeros((k, min(d, _LINEAR, m)))
    straight[:d] = _whitening(values[:, :d])[:, : straight.shape[1]]
    # what linear functions leave of all
    bent = np.eye(k) - straight @ ((values @ straight).T @ values) / len(values)
    bent = bent @ _whitening(values @ bent)
    mix = np.concatenate([straight, bent], axis=1)[:, :m]
    return replace(every, offset=offset.astype(np.float32), mix=mix.astype(np.float32))


def _whitening(values: np.ndarray) -> np.ndarray:
    """``(k, r)``: ``values @ result`` are the principal components of values ``(n, k)`` about 0, of variance 1."""
    power, axes = np.linalg.eigh(values.T @ values / len(values))
    real = np.flatnonzero(power > _REAL * power[-1])[::-1]
    return axes[:, real] / np.sqrt(power[real])


class BaseSlices:
    """Central slices of a base.

    Args:
        base: the maps.
        disc: the pixels of a slice.
    """

    def __init__(self, base: Base, disc: HalfDisc):
        own = len(base.maps[0])
        self._grid = Grid(own)
        self._parts = self._grid.transform(base.maps) * np.float32((disc.box / own) ** 3)
        self._count = disc.count(own / 2 - 1)
        places = disc.points[: self._count]
        self._pixels = Disc(places, np.round(np.hypot(*places.T)).astype(int))

    def __call__(self, rotations: np.ndarray, count: int) -> np.ndarray:
        """``(b, count, 2, m + 1)`` float32 real and imaginary parts at the first pixels of the disc, turned by ``(b, 3,
        3)`` rotations; zeros beyond the maps' own last shell.
        """
        known = min(count, self._count)
        points, side = slice_points(rotations, Disc(self._pixels.places[:known], self._pixels.ring[:known]))
        values = np.zeros((len(rotations), count, 2, self._parts.shape[2]), np.float32)
        values[:, :known] = self._grid.gather(points, self._parts)
        values[:, :known, 1] *= side[..., None]
        return values
