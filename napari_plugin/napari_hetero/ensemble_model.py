"""What the Ensemble widget shows, without Qt or napari: which volume, at which level, and where that level comes
from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from psygnal import Signal

from hetero.errors import HeteroError
from napari_hetero.map_cache import MAPS

# Where a level comes from, in the words of the screen.
KEPT = "from ensemble.csv"
PREDICTED = "predicted"
YOURS = "set by you"
SHARED = "that of the run's centre, for all its maps"
LOCKED = "locked: one level for all volumes"
PROVISIONAL = "provisional"


@dataclass(frozen=True)
class ShownLevel:
    """The level of one volume. ``sd`` is in standard deviations above the map's mean, None where it is not known."""

    value: float
    source: str
    sd: float | None = None

    def __str__(self):
        spread = "" if self.sd is None else f" ({self.sd:.1f} s.d.)"
        return f"{self.value:.4g}{spread}, {self.source}"


@dataclass(frozen=True, eq=False)
class Pinned:
    """A volume that others are compared with: its name, the :class:`hetero.maps.Volume`, its level."""

    name: str
    volume: object
    level: float


class EnsembleModel:
    """An ensemble, the volume looked at, and the level of each volume.

    ``changed`` is emitted after every change.

    Attributes:
        ensemble: the :class:`hetero.maps.Ensemble`.
        index: of the volume looked at.
        scale: factor for every level.
        order: ``(n,)`` the volumes in the order they are walked through; by file name at first.
        sorted_by: the column of that order, or None.
        columns: a row a volume, what they can be sorted by.
        pinned: what others are compared with, or None.
        locked: the level of every volume, in place of their own; None: each has its own.
    """

    changed = Signal()

    def __init__(self, ensemble):
        self.ensemble = ensemble
        self.index = 0
        self.scale = 1.0
        self.order = np.arange(len(ensemble))
        self.sorted_by: str | None = None
        self.columns = ensemble.table.copy()
        self.pinned: Pinned | None = None
        self.locked: float | None = None
        self._levels: dict[str, ShownLevel] = {}
        self._yours: dict[str, ShownLevel] = {}
        self._provisional: dict[str, ShownLevel] = {}
        spreads = (
            ensemble.table["level_sd"].to_numpy(float)
            if "level_sd" in ensemble.table
            else np.full(len(ensemble), np.nan)
        )
        for name, level, spread in zip(ensemble.names, ensemble.levels, spreads, strict=True):
            if np.isfinite(level):
                self._levels[name] = ShownLevel(float(level), KEPT, float(spread) if np.isfinite(spread) else None)

    @property
    def name(self) -> str:
        """Name of the volume looked at."""
        return self.ensemble.names[self.index]

    @property
    def path(self) -> Path:
        """File of the volume looked at."""
        return self.ensemble.paths[self.index]

    @property
    def title(self) -> str:
        """What the ensemble is called: its folder, or the map where there is only one."""
        return self.ensemble.folder.resolve().name if len(self.ensemble) > 1 else self.name

    @property
    def volume(self):
        """The :class:`hetero.maps.Volume` looked at. Raises HeteroError where it cannot be read."""
        return self.volume_at(self.index)

    def volume_at(self, index: int):
        """Any :class:`hetero.maps.Volume`; those read last are kept (:data:`napari_hetero.map_cache.MAPS`)."""
        return MAPS.get(self.ensemble.paths[index], lambda: self.ensemble[index])

    @property
    def class_words(self) -> str:
        """The class of the volume looked at, where the table has one."""
        known = self.columns["class"].dropna() if "class" in self.columns else {}
        value = known.get(self.ensemble.names[self.index])
        if value is None:
            return ""
        return f", class {value:g}" if isinstance(value, float) else f", class {value}"

    @property
    def n_unknown(self) -> int:
        """How many volumes have no level but a provisional one."""
        return sum(name not in self._levels and name not in self._yours for name in self.ensemble.names)

    def go_to(self, index: int) -> None:
        """Look at another volume; numbers beyond the ends mean the ends."""
        index = min(max(int(index), 0), len(self.ensemble) - 1)
        if index != self.index:
            self.index = index
            self.changed.emit()

    @property
    def rank(self) -> int:
        """Where the volume looked at stands in the order."""
        return int(np.flatnonzero(self.order == self.index)[0])

    def walk(self, by: int, around: bool = False) -> None:
        """Look at the volume so many places further in the order; beyond the ends at the ends, or ``around``."""
        rank = self.rank + by
        self.go_to(self.order[rank % len(self.order) if around else min(max(rank, 0), len(self.order) - 1)])

    def evenly(self, most: int) -> list[int]:
        """Up to ``most`` volumes, evenly spaced in the order, with its ends."""
        ranks = np.linspace(0, len(self.order) - 1, min(most, len(self.order))).round().astype(int)
        return [int(i) for i in self.order[np.unique(ranks)]]

    def onwards(self, most: int) -> list[int]:
        """Up to ``most`` volumes: the page of the order in which the volume looked at is."""
        begin = self.rank // most * most
        return [int(i) for i in self.order[begin : begin + most]]

    def title_of(self, index: int) -> str:
        """A volume's name, and its value in the column of the order."""
        name = self.ensemble.names[index]
        if self.sorted_by is None:
            return name
        value = self.columns[self.sorted_by].iloc[index]
        words = f"{value:.3g}" if isinstance(value, float) else str(value)
        return f"{name}  {self.sorted_by} {words}"

    def sort_by(self, column: str | None) -> None:
        """Walk through the volumes by a column, least first and unknown last; None: by file name."""
        values = np.arange(len(self.order)) if column is None else self._numbers(column)
        self.order = np.argsort(values, kind="stable")
        self.sorted_by = column
        self.changed.emit()

    def take_columns(self, table) -> None:
        """Take columns of numbers from a table (pandas) whose rows are named as the volumes are."""
        for name in table.columns:
            self.columns[name] = table[name].reindex(self.ensemble.names).to_numpy()
        if self.sorted_by is not None:
            self.sort_by(self.sorted_by)

    def pin(self, pinned: Pinned | None) -> None:
        """Compare with a volume from now on; None: with none."""
        self.pinned = pinned
        self.changed.emit()

    def pin_current(self) -> None:
        """Compare with the volume looked at."""
        self.pin(Pinned(self.name, self.volume, self.level().value))

    def excess(self, index: int | None = None) -> np.ndarray | None:
        """``(z, y, x)`` by how much a volume (the one looked at) is denser than the pinned one, both in units of their
        levels; None without a pinned one, or on another grid."""
        from hetero.maps import same_grid

        if self.pinned is None:
            return None
        volume = self.volume if index is None else self.volume_at(index)
        if not same_grid(volume, self.pinned.volume):
            return None
        return volume.data / self.level(index).value - self.pinned.volume.data / self.pinned.level

    def level(self, index: int | None = None) -> ShownLevel:
        """The level at which a volume (the one looked at) is drawn: its own one, or that of all, times ``scale``.

        Raises HeteroError where a provisional level is needed and the map gives none.
        """
        index = self.index if index is None else index
        key = self.ensemble.names[index]
        if self.locked is not None:
            own = ShownLevel(self.locked, LOCKED)
        else:
            own = self._yours.get(key) or self._levels.get(key) or self._provisional_level(index)
        if self.scale == 1.0:
            return own
        return ShownLevel(own.value * self.scale, f"{own.source}, times {self.scale:.2f}")

    def set_level(self, value: float | None) -> None:
        """Draw the current volume, or where the level is locked every one, at ``value``; None goes back to its own
        level, and unlocks."""
        key = self.ensemble.names[self.index]
        if value is None:
            self._yours.pop(key, None)
            self.locked = None
        elif self.locked is not None:
            self.locked = float(value) / self.scale
        else:
            self._yours[key] = ShownLevel(float(value) / self.scale, YOURS)
        self.changed.emit()

    def lock(self, on: bool) -> None:
        """Draw every volume at the level of the one looked at, or each at its own again."""
        self.locked = self.level().value / self.scale if on else None
        self.changed.emit()

    def set_scale(self, scale: float) -> None:
        """Multiply every volume's level by ``scale``."""
        if scale != self.scale:
            self.scale = float(scale)
            self.changed.emit()

    def share_level(self, value: float) -> None:
        """Draw every volume without a level of its own at ``value``: the maps of a run are on one scale."""
        for name in self.ensemble.names:
            self._levels.setdefault(name, ShownLevel(float(value), SHARED))
        self.changed.emit()

    def take(self, rows: list[dict]) -> int:
        """Take levels from the answer of the level command (its ``maps``); returns how many were of these maps.

        Joined by the map's file: in every folder there is a ``vol_000``.
        """
        taken, ours = 0, {path.resolve() for path in self.ensemble.paths}
        for row in rows:
            if Path(row["path"]).resolve() in ours and row.get("level") is not None:
                self._levels[row["name"]] = ShownLevel(float(row["level"]), PREDICTED, row.get("level_sd"))
                self._yours.pop(row["name"], None)
                taken += 1
        if taken:
            self.changed.emit()
        return taken

    @property
    def sortable(self) -> list[str]:
        """The columns of numbers, and classes, be they words."""
        from pandas.api.types import is_numeric_dtype

        return [name for name in self.columns if name == "class" or is_numeric_dtype(self.columns[name])]

    def _numbers(self, column: str) -> np.ndarray:
        """A column to sort by; words by the alphabet."""
        from pandas import Categorical
        from pandas.api.types import is_numeric_dtype

        values = self.columns[column]
        if is_numeric_dtype(values):
            return values.to_numpy()
        codes = Categorical(values.astype(str).where(values.notna())).codes
        return np.where(codes < 0, len(codes), codes)

    def _provisional_level(self, index: int) -> ShownLevel:
        name = self.ensemble.names[index]
        if name not in self._provisional:
            from hetero.commands import level

            path = str(self.ensemble.paths[index])
            row = level.run(level.Settings(maps=(path,), method="percentile"))["maps"][0]
            if row.get("level") is None:
                raise HeteroError(row["error"])
            self._provisional[name] = ShownLevel(row["level"], PROVISIONAL, row.get("level_sd"))
        return self._provisional[name]


def ensemble_of_one(path: Path | str):
    """A single map as an :class:`hetero.maps.Ensemble` of one, so that every widget serves it as well."""
    import pandas as pd

    from hetero.maps import Ensemble, map_name, read_header

    path = Path(path)
    table = pd.DataFrame(index=pd.Index([map_name(path)], name="name"))
    return Ensemble(path.parent, (path,), read_header(path), table)
