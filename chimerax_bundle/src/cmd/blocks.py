"""`hetero blocks`: the blocks of an ensemble as surfaces of their own, or in colour on a map."""

import numpy as np
from chimerax.core.commands import CmdDesc, register
from chimerax.core.errors import UserError
from chimerax.core.undo import UndoAction

from ..models.blocks import block_label, blocks_model, rgba8, voxel_points
from ..models.grids import open_grid
from ..report import log_table, show_key
from ..worker import ask
from .arguments import OpenMapsArg, PathArg, one_map

BASE_COLOR = "#c7c7c7"  # light grey: what belongs to no block
_REACH = 1.5  # voxels; a map's own contour lies at most 1 from its voxels, another map's a little further out
_MOST_IN_KEY = 16


def hetero_blocks(session, folder, onto=None):
    """Open the blocks in ``folder``; ``onto`` (a list with one map) is painted with them. Returns the BlocksModel.

    Raises:
        UserError: no blocks there, the map has another grid, no engine.
    """
    volume = None if onto is None else one_map(onto)
    answer = ask(session, "info", {"path": folder})
    if answer["kind"] != "blocks":
        found = "an ensemble of maps" if answer["kind"] == "ensemble" else f"a {answer['kind']}"
        raise UserError(f"{folder} is {found}; a folder of blocks (block_00.mrc ... and blocks.csv) was expected.")
    return show_blocks(session, answer, volume)


def show_blocks(session, answer, volume=None):
    """The BlocksModel of the answer of ``info``, added to the session; ``volume`` is painted where it is given.

    Raises:
        UserError: there are no blocks, or ``volume`` has another grid.
    """
    if not answer["n"]:
        raise UserError(f"{answer['path']} holds no blocks: nothing in its ensemble comes and goes together.")
    if volume is not None:
        check_grid(answer, volume)
    rows = answer["blocks"]
    grids = [open_grid(row["path"]) for row in rows]
    masks = [grid.matrix() > 0.5 for grid in grids]
    blocks = blocks_model(session, answer["name"], answer["path"], rows, masks, grids[0])
    if volume is not None:
        blocks.position = volume.scene_position
    session.models.add([blocks])
    for row, child in zip(rows, blocks.child_models(), strict=True):
        if not row["n_voxels"]:
            session.logger.warning(f"{child}: the block is empty and has no surface")
    if volume is not None:
        points = np.concatenate([voxel_points(mask, volume.data) for mask in masks])
        colors = np.repeat([rgba8(row["color"]) for row in rows], [mask.sum() for mask in masks], axis=0)
        spacing = max(s * k for s, k in zip(volume.data.step, volume.region[2], strict=True))
        session.undo.register(PaintMap(volume, blocks.surfaces, points, colors, _REACH * spacing))
    _show_key(session, rows, rest=volume is not None)
    onto = "" if volume is None else f", painted onto {volume}"
    session.logger.info(f"{blocks}: {len(rows)} blocks{onto}")
    _log_rows(session, rows)
    _tell_chains(session, rows)
    return blocks


def check_grid(answer, volume):
    """Whether the blocks' grid is the map's.

    Raises:
        UserError: it is not; says in what they differ (x, y, z).
    """
    grid = volume.data
    size, step, origin = (tuple(answer[name][::-1]) for name in ("shape", "apix", "origin"))
    for what, theirs, ours, unit, close in (
        ("box", size, tuple(grid.size), "voxels", size == tuple(grid.size)),
        ("voxel size", step, tuple(grid.step), "\u00c5", np.allclose(step, grid.step, rtol=1e-3)),
        ("origin", origin, tuple(grid.origin), "\u00c5", np.allclose(origin, grid.origin, atol=0.1 * min(grid.step))),
    ):
        if not close:
            raise UserError(
                f"The blocks of {answer['path']} and {volume} lie on different grids: {what} {_triple(theirs)} {unit} "
                f"and {_triple(ours)} {unit}."
            )


class PaintMap(UndoAction):
    """Painting a map with blocks, done when it is made: grey with coloured blocks; the block surfaces are hidden.

    ``blocks`` are BlockSurfaces; ``points`` ``(n, 3)`` lie in the map's own frame, in Å, and colour what is within
    ``reach`` of them.
    """

    def __init__(self, volume, blocks, points, colors, reach):
        super().__init__("hetero blocks onto")
        self._volume, self._points, self._colors, self._reach = volume, points, colors, reach
        volume.update_drawings()  # the surface must exist before it can be painted
        self._before = [(s, s.rgba, s.color_undo_state) for s in volume.surfaces]
        self._shown = [(s, s.display) for s in blocks]
        self.redo()

    def redo(self):
        """Paint."""
        from chimerax.surface.colorzone import color_zone

        volume = self._volume
        if volume.deleted:
            return
        for surface in volume.surfaces:
            surface.color = rgba8(BASE_COLOR)
            color_zone(surface, self._points, self._colors, self._reach, auto_update=True)
        for surface, _ in self._shown:
            if not surface.deleted:
                surface.display = False

    def undo(self):
        """The map as it was, and the block surfaces shown."""
        for surface, rgba, state in self._before:
            if not surface.deleted:
                surface.rgba = rgba
                surface.color_undo_state = state
        for surface, display in self._shown:
            if not surface.deleted:
                surface.display = display


def _show_key(session, rows, rest):
    """A colour key, first block on top."""
    entries = [(row["color"], block_label(row["name"], i)) for i, row in enumerate(rows)]
    if len(entries) > _MOST_IN_KEY:
        session.logger.info(f"the key shows the first {_MOST_IN_KEY} of {len(entries)} blocks; the table below has all")
        entries = entries[:_MOST_IN_KEY]
    if rest:
        entries.append((BASE_COLOR, "no block"))
    show_key(session, entries)


def _log_rows(session, rows):
    cells = []
    for i, row in enumerate(rows):
        share = row.get("mean_occupancy")
        cells.append(
            [
                block_label(row["name"], i),
                ("swatch", row["color"]),
                f"{row['n_voxels']:,}",
                f"{row['volume_a3']:,.0f}",
                f"{row['mass_kda']:,.1f}",
                "" if share is None else f"{100 * share:.0f} %",
            ]
        )
    log_table(session, ["block", "colour", "voxels", "\u00c5\u00b3", "kDa", "mean occupancy"], cells)


def _tell_chains(session, rows):
    """Which blocks are steps of one motion, for 'hetero classes along'."""
    for chain in sorted({row["chain"] for row in rows if row.get("chain")}):
        steps = sorted(
            (row["place"], block_label(row["name"], i)) for i, row in enumerate(rows) if row.get("chain") == chain
        )
        session.logger.info(f"{chain}: one motion, in order {', '.join(label for _, label in steps)}")


def _triple(values):
    return " x ".join(f"{value:.4g}" for value in values)


def register_command(name, logger):
    """Register `hetero blocks`."""
    description = CmdDesc(
        required=[("folder", PathArg)],
        keyword=[("onto", OpenMapsArg)],
        synopsis="show the blocks of an ensemble as surfaces, or in colour on a map",
    )
    register(name, description, hetero_blocks, logger=logger)
