"""What is known of each particle: tables and runs, joined by particle number."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hetero import earlier
from hetero.commands.assignments import read_assignment
from hetero.commands.particle_occupancy import sidecar
from hetero.errors import HeteroError


@dataclass(frozen=True)
class Extent:
    """Which rows of a particle file are spoken of.

    Attributes:
        rows: the file has at least so many.
        exact: it has exactly so many: the run was trained on every particle.
        run: folder of the run, where known.
        source: what says so, for messages.
    """

    rows: int
    exact: bool
    run: str | None
    source: Path


def read_sources(paths: tuple[Path, ...], labels: Path | None, epoch: int | None = None) -> tuple[pd.DataFrame, Extent]:
    """All that is known of the particles that every source knows: a row a particle number, and their file's extent.

    Args:
        paths: tables and runs.
        labels: which volume each particle belongs to, for tables of volumes.
        epoch: of the runs; without it the newest.

    Raises:
        HeteroError: no table and no run, the same column in two sources, or no particle in all of them.
    """
    tables, extents = [], []
    for path in paths:
        table, extent = _read_run(path, epoch) if path.is_dir() else _read_table(path, labels)
        for other, before in zip(tables, paths, strict=False):
            shared = [c for c in table.columns if c in other.columns]
            if shared:
                raise HeteroError(
                    f"{before} and {path} both have {shared[0]}, and a rule could mean either: name only the tables "
                    "that it needs."
                )
        tables.append(table)
        extents.append(extent)
    joined = tables[0] if len(tables) == 1 else pd.concat(tables, axis="columns", join="inner")
    if not len(joined):
        raise HeteroError(f"{paths[0]} and {paths[1]} have no particle in common.")
    # The one that knows most: a run or its table says how long the particle file is, others only how long at least.
    known = max(extents, key=lambda e: (e.exact, e.run is not None, e.rows))
    rows = known.rows if known.exact else max(e.rows for e in extents)
    return joined, Extent(rows, known.exact, known.run, known.source)


def check_extent(original: Path, extent: Extent) -> None:
    """Refuse a particle file that cannot be the one the run was trained on.

    Raises:
        HeteroError: it has another number of rows; says both.
    """
    check_rows(original, count_particles(original), extent)


def check_rows(original: Path, rows: int, extent: Extent) -> None:
    """:func:`check_extent` where the number of ``rows`` is known already."""
    if extent.exact and rows != extent.rows:
        raise HeteroError(
            f"{original} lists {rows:,} particles and the run of {extent.source} has {extent.rows:,}; the file "
            "that the model was trained on was expected."
        )
    if rows < extent.rows:
        raise HeteroError(
            f"{original} lists {rows:,} particles, and {extent.source} speaks of particle {extent.rows - 1:,} (counted "
            "from 0); the file that the model was trained on was expected."
        )


def count_particles(path: Path) -> int:
    """Rows of a particle file (.star or .cs)."""
    from hetero.particles import particle_block, read_cs

    if path.suffix.lower() == ".cs":
        return len(read_cs(path))
    return particle_block(path).rows


def _read_table(path: Path, labels: Path | None) -> tuple[pd.DataFrame, Extent]:
    from hetero.occupancy import read_occupancy

    table = read_occupancy(path)
    if table.index.name == "name":
        if labels is None:
            raise HeteroError(
                f"{path} has a row for each volume; give --labels to say which particles belong to which volume."
            )
        volume = read_assignment(labels, table.index)
        table = table.loc[volume.to_numpy()].set_axis(volume.index)
    rows, exact, run = int(table.index.max()) + 1, False, None
    beside = sidecar(earlier.before(path) if earlier.is_damaged(path) else path)  # of the table that was read
    if beside.is_file():
        try:
            about = json.loads(beside.read_text())
            numbered, trained = int(about["particles_numbered_to"]) + 1, int(about["particles_in_run"])
            rows, exact, run = max(rows, numbered), numbered == trained, about.get("run")
        except (ValueError, KeyError, TypeError) as error:
            raise HeteroError(f"{beside} does not say which run {path.name} is of; measure again.") from error
    return table, Extent(rows, exact, run, path)


def _read_run(path: Path, epoch: int | None) -> tuple[pd.DataFrame, Extent]:
    from hetero.commands.open_run import open_run

    run = open_run(path, epoch)
    columns = [f"z{i}" for i in range(1, run.zdim + 1)]
    table = pd.DataFrame(run.latents.astype(float), pd.Index(run.particle_index, name="particle"), columns)
    rows = int(run.particle_index.max()) + 1
    return table, Extent(rows, rows == len(run), str(path.resolve()), path)
