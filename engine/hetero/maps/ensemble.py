"""A folder of maps in one frame, opened lazily, with a table."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from natsort import natsorted

from hetero.earlier import note
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.foreign import read_csv
from hetero.maps.mrc import MapHeader, is_map_path, map_name, read_header, read_map, write_map
from hetero.maps.volume import Volume, grid_text, same_grid
from hetero.progress import Progress, silent

TABLE = "ensemble.csv"


@dataclass(frozen=True)
class Ensemble:
    """N maps on one grid. Only headers are read until a volume is asked for; no volume is kept.

    Attributes:
        folder: where the maps lie.
        paths: the N files, natural order.
        header: the first map's header; every volume is checked against its shape when it is read.
        table: one row a volume, in the order of ``paths``, indexed by name; the columns of ``ensemble.csv``, if any.
    """

    folder: Path
    paths: tuple[Path, ...]
    header: MapHeader
    table: pd.DataFrame

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The volumes' names."""
        return tuple(map_name(path) for path in self.paths)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of each volume along z, y, x."""
        return self.header.shape

    @property
    def apix(self) -> np.ndarray:
        """``(3,)`` Å per voxel along z, y, x."""
        return self.header.apix

    @property
    def origin(self) -> np.ndarray:
        """``(3,)`` Å along z, y, x."""
        return self.header.origin

    @property
    def levels(self) -> np.ndarray:
        """``(N,)`` level of each volume from the table, NaN where it has none."""
        if "level" not in self.table:
            return np.full(len(self), np.nan)
        return self.table["level"].to_numpy(dtype=float)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Volume:
        volume = read_map(self.paths[index])
        _check_grid(self.paths[index], volume, self.paths[0], self.header)
        return volume

    def __iter__(self) -> Iterator[Volume]:
        return (self[i] for i in range(len(self)))


def list_maps(folder: Path | str) -> list[Path]:
    """Map files directly in ``folder``, natural order.

    Raises:
        HeteroError: the folder is not there, or two maps have one name (``a.mrc`` and ``a.map.gz``).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise HeteroError(f"{folder} is not a folder; a folder of maps was expected.")
    paths = natsorted((p for p in folder.iterdir() if p.is_file() and is_map_path(p)), key=lambda p: p.name)
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(map_name(path), path)
        if other is not path:
            raise HeteroError(f"{folder} holds {other.name} and {path.name}: two maps with one name; rename one.")
    return paths


def open_ensemble(folder: Path | str) -> Ensemble:
    """Open a folder of maps.

    Raises:
        HeteroError: no maps there, maps with different boxes, or an ``ensemble.csv`` that does not fit.
    """
    folder = Path(folder)
    paths = list_maps(folder)
    if not paths:
        raise HeteroError(f"{folder} holds no maps; .mrc, .map, .ccp4 or .rec files (also .gz) were expected.")
    first = read_header(paths[0])
    for path in (paths[-1], paths[len(paths) // 2]):  # a cheap look; every volume is checked again when it is read
        _check_grid(path, read_header(path), paths[0], first)
    names = [map_name(path) for path in paths]
    return Ensemble(folder, tuple(paths), first, read_table(folder / TABLE).reindex(names))


def mean_volume(ensemble: Ensemble, progress: Progress = silent) -> Volume:
    """The mean of all maps, read one at a time.

    Raises:
        HeteroError: a map that cannot be read.
    """
    total = np.zeros(ensemble.shape)
    for i in range(len(ensemble)):
        total += ensemble[i].data
        progress(i + 1, len(ensemble), "averaging maps")
    return Volume((total / len(ensemble)).astype(np.float32), ensemble.apix, ensemble.origin, "mean")


def write_ensemble(folder: Path | str, volumes: Iterable[Volume], table: pd.DataFrame) -> None:
    """Write volumes into a folder that is there, each as ``NAME.mrc`` as it comes, and ``ensemble.csv``.

    Args:
        folder: usually one that :func:`hetero.files.atomic_folder` gave.
        volumes: in the order of ``table``; one in memory at a time.
        table: a row a volume, indexed by name.
    """
    folder = Path(folder)
    for name, volume in zip(table.index, volumes, strict=True):
        write_map(folder / f"{name}.mrc", volume)
    table.to_csv(folder / TABLE, index_label="name")
    note(folder / TABLE)


def update_table(path: Path | str, rows: pd.DataFrame) -> None:
    """Put ``rows`` (indexed by volume name) into the table at ``path``; other columns and rows there are kept."""
    path = Path(path)
    table = read_table(path)
    table = table.reindex(table.index.union(rows.index, sort=False))
    for column in rows.columns:
        # As objects: a class 1 beside an empty cell must not become 1.0, nor clash with a class "B".
        cells = table.get(column, pd.Series(np.nan, table.index)).astype(object)
        cells[rows.index] = rows[column].astype(object)
        table[column] = cells
    table = table.loc[natsorted(table.index)]
    with atomic_path(path, keep=True) as temporary:
        table.to_csv(temporary, index_label="name")


def read_table(path: Path | str) -> pd.DataFrame:
    """The table of an ensemble (``ensemble.csv``), indexed by volume name; empty where there is no such file.

    Raises:
        HeteroError: no column ``name``, a volume named twice, or a level that is not a number.
    """
    path = Path(path)
    if not path.is_file():
        return pd.DataFrame(index=pd.Index([], name="name", dtype=str))
    table = read_csv(path, dtype={"name": str})
    if "name" in table:
        table["name"] = table["name"].map(map_name, na_action="ignore")  # other tools' names may carry the suffix
    if "name" not in table or table["name"].isna().any() or table["name"].duplicated().any():
        raise HeteroError(f"{path} needs a column 'name' that names each volume once; it has {list(table.columns)}.")
    if "level" in table:
        level = pd.to_numeric(table["level"], errors="coerce")
        wrong = table["name"][~np.isfinite(level) & table["level"].notna()]
        if len(wrong):
            raise HeteroError(f"{path} gives {wrong.iloc[0]} a level that is not a number.")
        table["level"] = level
    return table.set_index("name")


def _check_grid(path: Path, grid, first_path: Path, first: MapHeader) -> None:
    if not same_grid(grid, first):
        raise HeteroError(
            f"{path} ({grid_text(grid)}) lies on another grid than {first_path.name} in the same folder "
            f"({grid_text(first)}); the maps of an ensemble share one grid."
        )
