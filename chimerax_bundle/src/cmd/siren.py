"""`hetero siren`: find the blocks of the maps that are open."""

import os

from chimerax.core.commands import BoolArg, Bounded, CmdDesc, EnumOf, FloatArg, IntArg, register
from chimerax.core.errors import UserError

from ..jobs import new_folder, run_job
from ..models.staging import stage_maps
from .arguments import OpenMapsArg, PathArg, given
from .results import open_result

RULES = ("effect", "published")


def hetero_siren(session, volumes, save=None, wait=None, **options):
    """Find the blocks of ``volumes``, each at the level at which it stands, and open them; returns the Job.

    ``options`` are the engine's: rule, min_kda, alpha, seed, resamples, coarse, filter. Without ``save`` the blocks lie
    in the job's folder.

    Raises:
        UserError: a single map, no engine; or it was waited for, and failed.
    """
    if len(volumes) < 2:
        raise UserError(f"{volumes[0]} is a single map; blocks are found by comparing many.")
    folder = new_folder()
    maps = os.path.join(folder, "maps")
    os.mkdir(maps)
    stage_maps(session, volumes, maps)
    settings = given(**options)
    settings |= {"folder": maps, "out": save or os.path.join(folder, "blocks")}
    return run_job(session, "blocks", settings, folder, wait, open_result)


def register_command(name, logger):
    """Register `hetero siren`."""
    description = CmdDesc(
        required=[("volumes", OpenMapsArg)],
        keyword=[
            ("rule", EnumOf(RULES)),
            ("min_kda", Bounded(FloatArg, min=0)),
            ("alpha", Bounded(FloatArg, min=0, max=1)),
            ("seed", IntArg),
            ("resamples", Bounded(IntArg, min=0)),
            ("coarse", Bounded(IntArg, min=0)),
            ("filter", BoolArg),
            ("save", PathArg),
            ("wait", BoolArg),
        ],
        synopsis="find the blocks of maps: sets of voxels that come and go together",
    )
    register(name, description, hetero_siren, logger=logger)
