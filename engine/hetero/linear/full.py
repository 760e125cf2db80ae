"""All detail: the maps once more at every Fourier radius, under a prior of what two halves agree on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from scipy import ndimage

from hetero.linear.em import LinearMaps, joined
from hetero.linear.grid import Grid
from hetero.linear.halves import shell_correlation, shell_power
from hetero.linear.posterior import Posterior, Statistics, samples_of, statistics
from hetero.linear.slices import Disc, disc, read_slices, whiten
from hetero.linear.solve import Equations
from hetero.particles import Particles
from hetero.progress import Progress

_HALF_ITERATIONS = 15  # enough to see what the halves agree on
_ITERATIONS = 30  # fewer leave the outer shells short of what the data hold
_MEAN_ITERATIONS = 200
_TRUSTED = 1 / 7  # FSC of the halves
_FAINT = 0.001  # the mean's power beyond the last shell, of that in the last trusted one
_EDGE = 0.05  # of the soft mask, beyond which there is no density
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
) -> tuple[list[np.ndarray], Equations]:
    """The maps that the latents call for, from either half of the particles alone.

    Args:
        half: ``(n,)`` 0 or 1.
        latents: of the particles.
        noise: ``(box / 2,)`` by ring.

    Returns:
        Two of ``(q + 1, box, box, box)``, and the equations of all particles.
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
        maps = list(pool.map(lambda e: e.step(nothing, iterations=_HALF_ITERATIONS), equations))
    return maps, equations[0] + equations[1]


def regularised(halves: list[np.ndarray], equations: Equations) -> tuple[np.ndarray, np.ndarray]:
    """The maps from all particles, under a prior whose power in each shell is what the halves agree on.

    Density is looked for in the particle's surroundings alone (:func:`surroundings`): the noise elsewhere stays out.

    Returns:
        ``(c, box, box, box)`` float32, and the FSC of the halves ``(c, box / 2)`` there.
    """
    soft = surroundings(sum(halves) / 2)
    halves = [maps * soft for maps in halves]
    curve = shell_correlation(*halves)
    smooth = np.clip(_smoothed(curve), 1e-3, 0.999)
    # of the mean of both halves, the share of its power that is signal
    signal = shell_power(sum(halves) / 2) * 2 * smooth / (1 + smooth)
    signal[:, 0] = signal[:, 1]
    where = soft > _EDGE
    nothing = np.zeros_like(halves[0])
    equations = replace(equations, grid=Grid(equations.grid.box, where))
    signal /= where.mean()  # all of it comes from there, and the prior is that of a box full of it
    maps = equations.with_prior(signal).step(nothing, ridge=0, iterations=_ITERATIONS)
    # Beyond the last shell there are no data, and what is left free there makes room for noise within. The components,
    # which are weak there, end soon where it is not, and late where it is held down.
    last = np.logical_and.accumulate(smooth[0] > _TRUSTED).sum() - 1
    faint = np.append(signal[0], _FAINT * signal[0, max(last, 1)])
    maps[0] = equations.again(0, maps, faint, _MEAN_ITERATIONS)
    return maps, curve


def surroundings(maps: np.ndarray) -> np.ndarray:
    """``(box, box, box)`` float32 soft mask: 1 where a coarse view of the mean or of a component shows anything.

    Coarse means blurred by a Gaussian of s.d. box / 40; anything is above 5 % of the highest value.

    Args:
        maps: ``(c, box, box, box)``.
    """
    box = maps.shape[-1]
    coarse = np.sqrt(sum(ndimage.gaussian_filter(one, box / 40) ** 2 for one in maps))
    seen = ndimage.binary_fill_holes((coarse > 0.05 * coarse.max()) & Grid(box).ball)
    wide = ndimage.binary_dilation(seen, iterations=max(1, box // 32))
    return np.clip(ndimage.gaussian_filter(wide.astype(np.float32), box / 64), 0, 1)


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
    rings = np.arange(len(power))
    mean = shell_power(state.maps[1:]).sum(axis=0)
    told = np.cumsum(rings * power * mean / state.noise)
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
