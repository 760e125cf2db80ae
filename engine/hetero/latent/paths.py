"""Paths through a latent space: along components, straight between points, and along the data's own graph."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import KDTree

from hetero.latent.pca import Components
from hetero.progress import Progress, silent

_ROWS = 1 << 15


def component_path(components: Components, scores: np.ndarray, along: int, n: int = 10, span=(5.0, 95.0)) -> np.ndarray:
    """``(n, zdim)`` latents along one component, between two percentiles of the particles, all other components at 0.

    Zhong et al. 2021: "PC traversals", 5th to 95th percentile.

    Args:
        components: the space's.
        scores: ``(n_particles, zdim)`` places of the particles along them.
        along: which component, from 0.
        n: points, evenly spaced.
        span: percentiles of the first and the last point.
    """
    places = np.zeros((n, along + 1))
    places[:, along] = np.linspace(*np.percentile(scores[:, along], span), n)
    return components.latents(places)


def straight_path(anchors: np.ndarray, n: int = 6, loop: bool = False) -> np.ndarray:
    """Straight lines between ``(a, zdim)`` anchors, ``n`` points from each to just before the next, and the last.

    With ``loop`` it ends where it began.
    """
    anchors = np.asarray(anchors, dtype=np.float32)
    if loop:
        anchors = np.concatenate([anchors, anchors[:1]])
    share = np.arange(n, dtype=np.float32)[:, None] / n
    legs = [a + share * (b - a) for a, b in pairwise(anchors)]
    return np.concatenate([*legs, anchors[-1:]])


def neighbours(latents: np.ndarray, k: int, progress: Progress = silent) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` nearest other particles of each.

    Returns:
        ``(n, k)`` int64 rows and ``(n, k)`` float32 distances, nearest first.
    """
    tree = KDTree(latents)
    n = len(latents)
    rows, distances = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    for start in range(0, n, _ROWS):
        progress(start, n, "finding neighbours")
        stop = min(start + _ROWS, n)
        far, near = tree.query(latents[start:stop], k + 1, workers=-1)
        # Each point finds itself, but not always first where latents coincide: that one, or else the last, goes.
        own = near == np.arange(start, stop)[:, None]
        own[~own.any(axis=1), -1] = True
        rows[start:stop], distances[start:stop] = near[~own].reshape(-1, k), far[~own].reshape(-1, k)
    return rows, distances


@dataclass(frozen=True, eq=False)
class Graph:
    """Particles as nodes, near ones joined.

    Attributes:
        latents: ``(n, zdim)``.
        edges: ``(n, n)`` sparse: the distance where two are joined.
        bridges: the same for neighbours that are too far apart to be joined.
        longest: the distance above which none are.
    """

    latents: np.ndarray
    edges: csr_matrix
    bridges: csr_matrix
    longest: float

    @cached_property
    def parts(self) -> np.ndarray:
        """``(n,)`` number of the connected part each particle lies in; part 0 is the largest."""
        return _parts(self.edges)

    @cached_property
    def bridged(self) -> csr_matrix:
        """Edges and bridges; a bridge is dearer than any way along edges."""
        dear = self.bridges.copy()
        dear.data += self.longest * len(self.latents)
        return (self.edges + dear).tocsr()

    @cached_property
    def bridged_parts(self) -> np.ndarray:
        """``(n,)`` as ``parts``, with bridges."""
        return _parts(self.bridged)


def _parts(edges: csr_matrix) -> np.ndarray:
    _, labels = connected_components(edges, directed=False)
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order)[labels]


def neighbour_graph(latents: np.ndarray, average: int = 5, most: int = 10, progress: Progress = silent) -> Graph:
    """The graph of Zhong et al. 2021: each particle's ``most`` nearest, of these all below a distance.

    The distance is such that a particle has ``average`` neighbours on average.
    """
    most = min(most, len(latents) - 1)
    rows, distances = neighbours(latents, most, progress)
    # An edge of no length would be no edge to scipy.
    distances = np.maximum(distances, np.finfo(np.float32).tiny).astype(np.float64)
    kept = min(average * len(latents), distances.size)
    longest = float(np.partition(distances.ravel(), kept - 1)[kept - 1])

    def joined(which: np.ndarray) -> csr_matrix:
        starts = np.concatenate([[0], which.sum(axis=1).cumsum()])
        return csr_matrix((distances[which], rows[which], starts), shape=(len(latents),) * 2)

    return Graph(latents, joined(distances <= longest), joined(distances > longest), longest)


@dataclass(frozen=True)
class Jump:
    """Two particles that a path steps between though they are not joined; ``length`` is their distance."""

    start: int
    end: int
    length: float


@dataclass(frozen=True, eq=False)
class GraphPath:
    """A way along a graph.

    Attributes:
        rows: ``(m,)`` particles that are passed.
        jumps: where the graph has no way and the path steps over a gap.
    """

    rows: np.ndarray
    jumps: tuple[Jump, ...]


def graph_path(graph: Graph, anchors: np.ndarray, progress: Progress = silent) -> GraphPath:
    """The shortest way along a graph through ``anchors`` (rows), in their order, by Dijkstra's algorithm.

    Where two anchors lie in parts of the graph that are not connected, the path takes as few bridges to neighbours that
    are too far to be joined as will do; where there are none either, it steps over the narrowest gap between the parts.
    """
    rows = [int(anchors[0])]
    for i, (start, end) in enumerate(pairwise(anchors)):
        progress(i, len(anchors) - 1, "searching the shortest way")
        rows += _leg(graph, int(start), int(end))
    joined = {(a, b) for a, b in pairwise(rows) if graph.edges[a, b] or graph.edges[b, a] or a == b}
    lengths = np.linalg.norm(np.diff(graph.latents[rows], axis=0), axis=1)
    steps = zip(pairwise(rows), lengths.tolist(), strict=True)
    return GraphPath(np.array(rows), tuple(Jump(a, b, length) for (a, b), length in steps if (a, b) not in joined))


def _leg(graph: Graph, start: int, end: int) -> list[int]:
    """Nodes after ``start``, up to ``end``."""
    if graph.parts[start] == graph.parts[end]:
        return _way(graph.edges, start, end)
    if graph.bridged_parts[start] == graph.bridged_parts[end]:
        return _way(graph.bridged, start, end)
    here, there = (np.flatnonzero(graph.bridged_parts == graph.bridged_parts[row]) for row in (start, end))
    distances, nearest = KDTree(graph.latents[there]).query(graph.latents[here], workers=-1)
    best = int(np.argmin(distances))
    leaves, enters = int(here[best]), int(there[nearest[best]])
    return [*_leg(graph, start, leaves), enters, *_leg(graph, enters, end)]


def _way(edges: csr_matrix, start: int, end: int) -> list[int]:
    _, before = dijkstra(edges, directed=False, indices=start, return_predecessors=True)
    way = []
    while end != start:
        way.append(int(end))
        end = before[end]
    return way[::-1]
