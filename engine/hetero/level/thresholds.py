"""The threshold at which values agree best with a region, or fit probabilities of being inside."""

from dataclasses import dataclass

import numpy as np

from hetero.errors import HeteroError

_BINS = 4096
_LIKELY = 0.55  # probability above which a voxel is better enclosed; measured on maps of training structures
_TOP_WIDTH = 0.002  # thresholds whose score is this close to the best share the answer: no jumps from map to map


@dataclass(frozen=True, eq=False)
class FittedLevel:
    """The level that fits an envelope, and how much others enclose.

    Attributes:
        level: in the map's units, above ``background``.
        background: in the map's units.
        edges: ``(b,)`` levels above the background, rising from 0.
        enclosed: ``(b,)`` how many voxels are at or above each of them.
    """

    level: float
    background: float
    edges: np.ndarray
    enclosed: np.ndarray

    @property
    def number(self) -> float:
        """How many voxels the level encloses."""
        return float(np.interp(self.level - self.background, self.edges, self.enclosed))

    def other(self, log_ratio: float | np.ndarray) -> float | np.ndarray:
        """The level that encloses ``exp(log_ratio)`` times as many voxels; of several the nearest."""
        found = self.background + np.interp(-self.number * np.exp(log_ratio), -self.enclosed, self.edges)
        lowered, raised = np.minimum(found, self.level), np.maximum(found, self.level)
        return np.where(np.equal(log_ratio, 0), self.level, np.where(np.greater(log_ratio, 0), lowered, raised))


def fitting_threshold(slabs) -> FittedLevel:
    """The threshold ``t > 0`` at which ``{value >= t}`` fits probabilities of being inside; its background is 0.

    The mean of two: the one at which as many values are enclosed as the probabilities say are inside, and the one that
    encloses most of what is likely inside and least of what is not, ``sum(p - 0.55 where value >= t)`` largest. The
    first is the more exact, the second is not misled by what is bright but no molecule. (Of an uncertain envelope the
    largest expected Dice is no good: it is reached with too large a region.)

    Args:
        slabs: function giving an iterator of pairs ``(values, p)`` of equal shapes; read two or three times.

    Raises:
        HeteroError: no value is positive, or none of the positive ones is likely inside.
    """

    def choose(enclosed, inside, total, edges):
        gain = inside - _LIKELY * enclosed
        volume = np.interp(-total, -enclosed, edges)
        return _top(gain / total, edges), float(volume)

    threshold, enclosed, edges = _chosen_threshold(slabs, choose)
    return FittedLevel(threshold, 0.0, edges, enclosed)


def agreeing_threshold(values: np.ndarray, inside: np.ndarray) -> float:
    """The threshold ``t > 0`` at which ``{value >= t}`` and a region have the largest Dice coefficient.

        Dice(t) = 2 |{value >= t} and inside| / (|{value >= t}| + |inside|)

    Args:
        values: ``(z, y, x)``; inside: the same shape, bool.

    Returns:
        Mean of the thresholds whose Dice is within about 0.002 of the best, so that a flat top moves smoothly.

    Raises:
        HeteroError: no value is positive, or none of the positive ones is inside.
    """

    def choose(enclosed, both, total, edges):
        return (_top(2 * both / (enclosed + total), edges),)

    return _chosen_threshold(lambda: iter([(values, inside)]), choose)[0]


def _chosen_threshold(slabs, choose) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean of the thresholds that ``choose(enclosed, inside, total, edges)`` finds; the last histogram and its edges.

    A lone hot voxel makes the first bins too coarse; then only the lower part is looked at again.
    """
    top = max(float(values.max()) for values, _ in slabs())
    if top <= 0:
        raise HeteroError("Nothing in the map stands out above its borders, so no level can be chosen.")
    for _ in range(3):
        counts, agreeing, total = _histograms(slabs, top)
        if not agreeing.any():
            raise HeteroError("No molecule was found in the map, so no level can be chosen.")
        enclosed, inside = (np.cumsum(x[::-1])[::-1] for x in (counts, agreeing))
        edges = top / _BINS * np.arange(_BINS + 1)
        thresholds = choose(enclosed, inside, total, edges)
        if min(thresholds) > top / 16:
            break
        top = max(8 * min(thresholds), 2 * edges[1])
    return max(float(np.mean(thresholds)), edges[1]), enclosed, edges


def _top(score: np.ndarray, edges: np.ndarray) -> float:
    """Mean of the edges whose score is about the highest."""
    share = np.exp((score - score.max()) / _TOP_WIDTH)
    return float((share * edges).sum() / share.sum())


def _histograms(slabs, top: float) -> tuple[np.ndarray, np.ndarray, float]:
    counts, agreeing, total = np.zeros(_BINS + 1), np.zeros(_BINS + 1), 0.0
    for values, weights in slabs():
        total += float(weights.sum(dtype=float))
        above = values > 0
        index = np.minimum(values[above] * np.float32(_BINS / top), _BINS).astype(np.int32)
        counts += np.bincount(index, minlength=_BINS + 1)
        agreeing += np.bincount(index, weights=weights[above], minlength=_BINS + 1)
    return counts, agreeing, total
