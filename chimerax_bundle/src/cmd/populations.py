"""`hetero populations`: what share of maps or particles has each block."""

import os
from dataclasses import replace

from chimerax.core.commands import Bounded, CmdDesc, FloatArg, register

from ..models.measured import keep_measured, measured_of
from ..models.staging import scratch
from ..report import log_picture, log_table
from ..worker import ask
from .arguments import PathArg, given
from .occupancy import last_table

_WORDS = {"one": "one population", "spread": "spread without two groups"}


def hetero_populations(session, table=None, save=None, **options):
    """Count who has each block in a table of occupancies; returns the engine's rows, one a block.

    ``options`` are the engine's: ensemble, min_gap; against, a second table with which the first is compared, and
    against_ensemble.

    Raises:
        UserError: no table, or the engine's sentence.
    """
    settings = {"table": last_table(session, table), "out": save or os.path.join(scratch(session), "populations.csv")}
    answer = ask(session, "populations", settings | given(**options))
    if "against" in answer:
        return _tell_differences(session, answer)
    measured = measured_of(session)
    if measured is not None and measured.table == settings["table"]:
        keep_measured(session, replace(measured, populations={row["block"]: row for row in answer["blocks"]}))
    weighted = ", each counted by its particles" if answer["weighted"] else ""
    session.logger.info(f"populations of {answer['n']} {answer['units']}{weighted}: {answer['out']}")
    titles = ["block", "present in", "95 % interval", "occupancy there", "elsewhere", ""]
    log_table(session, titles, [_cells(row) for row in answer["blocks"]])
    pairs = [pair for pair in answer["pairs"] if pair["relation"] != "independent"]
    if pairs:
        cells = [[p["first"], p["relation"], p["second"], f"{p['p_holm']:.1g}"] for p in pairs]
        log_table(session, ["block", "", "block", "corrected p"], cells)
    log_picture(session, os.path.splitext(answer["out"])[0] + ".png")
    return answer["blocks"]


def _tell_differences(session, answer):
    """Two tables, block by block; returns the engine's rows."""
    session.logger.info(
        f"populations of {answer['n']} {answer['units']} against {answer['n_against']} of {answer['against']}: "
        f"{answer['out']}"
    )
    titles = ["block", "here", "there", "difference", "95 % interval", ""]
    log_table(session, titles, [_difference(row) for row in answer["blocks"]])
    return answer["blocks"]


def _difference(row):
    if row["difference"] is None:
        return [row["block"], "", "", "", "", f"{_WORDS['one']} in both together"]
    shares = [f"{100 * row[name]:.1f} %" for name in ("fraction", "fraction_against")]
    numbers = [f"{100 * row['difference']:+.1f}", f"{100 * row['low95']:+.1f} to {100 * row['high95']:+.1f}"]
    sure = "" if row["low95"] <= 0 <= row["high95"] else "a difference"
    return [row["block"], *shares, *numbers, sure if row["kind"] == "two" else _WORDS["spread"]]


def _cells(row):
    if row["kind"] != "two":
        mean = "" if row["mean"] is None else f" at {row['mean']:.2f}"
        return [row["block"], "", "", "", "", _WORDS[row["kind"]] + mean]
    interval = f"{100 * row['fraction_low95']:.1f} to {100 * row['fraction_high95']:.1f} %"
    few = "the smaller group is so small that the interval may be too narrow" if row["few"] else ""
    shares = [f"{100 * row['fraction']:.1f} %", interval, f"{row['high']:.2f}", f"{row['low']:.2f}"]
    return [row["block"], *shares, few]


def register_command(name, logger):
    """Register `hetero populations`."""
    description = CmdDesc(
        optional=[("table", PathArg)],
        keyword=[
            ("ensemble", PathArg),
            ("min_gap", Bounded(FloatArg, min=0, max=1)),
            ("against", PathArg),
            ("against_ensemble", PathArg),
            ("save", PathArg),
        ],
        synopsis="count what share of maps or particles has each block",
    )
    register(name, description, hetero_populations, logger=logger)
