"""Two-component Gaussian mixtures with one variance, of one number a unit, many weightings of the units at once.

The published choice is scikit-learn's ``GaussianMixture(2, covariance_type="tied")``, the reference in the tests. It
takes no weights and fits one sample at a time; an interval needs a thousand fits, and volumes stand for different
numbers of particles.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

_VARIANCE_FLOOR = 1e-6  # scikit-learn's reg_covar
_TOLERANCE = 1e-7  # change of the high share and of the means, in units of the data's range, at which a fit has settled
_MOST_VALUES = 2048


@dataclass(frozen=True, eq=False)
class Mixtures:
    """B fitted mixtures of a low and a high component.

    Attributes:
        share: ``(B,)`` weight of the high component, in [0, 1].
        low: ``(B,)`` mean of the low component.
        high: ``(B,)`` mean of the high component, at least ``low``.
        variance: ``(B,)`` of both.
        log_likelihood: ``(B,)`` of the weighted sample.
    """

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    variance: np.ndarray
    log_likelihood: np.ndarray

    def posterior(self, values: np.ndarray) -> np.ndarray:
        """``(B, n)`` probability of ``values`` ``(n,)`` to be of the high component."""
        return _probability_high(np.asarray(values), self.share, self.low, self.high, self.variance)

    def cut(self) -> np.ndarray:
        """``(B,)`` the value at which both components are equally probable; NaN where they cannot be told apart."""
        with np.errstate(divide="ignore", invalid="ignore"):
            odds = np.log((1 - self.share) / self.share)
            cut = (self.low + self.high) / 2 + self.variance * odds / (self.high - self.low)
        return np.where(np.isfinite(cut), cut, np.nan)


def compress(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal values made one, with the sum of their weights.

    A block of m voxels has m + 1 shares at most. Where there are more than 2,048 different values they are binned, each
    bin at the mean of its values: far finer than any component.

    Args:
        values: ``(n,)``.
        weights: ``(..., n)``.

    Returns:
        ``(m,)`` and ``(..., m)``.
    """
    distinct, member = np.unique(values, return_inverse=True)
    if len(distinct) > _MOST_VALUES:
        edges = np.linspace(distinct[0], distinct[-1], _MOST_VALUES + 1)
        _, member = np.unique(np.clip(np.digitize(values, edges) - 1, 0, _MOST_VALUES - 1), return_inverse=True)
        distinct = np.bincount(member, weights=values) / np.bincount(member)
    order = np.argsort(member, kind="stable")
    start = np.searchsorted(member[order], np.arange(len(distinct)))
    return distinct, np.add.reduceat(weights[..., order], start, axis=-1)


def fit_mixtures(values: np.ndarray, weights: np.ndarray, start: Mixtures | None = None, steps: int = 500) -> Mixtures:
    """Maximum-likelihood mixtures of ``values`` under B weightings, by expectation maximisation.

    Args:
        values: ``(m,)``; not all equal.
        weights: ``(B, m)`` or ``(m,)``; not negative, each row with a positive sum.
        start: one mixture to begin from; without it the best split of the values into two groups (2-means, exact).
        steps: at most so many.
    """
    weights = np.atleast_2d(np.asarray(weights, dtype=float))
    values = np.asarray(values, dtype=float)
    span = float(np.ptp(values)) or 1.0
    if start is None:
        parameters = _best_split(values, weights)
    else:
        parameters = [np.repeat(p, len(weights)) for p in (start.share, start.low, start.high, start.variance)]
    total = weights.sum(axis=1)
    moments = weights @ np.stack([values, values**2], axis=1)  # (B, 2): sums of x and x^2
    active = np.arange(len(weights))
    result = [p.copy() for p in parameters]
    for _ in range(steps):
        heavy = weights[active] * _probability_high(values, *(r[active] for r in result))
        in_high = np.clip(heavy.sum(axis=1), 1e-12, None)
        in_low = np.clip(total[active] - in_high, 1e-12, None)
        high_sum = heavy @ values
        high, low = high_sum / in_high, (moments[active, 0] - high_sum) / in_low
        within = moments[active, 1] - in_high * high**2 - in_low * low**2
        variance = np.clip(within / total[active], 0, None) + _VARIANCE_FLOOR
        new = (in_high / total[active], low, high, variance)
        shift = [np.abs(a - b[active]) for a, b in zip(new[:3], result, strict=False)]
        moved = np.maximum(shift[0], np.maximum(shift[1], shift[2]) / span)
        for whole, part in zip(result, new, strict=True):
            whole[active] = part
        active = active[moved > _TOLERANCE]
        if not len(active):
            break
    swap = result[1] > result[2]
    share = np.where(swap, 1 - result[0], result[0])
    low, high = np.minimum(result[1], result[2]), np.maximum(result[1], result[2])
    likelihood = (weights * _log_density(values, share, low, high, result[3])).sum(axis=1)
    return Mixtures(share, low, high, result[3], likelihood)


def single_log_likelihood(values: np.ndarray, weights: np.ndarray) -> float:
    """Log likelihood of the best single Gaussian for ``values`` ``(m,)`` with ``weights`` ``(m,)``."""
    total = weights.sum()
    mean = weights @ values / total
    variance = weights @ (values - mean) ** 2 / total + _VARIANCE_FLOOR
    return float(weights @ (-0.5 * np.log(2 * np.pi * variance) - (values - mean) ** 2 / (2 * variance)))


def _probability_high(values, share, low, high, variance) -> np.ndarray:
    """``(B, m)``; with one variance the log odds are a straight line in the value."""
    slope = (high - low) / variance
    with np.errstate(divide="ignore"):
        offset = np.log(share) - np.log1p(-share) - slope * (high + low) / 2
    return expit(slope[:, None] * values + offset[:, None])


def _log_density(values, share, low, high, variance) -> np.ndarray:
    """``(B, m)``."""
    share, low, high, variance = (x[:, None] for x in (share, low, high, variance))
    with np.errstate(divide="ignore"):
        log_high = np.log(share) - (values - high) ** 2 / (2 * variance)
        log_low = np.log1p(-share) - (values - low) ** 2 / (2 * variance)
    return np.logaddexp(log_high, log_low) - 0.5 * np.log(2 * np.pi * variance)


def _best_split(values: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """The cut of the sorted values that leaves the least variance within both groups, for each weighting."""
    order = np.argsort(values)
    x, w = values[order], weights[:, order]
    count, first, second = (np.cumsum(w * f, axis=1) for f in (1.0, x, x**2))
    n, s, q = count[:, -1:], first[:, -1:], second[:, -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = first**2 / count + (s - first) ** 2 / (n - count)
    between = np.where((count > 0) & (count < n), between, -np.inf)[:, :-1]
    at = np.argmax(between, axis=1)[:, None]
    c, f = np.take_along_axis(count, at, 1), np.take_along_axis(first, at, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = f / c, (s - f) / (n - c)
    variance = (q - c * low**2 - (n - c) * high**2) / n + _VARIANCE_FLOOR
    return [a[:, 0] for a in (1 - c / n, low, high, np.clip(variance, _VARIANCE_FLOOR, None))]
