"""Principal components of latents."""

from dataclasses import dataclass

import numpy as np

_ROWS = 1 << 16


@dataclass(frozen=True, eq=False)
class Components:
    """Directions of a latent space, the one that the particles spread most along first.

    Attributes:
        mean: ``(zdim,)``.
        axes: ``(zdim, zdim)``: a unit vector a row, its largest number positive.
        variances: ``(zdim,)`` along each.
    """

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """``(zdim,)`` share of the variance along each axis."""
        return self.variances / max(self.variances.sum(), np.finfo(float).tiny)

    def scores(self, latents: np.ndarray) -> np.ndarray:
        """``(n, zdim)`` latents to their places along the axes, same shape."""
        return (np.asarray(latents) - self.mean.astype(np.float32)) @ self.axes.T.astype(np.float32)

    def latents(self, scores: np.ndarray) -> np.ndarray:
        """``(n, k)`` places along the first k axes to latents ``(n, zdim)``, float32."""
        scores = np.asarray(scores, dtype=float)
        return (self.mean + scores @ self.axes[: scores.shape[1]]).astype(np.float32)


def principal_components(latents: np.ndarray) -> Components:
    """The principal components of latents ``(n, zdim)``, exact: by their covariance, summed in double precision."""
    n, zdim = latents.shape
    mean = latents.mean(axis=0, dtype=np.float64)
    products = np.zeros((zdim, zdim))
    for start in range(0, n, _ROWS):
        part = latents[start : start + _ROWS] - mean
        products += part.T @ part
    variances, vectors = np.linalg.eigh(products / max(n - 1, 1))
    axes = vectors[:, ::-1].T
    largest = axes[np.arange(zdim), np.abs(axes).argmax(axis=1)]
    return Components(mean, axes * np.sign(largest)[:, None], variances[::-1].clip(min=0))
