"""Communities of a large graph by label propagation."""

import numpy as np
from scipy.sparse import csr_array


def propagate_labels(edges: np.ndarray, n_nodes: int, rng: np.random.Generator, max_rounds: int = 100) -> np.ndarray:
    """Label propagation (Raghavan 2007): every node takes the label that most of its neighbours have.

    In each round one random half of the nodes is renewed, then the other, so that two neighbours do not swap labels
    for ever. Ties: the present label stays if it is among the most frequent, else the largest of them wins
    (the rule of Cordasco & Gargano 2010). One round is one sparse matrix product.

    Args:
        edges: ``(e, 2)`` node numbers, each pair once.
        n_nodes: number of nodes.

    Returns:
        ``(n_nodes,)`` labels 0, 1, ...; a node without edges has a label of its own.
    """
    first, second = edges[:, 0], edges[:, 1]
    ones = np.ones(2 * len(edges), dtype=np.float32)
    graph = csr_array((ones, (np.r_[first, second], np.r_[second, first])), shape=(n_nodes, n_nodes))
    labels = np.arange(n_nodes)
    for _ in range(max_rounds):
        before = labels.copy()
        half = rng.random(n_nodes) < 0.5
        for nodes in (np.flatnonzero(half), np.flatnonzero(~half)):
            labels[nodes] = _most_frequent(graph[nodes], labels, labels[nodes])
        if (labels == before).all():
            break
    return np.unique(labels, return_inverse=True)[1]


def _most_frequent(rows: csr_array, labels: np.ndarray, present: np.ndarray) -> np.ndarray:
    """For each row of the graph, the label most of its neighbours have."""
    n = len(labels)
    membership = csr_array((np.ones(n, dtype=np.float32), labels, np.arange(n + 1)), shape=(n, n))
    counts = (rows @ membership).tocsr()  # (rows, labels): neighbours with each label
    has = np.flatnonzero(np.diff(counts.indptr))
    if has.size == 0:
        return present
    starts = counts.indptr[has]
    best = np.maximum.reduceat(counts.data, starts)
    length = np.diff(counts.indptr)[has]
    candidate = np.where(counts.data == np.repeat(best, length), counts.indices, -1)
    # The present label outranks every other candidate.
    is_present = candidate == np.repeat(present[has], length)
    chosen = np.maximum.reduceat(np.where(is_present, n + candidate, candidate), starts)
    result = present.copy()
    result[has] = chosen % n
    return result
