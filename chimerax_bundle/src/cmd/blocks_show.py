"""`hetero blocks show` and `hetero blocks hide`: which block surfaces are displayed."""

import re

from chimerax.core.commands import CmdDesc, ModelsArg, NoArg, StringArg, register
from chimerax.core.errors import UserError
from chimerax.core.undo import UndoState

from ..models.blocks import BlocksModel


def hetero_blocks_show(session, which, only=False, blocks=None):
    """Display the blocks that ``which`` names (``3``, ``1,5``, ``2-4``, a name, all, none).

    ``only`` (and ``none``) hides the others. ``blocks`` are the models to look at, all open blocks without it. Returns
    the surfaces named.

    Raises:
        UserError: no blocks are open, or a number or name that no block has.
    """
    surfaces = block_surfaces(session, blocks)
    chosen = choose(surfaces, which)
    _display(session, "show", {s: s in chosen for s in surfaces if only or which == "none" or s in chosen})
    _tell(session, "displayed", chosen)
    return chosen


def hetero_blocks_hide(session, which, blocks=None):
    """Hide the blocks that ``which`` names; returns their surfaces.

    Raises:
        UserError: as `hetero blocks show`.
    """
    chosen = choose(block_surfaces(session, blocks), which)
    _display(session, "hide", dict.fromkeys(chosen, False))
    _tell(session, "hidden", chosen)
    return chosen


def block_surfaces(session, models=None):
    """The block surfaces among ``models``, or of all open ones.

    Raises:
        UserError: there are none.
    """
    models = open_blocks(session) if models is None else [m for m in models if isinstance(m, BlocksModel)]
    surfaces = [surface for model in models for surface in model.surfaces]
    if not surfaces:
        raise UserError("No blocks are open; open a folder of them with 'hetero blocks FOLDER'.")
    return surfaces


def open_blocks(session):
    """The BlocksModels that are open."""
    return [model for model in session.models.list() if isinstance(model, BlocksModel)]


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


def _display(session, word, displays):
    """Show or hide surfaces (surface -> bool), in one undo step."""
    change = UndoState(f"hetero blocks {word}")
    for surface, display in displays.items():
        change.add(surface, "display", surface.display, display)
        surface.display = display
    session.undo.register(change)


def _tell(session, done, chosen):
    names = ", ".join(str(surface) for surface in chosen) if len(chosen) <= 8 else f"{len(chosen)} blocks"
    session.logger.info(f"{done}: {names or 'no block'}")


def register_command(name, logger):
    """Register `hetero blocks show` or `hetero blocks hide`."""
    which = [("which", StringArg)]
    what = "numbers (3 or 1,5 or 2-4), names, all or none"
    if name.endswith("hide"):
        description = CmdDesc(required=which, keyword=[("blocks", ModelsArg)], synopsis=f"hide some blocks: {what}")
        register(name, description, hetero_blocks_hide, logger=logger)
        return
    description = CmdDesc(
        required=which, keyword=[("only", NoArg), ("blocks", ModelsArg)], synopsis=f"display some blocks: {what}"
    )
    register(name, description, hetero_blocks_show, logger=logger)
