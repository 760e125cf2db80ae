"""A run as a viewer looks at it: planes of its latents, columns to colour them by, and the map under a click."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from hetero.commands.open_run import open_run
from hetero.commands.particle_columns import Column, columns_of
from hetero.errors import Damaged, HeteroError
from hetero.foreign import read_csv
from hetero.latent import Run, View
from hetero.latent.plane import Nearness, Plane
from hetero.maps import MapWarning, Volume
from hetero.progress import Progress, silent

QUICK_BOX = 64
"""Maps of larger boxes are first decoded at this one, which takes a fraction of a second."""


@dataclass(frozen=True, eq=False)
class Look:
    """What was found under a point of a plane.

    Attributes:
        volume: the map.
        z: ``(zdim,)`` its latent.
        particle: number of the nearest particle.
        at: ``(2,)`` where the latent lies in the plane.
        far: whether the latent is farther from every particle than 99 % of them are from their nearest.
    """

    volume: Volume
    z: np.ndarray
    particle: int
    at: tuple[float, float]
    far: bool


class LatentSpace:
    """A run, and what of it can be put on an axis or into colour.

    Attributes:
        run: the :class:`hetero.latent.Run`.
        columns: name -> :class:`~hetero.commands.particle_columns.Column`, from :meth:`read_columns`.
    """

    def __init__(self, run: Run):
        self.run = run
        self.columns: dict[str, Column] = {}
        self._turn = Lock()

    @cached_property
    def _components(self):
        from hetero.latent.pca import principal_components

        return principal_components(self.run.latents)

    @cached_property
    def _scores(self) -> np.ndarray:
        return self._components.scores(self.run.latents)

    @cached_property
    def nearness(self) -> Nearness:
        """How far from the particles is too far; some seconds for a million of them."""
        return Nearness(self.run.latents)

    @property
    def own_axes(self) -> list[str]:
        """``PC 1`` ..., ``z1`` ...: the axes that a latent has by itself."""
        numbers = range(1, self.run.zdim + 1)
        return [f"PC {i}" for i in numbers] + [f"z{i}" for i in numbers]

    @property
    def axes(self) -> list[str]:
        """All axes: the latent's own, and the columns that hold more than a few classes."""
        return self.own_axes + [name for name, column in self.columns.items() if not column.classes]

    def values(self, axis: str) -> np.ndarray:
        """``(n,)`` place of every particle along an axis, or its number in a column.

        Raises:
            HeteroError: no such axis.
        """
        if axis in self.columns:
            return self.columns[axis].values
        if axis not in self.own_axes:
            raise HeteroError(f"{self.run.folder} has no axis '{axis}'; it has {', '.join(self.axes)}.")
        return self._scores[:, _number(axis)] if axis.startswith("PC") else self.run.latents[:, _number(axis)]

    def share(self, axis: str) -> float | None:
        """Share of the variance along a component; None for other axes."""
        return float(self._components.shares[_number(axis)]) if axis in self.own_axes and axis[0] == "P" else None

    def plane(self, x: str, y: str) -> Plane:
        """The particles in the plane of two axes."""
        return Plane(np.column_stack([self.values(x), self.values(y)]))

    def places(self, z: np.ndarray, x: str, y: str) -> np.ndarray:
        """``(m, 2)`` where latents ``(m, zdim)`` lie in a plane; along a column, where the nearest particle lies."""
        return np.column_stack([self._along(np.asarray(z, np.float32), axis) for axis in (x, y)])

    def latent_under(self, plane: Plane, x: str, y: str, point: tuple[float, float], snap: bool) -> tuple:
        """The latent under a point, and the row of the nearest particle.

        It is the nearest particle's; without ``snap`` moved within the plane to lie under the point itself, where both
        axes are the latent's own.
        """
        row, _ = plane.nearest(point)
        z = self.run.latents[row].astype(np.float64)
        if not snap and {x, y} <= set(self.own_axes) and x != y:
            axes = np.stack([self._direction(axis) for axis in (x, y)])
            # The smallest step that brings it there: z1 and PC 1 need not be at right angles.
            z = z + np.linalg.pinv(axes) @ (np.asarray(point, float) - plane.points[row])
        return z.astype(np.float32), row

    def look(self, plane: Plane, x: str, y: str, point, snap: bool = False, box: int | None = None) -> Look:
        """Decode what lies under a point of a plane.

        Args:
            snap: the nearest particle's latent alone is decoded, never one between particles.
            box: voxels along each side of the map; the run's own without it.
        """
        z, row = self.latent_under(plane, x, y, point, snap)
        far = bool(not np.array_equal(z, self.run.latents[row]) and self.nearness.is_far(z))
        at = tuple(self.places(z[None], x, y)[0].tolist())
        return Look(self.decode(z, box), z, int(self.run.particle_index[row]), at, far)

    def decode(self, z: np.ndarray, box: int | None = None) -> Volume:
        """The map of one latent."""
        return next(self._decoded(z, box))

    def centre(self) -> np.ndarray:
        """``(zdim,)`` latent of the particle nearest to the mean of all: the mean itself may lie where none is."""
        latents = self.run.latents
        return latents[int(((latents - latents.mean(axis=0)) ** 2).sum(axis=1).argmin())] if len(latents) else []

    def middle(self, some: np.ndarray) -> int:
        """Row of the particle nearest to the mean of a selection ``(n,)`` bool."""
        rows = np.flatnonzero(some)
        latents = self.run.latents[rows]
        return int(rows[((latents - latents.mean(axis=0)) ** 2).sum(axis=1).argmin()])

    def mean_map(
        self, some: np.ndarray, most: int = 32, box: int | None = None, progress: Progress = silent, seed: int = 0
    ) -> Volume:
        """Mean of the maps of a selection's particles; of more than ``most`` of them, of so many taken at random.

        Args:
            some: ``(n,)`` bool.

        Raises:
            HeteroError: nothing is selected.
        """
        rows = np.flatnonzero(some)
        if not len(rows):
            raise HeteroError("The selection is empty; a mean map needs particles.")
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
        total = None
        for done, volume in enumerate(self._decoded(self.run.latents[rows], box), start=1):
            total = volume.data.astype(np.float64) if total is None else total + volume.data
            progress(done, len(rows), "averaging decoded maps")
        return Volume((total / len(rows)).astype(np.float32), volume.apix, volume.origin, f"mean of {len(rows)}")

    def read_columns(self, path: Path | str) -> list[str]:
        """Take a table of particles (.csv with a column ``particle``, or an occupancy .npz); answers with its columns.

        Raises:
            HeteroError: no such table, or one without any of this run's particles.
        """
        found = columns_of(path, self.run)
        found = {name: column for name, column in found.items() if name not in self.own_axes}
        self.columns |= found
        return list(found)

    def particle_file(self) -> Path | None:
        """The particle file that the run says it was trained on, where it is still there."""
        return self._named("particles")

    def particle_inputs(self) -> dict[str, Path]:
        """``poses`` and ``ctf`` that the run says it was trained with, those that are still there."""
        found = {key: self._named(key) for key in ("poses", "ctf")}
        return {key: path for key, path in found.items() if path is not None}

    def boxes(self) -> list[int]:
        """Boxes that maps may be decoded at, small and quick ones first; the last is the run's own."""
        return [box for box in (32, QUICK_BOX, 128) if box < self.run.box] + [self.run.box]

    def quick_box(self) -> int:
        """The box to begin with."""
        return min(QUICK_BOX, self.run.box)

    def _named(self, key: str) -> Path | None:
        settings = self.run.settings
        given = settings.get(key) or (settings.get("dataset_args") or {}).get(key)
        path = Path(str(given)).absolute() if given else None
        return path if path is not None and path.is_file() else None

    def _decoded(self, z: np.ndarray, box: int | None) -> Iterator[Volume]:
        """Maps, one at a time; clicks and longer work take turns, as a decoder serves one at a time."""
        volumes = iter(self.run.decode(z, View(box=self._box(box))))
        while True:
            with self._turn:
                volume = next(volumes, None)
            if volume is None:
                return
            yield volume

    def _box(self, box: int | None) -> int | None:
        return None if box is None or box >= self.run.box else box

    def _direction(self, axis: str) -> np.ndarray:
        if axis.startswith("PC"):
            return self._components.axes[_number(axis)]
        return np.eye(self.run.zdim)[_number(axis)]

    def _along(self, z: np.ndarray, axis: str) -> np.ndarray:
        if axis in self.columns:
            return self.columns[axis].values[self.nearness.rows(z)]
        self.values(axis)  # a sentence where there is no such axis
        return self._components.scores(z)[:, _number(axis)] if axis[0] == "P" else z[:, _number(axis)]


def open_space(folder: Path | str, epoch: int | None = None) -> LatentSpace:
    """Open a run for looking at; ``labels.csv`` of an analysis in its folder is taken along.

    Raises:
        HeteroError: as :func:`hetero.commands.open_run.open_run`.
    """
    space = LatentSpace(open_run(folder, epoch))
    for found in sorted(Path(folder).glob("*/labels.csv")):
        try:
            space.read_columns(found)
        except Damaged as error:
            warnings.warn(f"{error} Its columns are left out.", MapWarning, stacklevel=2)
        except HeteroError:
            continue  # of another tool, or of other particles: it was not asked for
    return space


def level_of(volume: Volume) -> float:
    """The contour level of a map in memory by the network; where it gives none, 99 % of the voxels lie below it."""
    from hetero.level import LevelMethod, predict_level

    try:
        return predict_level(volume).level
    except HeteroError:
        return predict_level(volume, LevelMethod("percentile")).level


def numbers_of(space: LatentSpace, some: np.ndarray) -> np.ndarray:
    """Particle numbers of a selection ``(n,)`` bool, sorted."""
    return np.sort(space.run.particle_index[some])


def path_latents(folder: Path | str) -> np.ndarray:
    """``(m, zdim)`` all points of a path that ``hetero traverse`` wrote.

    Raises:
        HeteroError: there is none.
    """
    path = Path(folder) / "path.csv"
    table = read_csv(path, "a table of the points of a path")
    return table.filter(regex=r"^z\d+$").to_numpy(np.float32)


def _number(axis: str) -> int:
    return int(axis.removeprefix("PC ").removeprefix("z")) - 1
