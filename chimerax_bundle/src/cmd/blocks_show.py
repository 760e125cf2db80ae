"""`hetero blocks show`: which block surfaces are displayed."""

import re

from chimerax.core.commands import CmdDesc, ModelsArg, StringArg, register
from chimerax.core.errors import UserError
from chimerax.core.undo import UndoState

from ..models.blocks import BlocksModel


def hetero_blocks_show(session, which, blocks=None):
    """Display the blocks that ``which`` names (``3``, ``1,5``, ``2-4``, a name, all, none) and hide the others.

    ``blocks`` are the models to look at, all open blocks without it. Returns the surfaces displayed.

    Raises:
        UserError: no blocks are open, or a number or name that no block has.
    """
    models = [m for m in (session.models.list() if blocks is None else blocks) if isinstance(m, BlocksModel)]
    surfaces = [surface for model in models for surface in model.surfaces]
    if not surfaces:
        raise UserError("No blocks are open; open a folder of them with 'hetero blocks FOLDER'.")
    chosen = choose(surfaces, which)
    change = UndoState("hetero blocks show")
    for surface in surfaces:
        change.add(surface, "display", surface.display, surface in chosen)
        surface.display = surface in chosen
    session.undo.register(change)
    names = ", ".join(str(surface) for surface in chosen) if len(chosen) <= 8 else f"{len(chosen)} blocks"
    session.logger.info(f"displayed: {names or 'no block'}")
    return chosen


def choose(surfaces, which):
    """The surfaces that ``which`` names.

    Raises:
        UserError: a part of it names no block.
    """
    if which in ("all", "none"):
        return list(surfaces) if which == "all" else []
    chosen = []
    for part in filter(None, re.split(r"[,\s]+", which)):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if span:
            first, last = int(span[1]), int(span[2] or span[1])
            found = [s for s in surfaces if first <= s.number <= last]
        else:
            found = [s for s in surfaces if s.block_name == part]
        if not found:
            numbers = sorted({s.number for s in surfaces})
            raise UserError(f"No open block is called {part}; their numbers are {numbers[0]} to {numbers[-1]}.")
        chosen += [s for s in found if s not in chosen]
    return chosen


def register_command(name, logger):
    """Register `hetero blocks show`."""
    description = CmdDesc(
        required=[("which", StringArg)],
        keyword=[("blocks", ModelsArg)],
        synopsis="display some blocks and hide the others: numbers (3 or 1,5 or 2-4), names, all or none",
    )
    register(name, description, hetero_blocks_show, logger=logger)
