"""`hetero siren`: find the blocks of the maps that are open."""

import os

from chimerax.core.commands import BoolArg, Bounded, CmdDesc, EnumOf, FloatArg, register, run
from chimerax.core.errors import UserError

from ..jobs import must_wait, new_folder, run_job
from ..models.staging import stage_maps
from .arguments import OpenMapsArg, PathArg

RULES = ("effect", "published")


def hetero_siren(session, volumes, rule=None, min_kda=None, save=None, wait=None):
    """Find the blocks of ``volumes``, each at the level at which it stands, and open them; returns the Job.

    Without ``save`` the blocks lie in the job's folder.

    Raises:
        UserError: a single map, no engine; or it was waited for, and failed.
    """
    if len(volumes) < 2:
        raise UserError(f"{volumes[0]} is a single map; blocks are found by comparing many.")
    folder = new_folder()
    maps = os.path.join(folder, "maps")
    os.mkdir(maps)
    stage_maps(session, volumes, maps)
    settings = {"folder": maps, "out": save or os.path.join(folder, "blocks"), "rule": rule, "min_kda": min_kda}
    settings = {name: value for name, value in settings.items() if value is not None}
    return run_job(session, "blocks", settings, folder, must_wait(session, wait), _open)


def _open(session, job):
    if job.result["n"]:
        run(session, f'hetero blocks "{job.out}"')
    else:
        session.logger.warning("no blocks were found: nothing in these maps comes and goes together")


def register_command(name, logger):
    """Register `hetero siren`."""
    description = CmdDesc(
        required=[("volumes", OpenMapsArg)],
        keyword=[
            ("rule", EnumOf(RULES)),
            ("min_kda", Bounded(FloatArg, min=0)),
            ("save", PathArg),
            ("wait", BoolArg),
        ],
        synopsis="find the blocks of maps: sets of voxels that come and go together",
    )
    register(name, description, hetero_siren, logger=logger)
