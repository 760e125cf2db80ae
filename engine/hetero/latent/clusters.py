"""Groups of particles in a latent space."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage

from hetero.errors import HeteroError
from hetero.latent.pca import principal_components

_FITTED = 100_000  # particles that a clustering is first found on; all are then assigned
_POLISHED = 20  # further rounds over all of them


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of particles, alike ones numbered side by side.

    Attributes:
        labels: ``(n,)`` group of each particle, from 0.
        centres: ``(k, zdim)`` their means.
        nearest: ``(k,)`` row of the particle nearest to each mean: a centre that lies on the data.
    """

    labels: np.ndarray
    centres: np.ndarray
    nearest: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """``(k,)`` particles in each."""
        return np.bincount(self.labels, minlength=len(self.centres))


def k_means(latents: np.ndarray, k: int, seed: int = 0) -> Clusters:
    """k-means with k-means++ starts; on more than 100,000 particles found on a sample, then polished on all.

    Raises:
        HeteroError: fewer different latents than groups.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    latents = np.ascontiguousarray(latents, dtype=np.float32)
    if k > len(latents):
        raise HeteroError(f"{k} clusters of {len(latents):,} particles were asked for; fewer were expected.")
    sample = _sample(latents, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            found = KMeans(k, n_init=3, random_state=seed).fit(sample)
            if len(sample) < len(latents):
                found = KMeans(k, init=found.cluster_centers_, n_init=1, max_iter=_POLISHED).fit(latents)
        except ConvergenceWarning:
            raise HeteroError(f"Fewer than {k} of the latents differ; ask for fewer clusters.") from None
    order = _leaf_order(found.cluster_centers_)
    labels = np.argsort(order)[found.labels_].astype(np.int32)
    centres = found.cluster_centers_[order]
    distances = np.square(latents - centres[labels]).sum(axis=1)
    nearest = pd.Series(distances).groupby(labels).idxmin()
    return Clusters(labels, centres, nearest.reindex(range(k)).to_numpy(dtype=np.int64))


def mixture_labels(latents: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """``(n,)`` group of each particle by a mixture of ``k`` Gaussians, each with its own full covariance.

    Found on at most 100,000 particles; the largest group is 0.

    Raises:
        HeteroError: too few particles for as many Gaussians.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if len(latents) < 2 * k:
        raise HeteroError(
            f"A mixture of {k} Gaussians of {len(latents):,} particles was asked for; fewer were expected."
        )
    components = principal_components(latents)
    # The fit starts from k-means, which cuts a stretched space across; a mixture itself does not mind the stretch.
    scale = np.sqrt(components.variances).clip(min=1e-6 * np.sqrt(components.variances[0]) + 1e-30)
    latents = components.scores(latents) / scale
    with warnings.catch_warnings():
        # A fit that is still improving slowly after 100 rounds labels as well as one that has stopped.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = GaussianMixture(k, n_init=3, random_state=seed).fit(_sample(latents, seed)).predict(latents)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    return np.argsort(order)[labels].astype(np.int32)


def _sample(latents: np.ndarray, seed: int) -> np.ndarray:
    if len(latents) <= _FITTED:
        return latents
    return latents[np.sort(np.random.default_rng(seed).choice(len(latents), _FITTED, replace=False))]


def _leaf_order(centres: np.ndarray) -> np.ndarray:
    if len(centres) < 3:
        return np.arange(len(centres))
    return leaves_list(linkage(centres, method="average", optimal_ordering=len(centres) <= 200))
