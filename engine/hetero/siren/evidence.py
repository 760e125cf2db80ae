"""Is a block more than noise? Neighbouring voxels of correlated noise come and go together too.

Where nothing comes and goes (the solvent, and the core that every map has) the maps differ by noise and by their scale
alone. The noise's spatial correlation is measured there, and says how much the mean density over a region of a block's
size and shape would vary from map to map if it were noise. A block's own variance is held against that.
"""

from collections.abc import Iterable

import numpy as np
from scipy.fft import irfftn, rfftn
from scipy.ndimage import binary_dilation, gaussian_filter
from scipy.stats import chi2

from hetero.maps import Volume
from hetero.progress import Progress, silent
from hetero.siren.patterns import Patterns

_NOISE_MAPS = 40  # enough: each has thousands of voxels of noise
_LEAST_VOXELS = 500  # of a region in which noise can be measured
_MARGIN = 4  # voxels at the box's faces left out, so that correlations do not reach round its edge
_NEAR = 4.0  # voxels; the noise's strength is averaged over about this distance


def noise_p_values(
    volumes: Iterable[Volume], patterns: Patterns, masks: np.ndarray, progress: Progress = silent
) -> np.ndarray:
    """Probability that correlated noise gives a region anywhere that varies as much as each block does.

    For each block the variance over maps of its mean density, scale of the maps removed, is compared with the variance
    that the noise would give: ``(n - 1)`` times their ratio is chi-squared with ``n - 1`` degrees of freedom. The
    result is Bonferroni-corrected for the voxels at which a block could lie. A block that lies mostly within 4 voxels
    of the box's faces has p = 1: filters leave stronger noise there, and how strong cannot be measured.

    Args:
        volumes: the n maps of ``patterns``, one at a time.
        masks: ``(K, z, y, x)`` bool.

    Returns:
        ``(K,)`` in [0, 1]; 0 where every voxel comes and goes, so that there is nowhere to measure noise.
    """
    n = len(patterns.volumes)
    solvent, core = patterns.counts <= 0.01 * n, patterns.counts >= 0.99 * n
    fixed = solvent | core
    if len(masks) == 0 or not fixed.any():
        return np.zeros(len(masks))
    without_scale = _Residual(patterns.mean, fixed)
    noise = [_Correlation(solvent), _Correlation(core)]
    squares = np.zeros(patterns.shape)
    chosen = set(np.linspace(0, n - 1, min(n, _NOISE_MAPS)).astype(int).tolist())
    density = np.empty((n, len(masks)))
    inside = [np.flatnonzero(mask) for mask in masks]
    for i, volume in enumerate(volumes):
        progress(i, n, "weighing blocks against noise")
        residual = without_scale(volume.data)
        squares += residual**2
        density[i] = [residual.ravel()[voxels].mean() for voxels in inside]
        if i in chosen:
            for correlation in noise:
                correlation.add(residual)
    expected = np.array([max(correlation.variance_of_mean(mask) for correlation in noise) for mask in masks])
    expected = expected * _local_strength(squares / n, fixed, masks)
    found = density.var(axis=0, ddof=1)
    ratio = np.divide(found, expected, out=np.full(len(masks), np.inf), where=expected > 0)
    p = np.minimum(1.0, chi2.sf((n - 1) * ratio, n - 1) * len(patterns.voxels))
    return np.where(_share_at_faces(masks) > 0.5, 1.0, p)


def _share_at_faces(masks: np.ndarray) -> np.ndarray:
    """``(K,)`` share of each mask within the margin at the box's faces."""
    inner = masks[(slice(None), *[slice(_MARGIN, -_MARGIN)] * 3)]
    return 1 - inner.sum(axis=(1, 2, 3)) / masks.sum(axis=(1, 2, 3))


class _Residual:
    """A map less the mean map, scaled and shifted to fit it where nothing comes and goes."""

    def __init__(self, mean: np.ndarray, fixed: np.ndarray):
        self._mean, self._weight, self._count = mean, fixed.astype(np.float32), np.count_nonzero(fixed)
        self._reference = mean[fixed].mean(dtype=np.float64)
        self._spread = np.where(fixed, mean - self._reference, 0).astype(np.float32)
        self._norm = max(float(np.sum(self._spread**2, dtype=np.float64)), np.finfo(float).tiny)

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """``(z, y, x)`` float32."""
        gain = np.sum(data * self._spread, dtype=np.float64) / self._norm
        level = np.sum(data * self._weight, dtype=np.float64) / self._count
        return data - (np.float32(gain) * self._mean + np.float32(level - gain * self._reference))


def _local_strength(variance: np.ndarray, fixed: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """``(K,)`` how much stronger the noise is around each mask than where its correlation was measured, at least 1.

    Noise is seldom the same everywhere: maps are noisier inside the molecule, and filters leave more of it at the box's
    faces. Voxels of blocks, and those beside them, vary for another reason and are left out.
    """
    quiet = ~binary_dilation(masks.any(axis=0), iterations=2)
    weight = gaussian_filter(quiet.astype(float), _NEAR, mode="constant")
    total = gaussian_filter(np.where(quiet, variance, 0.0), _NEAR, mode="constant")
    average = max(float(variance[fixed].mean()), np.finfo(float).tiny)
    # A little of the average everywhere, for places without quiet voxels near them.
    local = (total + 0.01 * average) / ((weight + 0.01) * average)
    return np.array([max(1.0, float(local[mask].mean())) for mask in masks])


class _Correlation:
    """Spatial autocovariance of noise inside a region, averaged over maps."""

    def __init__(self, region: np.ndarray):
        self._region = region.copy()
        for axis in range(3):
            edge = np.moveaxis(self._region, axis, 0)
            edge[:_MARGIN] = edge[-_MARGIN:] = False
        self._usable = np.count_nonzero(self._region) >= _LEAST_VOXELS
        self._power: np.ndarray | float = 0.0
        self._maps = 0

    def add(self, residual: np.ndarray) -> None:
        """Count one map ``(z, y, x)``."""
        if self._usable:
            inside = np.where(self._region, residual - residual[self._region].mean(), 0).astype(np.float32)
            self._power = self._power + np.abs(rfftn(inside)) ** 2
            self._maps += 1

    def variance_of_mean(self, mask: np.ndarray) -> float:
        """Variance that this noise gives to the mean over ``mask`` ``(z, y, x)``; 0 where none could be measured."""
        if not self._usable:
            return 0.0
        shape = mask.shape
        pairs = irfftn(np.abs(rfftn(self._region.astype(float))) ** 2, shape)
        products = irfftn(self._power / self._maps, shape)
        covariance = np.where(pairs > 0.05 * pairs.flat[0], products / np.maximum(pairs, 1.0), 0.0)
        mask_pairs = irfftn(np.abs(rfftn(mask.astype(float))) ** 2, shape)
        return float((mask_pairs * covariance).sum()) / np.count_nonzero(mask) ** 2
