"""`hetero occupancy`: how much of each block is there, in every map."""

import os
import tempfile

from chimerax.core.commands import Annotation, CmdDesc, ModelsArg, register
from chimerax.core.errors import UserError

from ..models.blocks import BlocksModel
from ..models.measured import Measured, keep_measured, measured_of
from ..models.staging import scratch, stage_maps
from ..report import log_picture, log_table
from ..worker import ask
from .arguments import OpenMapsArg, PathArg

_MOST_ROWS = 50  # of the table in the log; the file has all


class BlocksArg(Annotation):
    """Blocks: the number of their model, or their folder. Parsed to the folder's path."""

    name = "blocks (model number or folder)"

    @classmethod
    def parse(cls, text, session):
        """The folder, the text that named it, and the rest of the command.

        Raises:
            UserError: the number is that of no blocks, or of several folders of them.
        """
        if not text.startswith("#"):
            return PathArg.parse(text, session)
        models, used, rest = ModelsArg.parse(text, session)
        blocks = [model for model in models if isinstance(model, BlocksModel)]
        if len(blocks) != 1:
            found = f"{len(blocks)} folders of blocks" if blocks else "no blocks"
            raise UserError(f"{used} names {found}; the number of one model of blocks was expected.")
        return blocks[0].folder, used, rest


def hetero_occupancy(session, volumes, blocks, save=None):
    """Measure ``blocks`` (a folder) in each map at its level; returns ``{map name: {block: share or None}}``.

    The table is ``save`` (.csv), or one that lasts as long as ChimeraX runs; `hetero populations` and `hetero classes`
    take it up.

    Raises:
        UserError: the engine's sentence, such as blocks on another grid.
    """
    out = save or os.path.join(scratch(session), "occupancy.csv")
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        named = stage_maps(session, volumes, folder)
        answer = ask(session, "occupancy", {"folder": folder, "blocks": blocks, "out": out})
        rows = dict(zip(answer["names"], answer["values"], strict=True))
    shares = {name: dict(zip(answer["columns"], rows[name], strict=True)) for name in named}
    keep_measured(session, Measured(out, blocks, named, shares))
    session.logger.info(f"occupancy of {len(answer['columns'])} blocks in {len(named)} maps: {out}")
    for name in answer["empty"]:
        session.logger.warning(f"{named[name]} has no voxel at its level, so no occupancy")
    shown = [[name, *("" if x is None else f"{x:.2f}" for x in rows[name])] for name in list(named)[:_MOST_ROWS]]
    log_table(session, ["map", *answer["columns"]], shown)
    if len(named) > _MOST_ROWS:
        session.logger.info(f"the table shows the first {_MOST_ROWS} maps")
    log_picture(session, answer["picture"])
    return shares


def last_table(session, table):
    """The table that a command takes: the one that was named, or that of the last `hetero occupancy`.

    Raises:
        UserError: there is none.
    """
    if table is not None:
        return table
    measured = measured_of(session)
    if measured is None or not os.path.isfile(measured.table):
        raise UserError("No occupancies were measured yet; name a table, or run 'hetero occupancy' first.")
    return measured.table


def register_command(name, logger):
    """Register `hetero occupancy`."""
    description = CmdDesc(
        required=[("volumes", OpenMapsArg)],
        keyword=[("blocks", BlocksArg), ("save", PathArg)],
        required_arguments=["blocks"],
        synopsis="measure how much of each block is there in maps, each at its level",
    )
    register(name, description, hetero_occupancy, logger=logger)
