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


def hetero_populations(session, table=None, ensemble=None, min_gap=None, save=None):
    """Count who has each block in a table of occupancies; returns the engine's rows, one a block.

    Raises:
        UserError: no table, or the engine's sentence.
    """
    settings = {"table": last_table(session, table), "out": save or os.path.join(scratch(session), "populations.csv")}
    settings |= given(ensemble=ensemble, min_gap=min_gap)
    answer = ask(session, "populations", settings)
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
        keyword=[("ensemble", PathArg), ("min_gap", Bounded(FloatArg, min=0, max=1)), ("save", PathArg)],
        synopsis="count what share of maps or particles has each block",
    )
    register(name, description, hetero_populations, logger=logger)
