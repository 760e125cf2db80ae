"""Fourier shell correlation of two maps, and what a mask adds to it."""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfftn, rfftn
from scipy.ndimage import distance_transform_edt

_RANDOMISE_BELOW = 0.8  # phases are randomised where the unmasked curve has first fallen below this, as is usual
_MARGIN = 2  # shells after that where the mask still mixes true phases in


@dataclass(frozen=True, eq=False)
class FSC:
    """Curves of two maps, a value a shell.

    Attributes:
        frequency: ``(s,)`` 1/Å, the middle of each shell, from the first after zero to Nyquist.
        unmasked: ``(s,)`` of the maps as they are.
        masked: ``(s,)`` under the mask; None without one.
        randomised: ``(s,)`` under the mask after phases beyond ``randomised_from`` were made random in both maps.
        corrected: ``(s,)`` masked, without what the mask itself brought (Chen et al. 2013).
        randomised_from: 1/Å; None without a mask, or where the maps agree to Nyquist.
    """

    frequency: np.ndarray
    unmasked: np.ndarray
    masked: np.ndarray | None = None
    randomised: np.ndarray | None = None
    corrected: np.ndarray | None = None
    randomised_from: float | None = None

    @property
    def best(self) -> np.ndarray:
        """``(s,)`` the corrected curve where there was a mask, else the unmasked one."""
        return self.unmasked if self.corrected is None else self.corrected

    def resolution(self, threshold: float) -> float | None:
        """Å at which the best curve first falls below ``threshold``; None where it never does (:func:`crossing`)."""
        return crossing(self.frequency, self.best, threshold)


def crossing(frequency: np.ndarray, curve: np.ndarray, threshold: float) -> float | None:
    """Å where a curve first falls below a threshold, between shells by straight lines; None where it never does.

    A curve that is below from the first shell on gives that shell's Å.
    """
    below = np.flatnonzero(~(curve >= threshold))
    if not len(below):
        return None
    after = below[0]
    if after == 0:
        return float(1 / frequency[0])
    before = after - 1
    share = (curve[before] - threshold) / (curve[before] - curve[after])
    return float(1 / (frequency[before] + share * (frequency[after] - frequency[before])))


def fourier_shells(shape: tuple[int, int, int], apix) -> tuple[np.ndarray, np.ndarray]:
    """The shells of a map's transform, one voxel of its longest axis wide.

    Returns:
        ``(z, y, x // 2 + 1)`` int32 shell of each voxel of ``rfftn`` (0 is the origin's); ``(s,)`` 1/Å of shells 0 ...
        to Nyquist of the coarsest axis. Voxels beyond have larger numbers.
    """
    apix = np.broadcast_to(np.asarray(apix, dtype=float), (3,))
    z, y = (np.fft.fftfreq(n, a) for n, a in zip(shape[:2], apix[:2], strict=True))
    x = np.fft.rfftfreq(shape[2], apix[2])
    step = 1 / max(n * a for n, a in zip(shape, apix, strict=True))
    radius = np.sqrt((z**2)[:, None, None] + (y**2)[:, None] + x**2)
    count = int(min(0.5 / a for a in apix) / step + 1e-6) + 1
    return np.rint(radius / step).astype(np.int32), np.arange(count) * step


def shell_sums(values: np.ndarray, shells: np.ndarray, count: int, width: int) -> np.ndarray:
    """``(count,)`` sums over whole shells of values on half a transform (``rfftn`` of ``width`` voxels along x)."""
    twice = np.full(shells.shape[2], 2.0)
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    weighted = (values * twice).ravel()
    return np.bincount(shells.ravel(), weights=weighted, minlength=count)[:count]


def shell_correlation(a: np.ndarray, b: np.ndarray, shells: np.ndarray, count: int, width: int) -> np.ndarray:
    """``(count,)`` correlation of two half transforms shell by shell; 0 where one of them is empty."""
    cross, power_a, power_b = (
        shell_sums(v, shells, count, width) for v in ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)
    )
    power = np.sqrt(power_a * power_b)
    return np.divide(cross, power, out=np.zeros(count), where=power > 0)


def fsc_curves(
    a: np.ndarray, b: np.ndarray, apix, mask: np.ndarray | None = None, rng: np.random.Generator | None = None
) -> FSC:
    """Correlate two maps shell by shell, and correct for a mask.

    Chen et al. 2013 (Ultramicroscopy 135, 24): phases of both maps beyond some frequency are made random; what still
    correlates there under the mask, n, is the mask's, and ``(masked - n) / (1 - n)`` is left.

    Args:
        a, b: ``(z, y, x)`` on one grid.
        apix: Å per voxel along z, y, x, or one number.
        mask: ``(z, y, x)`` 0 to 1, soft; None for none.
        rng: of the random phases; seed 0 where not given.

    Returns:
        The curves. Memory: about six times a map.
    """
    shape, width = a.shape, a.shape[2]
    shells, frequency = fourier_shells(shape, apix)
    count = len(frequency)

    def correlate(x, y):
        return shell_correlation(x, y, shells, count, width)[1:]

    fa, fb = rfftn(np.asarray(a, np.float32), workers=-1), rfftn(np.asarray(b, np.float32), workers=-1)
    unmasked = correlate(fa, fb)
    if mask is None:
        return FSC(frequency[1:], unmasked)
    masked = correlate(rfftn(a * mask, workers=-1), rfftn(b * mask, workers=-1))
    low = np.flatnonzero(unmasked < _RANDOMISE_BELOW)
    if not len(low):
        return FSC(frequency[1:], unmasked, masked, masked.copy(), masked.copy())
    start = int(low[0]) + 1  # in shells counted from 0
    rng = rng or np.random.default_rng(0)
    random = [irfftn(_random_phases(f, shells >= start, shape, rng), s=shape, workers=-1) * mask for f in (fa, fb)]
    noise = correlate(*(rfftn(r, workers=-1) for r in random))
    corrected = masked.copy()
    beyond = slice(start - 1 + _MARGIN, None)
    n = np.clip(noise[beyond], 0, 0.999)
    # Where phases were true, or no more is left than the mask made, there is nothing to take off.
    corrected[beyond] = np.where(n > masked[beyond], 0, (masked[beyond] - n) / (1 - n))
    return FSC(frequency[1:], unmasked, masked, noise, corrected, float(frequency[start]))


def _random_phases(transform: np.ndarray, where: np.ndarray, shape, rng: np.random.Generator) -> np.ndarray:
    noise = rfftn(rng.standard_normal(shape, dtype=np.float32), workers=-1)  # phases of a real map
    noise *= np.abs(transform) / np.maximum(np.abs(noise), 1e-20)
    return np.where(where, noise, transform)


def fsc_mask(data: np.ndarray, apix, dilate: float = 25.0, edge: float = 15.0) -> np.ndarray:
    """A soft mask around a map: Zhong et al. 2021, Methods, map-to-map FSC.

    Voxels above half the 99.99th percentile, grown by ``dilate`` Å, with a cosine edge of ``edge`` Å outside that.

    Args:
        data: ``(z, y, x)``.
        apix: Å per voxel along z, y, x, or one number.

    Returns:
        ``(z, y, x)`` float32, 0 to 1.
    """
    apix = np.broadcast_to(np.asarray(apix, dtype=float), (3,))
    inside = data > 0.5 * np.percentile(data, 99.99)
    if not inside.any():
        return np.ones(data.shape, dtype=np.float32)
    distance = distance_transform_edt(~inside, sampling=apix)
    ramp = np.clip((distance - dilate) / edge, 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * ramp)).astype(np.float32)


def mask_of_halves(a: np.ndarray, b: np.ndarray, apix) -> np.ndarray:
    """:func:`fsc_mask` of the mean of two maps, low-passed to where they stop to agree (0.143, unmasked), so that noise
    is not taken for density."""
    from hetero.maps.filter import low_pass

    mean = 0.5 * (np.asarray(a, np.float32) + b)
    resolution = fsc_curves(a, b, apix).resolution(0.143)
    return fsc_mask(mean if resolution is None else low_pass(mean, apix, resolution), apix)
