"""Particles near a point of a latent space."""

import numpy as np
from scipy.optimize import brentq

_REACH = 3.0  # bandwidths; farther particles count nothing


def squared_distances(latents: np.ndarray, log_variance: np.ndarray | None, z: np.ndarray) -> np.ndarray:
    """``(n,)`` squared distances from ``z``, in standard deviations of the whole space along its own axes (whitened).

    The spread of the space is that of the posteriors taken together: the covariance of their means and the mean of
    their variances. A number that the model does not use, of which the mean is nearly the same for all particles, thus
    counts nearly nothing.

    Args:
        latents: ``(n, zdim)``.
        log_variance: ``(n, zdim)`` of the posteriors, where known.
        z: ``(zdim,)``.
    """
    spread = np.atleast_2d(np.cov(latents, rowvar=False, dtype=np.float64))
    if log_variance is not None:
        spread = spread + np.diag(np.exp(np.minimum(log_variance, 20.0)).mean(axis=0, dtype=np.float64))
    values, axes = np.linalg.eigh(spread)
    scale = np.sqrt(np.maximum(values, 1e-10 * values[-1]))
    return (((latents - z) @ (axes / scale)) ** 2).sum(axis=1)


def kernel_weights(squared: np.ndarray, bandwidth: float) -> np.ndarray:
    """``(n,)`` ``exp(-d^2 / 2 h^2)``; 0 farther than three bandwidths."""
    weights = np.exp(-0.5 * squared / bandwidth**2)
    weights[squared > (_REACH * bandwidth) ** 2] = 0
    return weights


def effective_number(weights: np.ndarray) -> float:
    """``sum(w)^2 / sum(w^2)``: how many particles of equal weight would be as noisy; 0 where all weights are."""
    total = float(np.square(weights, dtype=np.float64).sum())
    return float(weights.sum(dtype=np.float64)) ** 2 / total if total else 0.0


def bandwidth_of(squared: np.ndarray, number: float) -> float:
    """The bandwidth with which ``number`` particles effectively count, or as near to that as there is."""
    middle = np.sqrt(np.partition(squared, min(int(number), len(squared) - 1))[int(number)])

    def excess(log_bandwidth: float) -> float:
        return effective_number(np.exp(-0.5 * (squared - squared.min()) / np.exp(2 * log_bandwidth))) - number

    low, high = np.log(max(middle, 1e-6)) + np.array([-6.0, 6.0])
    if excess(low) > 0 or excess(high) < 0:
        return float(middle)
    return float(np.exp(brentq(excess, low, high, xtol=1e-4)))
