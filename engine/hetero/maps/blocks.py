"""Blocks: sets of voxels of an ensemble that come and go together, or any set of masks on its grid."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hetero.earlier import newest_good
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder
from hetero.foreign import read_csv
from hetero.maps.ensemble import list_maps
from hetero.maps.mrc import map_name, read_map, write_map
from hetero.maps.volume import DALTON_PER_A3, Volume, same_grid

TABLE = "blocks.csv"
CONFIG = "config.json"
FOLDER = FolderKind(TABLE, ("block_*.mrc", TABLE, CONFIG))

# The first six are Paul Tol's "bright" scheme, told apart by colour-blind readers; no two of all are alike.
PALETTE = (
    "#ee6677", "#228833", "#4477aa", "#ccbb44", "#66ccee", "#aa3377", "#ee7733",
    "#332288", "#dd99cc", "#44aa99", "#7a5230", "#a0d568", "#9970ff",
)  # fmt: skip
_CHAIN_COLORS = ("viridis", "plasma", "cividis")


@dataclass(frozen=True, eq=False)
class Blocks:
    """K sets of voxels on one grid; a voxel may belong to several.

    Attributes:
        masks: ``(K, z, y, x)`` bool.
        table: K rows, indexed by name; the columns of ``blocks.csv``.
        apix: ``(3,)`` Å per voxel along z, y, x.
        origin: ``(3,)`` Å along z, y, x.
        paths: the K files they were read from; empty for blocks made in memory.
    """

    masks: np.ndarray
    table: pd.DataFrame
    apix: np.ndarray
    origin: np.ndarray
    paths: tuple[Path, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks' names, e.g. ``block_00``."""
        return tuple(self.table.index)

    @property
    def colors(self) -> tuple[str, ...]:
        """``#rrggbb`` of each block, the same in every viewer and picture."""
        return tuple(self.table["color"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the grid along z, y, x."""
        return self.masks.shape[1:]

    def __len__(self) -> int:
        return len(self.masks)


def make_blocks(masks: np.ndarray, apix, origin, names=None, columns: Mapping | None = None) -> Blocks:
    """Blocks from masks ``(K, z, y, x)`` bool, with their table: sizes, centres in Å, colours, then ``columns``.

    Where ``columns`` have ``chain`` and ``place``, the blocks of a chain are coloured in its order.
    """
    masks = np.asarray(masks, dtype=bool)
    names = [f"block_{i:02d}" for i in range(len(masks))] if names is None else list(names)
    voxels = masks.sum(axis=(1, 2, 3))
    volume = voxels * float(np.prod(apix))
    centers = np.array([np.argwhere(m).mean(axis=0) * apix + origin if m.any() else np.full(3, np.nan) for m in masks])
    centers = centers.reshape(-1, 3)
    table = pd.DataFrame(
        {
            "n_voxels": voxels,
            "volume_a3": volume,
            "mass_kda": volume * DALTON_PER_A3 / 1000,
            "center_x": centers[:, 2],
            "center_y": centers[:, 1],
            "center_z": centers[:, 0],
            "color": _colors(len(masks), columns or {}),
            **(columns or {}),
        },
        index=pd.Index(names, name="name", dtype=object),
    )
    return Blocks(masks, table, np.asarray(apix, dtype=float), np.asarray(origin, dtype=float))


def _colors(n: int, columns: Mapping) -> list[str]:
    """One after the other from the palette; those of a chain from dark to light, so that its order is seen."""
    colors = [PALETTE[i % len(PALETTE)] for i in range(n)]
    if "chain" not in columns:
        return colors
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    table = pd.DataFrame({name: columns[name] for name in ("chain", "place")}).dropna()
    for number, (_, chain) in enumerate(table.groupby("chain")):
        shades = colormaps[_CHAIN_COLORS[number % len(_CHAIN_COLORS)]](np.linspace(0.1, 0.95, len(chain)))
        for row, shade in zip(chain["place"].sort_values().index, shades, strict=True):
            colors[row] = to_hex(shade)
    return colors


def write_blocks(folder: Path | str, blocks: Blocks, config: dict) -> None:
    """Write ``block_00.mrc`` ... (0/1, int8), ``blocks.csv`` and ``config.json``, whole or not at all.

    What was there is kept as the one before (:mod:`hetero.earlier`).
    """
    with atomic_folder(folder, FOLDER, keep=True) as temporary:
        for name, mask in zip(blocks.names, blocks.masks, strict=True):
            write_map(temporary / f"{name}.mrc", Volume(mask, blocks.apix, blocks.origin, name), dtype=np.int8)
        blocks.table.to_csv(temporary / TABLE, index_label="name")
        (temporary / CONFIG).write_text(json.dumps(config, indent=1, default=str) + "\n")


def is_blocks_folder(folder: Path | str) -> bool:
    """Whether ``folder`` holds blocks or masks: it has ``blocks.csv``, or its maps are called block_* or mask*.

    That is what SIREn (``block_3.mrc``), MAVEn and RELION (``Mask_...mrc``) call theirs.
    """
    folder = Path(folder)
    if not folder.is_dir() or (folder / TABLE).is_file():
        return folder.is_dir()
    names = [path.name.lower() for path in list_maps(folder)]
    return bool(names) and all(name.startswith(("block_", "mask")) for name in names)


def read_blocks(folder: Path | str) -> Blocks:
    """Read a folder of blocks, or of any masks: a voxel belongs to a mask where its value is above 0.5.

    Raises:
        HeteroError: no masks there, or masks on different grids.

    Warns:
        MapWarning: a file of them is damaged, and the folder before it was read.
    """
    return newest_good(folder, _read_folder)


def _read_folder(folder: Path) -> Blocks:
    paths = list_maps(folder)
    has_table = (folder / TABLE).is_file()
    if not paths and not has_table:
        raise HeteroError(f"{folder} holds no masks; block_00.mrc ... or other .mrc masks were expected.")
    volumes = [read_map(path) for path in paths]
    for path, volume in zip(paths, volumes, strict=True):
        if not same_grid(volume, volumes[0]):
            raise HeteroError(
                f"{path} lies on another grid than {paths[0].name}; the masks of a folder share one grid."
            )
    names = [map_name(path) for path in paths]
    if not volumes:
        return Blocks(
            np.zeros((0, 1, 1, 1), bool), make_blocks(np.zeros((0, 1, 1, 1)), 1.0, 0.0).table, np.ones(3), np.zeros(3)
        )
    grid = volumes[0]
    blocks = make_blocks(np.stack([v.data > 0.5 for v in volumes]), grid.apix, grid.origin, names)
    if has_table:
        blocks = _with_table(blocks, folder / TABLE)
    return Blocks(blocks.masks, blocks.table, blocks.apix, blocks.origin, tuple(paths))


def _with_table(blocks: Blocks, path: Path) -> Blocks:
    written = read_csv(path, "a table of blocks", dtype={"name": str})
    if "name" not in written:
        raise HeteroError(f"{path} has no column 'name'; a table of blocks was expected.")
    written = written.set_index("name")
    if not written.index.is_unique:
        raise HeteroError(f"{path} names {written.index[written.index.duplicated()][0]} twice.")
    colors = written.get("color", pd.Series(dtype=str)).dropna().astype(str)
    wrong = colors[~colors.str.fullmatch("#[0-9a-fA-F]{6}")]
    if len(wrong):
        raise HeteroError(f"{path} gives {wrong.index[0]} the colour {wrong.iloc[0]}; #rrggbb was expected.")
    if "mean_occupancy" in written and pd.to_numeric(written["mean_occupancy"], errors="coerce").isna().any():
        raise HeteroError(f"{path} has a mean_occupancy that is not a number.")
    table = blocks.table
    for column in written.columns:  # what was written wins where the row still has its file
        if column not in table or column == "color":
            table[column] = written[column].reindex(table.index)
    table["color"] = table["color"].where(table["color"].notna(), _colors(len(table), {}))
    return Blocks(blocks.masks, table, blocks.apix, blocks.origin)
