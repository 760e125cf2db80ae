"""``hetero level``: a contour level for each map."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hetero.commands import POSITIONAL
from hetero.errors import HeteroError
from hetero.files import atomic_path, check_table
from hetero.maps import Volume, list_maps, map_name, read_map, update_table
from hetero.maps.ensemble import TABLE
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Choose a contour level for maps: one line a map, with the level in the map's own values.

    Attributes:
        maps: Map files, or folders of them.
        method: cnn asks the trained network; percentile takes the value that so many per cent of all voxels lie below.
        percentile: For the percentile method; 99 is what ChimeraX shows at first.
        weights: A SIREn checkpoint or weights from train-level; without it the packaged network is used.
        out: Table to write (.csv). In a file called ensemble.csv other columns are kept.
    """

    maps: tuple[Path, ...] = field(metadata=POSITIONAL)
    method: Literal["cnn", "percentile"] = "cnn"
    percentile: float = 99.0
    weights: Path | None = None
    out: Path | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{"maps": [{name, path, level, level_sd, enclosed_volume_a3, mass_kda} or {name, path, error}], "out"}``.

    A map that cannot be levelled has its sentence under ``error``; the others go on.

    Raises:
        HeteroError: no maps were named, or the table cannot be written.
    """
    from hetero.level import predict_levels

    if settings.out is not None:
        check_table(settings.out)

    rows: list[dict[str, Any]] = [{"name": map_name(path), "path": str(path)} for path in _expand(settings.maps)]
    progress(0, len(rows), "predicting levels")
    readable: list[dict[str, Any]] = []
    answers = predict_levels(
        _readable_maps(rows, readable),
        settings.method,
        settings.weights,
        settings.percentile,
        progress=progress,
        total=len(rows),
    )
    for index, answer in enumerate(answers):
        row = readable[index]
        if isinstance(answer, HeteroError):
            row["error"] = f"{row['path']}: {answer}"
        else:
            row |= dataclasses.asdict(answer)
    if settings.out is not None:
        _write(settings.out, rows)
    return {"maps": rows, "out": str(settings.out) if settings.out else None}


def describe(result: dict[str, Any]) -> str:
    """A line a map."""
    width = max(len(row["name"]) for row in result["maps"])
    lines = [f"{'name':{width}}  {'level':>10}  {'s.d.':>6}  {'enclosed Å^3':>13}  {'kDa':>8}"]
    for row in result["maps"]:
        if "error" in row:
            lines.append(f"{row['name']:{width}}  no level: {row['error']}")
        else:
            lines.append(
                f"{row['name']:{width}}  {row['level']:10.4g}  {row['level_sd']:6.2f}  "
                f"{row['enclosed_volume_a3']:13,.0f}  {row['mass_kda']:8,.0f}"
            )
    if result["out"]:
        lines.append(f"written: {result['out']}")
    return "\n".join(lines)


def _readable_maps(rows: list[dict[str, Any]], readable: list[dict[str, Any]]) -> Iterator[Volume]:
    """The maps that can be read, their rows appended to ``readable``; the other rows get their error."""
    for row in rows:
        try:
            volume = read_map(row["path"])
        except HeteroError as error:
            row["error"] = str(error)
        else:
            readable.append(row)
            yield volume


def _expand(maps: tuple[Path, ...]) -> list[Path]:
    paths: list[Path] = []
    for path in map(Path, maps):
        if path.is_dir():
            found = list_maps(path)
            if not found:
                raise HeteroError(f"{path} holds no maps; .mrc, .map, .ccp4 or .rec files (also .gz) were expected.")
            paths += found
        else:
            paths.append(path)
    if not paths:
        raise HeteroError("No map was named; give map files or a folder of maps.")
    return paths


def _write(out: Path, rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    # A map without a level gets an empty row: in an ensemble.csv it must not keep the level it had before.
    table = pd.DataFrame(rows, columns=["name", "level", "level_sd", "enclosed_volume_a3"]).set_index("name")
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise HeteroError(f"{out} was not written: two of the maps are called {twice}; level one folder at a time.")
    if out.name == TABLE:
        update_table(out, table)
    else:
        with atomic_path(out) as temporary:
            table.to_csv(temporary, index_label="name")
