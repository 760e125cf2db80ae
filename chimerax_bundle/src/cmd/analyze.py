"""`hetero analyze`: UMAP, clusters and a page about the latents of a run, in the background."""

import os

from chimerax.core.commands import BoolArg, Bounded, CmdDesc, IntArg, register

from ..jobs import new_folder, run_job
from .arguments import PathArg, given
from .results import open_result
from .runs import RunArg, run_settings


def hetero_analyze(session, run, out=None, umap=True, wait=None, **options):
    """Start ``hetero analyze`` of the engine on ``run``; returns the Job.

    ``options`` are the engine's: clusters (its k), components, particles, poses, ctf, against. Without ``out`` the
    analysis lies in the job's folder. The run then knows the UMAP and the clusters as columns.

    Raises:
        UserError: no engine; or it was waited for, and failed.
    """
    folder = new_folder()
    settings = given(**options)
    if "clusters" in settings:
        settings["k"] = settings.pop("clusters")
    settings |= run_settings(run) | {"out": out or os.path.join(folder, "analysis"), "skip_umap": not umap}
    return run_job(session, "analyze", settings, folder, wait, open_result)


def register_command(name, logger):
    """Register `hetero analyze`."""
    description = CmdDesc(
        required=[("run", RunArg)],
        keyword=[
            ("out", PathArg),
            ("clusters", Bounded(IntArg, min=1)),
            ("components", Bounded(IntArg, min=0)),
            ("umap", BoolArg),
            ("particles", PathArg),
            ("poses", PathArg),
            ("ctf", PathArg),
            ("against", PathArg),
            ("wait", BoolArg),
        ],
        synopsis="find clusters and a UMAP of a trained model's latents, and how far to trust them",
    )
    register(name, description, hetero_analyze, logger=logger)
