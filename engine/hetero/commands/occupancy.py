"""``hetero occupancy``: blocks or masks in every map of an ensemble."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands import POSITIONAL
from hetero.commands.resolve import resolve_levels
from hetero.errors import HeteroError
from hetero.files import atomic_path, check_table
from hetero.maps import Ensemble, grid_text, is_blocks_folder, list_maps, map_name, open_ensemble, read_map, same_grid
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Measure blocks or masks in every map: rows are volumes, columns are blocks.

    Attributes:
        folder: Folder of maps in one frame.
        blocks: Folder of blocks from hetero blocks, or of any masks on the maps' grid.
        out: Table to write (.csv); the heat map is drawn beside it (.png).
        level: A number for all maps, from-table (ensemble.csv) or predict; without it the table's levels where it has
            them, else predicted ones.
        reference: Folder of reference maps of the masks (MAVEn): the answer is sum(mask x map) / sum(reference map),
            and no level is used. Mask_NAME.mrc or NAME.mrc goes with NAME.mrc.
    """

    folder: Path = field(metadata=POSITIONAL)
    blocks: Path = field(metadata=POSITIONAL)
    out: Path
    level: str | None = None
    reference: Path | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the table and its heat map: ``{names, columns, values, out, picture}``; ``values`` is volumes x blocks.

    Raises:
        HeteroError: masks on another grid, no masks, or a mask without its reference map.
    """
    from hetero.occupancy import draw_heat_map, occupied_share, reference_normalised

    check_table(settings.out)
    if settings.blocks.resolve() == settings.folder.resolve():
        raise HeteroError(f"{settings.blocks} holds the maps themselves; a folder of blocks or masks was expected.")
    ensemble = open_ensemble(settings.folder)
    columns, masks = _read_masks(settings.blocks, ensemble)
    if settings.reference is not None:
        if settings.level is not None:
            raise HeteroError("With --reference the maps' values are summed as they are; give no --level.")
        sums = _reference_sums(settings.reference, columns)
        label = "occupancy (sum under mask / sum of reference map)"
    else:
        levels = resolve_levels(ensemble, settings.level, progress)
        label = "occupancy (share of the block's voxels at or above the level)"
    values = np.empty((len(ensemble), len(columns)))
    for i, volume in enumerate(ensemble):
        progress(i, len(ensemble), f"measuring {volume.name}")
        if settings.reference is not None:
            values[i] = reference_normalised(volume.data, masks, sums)
        else:
            values[i] = occupied_share(volume.data, levels[i], masks)
    names = list(ensemble.names)
    _write(settings.out, values, names, columns)
    picture = settings.out.with_suffix(".png")
    draw_heat_map(picture, values, names, columns, label)
    return {
        "names": names,
        "columns": columns,
        "values": [[None if np.isnan(x) else x for x in row] for row in values.tolist()],
        "out": str(settings.out),
        "picture": str(picture),
    }


def measure(data: np.ndarray, level: float, masks: np.ndarray) -> np.ndarray:
    """``(K,)`` share of each block's voxels at or above ``level``, for one volume in memory.

    Args:
        data: ``(z, y, x)``.
        level: in the map's own values.
        masks: ``(K, z, y, x)`` bool.
    """
    from hetero.occupancy import occupied_share

    return occupied_share(data, level, masks)


def describe(result: dict[str, Any]) -> str:
    """Mean and range of each block, and where the table is."""
    values = np.array(result["values"], dtype=float)
    width = max(len(c) for c in result["columns"])
    lines = [
        f"{len(result['names'])} volumes x {len(result['columns'])} blocks",
        f"{'':{width}}    mean     min     max",
    ]
    for column, x in zip(result["columns"], values.T, strict=True):
        lines.append(f"{column:{width}}  {x.mean():6.3f}  {x.min():6.3f}  {x.max():6.3f}")
    return "\n".join([*lines, f"written: {result['out']} and {result['picture']}"])


def _read_masks(folder: Path, ensemble: Ensemble) -> tuple[list[str], np.ndarray]:
    """Names and values ``(K, z, y, x)`` of the masks in ``folder``: bool where all are 0 or 1, else float32."""
    paths = list_maps(folder)
    if not paths:
        found_none = is_blocks_folder(folder)
        why = "no blocks were found there" if found_none else "block_00.mrc ... or other .mrc masks were expected"
        raise HeteroError(f"{folder} holds no masks; {why}.")
    masks = np.empty((len(paths), *ensemble.shape), dtype=np.float32)
    for mask, path in zip(masks, paths, strict=True):
        volume = read_map(path)
        if not same_grid(volume, ensemble):
            raise HeteroError(
                f"{path} lies on another grid ({grid_text(volume)}) than the maps of {ensemble.folder} "
                f"({grid_text(ensemble)})."
            )
        mask[:] = volume.data
    hard = ((masks == 0) | (masks == 1)).all()
    return [map_name(path) for path in paths], masks.astype(bool) if hard else masks


def _reference_sums(folder: Path, columns: list[str]) -> np.ndarray:
    references = {map_name(path): path for path in list_maps(folder)}
    sums = []
    for column in columns:
        path = references.get(column.removeprefix("Mask_"))
        if path is None:
            raise HeteroError(f"{folder} has no reference map {column.removeprefix('Mask_')}.mrc for mask {column}.")
        sums.append(read_map(path).data.sum(dtype=np.float64))
        if sums[-1] == 0:
            raise HeteroError(f"{path} sums to 0; a reference map with density was expected.")
    return np.array(sums)


def _write(out: Path, values: np.ndarray, names: list[str], columns: list[str]) -> None:
    import pandas as pd

    with atomic_path(out) as temporary:
        pd.DataFrame(values, index=names, columns=columns).to_csv(temporary, index_label="name")
