"""All detail: the maps once more at every Fourier radius, in two halves, each shell weighted by how well these agree."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hetero.linear.em import LinearMaps, joined
from hetero.linear.grid import Grid
from hetero.linear.halves import shell_correlation
from hetero.linear.posterior import Posterior, Statistics, samples_of, statistics
from hetero.linear.slices import Disc, disc, read_slices, whiten
from hetero.linear.solve import Equations
from hetero.particles import Particles
from hetero.progress import Progress

_ITERATIONS = 15
_LOOKED_AT = 1000  # images from which the noise is estimated
_INFORMATION = 0.98  # share of what the components tell about latents that the final radius keeps


def table_bytes(box: int, zdim: int) -> int:
    """Bytes that :func:`solve_halves` takes, nearly."""
    maps = zdim + 1
    grid = Grid(box)
    return grid.nodes * 4 * (2 * (maps * (maps + 1) // 2 + 2 * maps) + 8 * maps)


def image_power(particles: Particles, box: int, pixels: Disc) -> np.ndarray:
    """``(rings,)`` mean squared amplitude of a sample of the images, in maps of ``box`` voxels."""
    some = particles.subset(np.unique(np.linspace(0, len(particles) - 1, _LOOKED_AT).astype(int)))
    total = sum((np.square(s.values).sum(axis=(0, 2), dtype=np.float64) for _, s in read_slices(some, box, pixels)))
    counts = np.bincount(pixels.ring)
    power = np.ones(len(counts))
    power[1:] = np.bincount(pixels.ring, weights=total / len(some))[1:] / counts[1:]
    return power


def solve_halves(
    particles: Particles, half: np.ndarray, latents: Posterior, noise: np.ndarray, box: int, progress: Progress
) -> list[np.ndarray]:
    """The maps that the latents call for, from either half of the particles alone.

    Args:
        half: ``(n,)`` 0 or 1.
        latents: of the particles.
        noise: ``(box / 2,)`` by ring.

    Returns:
        Two of ``(q + 1, box, box, box)``.
    """
    grid, pixels = Grid(box), disc(box // 2 - 1)
    c = latents.mean.shape[1] + 1
    equations = [Equations.empty(grid, c) for _ in range(2)]
    rows = [np.flatnonzero(half == h) for h in range(2)]

    def work(which: int) -> Iterator[int]:
        mine = particles.subset(rows[which])
        for part, slices in read_slices(mine, box, pixels):
            chosen = rows[which][part]
            moments = latents.rows(chosen).moments()
            white = whiten(slices, noise, pixels.ring)
            values = white.values.reshape(len(white), -1, 1)
            equations[which].add(white, values * moments[:, None, 0], moments)
            yield len(slices)

    done = 0
    with ThreadPoolExecutor(2) as pool:
        streams = [work(0), work(1)]
        while streams:
            counts = list(pool.map(lambda stream: next(stream, 0), streams))
            streams = [s for s, count in zip(streams, counts, strict=True) if count]
            done += sum(counts)
            progress(done, len(particles), "fitting all radii")
        nothing = np.zeros((c, box, box, box), np.float32)
        return list(pool.map(lambda e: e.step(nothing, iterations=_ITERATIONS), equations))


def combined(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of two halves' maps, each shell of each map times ``2 FSC / (1 + FSC)``: the signal's share in it.

    Returns:
        ``(c, box, box, box)`` float32, and the FSC ``(c, box / 2)``.
    """
    curve = shell_correlation(first, second)
    smooth = np.clip(_smoothed(curve), 0, 1)
    weight = 2 * smooth / (1 + smooth)
    weight[:, 0] = weight[:, 1]
    return filtered((first + second) / 2, weight), curve


def filtered(maps: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Maps ``(c, box, box, box)`` times ``weight`` ``(c, box / 2)`` of each shell; nothing is left at Nyquist."""
    box = maps.shape[-1]
    along = np.fft.fftfreq(box, 1 / box)
    radius = np.sqrt(along[:, None, None] ** 2 + along[:, None] ** 2 + along[: box // 2 + 1] ** 2)
    shells = np.arange(box // 2)
    result = np.empty_like(maps, dtype=np.float32)
    for data, row, out in zip(maps, weight, result, strict=True):
        factor = np.interp(radius, shells, row, right=0.0)
        out[...] = np.fft.irfftn(np.fft.rfftn(data) * factor, s=(box,) * 3, axes=(0, 1, 2))
    return result


def _smoothed(curve: np.ndarray) -> np.ndarray:
    """A running mean of three shells; a single shell's FSC is a noisy thing where few voxels are in it."""
    padded = np.pad(curve, ((0, 0), (1, 1)), mode="edge")
    return (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3


def residual_noise(particles: Particles, state: LinearMaps, latents: np.ndarray, pixels: Disc) -> np.ndarray:
    """``(rings,)`` variance of what the maps leave of a sample of the images, by ring."""
    grid = Grid(state.maps.shape[-1])
    parts = grid.transform(state.maps)
    rows = np.unique(np.linspace(0, len(particles) - 1, _LOOKED_AT).astype(int))
    total = np.zeros(len(pixels.ring))
    for part, slices in read_slices(particles.subset(rows), grid.box, pixels):
        z = np.column_stack([np.ones(len(slices)), latents[rows[part]]]).astype(np.float32)
        left = slices.values - (samples_of(slices, grid, parts) @ z[..., None]).reshape(slices.values.shape)
        total += np.square(left).sum(axis=(0, 2), dtype=np.float64)
    counts = np.bincount(pixels.ring)
    noise = np.ones(len(counts))
    noise[1:] = np.bincount(pixels.ring, weights=total / len(rows))[1:] / counts[1:]
    return noise


def informative_radius(state: LinearMaps, power: np.ndarray) -> int:
    """The radius within which nearly all lies that images tell about latents: component power over noise, by ring.

    Args:
        state: maps whose noise is weighted down already.
        power: ``(rings,)`` mean square of the CTF.
    """
    box = state.maps.shape[-1]
    components = (np.abs(np.fft.fftn(state.maps[1:], axes=(1, 2, 3))) ** 2).sum(axis=0)
    along = np.fft.fftfreq(box, 1 / box)
    shell = np.round(np.sqrt(along[:, None, None] ** 2 + along[:, None] ** 2 + along**2)).astype(int).ravel()
    mean = np.bincount(shell, weights=components.ravel())[: box // 2] / np.bincount(shell)[: box // 2]
    rings = np.arange(len(power))
    told = np.cumsum(rings * power * mean[: len(rings)] / state.noise)
    return max(3, int(np.searchsorted(told, _INFORMATION * told[-1])))


def transfer_power(particles: Particles, box: int) -> np.ndarray:
    """``(box / 2,)`` mean square of a sample of the CTFs, by ring."""
    some = particles.ctf[np.unique(np.linspace(0, len(particles) - 1, 200).astype(int))]
    along = np.arange(box // 2) / (particles.box * particles.apix)
    return np.square(some.evaluate(along[None], np.zeros((1, len(along))))).mean(axis=0)


def read_statistics(particles: Particles, state: LinearMaps, pixels: Disc, progress: Progress) -> Statistics:
    """What every image says about its latent, read once more."""
    grid = Grid(state.maps.shape[-1])
    parts, found = grid.transform(state.maps), []
    for part, slices in read_slices(particles, grid.box, pixels):
        white = whiten(slices, state.noise, pixels.ring)
        found.append(statistics(samples_of(white, grid, parts), white.values.reshape(len(white), -1)))
        progress(part.stop, len(particles), "placing particles")
    return joined(found)
