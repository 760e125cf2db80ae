"""`hetero train`: train a model on particles, in a process that goes on when ChimeraX ends."""

import os

from chimerax.core.commands import BoolArg, Bounded, CmdDesc, EnumOf, IntArg, StringArg, register

from ..jobs import new_folder, run_job
from .arguments import PathArg, given
from .results import open_result

METHODS = ("vae", "gmm", "linear")


def hetero_train(session, method, particles, out=None, wait=None, **options):
    """Start ``hetero train-METHOD`` of the engine on ``particles``; returns the Job.

    ``options`` are the engine's settings. Without ``out`` the run lies in the job's folder; it is opened at the end.

    Raises:
        UserError: no engine; or it was waited for, and failed.
    """
    folder = new_folder()
    settings = given(**options)
    if method == "gmm" and "ctf" in settings:
        settings["ctf_file"] = settings.pop("ctf")  # there 'ctf' says what was done about it
    settings |= {"particles": particles, "out": out or os.path.join(folder, "run")}
    return run_job(session, f"train-{method}", settings, folder, wait, open_result)


def register_command(name, logger):
    """Register `hetero train`."""
    description = CmdDesc(
        required=[("method", EnumOf(METHODS)), ("particles", PathArg)],
        keyword=[
            ("out", PathArg),
            ("zdim", Bounded(IntArg, min=0)),
            ("epochs", Bounded(IntArg, min=1)),
            ("preset", StringArg),
            ("poses", PathArg),
            ("ctf", PathArg),
            ("ind", PathArg),
            ("datadir", PathArg),
            ("neutral", PathArg),
            ("map", PathArg),
            ("mask", PathArg),
            ("focus_mask", PathArg),
            ("start", PathArg),
            ("symmetry", StringArg),
            ("refine_poses", BoolArg),
            ("half_set", Bounded(IntArg, min=0, max=1)),
            ("device", StringArg),
            ("threads", Bounded(IntArg, min=1)),
            ("seed", IntArg),
            ("invert", BoolArg),
            ("wait", BoolArg),
        ],
        synopsis="train a model on particles: vae (cryoDRGN), gmm (moving Gaussians) or linear",
    )
    register(name, description, hetero_train, logger=logger)
