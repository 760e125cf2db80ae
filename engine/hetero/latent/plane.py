"""A plane through a latent space with every particle in it: counting, encircling and finding, quick enough for a hand
on the mouse."""

from functools import cached_property

import numpy as np
from scipy.spatial import KDTree

_CELLS = 1024  # a side of the grid on which a lasso is first painted


class Plane:
    """Particles as points of a plane.

    Attributes:
        points: ``(n, 2)`` float32; a particle that has no place there is NaN.
    """

    def __init__(self, points: np.ndarray):
        self.points = np.ascontiguousarray(points, dtype=np.float32)
        self._x, self._y = np.ascontiguousarray(self.points.T)

    @cached_property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top of all points, and 3 % around them."""
        low, high = np.nanmin(self.points, axis=0).astype(float), np.nanmax(self.points, axis=0).astype(float)
        wide = np.maximum((high - low) * 0.03, 1e-6 * np.maximum(np.abs(high), 1))
        return low[0] - wide[0], high[0] + wide[0], low[1] - wide[1], high[1] + wide[1]

    @cached_property
    def _tree(self) -> tuple[KDTree, np.ndarray]:
        rows = np.flatnonzero(np.isfinite(self.points).all(axis=1))
        return KDTree(self.points[rows]), rows

    def prepare(self) -> None:
        """Build what :meth:`nearest` searches (0.4 s for a million points), so that no click waits for it."""
        _ = self._tree

    @property
    def ready(self) -> bool:
        """Whether :meth:`nearest` answers at once."""
        return "_tree" in self.__dict__

    def counts(
        self,
        extent: tuple[float, float, float, float],
        shape: tuple[int, int],
        weights: np.ndarray | None = None,
        some: np.ndarray | None = None,
    ) -> np.ndarray:
        """``(rows, columns)`` number of points in each cell of a view; the first row is the lowest.

        Args:
            extent: left, right, bottom, top of the view; points outside are left out.
            shape: rows and columns.
            weights: ``(n,)`` or ``(n, k)`` that are summed in place of counting; with k of them the answer is
                ``(rows, columns, k)``.
            some: ``(n,)`` bool: of these points alone.
        """
        cells, inside = self._cells(extent, shape)
        if some is not None:
            inside &= some
        cells = cells[inside]
        size = shape[0] * shape[1]
        if weights is None:
            return np.bincount(cells, minlength=size).reshape(shape)
        columns = weights[inside].reshape(len(cells), -1).T
        sums = np.stack([np.bincount(cells, column, size) for column in columns], axis=-1)
        return sums.reshape(*shape, *weights.shape[1:])

    def inside(self, polygon: np.ndarray) -> np.ndarray:
        """``(n,)`` bool: the points within a polygon ``(m, 2)``, by the even-odd rule.

        Exact: the polygon is painted on a grid, and only points in cells that its outline touches are tested one by
        one.
        """
        from matplotlib.path import Path
        from PIL import Image, ImageDraw

        polygon = np.asarray(polygon, dtype=float)
        if len(polygon) < 3:
            return np.zeros(len(self.points), dtype=bool)
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        if not (high > low).all():
            return np.zeros(len(self.points), dtype=bool)
        cells, found = self._cells((low[0], high[0], low[1], high[1]), (_CELLS, _CELLS))
        corners = [tuple(corner) for corner in ((polygon - low) * (_CELLS / (high - low))).tolist()]
        painted, outline = Image.new("1", (_CELLS, _CELLS)), Image.new("1", (_CELLS, _CELLS))
        ImageDraw.Draw(painted).polygon(corners, fill=1)
        ImageDraw.Draw(outline).line([*corners, corners[0]], fill=1, width=5)
        filled, doubtful = np.asarray(painted).ravel(), np.asarray(outline).ravel()
        rows = np.flatnonzero(found)
        here = cells[rows]
        unsure = doubtful[here]
        found[rows] = filled[here] & ~unsure
        tested = rows[unsure]
        # The path in the polygon's own frame: matplotlib compares in double, the points are single.
        found[tested] = Path(polygon, closed=False).contains_points(self.points[tested].astype(float))
        return found

    def nearest(self, point: tuple[float, float]) -> tuple[int, float]:
        """Row of the point nearest to a place, and its distance."""
        tree, rows = self._tree
        distance, found = tree.query(np.asarray(point, dtype=float))
        return int(rows[found]), float(distance)

    def _cells(self, extent, shape) -> tuple[np.ndarray, np.ndarray]:
        """``(n,)`` number of each point's cell, and whether it lies in the view at all."""
        left, right, bottom, top = extent
        with np.errstate(invalid="ignore", over="ignore"):
            x = (self._x - np.float32(left)) * np.float32(shape[1] / (right - left))
            y = (self._y - np.float32(bottom)) * np.float32(shape[0] / (top - bottom))
            inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
            cells = y.astype(np.int32)
            cells *= shape[1]
            cells += x.astype(np.int32)
        return cells, inside


class Nearness:
    """How far a latent may lie from the particles before it is made up.

    Attributes:
        limit: 99 % of the particles lie nearer than this to their nearest neighbour.
    """

    def __init__(self, latents: np.ndarray, seed: int = 0, sample: int = 1000):
        self._tree = KDTree(latents)
        rng = np.random.default_rng(seed)
        some = rng.choice(len(latents), min(sample, len(latents)), replace=False)
        distances, _ = self._tree.query(latents[some], 2, workers=-1)
        own = distances[:, -1][np.isfinite(distances[:, -1])]
        self.limit = float(np.percentile(own, 99)) if len(own) else 0.0

    def distance(self, z: np.ndarray) -> float:
        """From ``z`` ``(zdim,)`` to the nearest particle."""
        return float(self._tree.query(np.asarray(z, dtype=float))[0])

    def rows(self, z: np.ndarray) -> np.ndarray:
        """``(m,)`` row of the particle nearest to each of ``z`` ``(m, zdim)``."""
        return self._tree.query(np.asarray(z, dtype=float))[1]

    def is_far(self, z: np.ndarray) -> bool:
        """Whether ``z`` is an extrapolation: farther from every particle than :attr:`limit`."""
        return self.distance(z) > self.limit
