"""``hetero level``: a contour level for each map."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from hetero.commands import POSITIONAL
from hetero.errors import HeteroError
from hetero.files import atomic_path, check_table
from hetero.maps import Volume, list_maps, map_name, read_map, update_table
from hetero.maps.ensemble import TABLE
from hetero.maps.volume import grid_text, same_grid
from hetero.progress import Progress, silent

if TYPE_CHECKING:
    from hetero.level import LevelAnswer


_COLUMNS = ("level", "level_low", "level_high", "level_sd", "enclosed_volume_a3", "mass_kda")
_FLAGS = ("outlier", "outlier_2sd")


@dataclass(frozen=True)
class Settings:
    """Choose a contour level for maps: one line a map, with the level in the map's own values.

    Attributes:
        maps: Map files, or folders of them.
        method: cnn asks the trained network; percentile takes the value that so many per cent of all voxels lie below;
            fdr the value above which at most a share of the voxels is noise; mass the one that encloses a mass.
        percentile: For the percentile method; 99 is what ChimeraX shows at first.
        fdr: False discovery rate, for the fdr method.
        mass: The molecule's mass in kDa, for the mass method.
        weights: A SIREn checkpoint or weights from train-level; without it the packaged network is used.
        share: For the maps of one ensemble: let levels change smoothly where the maps do.
        out: Table to write (.csv). In a file called ensemble.csv other columns are kept.
    """

    maps: tuple[Path, ...] = field(metadata=POSITIONAL)
    method: Literal["cnn", "percentile", "fdr", "mass"] = "cnn"
    percentile: float = 99.0
    fdr: float = 0.01
    mass: float | None = None
    weights: Path | None = None
    share: bool = False
    out: Path | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{"maps": [{name, path, level, ...} or {name, path, error}], "ensemble", "out"}``.

    A row holds ``level``, ``level_sd``, ``enclosed_volume_a3`` and ``mass_kda``; from the packaged network also
    ``level_low`` and ``level_high``, where the level lies with 68 %. ``ensemble`` says whether all maps lie on one grid
    and are eight or more; then each row also says whether it is an ``outlier`` (far from the median level) and
    an ``outlier_2sd`` (the paper's rule). A map that cannot be levelled has its sentence under ``error``; the others go
    on.

    Raises:
        HeteroError: no maps were named, a number out of range, levels to share between maps that are no ensemble, or
            the table cannot be written.
    """
    from hetero.level import LevelMethod, predict_levels
    from hetero.level.ensembles import FEWEST

    if settings.out is not None:
        check_table(settings.out)
    method = LevelMethod(settings.method, settings.weights, settings.percentile, settings.fdr, settings.mass)
    if settings.share and settings.method != "cnn":
        raise HeteroError(f"The method {settings.method} has nothing to share between maps; --share needs method cnn.")
    rows: list[dict[str, Any]] = [{"name": map_name(path), "path": str(path)} for path in _expand(settings.maps)]
    progress(0, len(rows), "predicting levels")
    readable = _Readable(rows)
    answers = []
    for answer in predict_levels(readable, method, progress=progress, total=len(rows)):
        answers.append(answer)
        row = readable.rows[len(answers) - 1]
        row |= {"error": f"{row['path']}: {answer}"} if isinstance(answer, HeteroError) else _numbers(answer)
    found = [(row, a) for row, a in zip(readable.rows, answers, strict=True) if not isinstance(a, HeteroError)]
    if settings.share:
        _share(found, readable, progress)
    ensemble = readable.differing is None and len(found) >= FEWEST
    if ensemble:
        _flag_outliers([row for row, _ in found])
    if settings.out is not None:
        _write(settings.out, rows)
    return {"maps": rows, "ensemble": ensemble, "out": str(settings.out) if settings.out else None}


def describe(result: dict[str, Any]) -> str:
    """A line a map."""
    width = max(len(row["name"]) for row in result["maps"])
    lines = [f"{'name':{width}}  {'level':>10}  {'68 % range':>21}  {'s.d.':>6}  {'enclosed Å^3':>13}  {'kDa':>8}"]
    for row in result["maps"]:
        if "error" in row:
            lines.append(f"{row['name']:{width}}  no level: {row['error']}")
            continue
        between = f"{row['level_low']:.4g} - {row['level_high']:.4g}" if "level_low" in row else ""
        lines.append(
            f"{row['name']:{width}}  {row['level']:10.4g}  {between:>21}  {row['level_sd']:6.2f}  "
            f"{row['enclosed_volume_a3']:13,.0f}  {row['mass_kda']:8,.0f}{'  outlier' if row.get('outlier') else ''}"
        )
    if result["ensemble"]:
        published = [row["name"] for row in result["maps"] if row.get("outlier_2sd")]
        lines.append(
            f"more than 2 s.d. from the mean level: {len(published)}"
            + (f" ({', '.join(published[:5])}{' ...' if len(published) > 5 else ''})" if published else "")
        )
    if result["out"]:
        lines.append(f"written: {result['out']}")
    return "\n".join(lines)


class _Readable:
    """The maps that can be read, one after the other; the rows of the others get their error.

    Attributes:
        rows: of the maps read so far.
        differing: sentence about the first map that lies on another grid than the first; None where all agree.
    """

    def __init__(self, rows: list[dict[str, Any]]):
        self._all = rows
        self.rows: list[dict[str, Any]] = []
        self.differing: str | None = None
        self._first: SimpleNamespace | None = None

    def __iter__(self) -> Iterator[Volume]:
        for row in self._all:
            try:
                volume = read_map(row["path"])
            except HeteroError as error:
                row["error"] = str(error)
                continue
            self._compare(volume)
            self.rows.append(row)
            yield volume

    def _compare(self, volume: Volume) -> None:
        grid = SimpleNamespace(name=volume.name, shape=volume.shape, apix=volume.apix, origin=volume.origin)
        if self._first is None:
            self._first = grid
        elif self.differing is None and not same_grid(grid, self._first):
            first = self._first
            self.differing = (
                f"{grid.name} ({grid_text(grid)}) lies on another grid than {first.name} ({grid_text(first)})"
            )


def _numbers(answer: "LevelAnswer") -> dict[str, float]:
    return {name: value for name in _COLUMNS if (value := getattr(answer, name)) is not None}


def _share(found: list[tuple[dict[str, Any], "LevelAnswer"]], readable: _Readable, progress: Progress) -> None:
    """Put shared levels into the rows; the maps are read once more for what those enclose."""
    from hetero.level import share_levels, with_level

    if readable.differing is not None:
        raise HeteroError(f"{readable.differing}; levels are shared between the maps of one ensemble only.")
    levels = share_levels([answer for _, answer in found])
    for done, ((row, answer), level) in enumerate(zip(found, levels, strict=True)):
        progress(done, len(found), "sharing levels")
        row.update(_numbers(with_level(answer, read_map(row["path"]), *level)))


def _flag_outliers(rows: list[dict[str, Any]]) -> None:
    from hetero.level import outliers

    published, robust = outliers([row["level"] for row in rows])
    for row, far, farther in zip(rows, published.tolist(), robust.tolist(), strict=True):
        row |= {"outlier": farther, "outlier_2sd": far}


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
    # All columns, also empty ones: in an ensemble.csv no number of an earlier run must stay beside a new level.
    table = pd.DataFrame(rows, columns=["name", *_COLUMNS, *_FLAGS]).set_index("name")
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise HeteroError(f"{out} was not written: two of the maps are called {twice}; level one folder at a time.")
    if out.name == TABLE:
        update_table(out, table)
    else:
        with atomic_path(out, keep=True) as temporary:
            table.to_csv(temporary, index_label="name")
