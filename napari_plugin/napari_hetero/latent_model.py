"""What the Latent widget shows, without Qt or napari: a plane of a run's latents, its colours, selections and paths."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from psygnal import Signal

from hetero.commands.particle_columns import Column
from hetero.errors import HeteroError
from napari_hetero.files import free_path
from napari_hetero.latent_picture import legend, paint

DENSITY = "density"
OPERATIONS = {
    "union": ("or", np.logical_or),
    "intersection": ("and", np.logical_and),
    "difference": ("without", lambda first, second: first & ~second),
}


@dataclass(frozen=True)
class Request:
    """A click: what is to be decoded."""

    point: tuple[float, float]
    axes: tuple[str, str]
    snap: bool
    box: int


class LatentModel:
    """A run's plane and what was picked in it.

    ``changed`` is emitted when the picture must be drawn anew, ``picked`` when selections, anchors or the path change.

    Attributes:
        space: the :class:`hetero.commands.latent_space.LatentSpace`.
        x, y: the axes.
        color: ``"density"``, an axis or a column.
        plane: the particles in it.
        selections: name -> ``(n,)`` bool.
        current: name of the selection that is shown, or None.
        anchors: particle numbers that a path is to pass.
        path: ``(m, zdim)`` latents of the path last made, or None.
        look: the :class:`hetero.commands.latent_space.Look` last decoded, or None.
        snap: decode particles' own latents only.
        box: voxels along each side of decoded maps.
    """

    changed = Signal()
    picked = Signal()

    def __init__(self, space):
        self.space = space
        own = space.own_axes
        self.x, self.y = own[0], own[1] if space.run.zdim > 1 else own[-1]
        self.color = DENSITY
        self.plane = space.plane(self.x, self.y)
        self.selections: dict[str, np.ndarray] = {}
        self.current: str | None = None
        self.anchors: list[int] = []
        self.path: np.ndarray | None = None
        self.look = None
        self.snap = False
        self.box = space.quick_box()

    def set_axes(self, x: str, y: str) -> None:
        """Look at another plane."""
        if (x, y) != (self.x, self.y):
            self.plane = self.space.plane(x, y)
            self.x, self.y = x, y
            self.changed.emit()

    def color_by(self, name: str) -> None:
        """Colour by ``"density"``, an axis or a column."""
        if name != self.color:
            if name != DENSITY:
                self.space.values(name)
            self.color = name
            self.changed.emit()

    def axis_title(self, axis: str) -> str:
        """An axis with its share of the variance, where it has one."""
        share = self.space.share(axis)
        return axis if share is None else f"{axis} ({100 * share:.0f} %)"

    def colors(self) -> list[str]:
        """What can be coloured by."""
        return [DENSITY, *self.space.columns, *self.space.own_axes]

    def picture(self, extent: tuple[float, float, float, float], shape: tuple[int, int]) -> np.ndarray:
        """``(rows, columns, 4)`` uint8 of a view; see :func:`napari_hetero.latent_picture.paint`."""
        return paint(self.plane, self._paint, self.selections.get(self.current), extent, shape)

    def legend(self) -> list[tuple[tuple[int, int, int], str]]:
        """Colours and their words; of numbers the two ends."""
        return legend(self._paint)

    def under(self, point: tuple[float, float]) -> str:
        """Words for the particle nearest to a point; empty until the plane can be searched."""
        if not self.plane.ready:
            return ""
        row, _ = self.plane.nearest(point)
        words = f"particle {self.space.run.particle_index[row]:,}"
        if self.color != DENSITY:
            words += f", {self.color} {self._word(row)}"
        return words

    def request(self, point: tuple[float, float]) -> Request:
        """What a click at a point asks for."""
        return Request((float(point[0]), float(point[1])), (self.x, self.y), self.snap, self.box)

    def decode(self, request: Request):
        """Answer a request: a :class:`hetero.commands.latent_space.Look`. Runs in a thread; changes nothing here."""
        x, y = request.axes
        plane = self.plane if (self.x, self.y) == (x, y) else self.space.plane(x, y)
        return self.space.look(plane, x, y, request.point, request.snap, request.box)

    def lasso(self, polygon: np.ndarray) -> str | None:
        """A new selection of what a polygon ``(m, 2)`` encircles; its name, or None where that is nothing."""
        chosen = self.plane.inside(polygon)
        return self.keep(chosen) if chosen.any() else None

    def keep(self, chosen: np.ndarray, name: str | None = None) -> str:
        """Keep a selection ``(n,)`` bool under a name that is free, and show it."""
        name = self._free(name or f"selection {len(self.selections) + 1}")
        self.selections[name] = chosen
        self.show(name)
        return name

    def show(self, name: str | None) -> None:
        """Lay a selection over the picture."""
        self.current = name if name in self.selections else None
        self.picked.emit()
        self.changed.emit()

    def rename(self, name: str, new: str) -> None:
        """Give a selection another name."""
        if new.strip() and new != name:
            new = self._free(new.strip())
            self.selections = {new if key == name else key: chosen for key, chosen in self.selections.items()}
            self.current = new if self.current == name else self.current
        self.picked.emit()

    def remove(self, name: str) -> None:
        """Forget a selection."""
        self.selections.pop(name, None)
        self.show(next(reversed(self.selections), None))

    def combine(self, first: str, second: str, operation: str) -> str:
        """A new selection: the ``union``, ``intersection`` or ``difference`` of two.

        Raises:
            HeteroError: nothing is in it.
        """
        word, function = OPERATIONS[operation]
        chosen = function(self.selections[first], self.selections[second])
        if not chosen.any():
            raise HeteroError(f"No particle is in {first} {word} {second}.")
        return self.keep(chosen, f"{first} {word} {second}")

    def count(self, name: str) -> int:
        """Particles of a selection."""
        return int(self.selections[name].sum())

    def save(self, name: str, out: Path, original: Path | None = None) -> dict:
        """Write a selection's particles with ``hetero select``; its answer.

        The selection itself is kept beside ``out`` as ``OUT_numbers.npy``, so that the command in the provenance can be
        given again.

        Raises:
            HeteroError: as ``hetero select``.
        """
        from hetero.commands import select

        numbers = self.write_numbers(name, out)
        try:
            return select.run(
                select.Settings(sources=(self.space.run.folder,), out=out, among=numbers, original=original)
            )
        except HeteroError:
            numbers.unlink()
            raise

    def write_numbers(self, name: str, beside: Path) -> Path:
        """Write a selection's particle numbers to a file of its own beside ``beside``.

        Raises:
            HeteroError: the folder is not there.
        """
        from hetero.commands.latent_space import numbers_of
        from hetero.commands.select import write_particles

        if not beside.absolute().parent.is_dir():
            raise HeteroError(f"Cannot write {beside}: its folder is not there.")
        path = free_path(beside.with_name(f"{beside.stem}_numbers.npy"))
        write_particles(path, numbers_of(self.space, self.selections[name]))
        return path

    def add_anchor(self) -> int | None:
        """Let a path pass the particle last looked at; None where nothing was."""
        if self.look is None:
            return None
        if self.look.particle not in self.anchors[-1:]:
            self.anchors.append(self.look.particle)
            self.picked.emit()
        return self.look.particle

    def clear_path(self) -> None:
        """Forget anchors and path."""
        self.anchors, self.path = [], None
        self.picked.emit()

    def take_path(self, z: np.ndarray) -> None:
        """Draw a path of latents ``(m, zdim)``."""
        self.path = z
        self.picked.emit()

    def path_places(self) -> np.ndarray:
        """``(m, 2)`` the path in the plane."""
        if self.path is None:
            return np.zeros((0, 2))
        return self.space.places(self.path, self.x, self.y)

    def anchor_places(self) -> np.ndarray:
        """``(k, 2)`` the anchors in the plane."""
        rows = np.flatnonzero(np.isin(self.space.run.particle_index, self.anchors))
        return self.plane.points[rows]

    def places(self, z: np.ndarray) -> np.ndarray:
        """``(m, 2)`` latents ``(m, zdim)`` in the plane."""
        return self.space.places(z, self.x, self.y)

    @property
    def _paint(self):
        """The column that gives the colours; None for density."""
        if self.color == DENSITY:
            return None
        return self.space.columns.get(self.color) or Column(self.space.values(self.color))

    def _word(self, row: int) -> str:
        column = self._paint
        value = column.values[row]
        if not np.isfinite(value):
            return "unknown"
        return column.classes[int(value)] if column.classes else f"{value:.3g}"

    def _free(self, name: str) -> str:
        n, wanted = 1, name
        while name in self.selections:
            n += 1
            name = f"{wanted} ({n})"
        return name
