"""Particles that do not look like the rest."""

import numpy as np

from hetero.linear.posterior import Posterior, Statistics

_FAR = 6.0  # robust s.d.; among a million normal numbers none lies there


def misfit(found: Statistics, latents: Posterior, numbers: int) -> np.ndarray:
    """``(n,)`` squared Mahalanobis distance of an image from the model, in s.d. of its chi-square distribution.

    Args:
        found: with noise of s.d. 1.
        latents: that it gives.
        numbers: real numbers in an image.
    """
    residual = found.power - 2 * found.overlap[:, 0] + found.gram[:, 0, 0]
    overlap = found.overlap[:, 1:] - found.gram[:, 1:, 0]
    distance = residual - (latents.mean * overlap).sum(axis=1)
    return (distance - numbers) / np.sqrt(2 * numbers)


def contrast(found: Statistics, latents: Posterior) -> np.ndarray:
    """``(n,)`` factor by which the model's picture fits the image best: about 1, and 0 where there is no particle."""
    z = np.column_stack([np.ones(len(latents.mean)), latents.mean])
    own = np.einsum("ni,nij,nj->n", z, found.gram, z)
    return (z * found.overlap).sum(axis=1) / np.maximum(own, 1e-30)


def is_junk(misfits: np.ndarray, contrasts: np.ndarray) -> np.ndarray:
    """``(n,)`` bool: fits far worse than most, or shows far less or more of the particle."""
    return (robust_z(misfits) > _FAR) | (np.abs(robust_z(contrasts)) > _FAR)


def robust_z(values: np.ndarray) -> np.ndarray:
    """Distances from the median in robust s.d. (1.4826 times the median absolute deviation)."""
    away = values - np.median(values)
    return away / max(1.4826 * np.median(np.abs(away)), 1e-12)
