"""``hetero occupancy``: blocks or masks in every map of an ensemble."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands import POSITIONAL
from hetero.commands.resolve import resolve_levels
from hetero.commands.resolve_masks import Masks, height_under, resolve_masks, warn_of_frame
from hetero.errors import HeteroError
from hetero.files import atomic_path, check_picture, check_result
from hetero.maps import Ensemble, open_ensemble
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Measure blocks, masks, or the chains of a model: rows are volumes or particles, columns are blocks.

    Attributes:
        folder: Folder of maps in one frame; or, with --particles, a trained run.
        blocks: Folder of blocks from hetero blocks, or of any masks on the maps' grid.
        out: Table to write (.csv); the heat map is drawn beside it (.png). Of particles also .npz, and no heat map.
        level: A number for all maps, from-table (ensemble.csv) or predict; without it the table's levels where it has
            them, else predicted ones.
        reference: Folder of reference maps of the masks (MAVEn): the answer is sum(mask x map) / sum(reference map),
            and no level is used. Mask_NAME.mrc or NAME.mrc goes with NAME.mrc. With --model: the word model.
        model: PDB or mmCIF file in the maps' frame; its chains become the masks, in place of blocks.
        chains: Chains of the model; A+B are one mask. Without it every chain of at least 1 kDa has its own.
        resolution: Å of the model's simulated density.
        mask_level: Electrons per Å^3 of that density at which a mask begins.
        extend: Å by which the model's masks grow.
        soft: Å of the model's masks' soft edge.
        keep_masks: Folder to write the model's masks into, to look at.
        particles: all, or a file of particle numbers (.csv, .txt, .npy, .pkl): decode each particle's map from the run,
            choose its level, measure it, keep the numbers. A run that was stopped goes on where it was.
        flip: Particles: mirror the decoded maps, as the blocks' ensemble was.
        invert: Particles: change the sign of the decoded maps, as the blocks' ensemble was.
        apix: Particles: Å per voxel at the run's box, for runs that do not say.
        epoch: Particles: which epoch, where the run keeps several, as its file names count; without it the newest.
        workers: Particles: processes to share the work; without it one for each of four cores or more where there is
            much to do and Dask is installed.
        scheduler: Particles: address of a Dask scheduler (tcp://host:8786) whose workers share the work.
    """

    folder: Path = field(metadata=POSITIONAL)
    blocks: Path | None = field(default=None, metadata=POSITIONAL)
    out: Path = field(kw_only=True)
    level: str | None = None
    reference: str | None = None
    model: Path | None = None
    chains: tuple[str, ...] = ()
    resolution: float = 12.0
    mask_level: float = 0.01
    extend: float = 0.0
    soft: float = 0.0
    keep_masks: Path | None = None
    particles: str | None = None
    flip: bool = False
    invert: bool = False
    apix: float | None = None
    epoch: int | None = None
    workers: int | None = None
    scheduler: str | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the table and its heat map: ``{names, columns, values, out, picture}``; ``values`` is volumes x blocks.

    With ``particles`` see :func:`~hetero.commands.particle_occupancy.measure_run`.

    Raises:
        HeteroError: masks on another grid, no masks, a mask without its reference map, or a model that does not fit.

    Warns:
        MapWarning: the model seems to lie in another frame than the maps.
    """
    from hetero.occupancy import draw_heat_map

    if settings.reference is not None and settings.level is not None:
        raise HeteroError("With --reference the maps' values are summed as they are; give no --level.")
    if settings.particles is not None:
        from hetero.commands.particle_occupancy import measure_run

        return measure_run(settings, progress)
    _check_maps_alone(settings)
    picture = settings.out.with_suffix(".png")
    check_result(settings.out, ("name",), ())
    check_picture(picture)
    if settings.blocks is not None and settings.blocks.resolve() == settings.folder.resolve():
        raise HeteroError(f"{settings.blocks} holds the maps themselves; a folder of blocks or masks was expected.")
    ensemble = open_ensemble(settings.folder)
    masks = resolve_masks(settings, ensemble)
    if masks.sums is None:
        label = "occupancy (share of the block's voxels at or above the level)"
        levels = resolve_levels(ensemble, settings.level, progress)
    else:
        label = "occupancy (sum under mask / sum of reference map)"
        levels = np.full(len(ensemble), np.nan)
    values = _measure_maps(ensemble, levels, masks, settings.model, progress)
    names, columns = list(ensemble.names), list(masks.names)
    _write(settings.out, values, names, columns)
    draw_heat_map(picture, values, names, columns, label)
    return {
        "names": names,
        "columns": columns,
        "values": [[None if np.isnan(x) else x for x in row] for row in values.tolist()],
        "empty": [name for name, row in zip(names, values, strict=True) if np.isnan(row).all()],
        "left_out": list(masks.left_out),
        "out": str(settings.out),
        "picture": str(picture),
    }


def _measure_maps(
    ensemble: Ensemble, levels: np.ndarray, masks: Masks, model: Path | None, progress: Progress
) -> np.ndarray:
    """``(n, K)`` of every map, each at its own level."""
    from hetero.occupancy import MaskVoxels, reference_normalised

    voxels = MaskVoxels.of(masks.names, masks.masks)
    values = np.empty((len(ensemble), len(masks.names)))
    fit = []
    for i, volume in enumerate(ensemble):
        progress(i, len(ensemble), f"measuring {volume.name}")
        if masks.sums is None:
            values[i] = voxels.share_at_level(volume.data, levels[i])
        else:
            values[i] = reference_normalised(volume.data, masks.masks, masks.sums)
        if masks.density is not None:
            fit.append(height_under(volume.data, masks.density))
    warn_of_frame(model, fit)
    return values


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
    if result.get("units") == "particles":
        return _describe_particles(result)
    values = np.array(result["values"], dtype=float)
    width = max(len(c) for c in result["columns"])
    lines = [
        f"{len(result['names'])} volumes x {len(result['columns'])} blocks",
        f"{'':{width}}    mean     min     max",
    ]
    for column, x in zip(result["columns"], values.T, strict=True):
        known = x[np.isfinite(x)]
        numbers = f"{known.mean():6.3f}  {known.min():6.3f}  {known.max():6.3f}" if len(known) else "an empty mask"
        lines.append(f"{column:{width}}  {numbers}")
    if result["empty"]:
        lines.append(
            f"no voxel at or above its level, so left empty: {len(result['empty'])} volumes "
            f"({', '.join(result['empty'][:5])}{' ...' if len(result['empty']) > 5 else ''})"
        )
    if result["left_out"]:
        lines.append(f"no mask of their own, below 1 kDa: chains {', '.join(result['left_out'])}")
    return "\n".join([*lines, f"written: {result['out']} and {result['picture']}"])


def _check_maps_alone(settings: Settings) -> None:
    """Refuse what is for particles only."""
    for name in ("flip", "invert", "apix", "epoch", "scheduler"):
        if getattr(settings, name) is not None and getattr(settings, name) is not False:
            raise HeteroError(f"--{name} goes with --particles, and maps are measured as they are.")
    if settings.workers is not None:
        raise HeteroError("--workers goes with --particles; maps are measured by one process.")


def _describe_particles(result: dict[str, Any]) -> str:
    lines = [f"{result['n']:,} particles x {len(result['columns'])} blocks"]
    width = max(len(c) for c in result["columns"])
    lines += [f"{c:{width}}  mean {m:.3f}" for c, m in zip(result["columns"], result["mean"], strict=False)]
    if result["unlevelled"]:
        lines.append(f"{result['unlevelled']:,} of them have no level, or no voxel at it; their rows are empty")
    return "\n".join([*lines, "written: " + " and ".join(result["written"])])


def _write(out: Path, values: np.ndarray, names: list[str], columns: list[str]) -> None:
    import pandas as pd

    with atomic_path(out, keep=True) as temporary:
        pd.DataFrame(values, index=names, columns=columns).to_csv(temporary, index_label="name")
