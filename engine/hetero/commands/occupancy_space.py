"""A table of occupancies as a viewer looks at it: a heat map with its tree, and two blocks in a plane."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hetero.errors import HeteroError
from hetero.latent.plane import Plane
from hetero.maps.blocks import PALETTE
from hetero.occupancy.classes import sort_into_classes
from hetero.occupancy.picture import leaf_order, tree_lines


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Volumes x blocks, alike ones side by side.

    Attributes:
        values: ``(n, K)``, ordered.
        names: n volumes, in that order.
        columns: K blocks, in that order.
        labels: ``(n,)`` class of each row, from 1.
        lines: ``(n - 1, 4, 2)`` corners of the dendrogram's branches: distance and row.
        colors: n - 1 ``#rrggbb``, by class; grey above the cut.
        height: where the tree was cut.
    """

    values: np.ndarray
    names: list[str]
    columns: list[str]
    labels: np.ndarray
    lines: np.ndarray
    colors: list[str]
    height: float


def heat_map(table: pd.DataFrame) -> HeatMap:
    """The heat map of a table of volumes, sorted into classes as ``hetero classes`` does by itself.

    Volumes and blocks without a number are left out.

    Raises:
        HeteroError: fewer than two volumes with numbers, or a table of particles.
    """
    if table.index.name != "name":
        raise HeteroError("A heat map is of volumes, and this table has a row for each particle.")
    table = table.dropna(axis="columns", how="all").dropna(axis="index")
    classes = sort_into_classes(table.to_numpy(float))
    lines, label = tree_lines(classes)
    across = leaf_order(table.to_numpy(float).T)
    ordered = table.iloc[classes.order, across]
    return HeatMap(
        ordered.to_numpy(float), [str(name) for name in ordered.index], [str(name) for name in ordered.columns],
        classes.labels[classes.order], lines,
        [PALETTE[(c - 1) % len(PALETTE)] if c else "#888888" for c in label], classes.height,
    )  # fmt: skip


def block_plane(table: pd.DataFrame, first: str, second: str) -> Plane:
    """Every volume or particle in the plane of two blocks; one without a number is NaN.

    Raises:
        HeteroError: none has both numbers.
    """
    points = table[[first, second]].to_numpy(float)
    if not np.isfinite(points).all(axis=1).any():
        raise HeteroError(f"Nothing in this table has both a number for {first} and one for {second}.")
    return Plane(points)


def quadrants(table: pd.DataFrame, first: str, second: str, cuts: tuple[float, float]) -> tuple[int, int, int, int]:
    """How many have both blocks, only the first, only the second, or neither, of those with both numbers."""
    points = table[[first, second]].dropna().to_numpy(float)
    a, b = (points >= cuts).T
    return tuple(int(part.sum()) for part in (a & b, a & ~b, ~a & b, ~a & ~b))
