"""Which masks are measured, and against which references: a question of ``hetero occupancy``."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hetero.commands import check_range
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.maps import (
    MapWarning,
    Volume,
    grid_text,
    is_blocks_folder,
    list_maps,
    map_name,
    read_map,
    read_structure,
    same_grid,
    write_map,
)
from hetero.maps.blocks import TABLE, make_blocks

_IN_FRAME = 1.0  # s.d.; a chain that is there lies on density several s.d. above the mean of the box
_ROUNDING = 1e-3  # by which other programs' soft masks leave 0 to 1
MASK_FOLDER = FolderKind(TABLE, ("chain_*.mrc", TABLE))


@dataclass(frozen=True, eq=False)
class Masks:
    """K masks on the maps' grid.

    Attributes:
        names: the columns of the occupancy table.
        masks: ``(K, z, y, x)``; bool where all are 0 or 1, else float32.
        sums: ``(K,)`` sums of the reference maps, or None where shares are measured.
        density: simulated density of a model, to tell whether it lies in the maps' frame; None for mask files.
        left_out: chains of the model that were too small for a mask.
    """

    names: tuple[str, ...]
    masks: np.ndarray
    sums: np.ndarray | None = None
    density: np.ndarray | None = None
    left_out: tuple[str, ...] = ()


def resolve_masks(settings, grid) -> Masks:
    """The masks that the settings of ``hetero occupancy`` ask for, on ``grid``.

    Raises:
        HeteroError: no masks or two sorts of them, masks on another grid, or a mask without its reference map.
    """
    if (settings.blocks is None) == (settings.model is None):
        both = "both were given" if settings.blocks is not None else "neither was given"
        raise HeteroError(f"A folder of blocks or masks, or else --model FILE, was expected; {both}.")
    if settings.model is None:
        asked = [f"--{name.replace('_', '-')}" for name in ("chains", "keep_masks") if getattr(settings, name)]
        if asked:
            raise HeteroError(f"{asked[0]} goes with --model, and no model was given.")
        return _of_folder(settings.blocks, settings.reference, grid)
    return _of_model(settings, grid)


def warn_of_frame(model: Path, heights) -> None:
    """Say so where a model does not lie on density in any of the maps.

    Args:
        heights: :func:`height_under` of each map. (A correlation would be small for a small part of a large complex,
            and the median of a chain that few maps have as well.)

    Warns:
        MapWarning: the largest is below 1 s.d.
    """
    if len(heights) and max(heights) < _IN_FRAME:
        warnings.warn(
            f"Under {model} the maps are only {max(heights):.2f} s.d. above their means at most; is it in their frame?",
            MapWarning,
            stacklevel=3,
        )


def height_under(data: np.ndarray, density: np.ndarray) -> float:
    """Mean of a map, weighted by a model's density, in s.d. above its plain mean; 0 for a map of one value."""
    return float((np.average(data, weights=density) - data.mean()) / data.std()) if data.std() > 0 else 0.0


def write_masks(folder: Path, masks: Masks, grid) -> None:
    """Write ``chain_A.mrc`` ... and ``blocks.csv``: a folder that every verb and viewer takes for blocks."""
    hard = masks.masks.dtype == bool
    table = make_blocks(masks.masks > 0.5, grid.apix, grid.origin, masks.names).table
    with atomic_folder(folder, MASK_FOLDER) as temporary:
        for name, mask in zip(masks.names, masks.masks, strict=True):
            volume = Volume(mask, grid.apix, grid.origin, name)
            write_map(temporary / f"{name}.mrc", volume, dtype=np.int8 if hard else np.float32)
        table.to_csv(temporary / TABLE, index_label="name")


def _of_folder(folder: Path, reference: str | None, grid) -> Masks:
    names, masks = _read_masks(folder, grid)
    if reference == "model":
        raise HeteroError("--reference model goes with --model; with a folder of masks give the folder of their maps.")
    return Masks(names, masks, None if reference is None else _reference_sums(Path(reference), names))


def _of_model(settings, grid) -> Masks:
    from hetero.occupancy.masks import masks_from_model

    check_range("The resolution", settings.resolution, 1, 1000)
    check_range("The mask level", settings.mask_level, 1e-9)
    check_range("The mask's growth (extend)", settings.extend, 0, 1000)
    check_range("The mask's soft edge (soft)", settings.soft, 0, 1000)
    if settings.keep_masks is not None:
        check_folder(settings.keep_masks, MASK_FOLDER)
    if settings.reference not in (None, "model"):
        raise HeteroError(
            f"With --model the references are the model's own: --reference model, not {settings.reference}."
        )
    chains = [c for given in settings.chains for c in given.split(",") if c]
    made = masks_from_model(
        read_structure(settings.model),
        chains,
        grid,
        settings.resolution,
        level=settings.mask_level,
        extend=settings.extend,
        soft=settings.soft,
    )
    masks = Masks(made.names, made.masks, made.sums if settings.reference else None, made.density, made.left_out)
    if settings.keep_masks is not None:
        write_masks(settings.keep_masks, masks, grid)
    return masks


def _read_masks(folder: Path, grid) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and values ``(K, z, y, x)`` of the masks in ``folder``: bool where all are 0 or 1, else float32."""
    paths = list_maps(folder)
    if not paths:
        found_none = is_blocks_folder(folder)
        why = "no blocks were found there" if found_none else "block_00.mrc ... or other .mrc masks were expected"
        raise HeteroError(f"{folder} holds no masks; {why}.")
    masks = np.empty((len(paths), *grid.shape), dtype=np.float32)
    for mask, path in zip(masks, paths, strict=True):
        volume = read_map(path)
        if not same_grid(volume, grid):
            raise HeteroError(
                f"{path} lies on another grid ({grid_text(volume)}) than the maps ({grid_text(grid)}); "
                "the blocks come from another ensemble."
            )
        mask[:] = volume.data
        low, high = float(volume.data.min()), float(volume.data.max())
        if low < -_ROUNDING or high > 1 + _ROUNDING:
            raise HeteroError(f"{path} is no mask: its values go from {low:.3g} to {high:.3g}; 0 to 1 was expected.")
    hard = ((masks == 0) | (masks == 1)).all()
    return tuple(map_name(path) for path in paths), masks.astype(bool) if hard else masks


def _reference_sums(folder: Path, columns: tuple[str, ...]) -> np.ndarray:
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
