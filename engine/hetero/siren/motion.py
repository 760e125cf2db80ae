"""Which blocks are stations of one motion? A moving domain makes blocks that overlap or exclude each other, in order.

The order along a motion is found by correspondence analysis (reciprocal averaging, Hill 1973): a principal component
analysis of the occupancies in which two blocks are alike when the same volumes have both, whatever their sizes. A
plain principal component fails here: blocks of which each volume has one are all equally unlike.
"""

import math
from itertools import combinations, permutations

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm

_TOUCH = 1  # voxels by which two blocks that touch are apart, at most
_RESAMPLES = 100
_AGREEMENT = 0.8
_NOISE = 0.1  # a block occupied by less than this share of its range is absent
_ORDERS = 5000  # of the centres, where all orders are too many
_ALPHA = 0.05


def find_chains(occupancy: np.ndarray, masks: np.ndarray, centers: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """Ordered chains of at least three blocks; blocks that come and go independently are in none.

    Two blocks belong together where they touch and exclude each other, or exclude a common third. (Exclude: their
    occupancies are negatively correlated, 5 % family-wise over all pairs.) Rare blocks that touch one of them and
    correlate with it are tried as well. Blocks that belong together are a chain where their order

    - goes from each block to one that it touches;
    - makes a path through the blocks' centres that is among the shortest 5 % of all orders, or of three or four blocks
      the shortest: the blocks' places were not used to find it;
    - comes out nearly the same in 100 resamplings of the volumes: a mean Kendall's tau of at least 0.8, where one pair
      of three that cannot be told apart gives 0.67.

    Args:
        occupancy: ``(n, K)`` share of each block's voxels that are occupied.
        masks: ``(K, z, y, x)`` bool.
        centers: ``(K, 3)`` Å.
        seed: for the resamplings.

    Returns:
        Arrays of block numbers from one end to the other; the larger end first.
    """
    n, k = occupancy.shape
    if k < 3 or (occupancy.std(axis=0) == 0).any():
        return []
    touching = touch(masks)
    correlation = np.corrcoef(occupancy.T)
    bound = norm.isf(_ALPHA / (k * (k - 1) / 2)) / np.sqrt(n - 1)
    sizes = masks.sum(axis=(1, 2, 3))
    rng = np.random.default_rng(seed)
    chains = []
    for core in _together(touching, correlation <= -bound):
        attached = (touching[core] & (correlation[core] >= bound)).any(axis=0)
        for group in (np.union1d(core, np.flatnonzero(attached)), core):
            order = group[motion_order(occupancy[:, group])]
            if _is_chain(occupancy[:, order], touching[np.ix_(order, order)], centers[order], rng):
                chains.append(order if sizes[order[0]] >= sizes[order[-1]] else order[::-1])
                break
    return chains


def motion_order(occupancy: np.ndarray) -> np.ndarray:
    """``(K,)`` numbers of the columns of ``occupancy`` ``(n, K)`` along the motion, from either end.

    The first axis of correspondence analysis; then parts of it are turned round for as long as that brings blocks that
    are occupied in the same volumes closer (the axis is flat at its ends).
    """
    low, high = np.quantile(occupancy, [0.05, 0.99], axis=0)
    share = np.clip((occupancy - low) / np.maximum(high - low, 1e-9) - _NOISE, 0, None)
    share = share[share.sum(axis=1) > 0]
    if len(share) < 2 or (share.sum(axis=0) == 0).any():
        return np.arange(occupancy.shape[1])
    share = share / share.sum()
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    expected = np.outer(rows, columns)
    axes = np.linalg.svd((share - expected) / np.sqrt(expected), full_matrices=False)[2]
    order = np.argsort(axes[0] / np.sqrt(columns), kind="stable")
    together = share.T @ share / np.outer(columns, columns)  # 1/len(share) where two blocks are independent
    best, better = _disorder(together[np.ix_(order, order)]), True
    while better:
        better = False
        for i, j in combinations(range(len(order) + 1), 2):
            turned = np.r_[order[:i], order[i:j][::-1], order[j:]]
            disorder = _disorder(together[np.ix_(turned, turned)])
            if disorder < best:
                order, best, better = turned, disorder, True
    return order


def _disorder(alike: np.ndarray) -> float:
    """By how much a likeness ``(K, K)`` grows where it should fall with the distance from the diagonal (Robinson)."""
    ahead = np.diff(np.triu(alike, 1), axis=1)  # along each row, away from the diagonal
    above = -np.diff(np.triu(alike, 1), axis=0)  # up each column, away from it
    k = len(alike)
    right = np.triu(np.ones((k, k - 1), dtype=bool), 1)
    up = np.triu(np.ones((k - 1, k), dtype=bool), 2)
    return float(np.clip(ahead, 0, None)[right].sum() + np.clip(above, 0, None)[up].sum())


def touch(masks: np.ndarray) -> np.ndarray:
    """``(K, K)`` bool: masks ``(K, z, y, x)`` that overlap, or with at most one voxel between them."""
    grown = np.array([binary_dilation(mask, iterations=1 + _TOUCH).ravel() for mask in masks], dtype=np.float32)
    overlap = grown.reshape(len(masks), -1) @ masks.reshape(len(masks), -1).astype(np.float32).T
    return (overlap > 0) | (overlap > 0).T


def _together(touching: np.ndarray, excludes: np.ndarray) -> list[np.ndarray]:
    """Groups of at least three blocks that touch and exclude each other or a common third."""
    common_third = excludes.astype(int) @ excludes.astype(int) > 0
    linked = touching & (excludes | common_third) & ~np.eye(len(excludes), dtype=bool)
    labels = connected_components(csr_array(linked), directed=False)[1]
    groups = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    return [g for g in groups if len(g) >= 3]


def _is_chain(occupancy: np.ndarray, touching: np.ndarray, centers: np.ndarray, rng: np.random.Generator) -> bool:
    """Whether blocks are a chain in the order in which they stand."""
    k = len(centers)
    return bool(
        touching[range(k - 1), range(1, k)].all()
        and _share_of_shorter_paths(centers, rng) <= max(_ALPHA, 2 / math.factorial(k))
        and _agreement(occupancy, rng) >= _AGREEMENT
    )


def _agreement(occupancy: np.ndarray, rng: np.random.Generator) -> float:
    """Mean of Kendall's tau, without its sign, between the columns' order and that of resampled volumes."""
    n, k = occupancy.shape
    pairs = np.triu_indices(k, 1)
    total = 0.0
    for _ in range(_RESAMPLES):
        rank = np.argsort(motion_order(occupancy[rng.integers(n, size=n)]))
        total += abs(np.sign(rank[pairs[1]] - rank[pairs[0]]).mean())
    return float(total / _RESAMPLES)


def _share_of_shorter_paths(centers: np.ndarray, rng: np.random.Generator) -> float:
    """Share of all orders of ``centers`` ``(K, 3)`` whose path is no longer than the path as they stand."""
    k = len(centers)
    apart = np.linalg.norm(centers[:, None] - centers, axis=2)
    if math.factorial(k) <= _ORDERS:
        orders = np.array(list(permutations(range(k))))
    else:
        orders = np.vstack([np.arange(k), *(rng.permutation(k) for _ in range(_ORDERS))])
    length = apart[orders[:, :-1], orders[:, 1:]].sum(axis=1)
    return float((length <= length[(orders == np.arange(k)).all(axis=1)][0] * (1 + 1e-9)).mean())
