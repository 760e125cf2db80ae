"""Classes of volumes that have the same blocks: hierarchical clustering of the occupancy matrix."""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage

from hetero.errors import HeteroError

LARGEST = 10_000
"""Rows that can be clustered: their distances take 0.4 GB."""

MOST_CLASSES = 12  # tried where no number is given
_OPTIMAL_ORDER = 500  # rows up to which the order of the leaves is optimised as well (its time grows steeply)


@dataclass(frozen=True, eq=False)
class Classes:
    """n volumes in C classes.

    Attributes:
        labels: ``(n,)`` 1 (the largest class) to C.
        representatives: ``(C,)`` row of each class that is nearest to the class's median.
        order: ``(n,)`` rows in the order of the dendrogram's leaves, or of their places.
        tree: ``(n - 1, 4)`` scipy's linkage matrix; None for classes along a chain.
        height: where the tree was cut; None for classes along a chain.
        place: ``(n,)`` where each volume is along the chain (:func:`chain_place`), whose classes are numbered in its
            order and not by size; None for classes by a tree.
    """

    labels: np.ndarray
    representatives: np.ndarray
    order: np.ndarray
    tree: np.ndarray | None = None
    height: float | None = None
    place: np.ndarray | None = None


def sort_into_classes(values: np.ndarray, count: int | None = None, height: float | None = None) -> Classes:
    """Ward's clustering of the rows, cut into ``count`` classes or at ``height``.

    With neither, the number from 2 to 12 with the best mean silhouette is taken.

    Args:
        values: ``(n, K)`` finite.
        count: 1 to n.
        height: distance in the tree; branches that join above it are different classes.

    Raises:
        HeteroError: fewer than two rows, too many, or a count that the tree does not give.
    """
    n = len(values)
    if not 2 <= n <= LARGEST:
        raise HeteroError(f"{n:,} rows were given to sort into classes; 2 to {LARGEST:,} volumes were expected.")
    if count is not None and not 1 <= count <= n:
        raise HeteroError(f"{count} classes of {n} volumes were asked for; 1 to {n} was expected.")
    tree = ward_tree(values)
    if height is not None:
        labels = fcluster(tree, height, "distance")
    else:
        count = _best_count(values, tree) if count is None else count
        height = _cut_height(tree, count)
        labels = fcluster(tree, height, "distance")
        if labels.max() < count:
            raise HeteroError(
                f"{count} classes were asked for, but equal rows leave {labels.max()} at most; ask for fewer."
            )
    labels = _largest_first(labels)
    return Classes(labels, _representatives(values, labels), leaves_list(tree), tree, float(height))


def chain_place(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Where volumes are along a chain of blocks: the mean of the blocks' places, weighted by their occupancies.

    Args:
        values: ``(n, K)`` occupancies, 0 to 1, of the chain's blocks.
        places: ``(K,)`` of the blocks in the chain.

    Returns:
        ``(n,)``; NaN where no block of the chain is occupied.
    """
    occupied = values.sum(axis=1)
    return np.divide(values @ places, occupied, out=np.full(len(values), np.nan), where=occupied > 0)


def sort_along(place: np.ndarray, count: int = 5) -> Classes:
    """Classes of about equally many volumes, in the order of their places along a chain.

    Args:
        place: ``(n,)`` finite, from :func:`chain_place`.
        count: 1 to n.

    Raises:
        HeteroError: a count that n volumes do not give.
    """
    n = len(place)
    if not 1 <= count <= n:
        raise HeteroError(f"{count} classes of {n} volumes were asked for; 1 to {n} was expected.")
    order = np.argsort(place, kind="stable")
    labels = np.empty(n, dtype=int)
    labels[order] = np.arange(n) * count // n + 1
    return Classes(labels, _representatives(place[:, None], labels), order, place=place)


def ward_tree(values: np.ndarray) -> np.ndarray:
    """Ward's linkage of the rows of ``values`` ``(n, K)``, alike ones side by side."""
    return linkage(values, method="ward", optimal_ordering=len(values) <= _OPTIMAL_ORDER)


def _best_count(values: np.ndarray, tree: np.ndarray) -> int:
    from sklearn.metrics import silhouette_score

    scores = {}
    for count in range(2, min(MOST_CLASSES, len(values) - 1) + 1):
        labels = fcluster(tree, _cut_height(tree, count), "distance")
        if labels.max() == count:
            sample = min(len(values), 2000)
            scores[count] = silhouette_score(values, labels, sample_size=sample, random_state=0)
    return max(scores, key=scores.get, default=1)


def _cut_height(tree: np.ndarray, count: int) -> float:
    """Half-way between the merge that leaves ``count`` classes and the next one."""
    heights = np.concatenate([[0.0], tree[:, 2], [tree[-1, 2] * 1.05]])
    return (heights[-count - 1] + heights[-count]) / 2


def _largest_first(labels: np.ndarray) -> np.ndarray:
    names, first, counts = np.unique(labels, return_index=True, return_counts=True)
    rank = np.empty(len(names), dtype=int)
    rank[np.lexsort((first, -counts))] = np.arange(1, len(names) + 1)
    return rank[np.searchsorted(names, labels)]


def _representatives(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    rows = []
    for label in range(1, labels.max() + 1):
        members = np.flatnonzero(labels == label)
        distance = np.linalg.norm(values[members] - np.median(values[members], axis=0), axis=1)
        rows.append(members[np.argmin(distance)])
    return np.array(rows)
