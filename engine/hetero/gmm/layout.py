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

_LANDMARKS, _DRAWS = 500, 8
_CROWD = 8000  # molecules among which a landmark's nearest are looked for
_AVERAGED = 10
_NEIGHBOURS = 10
_BENT = 0.03  # of the variance of ways between landmarks, what their places leave unexplained
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
    densities = np.concatenate([_coarse(network.decode(part), extent) for part in z.split(_BATCH)])
    densities = densities - densities.mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, _, axes = torch.svd_lowrank(torch.from_numpy(densities), q=min(40, *densities.shape), niter=2)
    densities = densities @ axes.numpy()
    marks, places = _landmarks(densities, dimensions, np.random.default_rng(seed))
    near, which = cKDTree(marks).query(densities, min(4, len(marks)))
    weights = 1 / (near + 1e-3 * np.median(pdist(marks)))
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


def _landmarks(densities: np.ndarray, dimensions: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Densities of landmarks, and their places, ``(marks, dimensions)``.

    A few molecules that noise puts between the far ends of a motion are a short cut, and what it joins stays bent: then
    places explain the ways badly. Of several draws the one is taken where they do best. Where all are bent, landmarks
    may also be the means of their nearest molecules, which lie in the middle of these; means blur what is thin.
    """
    draws = [rng.permutation(len(densities)) for _ in range(_DRAWS)]
    found = [_placed(densities[draw[:_LANDMARKS]], dimensions) for draw in draws]
    if min(left for left, _, _ in found) > _BENT:
        crowd = cKDTree(densities[draws[0][:_CROWD]])
        nearest = [*range(1, min(_AVERAGED, crowd.n) + 1)]
        middles = [crowd.data[crowd.query(densities[draw[:_LANDMARKS]], nearest)[1]].mean(1) for draw in draws]
        found += [_placed(marks, dimensions) for marks in middles]
    return min(found, key=lambda one: one[0])[1:]


def _placed(marks: np.ndarray, dimensions: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Share of the variance of the ways that places leave unexplained (Tenenbaum et al. 2000), landmarks and places."""
    ways = _geodesics(squareform(pdist(marks)))
    places = _scaled(ways, dimensions)
    explained = np.corrcoef(pdist(places), squareform(ways, checks=False))[0, 1] ** 2
    return 1 - explained, marks, places


def _geodesics(distances: np.ndarray) -> np.ndarray:
    """Shortest ways between neighbours; what hangs apart is joined where it is nearest."""
    k = min(_NEIGHBOURS, len(distances) - 1)
    nearest = np.argpartition(distances, k, axis=1)[:, : k + 1]
    graph = np.zeros_like(distances)
    rows = np.repeat(np.arange(len(distances)), k + 1)
    graph[rows, nearest.ravel()] = distances[rows, nearest.ravel()]
    tree = minimum_spanning_tree(csr_matrix(distances)).toarray()
    return shortest_path(csr_matrix(np.maximum(graph, tree)), directed=False)


def _scaled(distances: np.ndarray, dimensions: int) -> np.ndarray:
    """Classical multidimensional scaling."""
    squares = distances**2
    centred = -0.5 * (squares - squares.mean(0) - squares.mean(1)[:, None] + squares.mean())
    values, vectors = np.linalg.eigh(centred)
    best = np.argsort(values)[::-1][:dimensions]
    return vectors[:, best] * np.sqrt(values[best].clip(0))
