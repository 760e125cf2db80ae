"""The E-step: where an image's latent lies, given the maps, and how likely the image is."""

from dataclasses import dataclass

import numpy as np

from hetero.linear.grid import Grid
from hetero.linear.slices import Slices


@dataclass(frozen=True, eq=False)
class Statistics:
    """All that an image says about its latent, for maps ``(mean, component 1, ..., component q)``, noise of s.d. 1.

    Attributes:
        gram: ``(n, q + 1, q + 1)`` products of the maps' slices with each other.
        overlap: ``(n, q + 1)`` their products with the image.
        power: ``(n,)`` the image's with itself.
    """

    gram: np.ndarray
    overlap: np.ndarray
    power: np.ndarray

    def rows(self, chosen) -> "Statistics":
        """Those of some particles, in the order of ``chosen``."""
        return Statistics(self.gram[chosen], self.overlap[chosen], self.power[chosen])


@dataclass(frozen=True, eq=False)
class Posterior:
    """Gaussian posteriors of latents under the prior N(0, I).

    Attributes:
        mean: ``(n, q)``.
        covariance: ``(n, q, q)``.
        cost: ``(n,)`` minus the log likelihood of the image, latents integrated out, without the noise's own constants.
    """

    mean: np.ndarray
    covariance: np.ndarray
    cost: np.ndarray

    def rows(self, chosen) -> "Posterior":
        """Those of some particles, in the order of ``chosen``."""
        return Posterior(self.mean[chosen], self.covariance[chosen], self.cost[chosen])

    def moments(self) -> np.ndarray:
        """``(n, q + 1, q + 1)`` float32 expectations of ``z z'`` with ``z = (1, latent)``."""
        n, q = self.mean.shape
        result = np.ones((n, q + 1, q + 1), np.float32)
        result[:, 0, 1:] = result[:, 1:, 0] = self.mean
        result[:, 1:, 1:] = self.covariance + self.mean[:, :, None] * self.mean[:, None]
        return result


def samples_of(slices: Slices, grid: Grid, parts: np.ndarray) -> np.ndarray:
    """``(n, 2p, c)``: what the maps ``parts`` (see :meth:`Grid.transform`) predict, the CTF applied."""
    samples = grid.gather(slices.points, parts)  # (n, p, 2, c)
    samples *= slices.ctf[..., None, None]
    return samples.reshape(len(slices), -1, parts.shape[-1])


def statistics(samples: np.ndarray, values: np.ndarray) -> Statistics:
    """Sums over pixels.

    Args:
        samples: ``(n, 2p, q + 1)`` of the mean and the components, whitened.
        values: ``(n, 2p)`` of the image, whitened.
    """
    turned = samples.transpose(0, 2, 1)
    return Statistics(
        (turned @ samples).astype(np.float64),
        (turned @ values[..., None])[..., 0].astype(np.float64),
        np.einsum("ij,ij->i", values, values, dtype=np.float64),
    )


def posterior(found: Statistics) -> Posterior:
    """Latents given an image: precision ``I + G``, mean ``(I + G)^-1 b`` with the mean map's slice taken off first."""
    gram, overlap = found.gram[:, 1:, 1:], found.overlap[:, 1:] - found.gram[:, 1:, 0]
    precision = gram + np.eye(gram.shape[1])
    covariance = np.linalg.inv(precision)
    mean = np.einsum("nij,nj->ni", covariance, overlap)
    residual = found.power - 2 * found.overlap[:, 0] + found.gram[:, 0, 0]
    cost = 0.5 * (residual - (mean * overlap).sum(axis=1) + np.linalg.slogdet(precision)[1])
    return Posterior(mean, covariance, cost)
