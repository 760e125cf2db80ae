"""Latents laid out anew by how alike the decoded molecules are.

What training finds is right up to any rearrangement of latent space: a motion longer than the part that moves can fold,
so that opposite ends lie side by side. Distances between decoded densities do not fold: geodesics along a graph of
neighbouring molecules, and classical scaling of these (Isomap, Tenenbaum et al. 2000), unroll it.
"""

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import minimum_spanning_tree, shortest_path
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform

from hetero.gmm.networks import DynamicModel
from hetero.gmm.scene import Cloud

_LANDMARKS = 800
_NEIGHBOURS = 16
_CLEARLY = 0.5  # of the median length that places miss
_GRID = 14  # voxels along each side of the coarse densities
_BATCH = 256


def laid_out(network: DynamicModel, z: torch.Tensor, extent: float, dimensions: int, seed: int = 0) -> torch.Tensor:
    """``(n, dimensions)`` coordinates of latents: axes in the order of their spread, s.d. 1 along the first.

    Args:
        network: decodes them.
        z: ``(n, zdim)`` every particle's latent.
        extent: Å along each side of the box.
        dimensions: how many coordinates.
        seed: of the landmarks.
    """
    n = len(z)
    densities = np.concatenate([_coarse(network.decode(part), extent) for part in z.split(_BATCH)])
    densities = densities - densities.mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, _, axes = torch.svd_lowrank(torch.from_numpy(densities), q=min(40, *densities.shape), niter=2)
    densities = densities @ axes.numpy()
    chosen = np.random.default_rng(seed).permutation(n)[:_LANDMARKS]
    marks = densities[chosen]
    distances = squareform(pdist(marks))
    places = _unrolled(distances, dimensions)
    near, which = cKDTree(marks).query(densities, min(4, len(marks)))
    weights = 1 / (near + 1e-3 * np.median(distances))
    found = (weights[..., None] * places[which]).sum(1) / weights.sum(1, keepdims=True)
    found = found - found.mean(0)
    return torch.tensor(found / found[:, 0].std(), dtype=torch.float32)


@torch.no_grad()
def _coarse(cloud: Cloud, extent: float) -> np.ndarray:
    """``(b, 14^3)`` densities of clouds, each Gaussian as wide as a voxel."""
    step = 0.8 * extent / _GRID
    along = step * (torch.arange(_GRID) - (_GRID - 1) / 2)
    tables = torch.exp(-((cloud.centres[..., None] - along) ** 2) / (2 * (0.8 * step) ** 2))  # (b, g, 3, n)
    x, y, z = tables.unbind(2)
    sections = ((z * cloud.masses[..., None])[:, :, :, None] * y[:, :, None]).flatten(2)  # (b, g, n n)
    return (sections.transpose(1, 2) @ x).flatten(1).numpy()


def _unrolled(distances: np.ndarray, dimensions: int) -> np.ndarray:
    """``(marks, dimensions)`` places that follow the ways between landmarks.

    The few molecules that noise puts between the far ends of a motion are a short cut, and what it joins stays bent.
    Ways that keep to the crowd are taken where places follow them clearly better. How well is a median over all pairs:
    the few have no say in it. (A ring with a part as rare as that opens there.)
    """
    graph, found, missed = _neighbours(distances), [], []
    for ways in (shortest_path(graph, directed=False), _ways_in_crowds(graph)):
        found.append(_scaled(ways, dimensions))
        length = squareform(ways, checks=False)
        missed.append(np.median(np.abs(pdist(found[-1]) - length)) / np.median(length))
    return found[1] if missed[1] < _CLEARLY * missed[0] else found[0]


def _neighbours(distances: np.ndarray) -> csr_matrix:
    """Distances between neighbours; what hangs apart is joined where it is nearest."""
    k = min(_NEIGHBOURS, len(distances) - 1)
    nearest = np.argpartition(distances, k, axis=1)[:, : k + 1]
    graph = np.zeros_like(distances)
    rows = np.repeat(np.arange(len(distances)), k + 1)
    graph[rows, nearest.ravel()] = distances[rows, nearest.ravel()]
    tree = minimum_spanning_tree(csr_matrix(distances)).toarray()
    return csr_matrix(np.maximum.reduce([graph, graph.T, tree, tree.T]))


def _ways_in_crowds(graph: csr_matrix) -> np.ndarray:
    """Lengths of the ways whose steps have the least sum of squares: many short steps rather than a few long ones."""
    cost, before = shortest_path(graph.power(2), directed=False, return_predecessors=True)
    steps, every, length = graph.toarray(), np.arange(len(cost)), np.zeros_like(cost)
    for to in np.argsort(cost, axis=1).T[1:]:  # nearest first: the way to the place before it is known
        last = before[every, to]
        length[every, to] = length[every, last] + steps[last, to]
    return (length + length.T) / 2


def _scaled(distances: np.ndarray, dimensions: int) -> np.ndarray:
    """Classical multidimensional scaling."""
    squares = distances**2
    centred = -0.5 * (squares - squares.mean(0) - squares.mean(1)[:, None] + squares.mean())
    values, vectors = np.linalg.eigh(centred)
    best = np.argsort(values)[::-1][:dimensions]
    return vectors[:, best] * np.sqrt(values[best].clip(0))
