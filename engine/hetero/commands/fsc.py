"""``hetero fsc``: to what resolution two maps agree."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands import POSITIONAL
from hetero.errors import HeteroError
from hetero.files import check_table
from hetero.maps import Volume, grid_text, read_map, same_grid
from hetero.maps.fsc import FSC, fsc_curves, mask_of_halves
from hetero.maps.fsc_files import THRESHOLDS, draw_fsc, write_fsc
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Fourier shell correlation of two maps: curve, picture, and resolutions at 0.143 and 0.5.

    Attributes:
        first: A map.
        second: Another on the same grid, such as the other half map, or the truth.
        mask: A soft mask (.mrc, 0 to 1), "auto" (around the mean of both: half the 99.99th percentile, grown by 25 Å,
            a soft edge of 15 Å), or "none". With one, the curve is corrected by random phases for what the mask adds.
        out: Where to write: OUT.csv and OUT.png. Without it nothing is written.
        seed: Of the random phases.
    """

    first: Path = field(metadata=POSITIONAL)
    second: Path = field(metadata=POSITIONAL)
    mask: str = "none"
    out: Path | None = None
    seed: int = 0


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{maps, mask, apix, nyquist, resolution_0143, resolution_05, area, written}``; a resolution is null where the
    curve never falls so low. ``area`` is the mean of the best curve up to Nyquist.

    Raises:
        HeteroError: maps on different grids, a mask that is none, or something at ``out`` that is not ours.
    """
    table, picture = (None, None) if settings.out is None else outputs(settings.out)
    if table is not None:
        check_table(table, ("frequency",))
    first, second = read_map(settings.first), read_map(settings.second)
    _check_grids(settings.first, first, settings.second, second)
    for path, volume in ((settings.first, first), (settings.second, second)):
        if not np.isfinite(volume.data).all() or not volume.data.any():
            raise HeteroError(f"{path} holds nothing but zeros, or values that are not numbers; a map was expected.")
    mask = _mask(settings, first, second)
    progress(0, 1, "correlating")
    fsc = fsc_curves(first.data, second.data, first.apix, mask, np.random.default_rng(settings.seed))
    if table is not None:
        write_fsc(table, fsc)
        draw_fsc(picture, fsc, f"{first.name} and {second.name}")
    return summary(fsc) | {
        "maps": [str(settings.first), str(settings.second)],
        "mask": settings.mask,
        "apix": first.apix.tolist(),
        "written": [] if table is None else [str(table), str(picture)],
    }


def describe(result: dict[str, Any]) -> str:
    """Where the curve falls, and which curve it is."""
    which = "" if result["mask"] == "none" else " under the mask, corrected by random phases"
    lines = [f"{name} and {other}{which}:" for name, other in [result["maps"]]]
    lines.append(sentence(result))
    if result["written"]:
        lines.append("written: " + " and ".join(result["written"]))
    return "\n".join(lines)


def outputs(out: Path) -> tuple[Path, Path]:
    """The table and the picture of a prefix, whether or not it ends in .csv."""
    stem = out.with_suffix("") if out.suffix.lower() in (".csv", ".png") else out
    return stem.with_name(stem.name + ".csv"), stem.with_name(stem.name + ".png")


def summary(fsc: FSC) -> dict[str, Any]:
    """The numbers of a curve, plain."""
    return {
        "resolution_0143": fsc.resolution(THRESHOLDS[0]),
        "resolution_05": fsc.resolution(THRESHOLDS[1]),
        "nyquist": float(1 / fsc.frequency[-1]),
        "area": float(fsc.best.mean()),
    }


def sentence(numbers: dict[str, Any]) -> str:
    """:func:`summary` in words."""
    parts = []
    for threshold, name in zip(THRESHOLDS, ("resolution_0143", "resolution_05"), strict=True):
        value = numbers[name]
        where = f"above to the end ({numbers['nyquist']:.3g} Å)" if value is None else f"{value:.3g} Å"
        parts.append(f"FSC {threshold:g}: {where}")
    return ", ".join(parts)


def _check_grids(first_path: Path, first, second_path: Path, second) -> None:
    if not same_grid(first, second):
        raise HeteroError(
            f"{second_path} has {grid_text(second)}, {first_path} has {grid_text(first)}; one grid was expected."
        )


def _mask(settings: Settings, first: Volume, second: Volume) -> np.ndarray | None:
    if settings.mask == "none":
        return None
    if settings.mask == "auto":
        return mask_of_halves(first.data, second.data, first.apix)
    path = Path(settings.mask)
    if not path.is_file():
        raise HeteroError(f"{path} is not there; a mask (.mrc), auto or none was expected.")
    mask = read_map(path)
    _check_grids(settings.first, first, path, mask)
    low, high = float(mask.data.min()), float(mask.data.max())
    if not (low >= -0.01 and 0 < high <= 1.01):
        raise HeteroError(f"{path} has values from {low:.3g} to {high:.3g}; a mask from 0 to 1 was expected.")
    return np.clip(mask.data, 0, 1)
