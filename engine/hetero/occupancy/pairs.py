"""Do two blocks come together, exclude each other, or know nothing of each other?"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency, fisher_exact, norm

TOLERANCE = 0.05
"""Share of exceptions that a rule like "never together" may have: units near the cut are on its wrong side."""

ALPHA = 0.05
_FISHER_UNITS = 20_000  # beyond that the chi-square test gives the same p, and at once


@dataclass(frozen=True)
class Pair:
    """Two blocks among units of which each has both, one or neither.

    Attributes:
        first: name.
        second: name.
        both: units high in both.
        only_first: units.
        only_second: units.
        neither: units.
        shares: the same four as shares of the particles.
        odds_ratio: of having both; above 1 they come together. Half a unit is added to each count.
        interval: its 95 % interval (Woolf).
        p: of independence, by Fisher's exact test (chi-square for more than 20,000 units).
        p_holm: p corrected for all pairs of the table (Holm).
        relation: in words.
    """

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    shares: tuple[float, float, float, float]
    odds_ratio: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    relation: str


def compare_pairs(high: dict[str, np.ndarray], weights: np.ndarray | None = None) -> list[Pair]:
    """Every pair of blocks that have two populations.

    Tests count units, since units are what is independent; shares count particles.

    Args:
        high: for each block ``(n,)`` 1, 0 or NaN.
        weights: ``(n,)`` particles each unit stands for; None for one each.
    """
    names = list(high)
    counted = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            counts, shares = _table(high[first], high[second], weights)
            counted.append((first, second, counts, shares, _independence_p(counts)))
    corrected = holm([p for *_, p in counted])
    return [
        Pair(a, b, *counts, shares, *_odds(counts), p, q, _relation(a, b, counts, q))
        for (a, b, counts, shares, p), q in zip(counted, corrected, strict=True)
    ]


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction of p values for their number, in their order."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected.tolist()


def _table(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None) -> tuple[tuple[int, ...], tuple[float, ...]]:
    known = np.isfinite(a) & np.isfinite(b)
    x, y = a[known] == 1, b[known] == 1
    w = np.ones(known.sum()) if weights is None else np.asarray(weights, dtype=float)[known]
    cells = (x & y, x & ~y, ~x & y, ~x & ~y)
    total = w.sum() or 1.0
    return tuple(int(c.sum()) for c in cells), tuple(float(w[c].sum() / total) for c in cells)


def _independence_p(counts: tuple[int, ...]) -> float:
    table = np.array(counts).reshape(2, 2)
    if (table.sum(axis=0) == 0).any() or (table.sum(axis=1) == 0).any():
        return 1.0
    if table.sum() <= _FISHER_UNITS:
        return min(1.0, float(fisher_exact(table).pvalue))
    return float(chi2_contingency(table).pvalue)


def _odds(counts: tuple[int, ...]) -> tuple[float, tuple[float, float]]:
    both, first, second, neither = (c + 0.5 for c in counts)
    ratio = both * neither / (first * second)
    spread = norm.ppf(0.975) * np.sqrt(1 / both + 1 / first + 1 / second + 1 / neither)
    return float(ratio), (float(ratio * np.exp(-spread)), float(ratio * np.exp(spread)))


def _relation(a: str, b: str, counts: tuple[int, ...], p: float) -> str:
    both, first, second, neither = counts
    if p > ALPHA:
        return "independent"

    def never(cell: int, *rows: int) -> bool:
        """The cell is all but empty beside the rarest of the events that would fill it."""
        return cell <= TOLERANCE * min(rows)

    if never(both, both + first, both + second):
        one_of_them = never(neither, first + neither, second + neither)
        return "one or the other" if one_of_them else "never together"
    if never(first, both + first, first + neither) and never(second, both + second, second + neither):
        return "together"
    if never(first, both + first, first + neither):
        return f"{a} only with {b}"
    if never(second, both + second, second + neither):
        return f"{b} only with {a}"
    if never(neither, first + neither, second + neither):
        return "always one of them"
    return "more often together" if both * neither > first * second else "less often together"
