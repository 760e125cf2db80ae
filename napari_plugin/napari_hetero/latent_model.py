"""What the Latent widget shows, without Qt or napari: a plane of a run's latents, its colours, selections and paths."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from psygnal import Signal

from hetero.errors import HeteroError

DENSITY = "density"
CLASS_COLORS = (
    (78, 141, 245), (245, 147, 66), (92, 201, 120), (232, 86, 98), (168, 124, 232), (196, 150, 118), (240, 140, 205),
    (160, 165, 172), (200, 205, 70), (70, 200, 215),
)  # fmt: skip
SELECTED = (255, 170, 40)
_LUT_SIZE = 256

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
        """``(rows, columns, 4)`` uint8 of a view; the first row is the lowest, empty cells are clear.

        Of density the logarithm is shown, of a column the mean of each cell (of classes, of their colours). The current
        selection lies over it.
        """
        counts = self.plane.counts(extent, shape)
        rgb = self._density(counts) if self.color == DENSITY else self._means(extent, shape)
        filled = counts > 0
        picture = np.zeros((*shape, 4), np.uint8)
        picture[..., :3], picture[..., 3] = rgb, np.where(filled, 255, 0)
        chosen = self.selections.get(self.current)
        if chosen is not None and chosen.any():
            here = self.plane.counts(extent, shape, some=chosen) > 0
            tint = np.array(SELECTED) * (0.55 + 0.45 * _log_share(counts[here]))[:, None]
            picture[here, :3] = tint.astype(np.uint8)
        return picture

    def legend(self) -> list[tuple[tuple[int, int, int], str]]:
        """Colours and their words; of numbers the two ends."""
        if self.color == DENSITY:
            return []
        column = self.space.columns.get(self.color)
        if column is not None and column.classes:
            return [(CLASS_COLORS[i % len(CLASS_COLORS)], name) for i, name in enumerate(column.classes)]
        low, high = self._ends()
        table = _lookup()
        return [(tuple(table[0].tolist()), f"{low:.3g}"), (tuple(table[-1].tolist()), f"{high:.3g}")]

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

    def take_path(self, folder: Path | str) -> None:
        """Draw the path that ``hetero traverse`` wrote into a folder.

        Raises:
            HeteroError: there is none.
        """
        from hetero.commands.latent_space import path_latents

        self.path = path_latents(folder)
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

    def _density(self, counts: np.ndarray) -> np.ndarray:
        return _lookup()[(_log_share(counts) * (_LUT_SIZE - 1)).astype(int)]

    def _means(self, extent, shape) -> np.ndarray:
        values = self.space.values(self.color)
        known = np.isfinite(values)
        number = np.maximum(self.plane.counts(extent, shape, some=known), 1)
        column = self.space.columns.get(self.color)
        if column is None or not column.classes:
            low, high = self._ends()
            mean = self.plane.counts(extent, shape, values, known) / number
            place = np.clip((mean - low) / max(high - low, 1e-30), 0, 1)
            return _lookup()[(place * (_LUT_SIZE - 1)).astype(int)]
        palette = np.array([CLASS_COLORS[i % len(CLASS_COLORS)] for i in range(len(column.classes))], np.float32)
        colors = palette[np.where(known, values, 0).astype(int)]
        return (self.plane.counts(extent, shape, colors, known) / number[..., None]).astype(np.uint8)

    def _ends(self) -> tuple[float, float]:
        values = self.space.values(self.color)
        some = values[:: max(1, len(values) // 100_000)]
        low, high = np.nanpercentile(some, (1, 99))
        return float(low), float(high)

    def _word(self, row: int) -> str:
        value = self.space.values(self.color)[row]
        column = self.space.columns.get(self.color)
        if not np.isfinite(value):
            return "unknown"
        return column.classes[int(value)] if column is not None and column.classes else f"{value:.3g}"

    def _free(self, name: str) -> str:
        n, wanted = 1, name
        while name in self.selections:
            n += 1
            name = f"{wanted} ({n})"
        return name


def free_path(path: Path) -> Path:
    """``path``, or the first of ``name_2``, ``name_3`` ... that is not there yet."""
    found, n = path, 1
    while found.exists():
        n += 1
        found = path.with_name(f"{path.stem}_{n}{path.suffix}")
    return found


def _log_share(counts: np.ndarray) -> np.ndarray:
    most = counts.max() if counts.size else 0
    return np.log1p(counts) / np.log1p(max(most, 1))


@lru_cache(maxsize=1)
def _lookup() -> np.ndarray:
    """``(256, 3)`` uint8: viridis, its dark end left out so that single particles are seen on a dark ground."""
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0.18, 1, _LUT_SIZE))
    return (255 * shades[:, :3]).astype(np.uint8)
