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
        centres: numbers of the particles nearest to the means of the clusters, from cluster 0.
    """

    def __init__(self, particle, names, values, shares=(), centres=()):
        self.particle, self.names, self.shares, self.centres = particle, list(names), list(shares), list(centres)
        self._values = values
        self._order, self._nearest = {}, {}

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

    def place_of(self, particles, across, up):
        """``(m, 2)`` of particles, by their numbers, in two columns; those that the run does not have are left out."""
        rows = np.flatnonzero(np.isin(self.particle, particles))
        order = {number: i for i, number in enumerate(self.particle[rows].tolist())}
        rows = [rows[order[number]] for number in np.atleast_1d(particles).tolist() if number in order]
        return np.stack([self.column(across)[rows], self.column(up)[rows]], axis=1)

    def nearest(self, z):
        """Number of the particle nearest to a latent; None where not all of the latents' numbers are columns."""
        if z not in self._nearest:
            names = [f"z{i + 1}" for i in range(len(z))]
            if not names or not set(names) <= set(self.names):
                return None
            away = sum((self.column(name) - np.float32(value)) ** 2 for name, value in zip(names, z, strict=True))
            self._nearest[z] = int(self.particle[away.argmin()])
        return self._nearest[z]

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


def places_of(session, run, tables=None, clusters=None):
    """The Places of ``run``, asked for when they are not those that are kept.

    Args:
        tables: paths that add columns from now on; without them those that ``run`` has.
        clusters: how many groups of k-means from now on; without it as before.

    Raises:
        UserError: the engine's sentence.
    """
    tables = run.tables if tables is None else tuple(tables)
    clusters = run.clusters if clusters is None else clusters
    if run.places is not None and (tables, clusters) == (run.tables, run.clusters):
        return run.places
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        settings = {"run": run.folder, "out": os.path.join(folder, "latents.npz"), "tables": list(tables)}
        settings |= {"clusters": clusters} | run.read_as("epoch")
        answer = ask(session, "latents", settings)
        with np.load(answer["out"]) as arrays:
            places = Places(
                arrays["particle"], answer["columns"], arrays["values"], answer["shares"], answer["centres"]
            )
    run.tables, run.clusters, run.places = tables, clusters, places
    return places
