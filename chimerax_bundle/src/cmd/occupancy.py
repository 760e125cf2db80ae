"""`hetero occupancy`: how much of each block is there, in every map."""

import os
import tempfile

from chimerax.core.commands import (
    Annotation,
    BoolArg,
    Bounded,
    CmdDesc,
    FloatArg,
    ListOf,
    ModelsArg,
    StringArg,
    register,
)
from chimerax.core.errors import UserError

from ..jobs import new_folder, run_job
from ..models.blocks import BlocksModel
from ..models.measured import Measured, keep_measured, measured_of
from ..models.run import RunModel
from ..models.staging import scratch, stage_maps
from ..report import log_picture, log_table
from ..worker import ask
from .arguments import OpenMapsArg, PathArg, given
from .results import open_result
from .runs import RunArg, run_of


class MapsOrRunArg(Annotation):
    """Open maps; or a run, by its model number or its folder."""

    name = "density maps, or a run (model number or folder)"

    @classmethod
    def parse(cls, text, session):
        """A list of maps, or a RunModel or its folder; the text; and the rest of the command."""
        if text.startswith("#") and not any(isinstance(m, RunModel) for m in ModelsArg.parse(text, session)[0]):
            return OpenMapsArg.parse(text, session)
        return RunArg.parse(text, session)


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


def hetero_occupancy(session, what, blocks=None, save=None, wait=None, particles=None, **masks):
    """Measure ``blocks`` (a folder) in maps, each at its level; returns ``{map name: {block: share or None}}``.

    Or, of a run, in the map of every particle, or of those in the file ``particles``: returns the Job.

    ``masks`` are in place of blocks: model (a structure file), chains, resolution. The table is ``save`` (.csv), or one
    that lasts as long as ChimeraX runs (a job's: as its folder); `hetero populations` and `hetero classes` take it up.

    Raises:
        UserError: the engine's sentence, such as blocks on another grid.
    """
    settings = _what_to_measure(blocks, masks)
    if not isinstance(what, list):
        return _measure_run(session, run_of(session, what), settings | {"particles": particles or "all"}, save, wait)
    if particles is not None:
        raise UserError("Maps have no particles; name a run, whose particles' maps are then measured.")
    return _measure_maps(session, what, settings, save)


def _what_to_measure(blocks, masks):
    """The engine's settings for blocks or masks.

    Raises:
        UserError: both or neither.
    """
    masks = given(**masks)
    if (blocks is None) == ("model" not in masks):
        raise UserError("One of 'blocks' (their model or folder) and 'model' (a structure file) was expected.")
    if blocks is not None and masks:
        raise UserError(f"Blocks have no {' and no '.join(masks)}; these go with 'model'.")
    return masks if blocks is None else {"blocks": blocks}


def _measure_run(session, run, settings, save, wait):
    folder = new_folder()
    settings |= {"folder": run.folder} | run.read_as("epoch", "apix", "flip", "invert")
    settings["out"] = save or os.path.join(folder, "occupancy.csv")
    return run_job(session, "occupancy", settings, folder, wait, open_result)


def _measure_maps(session, volumes, settings, save):
    out = save or os.path.join(scratch(session), "occupancy.csv")
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        named = stage_maps(session, volumes, folder)
        answer = ask(session, "occupancy", settings | {"folder": folder, "out": out})
        rows = dict(zip(answer["names"], answer["values"], strict=True))
    shares = {name: dict(zip(answer["columns"], rows[name], strict=True)) for name in named}
    keep_measured(session, Measured(out, settings.get("blocks", ""), named, shares))
    session.logger.info(f"occupancy of {len(answer['columns'])} blocks in {len(named)} maps: {out}")
    for name in answer["empty"]:
        session.logger.warning(f"{named[name]} has no voxel at its level, so no occupancy")
    shown = [[name, *("" if x is None else f"{x:.2f}" for x in rows[name])] for name in named]
    log_table(session, ["map", *answer["columns"]], shown)
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
        required=[("what", MapsOrRunArg)],
        keyword=[
            ("blocks", BlocksArg),
            ("model", PathArg),
            ("chains", ListOf(StringArg)),
            ("resolution", Bounded(FloatArg, min=1)),
            ("particles", PathArg),
            ("save", PathArg),
            ("wait", BoolArg),
        ],
        synopsis="measure how much of each block is there in maps, or in the maps of a run's particles",
    )
    register(name, description, hetero_occupancy, logger=logger)
