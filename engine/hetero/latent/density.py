"""How many particles lie where in a plane: a picture of a million points is a picture of counts."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Raster:
    """Counts on a grid.

    Attributes:
        counts: ``(rows, columns)``; the first row is the lowest.
        extent: left, right, bottom, top, as matplotlib's ``imshow`` takes it with ``origin="lower"``.
    """

    counts: np.ndarray
    extent: tuple[float, float, float, float]


def density_raster(points: np.ndarray, size: int = 400, margin: float = 0.03) -> Raster:
    """Count ``(n, 2)`` points on a grid of ``size`` x ``size`` cells that holds them all, and a margin around."""
    points = np.asarray(points, dtype=np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    wide = np.maximum((high - low) * margin, 1e-6 * np.maximum(np.abs(high), 1))
    edges = [(a - w, b + w) for a, b, w in zip(low, high, wide, strict=True)]
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=size, range=edges)
    return Raster(counts.T, (*edges[0], *edges[1]))
