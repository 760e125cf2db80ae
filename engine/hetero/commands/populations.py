"""``hetero populations``: what share of the particles has each block, and which blocks go together."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hetero.commands import POSITIONAL, check_range
from hetero.commands.particle_counts import read_counts
from hetero.errors import HeteroError
from hetero.files import atomic_path, check_picture, check_result
from hetero.progress import Progress, silent

_COLUMNS = (
    "kind", "units", "mean", "low", "high", "sd", "cut", "fraction", "fraction_low95", "fraction_high95", "few",
    "bic_gain", "single_mode_p",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Count populations: for each block the fraction of particles that have it, with a 95 % interval.

    A mixture of two Gaussians with one variance is fitted to each block's occupancies. Where one is enough, or the
    numbers are spread without two groups, that is said instead of a fraction.

    Attributes:
        table: Table of occupancies of volumes or of particles, from hetero occupancy.
        out: Table to write (.csv). Beside it: OUT_pairs.csv (blocks two by two), OUT_high.csv (who has what), OUT.png.
        ensemble: Folder of the maps, or its ensemble.csv: volumes count by its column n_particles.
        against: A second table, of another data set: the difference of fractions is told, and no pairs.
        against_ensemble: For the second table, as ensemble.
        min_gap: Least difference of mean occupancy between two populations.
        as_published: Two populations for every block, whatever the tests say.
        seed: For the bootstrap.
    """

    table: Path = field(metadata=POSITIONAL)
    out: Path
    ensemble: Path | None = None
    against: Path | None = None
    against_ensemble: Path | None = None
    min_gap: float = 0.2
    as_published: bool = False
    seed: int = 0


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{units, n, weighted, blocks, pairs, out, written}``, or with ``against``: ``{units, n, blocks, out, written}``.

    Raises:
        HeteroError: no such table, volumes that ensemble.csv does not count, or two tables without a common block.
    """
    stem = settings.out.with_suffix("")
    inputs = (settings.table, settings.against, settings.ensemble, settings.against_ensemble)
    check_result(settings.out, ("block",), inputs)
    if settings.against is None:
        check_result(Path(f"{stem}_pairs.csv"), ("first",), inputs)
        check_result(Path(f"{stem}_high.csv"), ("name", "particle"), inputs)
        check_picture(settings.out.with_suffix(".png"))
    check_range("The least difference (min-gap)", settings.min_gap, 0)
    check_range("The seed", settings.seed, 0)
    if settings.against is None and settings.against_ensemble is not None:
        raise HeteroError("--against-ensemble goes with --against, and no second table was given.")
    table = read_occupancies(settings.table)
    weights = read_counts(settings.ensemble, table, settings.table)
    head = {"units": _unit_word(table), "n": len(table), "weighted": weights is not None, "out": str(settings.out)}
    if settings.against is not None:
        return head | _compare(settings, table, weights, progress)
    return head | _describe_one(settings, table, weights, progress)


def describe(result: dict[str, Any]) -> str:
    """A sentence a block, then the pairs that are not independent."""
    lines = [_say_units(result)]
    width = max(len(row["block"]) for row in result["blocks"])
    if "against" in result:
        lines[0] += f", against {result['n_against']} of {result['against']}"
        for row in result["blocks"]:
            lines.append(f"{row['block']:{width}}  {_say_difference(row)}")
    else:
        lines += [f"{row['block']:{width}}  {_say_block(row)}" for row in result["blocks"]]
        without = result["n"] - max(row["units"] for row in result["blocks"])
        if without:
            lines[0] += f"; {without} of them have no number and are not counted"
        told = [row for row in result["pairs"] if row["relation"] != "independent"]
        if result["pairs"]:
            rest = len(result["pairs"]) - len(told)
            lines.append(f"pairs: {rest} of {len(result['pairs'])} show no dependence (Holm, 5 %)")
        for row in told:
            odds = f"odds ratio {row['odds_ratio']:.3g}, corrected p {row['p_holm']:.1g}"
            lines.append(f"  {row['first']} and {row['second']}: {row['relation']} ({odds})")
    return "\n".join([*lines, "written: " + ", ".join(result["written"])])


def read_occupancies(path: Path) -> pd.DataFrame:
    """A table of occupancies, as ``hetero.occupancy.read_occupancy`` gives it.

    Raises:
        HeteroError: no such table, or one of classes.
    """
    from hetero.occupancy import read_occupancy

    table = read_occupancy(path)
    if {"class", "representative"} <= set(table.columns):
        raise HeteroError(f"{path} is a table of classes; one of occupancies, a column a block, was expected.")
    return table


def _describe_one(settings: Settings, table: pd.DataFrame, weights: np.ndarray | None, progress: Progress) -> dict:
    from hetero.occupancy.pairs import compare_pairs
    from hetero.occupancy.picture import draw_populations
    from hetero.occupancy.populations import fit_population

    rng = np.random.default_rng(settings.seed)
    found = {}
    for i, block in enumerate(table.columns):
        progress(i, len(table.columns), f"fitting {block}")
        values = table[block].to_numpy()
        found[block] = fit_population(
            values, weights, rng, min_gap=settings.min_gap, as_published=settings.as_published
        )
    two = {block: p.is_high for block, p in found.items() if p.kind == "two"}
    pairs = [asdict(pair) for pair in compare_pairs(two, weights)]
    rows = [_row(block, p) for block, p in found.items()]
    stem = settings.out.with_suffix("")
    picture = settings.out.with_suffix(".png")
    high = pd.DataFrame({b: two.get(b, np.full(len(table), np.nan)) for b in table.columns}, index=table.index)
    _write(settings.out, pd.DataFrame(rows).set_index("block"))
    _write(Path(f"{stem}_pairs.csv"), _pair_table(pairs))
    _write(Path(f"{stem}_high.csv"), high.astype("Int8"))
    draw_populations(picture, table, found, weights)
    written = [str(settings.out), f"{stem}_pairs.csv", f"{stem}_high.csv", str(picture)]
    return {"blocks": [_plain(row) for row in rows], "pairs": [_plain(row) for row in pairs], "written": written}


def _compare(settings: Settings, table: pd.DataFrame, weights: np.ndarray | None, progress: Progress) -> dict:
    from hetero.occupancy.populations import fraction_difference

    other = read_occupancies(settings.against)
    other_weights = read_counts(settings.against_ensemble, other, settings.against)
    common = [block for block in table.columns if block in other.columns]
    if not common:
        raise HeteroError(
            f"{settings.table} has the blocks {', '.join(table.columns[:3])} ... and {settings.against} has "
            f"{', '.join(other.columns[:3])} ...; the same blocks measured in both data sets were expected."
        )
    rng = np.random.default_rng(settings.seed)
    rows = []
    for i, block in enumerate(common):
        progress(i, len(common), f"comparing {block}")
        rows.append(
            {
                "block": block,
                **fraction_difference(
                    (table[block].to_numpy(), weights), (other[block].to_numpy(), other_weights), rng, settings.min_gap
                ).as_row(),
            }
        )
    _write(settings.out, pd.DataFrame(rows).set_index("block"))
    return {
        "against": str(settings.against),
        "n_against": len(other),
        "blocks": [_plain(row) for row in rows],
        "written": [str(settings.out)],
    }


def _row(block: str, p) -> dict[str, Any]:
    """A block's numbers; what would claim two groups where there are none is left empty."""
    values = {c: getattr(p, c) for c in _COLUMNS if hasattr(p, c)}
    values["fraction_low95"], values["fraction_high95"] = p.interval
    if p.kind != "two":
        values |= dict.fromkeys(("low", "high", "cut", "fraction", "fraction_low95", "fraction_high95"), np.nan)
    return {"block": block} | {c: values[c] for c in _COLUMNS}


def _pair_table(pairs: list[dict[str, Any]]) -> pd.DataFrame:
    columns = ["first", "second", "relation", "both", "only_first", "only_second", "neither", "odds_ratio"]
    rows = []
    for pair in pairs:
        shares = {f"share_{cell}": share for cell, share in zip(columns[3:7], pair["shares"], strict=True)}
        low, high = pair["interval"]
        rows.append({c: pair[c] for c in columns} | {"odds_low95": low, "odds_high95": high} | shares)
        rows[-1] |= {"p": pair["p"], "p_holm": pair["p_holm"]}
    return pd.DataFrame(rows, columns=None if rows else columns).set_index("first")


def _write(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index_label=table.index.name)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON's own values; NaN becomes None."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in plain.items()}


def _unit_word(table: pd.DataFrame) -> str:
    return "volumes" if table.index.name == "name" else "particles"


def _say_units(result: dict[str, Any]) -> str:
    weighted = ", each counted by its particles" if result["weighted"] else ""
    return f"{result['n']} {result['units']}{weighted}"


def _say_block(row: dict[str, Any]) -> str:
    if row["kind"] == "one":
        return "one population" + ("" if row["mean"] is None else f", at an occupancy of {row['mean']:.2f}")
    if row["kind"] == "spread":
        return f"spread about {row['mean']:.2f} without two groups; no fraction can be told"
    text = (
        f"present in {100 * row['fraction']:.1f} % ({100 * row['fraction_low95']:.1f} - "
        f"{100 * row['fraction_high95']:.1f} %); occupancy {row['high']:.2f} there, "
        f"{round(row['low'], 2) + 0.0:.2f} elsewhere"  # + 0.0: no minus before a zero
    )
    return text + ("; so few are in the smaller group that the interval may be too narrow" if row["few"] else "")


def _say_difference(row: dict[str, Any]) -> str:
    if row["difference"] is None:
        return "one population in both together; no fraction can be told"
    spread = " (spread without two groups)" if row["kind"] == "spread" else ""
    sure = "" if row["low95"] <= 0 <= row["high95"] else ", a difference"
    return (
        f"{100 * row['fraction']:.1f} % and {100 * row['fraction_against']:.1f} %: "
        f"{100 * row['difference']:+.1f} points ({100 * row['low95']:+.1f} to {100 * row['high95']:+.1f}){sure}{spread}"
    )
