"""Latents laid out anew by how alike the decoded molecules are.

What training finds is right up to any rearrangement of latent space: a motion longer than the part that moves can fold,
so that opposite ends lie side by side. Distances between decoded densities do not fold: geodesics along a graph of
neighbouring molecules, and classical scaling of these (Isomap, Tenenbaum et al. 2000), unroll it.
"""

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, shortest_path
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform
from sklearn.neighbors import LocalOutlierFactor

from hetero.gmm.networks import DynamicModel
from hetero.gmm.scene import Cloud

_LANDMARKS = 1000
_NEIGHBOURS = 12
_LEFT_OUT = 0.15  # of the landmarks
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
    marks = _in_company(densities[chosen])
    distances = squareform(pdist(marks))
    places = _scaled(_geodesics(distances), dimensions)
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


def _in_company(marks: np.ndarray) -> np.ndarray:
    """Landmarks without the loneliest for where they are (local outlier factor, Breunig et al. 2000).

    What noise puts between the far ends of a motion, or between two compositions, is a short cut or a single bridge,
    and what it joins stays bent. In a thin part of a motion all are as lonely, and stay.
    """
    neighbours = min(_NEIGHBOURS, len(marks) - 1)
    lonely = -LocalOutlierFactor(neighbours).fit(marks).negative_outlier_factor_
    return marks[lonely <= np.quantile(lonely, 1 - _LEFT_OUT)]


def _geodesics(distances: np.ndarray) -> np.ndarray:
    """Shortest ways between neighbours; where these fall apart, each one is joined to the nearest of the others too."""
    every, k = np.arange(len(distances)), min(_NEIGHBOURS, len(distances) - 1)
    graph = np.zeros_like(distances)
    for nearest in np.argpartition(distances, k, axis=1)[:, : k + 1].T:
        graph[every, nearest] = distances[every, nearest]
    while True:
        count, part = connected_components(csr_matrix(graph), directed=False)
        if count == 1:
            return shortest_path(csr_matrix(graph), directed=False)
        nearest = np.where(part[:, None] == part, np.inf, distances).argmin(axis=1)
        graph[every, nearest] = distances[every, nearest]


def _scaled(distances: np.ndarray, dimensions: int) -> np.ndarray:
    """Classical multidimensional scaling."""
    squares = distances**2
    centred = -0.5 * (squares - squares.mean(0) - squares.mean(1)[:, None] + squares.mean())
    values, vectors = np.linalg.eigh(centred)
    best = np.argsort(values)[::-1][:dimensions]
    return vectors[:, best] * np.sqrt(values[best].clip(0))
