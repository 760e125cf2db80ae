"""What the maps of a latent space look like: components of their voxels, and the states they fall into."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation

from hetero.errors import HeteroError
from hetero.maps import Ensemble
from hetero.progress import Progress, silent


def shared_mask(volumes: Iterable[np.ndarray], apix: float, dilate: float = 5.0) -> np.ndarray:
    """Where any of the maps has density: above half its 99.99th percentile, and ``dilate`` Å around.

    The threshold is that of Zhong et al. 2021 for masks between two maps.

    Returns:
        ``(z, y, x)`` bool.

    Raises:
        HeteroError: no map has any.
    """
    mask = None
    for data in volumes:
        dense = data > max(0.5 * float(np.percentile(data, 99.99)), 0)
        mask = dense if mask is None else mask | dense
    if mask is None or not mask.any():
        raise HeteroError("No map has positive density; give --invert for maps whose density is negative.")
    steps = int(np.ceil(dilate / apix))
    if not steps:
        return mask
    reach = np.arange(-steps, steps + 1) * apix
    ball = reach[:, None, None] ** 2 + reach[:, None] ** 2 + reach**2 <= max(dilate, apix) ** 2
    return binary_dilation(mask, ball)


@dataclass(frozen=True, eq=False)
class VoxelComponents:
    """Principal components of maps under a mask.

    Attributes:
        scores: ``(n, k)`` place of each map along them.
        shares: ``(k,)`` of the variance.
    """

    scores: np.ndarray
    shares: np.ndarray


def voxel_components(
    ensemble: Ensemble, mask: np.ndarray, weights: np.ndarray, k: int = 20, progress: Progress = silent
) -> VoxelComponents:
    """Principal components of an ensemble's voxels under ``mask``, each map weighing as ``weights`` ``(n,)``.

    Exact, by the products of maps with each other. Memory: the maps under the mask, in float32.
    """
    values = np.empty((len(ensemble), np.count_nonzero(mask)), np.float32)
    for i, volume in enumerate(ensemble):
        progress(i, len(ensemble), "comparing maps")
        values[i] = volume.data[mask]
    share = weights / weights.sum()
    values -= share.astype(np.float32) @ values
    root = np.sqrt(share)
    products = (values @ values.T).astype(np.float64) * root[:, None] * root
    variances, vectors = np.linalg.eigh(products)
    variances, vectors = variances[::-1].clip(min=0), vectors[:, ::-1]
    k = min(k, len(ensemble) - 1)
    # A map's score is its own, whatever it weighs; the axes are those of the weighted maps.
    scores = vectors[:, :k] * np.sqrt(variances[:k]) / root[:, None]
    return VoxelComponents(scores, variances[:k] / max(variances.sum(), np.finfo(float).tiny))


def group_states(scores: np.ndarray, n: int, weights: np.ndarray, linkage: str = "average") -> np.ndarray:
    """``(n_maps,)`` state of each map by agglomerative clustering; state 0 has the largest sum of ``weights``."""
    from sklearn.cluster import AgglomerativeClustering

    labels = AgglomerativeClustering(n, linkage=linkage).fit_predict(scores)
    order = np.argsort(-np.bincount(labels, weights, minlength=n), kind="stable")
    return np.argsort(order)[labels]


def state_statistics(
    ensemble: Ensemble, states: np.ndarray, weights: np.ndarray, progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """``(n_states, z, y, x)`` weighted mean and s.d. of the maps of each state, float32.

    Memory: two maps of float64 a state.
    """
    n = int(states.max()) + 1
    means = np.zeros((n, *ensemble.shape))
    squares = np.zeros((n, *ensemble.shape))
    totals = np.zeros(n)
    for i, volume in enumerate(ensemble):
        progress(i, len(ensemble), "averaging states")
        state, weight = states[i], float(weights[i])
        # Welford's update: no difference of large sums.
        totals[state] += weight
        step = volume.data - means[state]
        means[state] += step * (weight / totals[state])
        squares[state] += weight * step * (volume.data - means[state])
    spread = np.sqrt(squares / totals[:, None, None, None])
    return means.astype(np.float32), spread.astype(np.float32)
