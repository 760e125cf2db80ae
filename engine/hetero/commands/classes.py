"""``hetero classes``: volumes that have the same blocks, and every particle's class."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hetero.commands import POSITIONAL, check_range
from hetero.commands.assignments import nearest_volumes, read_assignment
from hetero.commands.particle_counts import read_counts
from hetero.errors import HeteroError
from hetero.files import atomic_path, check_picture, check_result
from hetero.maps import read_blocks, read_table, update_table
from hetero.maps.ensemble import TABLE
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Sort volumes into classes by their occupancies: Ward's hierarchical clustering, or along a moving domain's chain.

    Attributes:
        table: Table of occupancies of volumes, from hetero occupancy.
        out: Table to write (.csv): each volume's class and place in the heat map. Beside it: OUT.png (heat map with
            dendrogram) and OUT_matrix.csv (the heat map's numbers, in its order).
        number: How many classes.
        height: Cut the tree at this distance instead. With neither, the number (2 to 12) of the best mean silhouette.
        along: Folder of the blocks, from hetero blocks: no tree, but the order of the volumes along a chain of blocks
            (a domain that moves), cut into --number (5) classes of equally many volumes, class 1 at one end.
        chain: Which chain of that folder.
        stretch: First stretch the 10th to 90th percentile of all numbers to 0 to 1, as is usual with MAVEn's.
        ensemble: Folder of the maps: their classes are written into its ensemble.csv, whose n_particles are counted.
        labels: Which volume each particle belongs to: a .csv with particle and name, or the k-means labels of cryoDRGN
            (.pkl, .npy) of these volumes. Gives OUT_particles.csv.
        run: The trained run, in place of labels: each particle belongs to the volume nearest to it in latent space, by
            the columns z1, z2 ... of the ensemble.csv of --ensemble. Gives OUT_particles.csv too.
        epoch: Which epoch of the run, where it keeps several, as its file names count; without it the newest.
    """

    table: Path = field(metadata=POSITIONAL)
    out: Path
    number: int | None = None
    height: float | None = None
    along: Path | None = None
    chain: str = "chain_1"
    stretch: bool = False
    ensemble: Path | None = None
    labels: Path | None = None
    run: Path | None = None
    epoch: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{n, height, chain, classes: [{class, volumes, particles, representative, occupancy}], left_out, out,
    written}``.

    ``occupancy`` is the median of each block; ``left_out`` are volumes without any number (empty at their level), which
    are of no class.

    Raises:
        HeteroError: no such table, a table of particles, a volume without a number, or labels of other volumes.
    """
    from hetero.occupancy import draw_heat_map, read_occupancy
    from hetero.occupancy.classes import MOST_CLASSES, sort_along, sort_into_classes
    from hetero.occupancy.picture import leaf_order

    stem = settings.out.with_suffix("")
    written = [settings.out, Path(f"{stem}_matrix.csv"), settings.out.with_suffix(".png")]
    _check(settings, written)
    table = read_occupancy(settings.table)
    if table.index.name != "name":
        raise HeteroError(
            f"{settings.table} has a row for each particle; classes are made of volumes, and --labels gives particles "
            "the class of their volume."
        )
    everyone = table.index
    table = _complete(table, settings.table)
    place = None if settings.along is None else _places(settings, table)
    if place is not None:
        place = place[place.notna()]
        table = table.loc[place.index]
    left_out = everyone.difference(table.index, sort=False)
    counts = _counts(settings.ensemble, table, settings.table)
    # Before anything is written: labels that do not fit must leave nothing behind.
    assigned = _assignment(settings, table.index, everyone)
    progress(0, 0, "clustering")
    values = _stretched(table.to_numpy()) if settings.stretch else table.to_numpy()
    if place is None:
        classes = sort_into_classes(values, settings.number, settings.height)
    else:
        classes = sort_along(place.to_numpy(), 5 if settings.number is None else settings.number)
    answer = _table_of_classes(table, classes)
    _write(written[0], answer)
    _write(written[1], table.iloc[classes.order, leaf_order(values.T)])
    draw_heat_map(written[2], values, list(table.index), list(table.columns), "occupancy", classes)
    if assigned is not None:
        written.append(Path(f"{stem}_particles.csv"))
        particles = assigned.map(answer["class"]).astype("Int64").rename("class")
        _write(written[-1], particles.to_frame())
        counts = particles.value_counts().reindex(range(1, classes.labels.max() + 1), fill_value=0)
    elif counts is not None:
        counts = pd.Series(counts, table.index).groupby(answer["class"]).sum()
    if settings.ensemble is not None:
        update_table(settings.ensemble / TABLE, answer[["class"]].reindex(everyone).astype("Int64"))
        written.append(settings.ensemble / TABLE)
    return {
        "n": len(table),
        "height": classes.height,
        "chain": None if place is None else settings.chain,
        "most_tried": MOST_CLASSES if place is None and settings.number is None and settings.height is None else None,
        "classes": _rows(table, classes, counts),
        "left_out": list(left_out),
        "out": str(settings.out),
        "written": [str(path) for path in written],
    }


def describe(result: dict[str, Any]) -> str:
    """A line a class: how many, what it looks like, and where."""
    how = f"along {result['chain']}" if result["chain"] else f"cut at a distance of {result['height']:.3g}"
    lines = [f"{result['n']} volumes in {len(result['classes'])} classes, {how}"]
    width = max(len(row["representative"]) for row in result["classes"])
    for row in result["classes"]:
        particles = "" if row["particles"] is None else f", {row['particles']:,} particles"
        full = [block for block, share in row["occupancy"].items() if share >= 0.5]
        has = ", ".join(full[:8]) + (" ..." if len(full) > 8 else "") if full else "none"
        lines.append(
            f"class {row['class']}: {row['volumes']} volumes{particles}; like {row['representative']:{width}}; "
            f"blocks at 0.5 or more: {has}"
        )
    if len(result["classes"]) == result["most_tried"]:
        lines.append(f"{len(result['classes'])} is the most that was tried; --number or --height may cut finer")
    if result["left_out"]:
        names = result["left_out"]
        some = f"{', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
        lines.append(f"without any number, so of no class: {len(names)} ({some})")
    return "\n".join([*lines, "written: " + ", ".join(result["written"])])


def _assignment(settings: Settings, classed: pd.Index, everyone: pd.Index) -> pd.Series | None:
    """Volume name of each particle, or None where nothing tells it; the nearest one is one that has a class."""
    if settings.labels is not None:
        return read_assignment(settings.labels, everyone)
    if settings.run is None:
        return None
    from hetero.commands.open_run import open_run

    return nearest_volumes(open_run(settings.run, settings.epoch), settings.ensemble / TABLE, classed)


def _check(settings: Settings, written: list[Path]) -> None:
    inputs = (settings.table, settings.labels)
    check_result(written[0], ("name,class,order",), inputs)
    check_result(written[1], ("name",), inputs)
    check_picture(written[2])
    if settings.labels is not None and settings.run is not None:
        raise HeteroError("Both labels and a run were given; one of them was expected.")
    if settings.run is not None and settings.ensemble is None:
        raise HeteroError("--run needs --ensemble: where the volumes lie in latent space is in its ensemble.csv.")
    if settings.labels is not None or settings.run is not None:
        check_result(Path(f"{settings.out.with_suffix('')}_particles.csv"), ("particle,class",), inputs)
    if settings.number is not None and settings.height is not None:
        raise HeteroError("Both a number of classes and a height were given; one of them was expected.")
    if settings.along is not None and (settings.height is not None or settings.stretch):
        raise HeteroError("--along puts volumes in an order and makes no tree; leave out --height and --stretch.")
    if settings.height is not None:
        check_range("The height", settings.height, 0)
    if settings.ensemble is not None and not settings.ensemble.is_dir():
        raise HeteroError(f"{settings.ensemble} is not a folder; the folder of the maps was expected.")


def _places(settings: Settings, table: pd.DataFrame) -> pd.Series:
    """Where each volume is along the chain that was asked for; NaN where it has none of its blocks."""
    from hetero.occupancy.classes import chain_place

    blocks = read_blocks(settings.along).table
    chains = sorted(set(blocks["chain"].dropna())) if "chain" in blocks else []
    if settings.chain not in chains:
        has = ", ".join(chains) or "none: its blocks are no steps of one motion"
        raise HeteroError(f"{settings.along} has no chain {settings.chain}; its chains: {has}.")
    places = blocks.loc[blocks["chain"] == settings.chain, "place"]
    missing = places.index.difference(table.columns)
    if len(missing):
        raise HeteroError(f"{settings.table} has no numbers of {missing[0]}, a block of {settings.along}.")
    lowest = float(table[places.index].min(axis=None))
    if lowest < 0:
        raise HeteroError(
            f"{settings.table} has numbers down to {lowest:.3g}; the place along a chain needs shares from 0 to 1, as "
            "hetero occupancy gives without --reference."
        )
    return pd.Series(chain_place(table[places.index].to_numpy(), places.to_numpy()), table.index)


def _complete(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Without the blocks and the volumes that have no number at all; any other gap is refused."""
    table = table.dropna(axis="columns", how="all").dropna(axis="index", how="all")
    gaps = table.isna()
    if gaps.to_numpy().any():
        row = table.index[gaps.any(axis=1)][0]
        raise HeteroError(f"{path} has no number for {table.columns[gaps.loc[row]][0]} of {row}; classes need all.")
    if not len(table.columns):
        raise HeteroError(f"{path} has no numbers at all.")
    return table


def _counts(ensemble: Path | None, table: pd.DataFrame, path: Path) -> np.ndarray | None:
    if ensemble is None:
        return None
    names = read_table(ensemble / TABLE)
    if "n_particles" not in names:
        return None
    return read_counts(ensemble, table, path)


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, [10, 90])
    if high <= low:
        raise HeteroError("All occupancies between the 10th and the 90th percentile are equal; leave out --stretch.")
    return np.clip((values - low) / (high - low), 0, 1)


def _table_of_classes(table: pd.DataFrame, classes) -> pd.DataFrame:
    """``class``, ``order`` (row in the heat map from 0) and ``representative`` of each volume, and its ``place`` along
    the chain where there is one; rows as in ``table``."""
    order = np.empty(len(table), dtype=int)
    order[classes.order] = np.arange(len(table))
    representative = np.isin(np.arange(len(table)), classes.representatives)
    columns = {"class": classes.labels, "order": order, "representative": representative}
    return pd.DataFrame(columns if classes.place is None else columns | {"place": classes.place}, index=table.index)


def _rows(table: pd.DataFrame, classes, particles: pd.Series | None) -> list[dict[str, Any]]:
    rows = []
    for label, representative in enumerate(classes.representatives, start=1):
        members = table[classes.labels == label]
        rows.append(
            {
                "class": label,
                "volumes": len(members),
                "particles": None if particles is None else int(particles.get(label, 0)),
                "representative": str(table.index[representative]),
                "occupancy": {str(k): float(v) for k, v in members.median().items()},
            }
        )
    return rows


def _write(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path, keep=True) as temporary:
        table.to_csv(temporary, index_label=table.index.name)
