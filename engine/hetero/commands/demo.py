"""``hetero demo``: the main job end to end on the packaged structure."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands import POSITIONAL, blocks, level, occupancy, simulate
from hetero.errors import HeteroError
from hetero.files import FolderKind, check_folder
from hetero.maps import open_ensemble, read_blocks
from hetero.maps.picture import draw_blocks
from hetero.progress import Progress, silent

_MARK = "demo.json"
_TABLE = "occupancy.csv"
_FOLDER = FolderKind(_MARK, (_MARK, "maps", "blocks", _TABLE, "*.png"))


@dataclass(frozen=True)
class Settings:
    """Run the whole way on a packaged ribosome: maps with known blocks, levels, blocks, occupancies, pictures.

    Attributes:
        out: Folder to make: maps/, blocks/, occupancy.csv, occupancy.png, blocks.png.
        volumes: How many maps.
        box: Voxels along each side.
        seed: For the simulated maps.
    """

    out: Path = field(default=Path("demo"), metadata=POSITIONAL)
    volumes: int = 200
    box: int = 64
    seed: int = 0


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{path, levels: [low, median, high], truth: [{block, chains, presence, found, overlap}], pictures}``.

    ``overlap`` is the intersection over union of a true block with the found block that fits it best.
    """
    folder = settings.out
    check_folder(folder, _FOLDER)
    _clear(folder)
    maps = folder / "maps"
    simulate.run(simulate.Settings(maps, volumes=settings.volumes, box=settings.box, seed=settings.seed), progress)
    levels = level.run(level.Settings((maps,), out=maps / "ensemble.csv"), progress)
    found = blocks.run(blocks.Settings(maps, folder / "blocks", seed=settings.seed), progress)
    if not found["n"]:
        raise HeteroError(f"No blocks were found in {settings.volumes} maps of box {settings.box}; ask for more.")
    table = occupancy.run(occupancy.Settings(maps, folder / "blocks", out=folder / _TABLE), progress)
    progress(0, 0, "drawing")
    _draw(folder)
    truth = _compare(maps / "truth", folder / "blocks")
    values = np.array([row["level"] for row in levels["maps"]])
    return {
        "path": str(settings.out),
        "levels": np.quantile(values, [0, 0.5, 1]).tolist(),
        "seconds_blocks": found["seconds"],
        "blocks": found["n"],
        "mean_occupancy": dict(zip(table["columns"], np.mean(table["values"], axis=0).tolist(), strict=True)),
        "truth": truth,
        "pictures": [str(settings.out / "blocks.png"), str(settings.out / "occupancy.png")],
    }


def describe(result: dict[str, Any]) -> str:
    """What was simulated, what was found, and where to look."""
    low, middle, high = result["levels"]
    lines = [
        f"levels: {low:.3g} to {high:.3g}, median {middle:.3g}",
        f"blocks: {result['blocks']} found in {result['seconds_blocks']:.1f} s; the {len(result['truth'])} put in:",
        f"  {'chain':8}  in maps  {'found as':10}  overlap",
    ]
    for row in result["truth"]:
        lines.append(f"  {row['chains']:8}  {100 * row['presence']:5.0f} %  {row['found']:10}  {row['overlap']:7.2f}")
    lines += ["pictures:", *(f"  {p}" for p in result["pictures"])]
    lines.append(f"maps, blocks and the occupancy table: {result['path']}")
    return "\n".join(lines)


def _clear(folder: Path) -> None:
    """Take away what an earlier demonstration left; the mark stays, so that a run cut short can be run again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text('{"verb": "demo"}\n')
    for name in ("maps", "blocks"):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)


def _draw(folder: Path) -> None:
    ensemble, found = open_ensemble(folder / "maps"), read_blocks(folder / "blocks")
    draw_blocks(folder / "blocks.png", ensemble[0], float(ensemble.levels[0]), found)  # the first map has every block


def _compare(truth: Path, found: Path) -> list[dict[str, Any]]:
    true, ours = read_blocks(truth), read_blocks(found)
    rows = []
    for mask, (_, row) in zip(true.masks, true.table.iterrows(), strict=True):
        overlap = [float((mask & m).sum() / (mask | m).sum()) for m in ours.masks] or [0.0]
        best = int(np.argmax(overlap))
        rows.append(
            {
                "chains": row["chains"],
                "presence": float(row["mean_occupancy"]),
                "found": ours.names[best] if overlap[best] else "-",
                "overlap": overlap[best],
            }
        )
    return rows
