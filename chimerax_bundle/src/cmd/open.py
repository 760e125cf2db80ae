"""`hetero open`: an ensemble, blocks, a run or a map, whatever is there."""

from chimerax.core.commands import BoolArg, Bounded, CmdDesc, FloatArg, IntArg, register
from chimerax.core.errors import UserError

from ..jobs import must_wait
from ..levels import LevelTask
from ..models.ensemble import ensemble_from_files
from ..models.grids import open_grid, volume_from_grid
from ..worker import ask
from .arguments import PathArg
from .blocks import show_blocks
from .gaussians import hetero_gaussians
from .level import hetero_level
from .runs import show_run

_MANY = 8  # more maps than this get their levels in the background


def hetero_open(session, path, **reading):
    """Open what ``path`` holds and return the model: EnsembleModel, BlocksModel, RunModel, GlyphsModel or Volume.

    ``reading`` says how a run is read: epoch, apix, flip, invert.

    Raises:
        UserError: one sentence: not there, nothing to show, no engine.
    """
    reading = {name: value for name, value in reading.items() if value is not None and value is not False}
    answer = ask(session, "info", {"path": path} | {name: reading[name] for name in ("epoch",) if name in reading})
    if reading and answer["kind"] != "run":
        raise UserError(f"{path} is no run (a trained model), so it has no {' nor '.join(reading)} to be read with.")
    if answer["kind"] == "ensemble":
        return open_ensemble(session, answer)
    if answer["kind"] == "blocks":
        return show_blocks(session, answer)
    if answer["kind"] == "map":
        return _open_map(session, answer)
    if answer["kind"] == "run":
        return show_run(session, answer, reading)
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
    rows, later = answer["maps"], set()
    unknown = [row["path"] for row in rows if row["level"] is None]
    if len(unknown) > _MANY and kept and not must_wait(session, None):
        unknown, later = unknown[:1], set(unknown[1:])
    rows = _with_levels(session, rows, unknown)
    ensemble = ensemble_from_files(session, answer["path"], answer["name"], rows, kept)
    session.models.add([ensemble])
    if later:
        paths = {v: row["path"] for v, row in zip(ensemble.maps, rows, strict=True) if row["path"] in later}
        LevelTask(session, ensemble, paths).start()
    levels = [row["level"] for row in rows if row["level"] is not None]
    span = f"; levels {min(levels):.4g} to {max(levels):.4g}" if levels else ""
    session.logger.info(f"{ensemble}: play it with 'vseries play {ensemble.atomspec}'{span}")
    return ensemble


def _with_levels(session, maps, unknown):
    """The rows of ``info``, with levels predicted for the paths ``unknown``; refused maps keep None and are named."""
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
        keyword=[
            ("epoch", Bounded(IntArg, min=0)),
            ("apix", Bounded(FloatArg, min=0.01)),
            ("flip", BoolArg),
            ("invert", BoolArg),
        ],
        synopsis="open a folder of maps as a series, each at its own level; or a folder of blocks; or a run; or a map",
    )
    register(name, description, hetero_open, logger=logger)
