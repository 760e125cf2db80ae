"""UMAP of latents, with progress."""

import re
import warnings

import numpy as np

from hetero.latent.paths import neighbours
from hetero.progress import Progress, silent

FEWEST = 10
"""Particles below which a UMAP says nothing."""


def umap_embedding(
    latents: np.ndarray, n_neighbours: int = 15, min_dist: float = 0.1, seed: int = 0, progress: Progress = silent
) -> np.ndarray:
    """``(n, 2)`` UMAP of latents ``(n, zdim)``; starts from the first two components, repeats with its seed.

    Args:
        n_neighbours, min_dist: Zhong et al. 2021: 15 and 0.1.
        progress: told of the neighbours and of the rounds of the layout; may raise to stop.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
        from umap import UMAP
    latents = np.ascontiguousarray(latents, dtype=np.float32)
    k = min(n_neighbours, len(latents) - 1)
    rows, distances = neighbours(latents, k - 1, progress)
    itself = np.arange(len(latents))[:, None]
    known = np.concatenate([itself, rows], axis=1), np.concatenate([np.zeros_like(distances[:, :1]), distances], axis=1)
    progress(0, 1, "UMAP: preparing the layout")
    layout = {"file": _Rounds(progress), "bar_format": "{n_fmt}/{total_fmt}", "disable": False, "mininterval": 0.2}
    with warnings.catch_warnings():
        # Without a search index new points cannot be added; none are.
        warnings.filterwarnings("ignore", message=r"precomputed_knn\[2\]", category=UserWarning)
        fitted = UMAP(
            n_neighbors=k,
            min_dist=min_dist,
            init="pca" if latents.shape[1] >= 2 else "random",
            random_state=seed,
            n_jobs=1,  # more than one thread gives another picture each time
            precomputed_knn=known,
            tqdm_kwds=layout,
        ).fit(latents)
    return fitted.embedding_.astype(np.float32)


class _Rounds:
    """The file that UMAP's own progress bar writes to: ``12/200`` becomes a call."""

    def __init__(self, progress: Progress):
        self._progress = progress

    def write(self, text: str) -> None:
        match = re.search(r"(\d+)/(\d+)", text)
        if match:
            self._progress(int(match[1]), int(match[2]), "UMAP: rounds of the layout")

    def flush(self) -> None:
        pass
