"""Normalised levels: one number for a contour level that does not depend on a map's scale (Ranno & Si).

    normalised = 2 (level - min) / (max - min) - 1

``min`` is the smallest positive value and ``max`` the largest of the map clipped at its 0.001 and 99.999 percentiles,
taken on the map as it is on disk (engine/CONVENTIONS.md).
"""

from dataclasses import dataclass

import numpy as np

from hetero.errors import HeteroError

_LOW_PERCENT, _HIGH_PERCENT = 0.001, 99.999


@dataclass(frozen=True)
class LevelScale:
    """The two values of one map between which its levels are normalised.

    Attributes:
        minimum: smallest positive value of the clipped map, in the map's units; becomes -1.
        maximum: largest value of the clipped map; becomes +1.

    Raises:
        HeteroError: ``maximum`` is not above ``minimum``.
    """

    minimum: float
    maximum: float

    def __post_init__(self):
        if not self.minimum < self.maximum:
            raise HeteroError(
                f"A level needs a range of positive values; the map's are {self.minimum:g} to {self.maximum:g}."
            )

    @classmethod
    def of(cls, data: np.ndarray) -> "LevelScale":
        """Measure the scale of ``data`` ``(z, y, x)``.

        Raises:
            HeteroError: a value is not finite, all values are equal, or none is positive.
        """
        check_values(data)
        values = np.asarray(data).ravel()
        low, high = _percentiles(values)
        smallest = float(values[values > 0].min())
        # So few positive values that all are clipped away: the clipped map's own would be none.
        return cls(max(smallest, low), high) if high > 0 else cls(smallest, float(values.max()))


def check_values(data: np.ndarray) -> None:
    """Whether a level can be chosen for these values at all.

    Raises:
        HeteroError: a value is not finite, all values are equal, or none is positive.
    """
    if data.size == 0:
        raise HeteroError("The map is empty; a map with voxels was expected.")
    lowest, highest = float(data.min()), float(data.max())
    if not np.isfinite([lowest, highest]).all():
        raise HeteroError("The map holds values that are not finite (NaN or infinite), so no level can be chosen.")
    if lowest == highest:
        raise HeteroError(f"All values of the map are {lowest:g}; a map with contrast was expected.")
    if highest <= 0:
        raise HeteroError(f"The map has no positive value (its largest is {highest:g}), so no level can be chosen.")


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    """The 0.001 and 99.999 percentiles, interpolated linearly as by ``np.percentile`` but with one partial sort."""
    places = np.array([_LOW_PERCENT, _HIGH_PERCENT]) / 100 * (values.size - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, values.size - 1)
    ordered = np.partition(values, np.unique(np.concatenate([below, above])))
    start, end = ordered[below].astype(float), ordered[above].astype(float)
    low, high = start + (end - start) * (places - below)
    return float(low), float(high)


def normalise_level(level, scale: LevelScale):
    """Normalised level of ``level`` (number or array, in the map's units)."""
    return 2 * (level - scale.minimum) / (scale.maximum - scale.minimum) - 1


def denormalise_level(normalised, scale: LevelScale):
    """Level in the map's units of a normalised level (number or array): the inverse of :func:`normalise_level`."""
    return (normalised + 1) / 2 * (scale.maximum - scale.minimum) + scale.minimum


def normalise_map(data: np.ndarray, scale: LevelScale | None = None) -> np.ndarray:
    """The map in normalised units, as the published network wants it; negative values become the normalised 0.

    Args:
        data: any shape, the map's units.
        scale: measured on ``data`` where not given.

    Returns:
        float32 array of the same shape, at most 1.
    """
    scale = scale or LevelScale.of(data)
    clipped = np.clip(np.asarray(data, dtype=np.float32), 0, np.float32(scale.maximum))
    return normalise_level(clipped, scale).astype(np.float32)
