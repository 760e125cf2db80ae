"""How many particles have a block: the share of the high population, with an interval."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hetero.occupancy.mixture import Mixtures, compress, fit_mixtures, single_log_likelihood
from hetero.occupancy.modes import single_mode_p

BIC_GAIN = 10.0  # "very strong" on Kass & Raftery's scale
MODE_ALPHA = 0.02  # at 5 % an even spread is taken for two groups in a fifth of the cases
MIN_GAP = 0.2
FEW_UNITS = 10

Kind = Literal["one", "two", "spread"]


@dataclass(frozen=True, eq=False)
class Population:
    """A block's low and high populations among n units (particles, or volumes that stand for particles).

    Attributes:
        kind: ``"two"`` populations with a valley between them; ``"one"`` is enough; ``"spread"``: wider than one,
            but without two groups.
        units: with a number for this block.
        mean: weighted mean occupancy of all units.
        low: mean of the low component.
        high: mean of the high component.
        sd: of both.
        cut: occupancy above which a unit belongs to the high class.
        fraction: share of the particles in the high population, the mixture's weight.
        interval: its 95 % percentile bootstrap interval over units.
        few: so few units in the smaller class (under 10) that the interval is too narrow.
        bic_gain: by how much BIC prefers two components.
        single_mode_p: of Silverman's test; 1 where it was not needed.
        is_high: ``(n,)`` whether each unit is of the high class; NaN where it has no number, and everywhere for one
            population.
    """

    kind: Kind
    units: int
    mean: float
    low: float
    high: float
    sd: float
    cut: float
    fraction: float
    interval: tuple[float, float]
    few: bool
    bic_gain: float
    single_mode_p: float
    is_high: np.ndarray


def fit_population(
    values: np.ndarray,
    weights: np.ndarray | None,
    rng: np.random.Generator,
    *,
    min_gap: float = MIN_GAP,
    as_published: bool = False,
    draws: int = 1000,
) -> Population:
    """The populations of one block.

    Two are reported where BIC prefers two Gaussians of one variance to one by 10, their means are ``min_gap`` apart,
    and Silverman's test finds a valley between them. The interval is of the sampling of units; it knows nothing of
    errors that all units share (a wrong level, a model that blurs the states).

    Args:
        values: ``(n,)`` occupancies; NaN for units without.
        weights: ``(n,)`` particles that each unit stands for; None for one each.
        rng: for the bootstrap.
        min_gap: least difference of occupancy between two populations.
        as_published: two populations whatever the tests say.
        draws: of the bootstrap.
    """
    known = np.isfinite(values)
    x = np.asarray(values, dtype=float)[known]
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=float)[known]
    if len(x) < 2 or np.ptp(x) == 0:
        return _one(values, x, w, 0.0)
    distinct, heavy = compress(x, _effective(w))
    fit = fit_mixtures(distinct, heavy)
    kind, gain, p = _judge(distinct, heavy, fit, min_gap, rng)
    if as_published:
        kind = "two"
    elif kind == "one":
        return _one(values, x, w, gain)
    share = fit_mixtures(*resampled(x, w, draws, rng), start=fit, steps=100).share
    high = np.full(len(values), np.nan)
    high[known] = fit.posterior(x)[0] > 0.5
    in_high = int(np.nansum(high))
    return Population(
        kind=kind,
        units=len(x),
        mean=float(w @ x / w.sum()),
        low=float(fit.low[0]),
        high=float(fit.high[0]),
        sd=float(fit.variance[0] ** 0.5),
        cut=float(fit.cut()[0]),
        fraction=float(fit.share[0]),
        interval=tuple(float(q) for q in np.quantile(share, [0.025, 0.975])),
        few=min(in_high, len(x) - in_high) < FEW_UNITS,
        bic_gain=float(gain),
        single_mode_p=p,
        is_high=high,
    )


@dataclass(frozen=True)
class Difference:
    """High fractions of two data sets.

    Attributes:
        kind: of both sets together, as in :class:`Population`; for ``"one"`` the numbers are NaN.
        fraction: of the first.
        fraction_against: of the second.
        difference: first - second.
        interval: its 95 % percentile bootstrap interval.
    """

    kind: Kind
    fraction: float
    fraction_against: float
    difference: float
    interval: tuple[float, float]

    def as_row(self) -> dict[str, float | str]:
        """For a table: ``kind``, ``fraction``, ``fraction_against``, ``difference``, ``low95``, ``high95``."""
        low, high = self.interval
        return {
            "kind": self.kind,
            "fraction": self.fraction,
            "fraction_against": self.fraction_against,
            "difference": self.difference,
            "low95": low,
            "high95": high,
        }


def fraction_difference(
    first: tuple[np.ndarray, np.ndarray | None],
    second: tuple[np.ndarray, np.ndarray | None],
    rng: np.random.Generator,
    min_gap: float = MIN_GAP,
    draws: int = 1000,
) -> Difference:
    """Do two data sets differ in how many particles have a block?

    Both are measured with one mixture's components, fitted to all units with equal weight to the two data sets: a block
    that every particle of one set has and none of the other would be one population in each.

    Args:
        first: ``(n,)`` values, and the particles each stands for or None.
        second: likewise.
        rng: for the bootstrap.
        min_gap: least difference of the two means; below it there is no fraction, and all is NaN.
        draws: of the bootstrap.
    """
    x, w, sizes = [], [], []
    for values, weights in (first, second):
        known = np.isfinite(values)
        part = np.ones(known.sum()) if weights is None else np.asarray(weights, dtype=float)[known]
        x.append(np.asarray(values, dtype=float)[known])
        w.append(part)
        sizes.append(len(part))
    both = np.concatenate(x)
    nothing = Difference("one", np.nan, np.nan, np.nan, (np.nan, np.nan))
    if min(sizes) < 2 or np.ptp(both) == 0:
        return nothing
    size = min(sizes)
    pooled = compress(both, np.concatenate([_effective(p) * size / _effective(p).sum() for p in w]))
    start = fit_mixtures(*pooled)
    kind, _, _ = _judge(*pooled, start, min_gap, rng)
    if kind == "one":
        return nothing
    fractions = [_share_given(part[None], values, start)[0] for values, part in zip(x, w, strict=True)]
    drawn = []
    for values, part in zip(x, w, strict=True):
        distinct, heavy = resampled(values, part, draws, rng)
        drawn.append((distinct, heavy / heavy.sum(axis=1, keepdims=True) * size))
    # One set of components for each pair of samples, then each sample's own share of the high one.
    values = np.concatenate([d for d, _ in drawn])
    fits = fit_mixtures(values, np.concatenate([h for _, h in drawn], axis=1), start, steps=100)
    shares = [_share_given(heavy, distinct, fits) for distinct, heavy in drawn]
    interval = np.quantile(shares[0] - shares[1], [0.025, 0.975])
    one, other = (float(f) for f in fractions)
    return Difference(kind, one, other, one - other, (float(interval[0]), float(interval[1])))


def _judge(
    values: np.ndarray, weights: np.ndarray, fit: Mixtures, min_gap: float, rng: np.random.Generator
) -> tuple[Kind, float, float]:
    """One population, two, or spread; the gain in BIC, and p of a single mode (1 where it was not needed)."""
    # Two Gaussians of one variance have two numbers more than one has.
    gain = float(2 * (fit.log_likelihood[0] - single_log_likelihood(values, weights)) - 2 * np.log(weights.sum()))
    if gain < BIC_GAIN or fit.high[0] - fit.low[0] < min_gap:
        return "one", gain, 1.0
    p = single_mode_p(values, weights, rng)
    return ("two" if p <= MODE_ALPHA else "spread"), gain, p


def resampled(
    values: np.ndarray, weights: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap samples of units: distinct values ``(m,)`` and their weight in each sample ``(draws, m)``."""
    n = len(values)
    if np.ptp(weights) == 0:
        # Drawing how often each distinct value comes is drawing the units, whatever their number.
        distinct, counts = compress(values, np.ones(n))
        return distinct, rng.multinomial(n, counts / n, size=draws).astype(float)
    step = max(1, int(2e7 / n))  # the counts of many units are drawn a few samples at a time
    parts = []
    for done in range(0, draws, step):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=min(step, draws - done))
        distinct, heavy = compress(values, counts * weights)
        parts.append(heavy)
    heavy = np.concatenate(parts)
    return distinct, heavy[heavy.sum(axis=1) > 0]


def _share_given(weights: np.ndarray, values: np.ndarray, fit: Mixtures, steps: int = 100) -> np.ndarray:
    """``(B,)`` most likely shares of the high component for weights ``(B, m)``, its means and variance held."""
    share = np.repeat(fit.share, len(weights) // len(fit.share))
    total = weights.sum(axis=1)
    for _ in range(steps):
        held = Mixtures(share, fit.low, fit.high, fit.variance, fit.log_likelihood)
        new = (weights * held.posterior(values)).sum(axis=1) / total
        if np.abs(new - share).max() < 1e-6:
            break
        share = new
    return share


def _effective(weights: np.ndarray) -> np.ndarray:
    """Weights scaled to the number of equal units they are worth (Kish), so that likelihoods count evidence once."""
    return weights * (weights.sum() / (weights**2).sum())


def _one(values: np.ndarray, x: np.ndarray, w: np.ndarray, gain: float) -> Population:
    mean = float(w @ x / w.sum()) if len(x) else np.nan
    sd = float((w @ (x - mean) ** 2 / w.sum()) ** 0.5) if len(x) else np.nan
    nan = np.nan
    return Population(
        "one", len(x), mean, nan, nan, sd, nan, nan, (nan, nan), False, float(gain), 1.0, np.full(len(values), nan)
    )
