"""Where the particles of a run lie: columns of numbers from the engine, and which lie inside an outline."""

import os
import tempfile

import numpy as np
from chimerax.core.errors import UserError

from ..worker import ask


class Places:
    """Columns of numbers, one value a particle.

    Attributes:
        particle: ``(n,)`` int64, the particles' numbers.
        names: the columns, such as PC1 and z2.
        shares: share of the latents' variance along each component.
        tables: paths that further columns came from.
    """

    def __init__(self, particle, names, values, shares=(), tables=()):
        self.particle, self.names, self.shares, self.tables = particle, list(names), list(shares), tuple(tables)
        self._values = values
        self._order = {}

    def column(self, name):
        """``(n,)`` float32 by a name, in capitals or not.

        Raises:
            UserError: there is no such column.
        """
        return self._values[self._index(name)]

    def name_of(self, name):
        """The column's name as it is written, from one in any capitals.

        Raises:
            UserError: there is no such column.
        """
        return self.names[self._index(name)]

    def title(self, name):
        """The name, with the share of the variance for a component."""
        number = name[2:]
        if name[:2] == "PC" and number.isdecimal() and int(number) <= len(self.shares):
            return f"{name} ({100 * self.shares[int(number) - 1]:.0f} %)"
        return name

    def _index(self, name):
        for i, known in enumerate(self.names):
            if known.lower() == name.lower():
                return i
        raise UserError(f"There is no column {name}; there are {', '.join(self.names)}.")

    def inside(self, across, up, outline):
        """``(n,)`` bool: which particles lie in the polygon ``outline`` ``(m, 2)`` of columns ``across`` and ``up``.

        By the even-odd rule. Points are looked at in order of height, so that each edge meets only those beside it.
        """
        x, y = self.column(across), self.column(up)
        order, heights = self._sorted(self._index(up))
        crossings = np.zeros(len(y) + 1, bool)  # in order of height
        for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
            low, high = np.searchsorted(
                heights, sorted((y1, y2))
            )  # each end belongs to one of the edges that meet there
            if low == high:
                continue
            beside = order[low:high]
            left = x[beside] < x1 + (heights[low:high] - y1) * ((x2 - x1) / (y2 - y1))
            crossings[low:high] ^= left
        inside = np.zeros(len(y), bool)
        inside[order] = crossings[:-1]
        return inside

    def _sorted(self, index):
        if index not in self._order:
            order = np.argsort(self._values[index])
            self._order[index] = order, self._values[index][order].astype(float)
        return self._order[index]


def places_of(session, run, tables=None):
    """The Places of ``run``, asked for once; ``tables`` (paths) add columns, None keeps those that are there.

    Raises:
        UserError: the engine's sentence.
    """
    kept = getattr(run, "_places", None)
    if kept is not None and (tables is None or tuple(tables) == kept.tables):
        return kept
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        settings = {"run": run.folder, "out": os.path.join(folder, "latents.npz"), "tables": list(tables or ())}
        answer = ask(session, "latents", settings)
        with np.load(answer["out"]) as arrays:
            run._places = Places(
                arrays["particle"], answer["columns"], arrays["values"], answer["shares"], tuple(tables or ())
            )
    return run._places
