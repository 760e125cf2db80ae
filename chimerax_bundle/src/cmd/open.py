"""`hetero open`: an ensemble, blocks, a run or a map, whatever is there."""

from chimerax.core.commands import CmdDesc, register
from chimerax.core.errors import UserError

from ..models.ensemble import ensemble_from_files
from ..models.grids import open_grid, volume_from_grid
from ..worker import ask
from .arguments import PathArg
from .blocks import show_blocks
from .gaussians import hetero_gaussians
from .level import hetero_level
from .runs import show_run


def hetero_open(session, path):
    """Open what ``path`` holds and return the model: EnsembleModel, BlocksModel, RunModel, GlyphsModel or Volume.

    Raises:
        UserError: one sentence: not there, nothing to show, no engine.
    """
    answer = ask(session, "info", {"path": path})
    if answer["kind"] == "ensemble":
        return open_ensemble(session, answer)
    if answer["kind"] == "blocks":
        return show_blocks(session, answer)
    if answer["kind"] == "map":
        return _open_map(session, answer)
    if answer["kind"] == "run":
        return show_run(session, answer)
    if answer["kind"] == "gaussians":
        if answer["program"] is None:
            raise UserError(
                f"{path} does not say which program wrote it, nor in which box it lies; give all three: 'hetero "
                "gaussians FILE program new box 128 apix 1.5', where program is new, refine or point."
            )
        return hetero_gaussians(session, path)
    kind = answer["kind"] if answer["kind"] == "particles" else f"a {answer['kind']}"
    verb = "are" if kind == "particles" else "is"
    raise UserError(
        f"{path} {verb} {kind}; 'hetero open' shows a folder of maps, a folder of blocks, a run, a model text or one "
        "map."
    )


def open_ensemble(session, answer, kept=True):
    """The EnsembleModel of the answer of ``info``, added to the session; in memory where the files are not kept."""
    for note in answer.get("notes", []):
        session.logger.warning(note)
    rows = _with_levels(session, answer["maps"])
    ensemble = ensemble_from_files(session, answer["path"], answer["name"], rows, kept)
    session.models.add([ensemble])
    levels = [row["level"] for row in rows if row["level"] is not None]
    span = f"; levels {min(levels):.4g} to {max(levels):.4g}" if levels else ""
    session.logger.info(f"{ensemble}: play it with 'vseries play {ensemble.atomspec}'{span}")
    return ensemble


def _with_levels(session, maps):
    """The rows of ``info``, with levels predicted where the folder has none; refused maps keep None and are named."""
    unknown = [row["path"] for row in maps if row["level"] is None]
    if not unknown:
        return maps
    found = {row["path"]: row for row in ask(session, "level", {"maps": unknown})["maps"]}
    for row in found.values():
        if "error" in row:
            session.logger.warning(f"{row['name']} stands at ChimeraX's first level: {row['error']}")
    return [row | {"level": found[row["path"]].get("level")} if row["path"] in found else row for row in maps]


def _open_map(session, answer):
    grid = open_grid(answer["path"])
    volume = volume_from_grid(session, grid)
    volume.name = answer["name"]
    session.models.add([volume])
    z, y, x = answer["shape"]
    session.logger.info(f"{volume}: a map of {x} x {y} x {z} voxels")
    hetero_level(session, [volume])
    return volume


def register_command(name, logger):
    """Register `hetero open`."""
    description = CmdDesc(
        required=[("path", PathArg)],
        synopsis="open a folder of maps as a series, each at its own level; or a folder of blocks; or a run; or a map",
    )
    register(name, description, hetero_open, logger=logger)
