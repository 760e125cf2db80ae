"""A map from particles with its two half maps, and how far they agree."""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfftn, rfftn
from scipy.ndimage import gaussian_filter

from hetero.errors import HeteroError
from hetero.maps.fsc import FSC, fourier_shells, fsc_curves, fsc_mask
from hetero.particles.backproject import FourierSums, backproject
from hetero.particles.particles import Particles
from hetero.progress import Progress, silent

_LEAST, _MOST = 1e-3, 10.0  # bounds of noise over signal in half maps
_MEANINGFUL = 0.143
_NEAR = 0.6  # of the resolution: s.d. of the neighbourhood in which signal and noise are told apart
_FAINTEST = 0.01  # FSC that shells beyond the resolution are weighted by at least: a fiftieth of their amplitude


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What particles give.

    Attributes:
        data: ``(box, box, box)`` float32, of all particles: Wiener's filter with the signal-to-noise ratio of each
            shell taken from the FSC, faint in shells after it first falls below 0.143; and with the same filter in
            space, so that noise around the particle, where the halves do not agree, is faint.
        halves: two such maps, each of half the particles, unfiltered.
        fsc: of the halves, corrected for the mask around ``data``.
    """

    data: np.ndarray
    halves: tuple[np.ndarray, np.ndarray]
    fsc: FSC


def split_halves(particles: Particles) -> tuple[np.ndarray, str]:
    """``(n,)`` 0 or 1 for each particle, and whose halves they are: ``"file"`` (the refinement's own) or
    ``"odd-even"`` (by row of the file)."""
    own = particles.half_set
    if own is not None and len(np.unique(own)) == 2:
        return np.asarray(own), "file"
    return particles.rows % 2, "odd-even"


def reconstruct(
    particles: Particles,
    half_set: np.ndarray,
    weights: np.ndarray | None = None,
    symmetry: np.ndarray | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Reconstruction:
    """Reconstruct a map and its half maps.

    ``sum(CTF image) / (sum(CTF^2) + noise / signal)``. Half maps are made twice: with as much noise as signal, and then
    with the ratio that follows from their own FSC; their shells keep the scale of the density.

    Args:
        particles: with poses.
        half_set: ``(n,)`` 0 or 1.
        weights, symmetry, threads: as in :func:`~hetero.particles.backproject.backproject`.
        progress: called with images done, of all.

    Returns:
        The maps. Memory: 300 bytes for each voxel of the map (5 GB for a box of 256), and 40 MB a thread.

    Raises:
        HeteroError: a half without particles, and what ``backproject`` raises.
    """
    weights = np.ones(len(particles)) if weights is None else np.asarray(weights, dtype=float)
    counts = [np.count_nonzero(weights[half_set == half]) for half in (0, 1)]
    if not all(counts):
        raise HeteroError(f"The half sets have {counts[0]:,} and {counts[1]:,} particles; some in both were expected.")
    sums = []
    for half in (0, 1):

        def report(done: int, total: int, message: str, before: int = counts[0] * half) -> None:
            progress(int(before + done), int(sum(counts)), message)

        mine = np.where(half_set == half, weights, 0.0)
        sums.append(backproject(particles, mine, symmetry, threads, report))
    return combine(sums[0], sums[1], particles.apix)


def combine(first: FourierSums, second: FourierSums, apix: float) -> Reconstruction:
    """Maps from the sums of two half sets; ``first`` is used up."""
    densities = [first.shell_density(), second.shell_density()]

    def half_maps(ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        maps = (s.to_map(ratio * d, 1 + ratio) for s, d in zip((first, second), densities, strict=True))
        return tuple(maps)

    raw = fsc_curves(*half_maps(np.ones(first.box // 2 + 1)), apix)
    halves = half_maps(np.clip(_noise_to_signal(raw.unmasked), _LEAST, _MOST))
    fsc = fsc_curves(*halves, apix)
    mean_density = 0.5 * (densities[0] + densities[1])
    first += second

    def filtered(fsc: FSC) -> np.ndarray:
        return first.to_map(_noise_to_signal(_falling(fsc.best)) * mean_density)

    fsc = fsc_curves(*halves, apix, fsc_mask(filtered(fsc), apix))
    width = _NEAR * (fsc.resolution(_MEANINGFUL) or 2 * apix) / apix
    return Reconstruction(filtered(fsc) * _agreement(halves, fsc, width), halves, fsc)


def _agreement(halves: tuple[np.ndarray, np.ndarray], fsc: FSC, width: float) -> np.ndarray:
    """``(box, box, box)`` Wiener's factor in space: the share of signal in the mean of two halves, 0 to 1.

    Signal is the halves' product, noise a quarter of their squared difference, both under a Gaussian of ``width``
    voxels, after the filter that the FSC asks for.
    """
    shape = halves[0].shape
    shells, frequency = fourier_shells(shape, 1.0)
    factor = np.append(1 / (1 + _noise_to_signal(_falling(fsc.best))), 0.0)[np.minimum(shells, len(frequency))]
    a, b = (irfftn(rfftn(half) * factor, s=shape) for half in halves)
    signal = np.maximum(gaussian_filter(a * b, width), 0)
    noise = gaussian_filter((a - b) ** 2, width) / 4
    return (signal / np.maximum(signal + noise, 1e-30)).astype(np.float32)


def _noise_to_signal(fsc: np.ndarray) -> np.ndarray:
    """``(s + 1,)`` for shells from zero: ``(1 - FSC) / FSC``, what a half map's FSC says of its noise."""
    fsc = np.clip(np.concatenate([fsc[:1], fsc]), 1e-6, 1 - 1e-6)
    return (1 - fsc) / fsc


def _falling(fsc: np.ndarray) -> np.ndarray:
    """A curve that never rises again once it has fallen below 0.143: what comes back there is chance."""
    result = np.array(fsc)
    below = np.flatnonzero(~(result >= _MEANINGFUL))
    if len(below):
        tail = result[below[0] :]
        np.minimum.accumulate(np.maximum(tail, _FAINTEST), out=tail)
    return result
