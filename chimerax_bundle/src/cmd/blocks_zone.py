"""`hetero blocks zone`: any map in the colours of the blocks that lie there."""

import numpy as np
from chimerax.core.commands import Bounded, CmdDesc, FloatArg, ModelsArg, register
from chimerax.core.errors import UserError

from ..models.blocks import rgba8, voxel_points
from ..models.grids import open_grid
from .arguments import OpenMapsArg
from .blocks import PaintMap
from .blocks_show import block_surfaces


def hetero_blocks_zone(session, volumes, blocks=None, distance=None):
    """Paint ``volumes``, on whatever grid, where they lie within ``distance`` Å of a voxel of a block.

    ``blocks`` are BlocksModels, all that are open without it; the distance is 1.5 of their voxels if none is given.
    One undo step.

    Raises:
        UserError: no blocks are open, or their files are gone.
    """
    surfaces = block_surfaces(session, blocks)
    models = list(dict.fromkeys(surface.parent for surface in surfaces))
    places, colors, steps = [], [], []
    for model in models:
        for row in model.rows:
            grid = open_grid(row["path"])
            points = model.scene_position.transform_points(voxel_points(grid.matrix() > 0.5, grid))
            places.append(points)
            colors.append(np.tile(rgba8(row["color"]), (len(points), 1)))
            steps.append(max(grid.step))
    places, colors = np.concatenate(places), np.concatenate(colors)
    if not len(places):
        raise UserError("The blocks that are open are empty; there is nothing to paint with.")
    reach = 1.5 * max(steps) if distance is None else distance
    with session.undo.aggregate("hetero blocks zone"):
        for volume in volumes:
            points = volume.scene_position.inverse().transform_points(places)
            session.undo.register(PaintMap(volume, surfaces, points, colors, reach))
    names = ", ".join(str(volume) for volume in volumes) if len(volumes) <= 4 else f"{len(volumes)} maps"
    session.logger.info(f"{names}: painted within {reach:.3g} \u00c5 of {len(surfaces)} blocks")


def register_command(name, logger):
    """Register `hetero blocks zone`."""
    description = CmdDesc(
        required=[("volumes", OpenMapsArg)],
        keyword=[("blocks", ModelsArg), ("distance", Bounded(FloatArg, min=0.1))],
        synopsis="paint any map in the colours of the blocks that lie there",
    )
    register(name, description, hetero_blocks_zone, logger=logger)
