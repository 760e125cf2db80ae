"""Blocks as models: a parent with one coloured, selectable surface a block."""

import re

import numpy as np
from chimerax.core.models import Model, Surface
from scipy.ndimage import gaussian_filter

from .grids import passing_volume

_PAD = 3  # voxels of nothing around a block, so that its smoothed surface is closed
_SMOOTH = 0.8  # voxels; takes the steps of the voxels off and keeps the shape


class BlockSurface(Surface):
    """The surface of one block.

    Attributes:
        number: the number in the block's file name, else its place in the folder; what `hetero blocks show` takes.
        block_name: its name on disk, e.g. ``block_03``.
    """

    def __init__(self, name, session, number=0, block_name=""):
        super().__init__(name, session)
        self.number = number
        self.block_name = block_name

    def take_snapshot(self, session, flags):
        """Session state: triangles, colour, display, and which block it is."""
        return {
            "geometry": self.save_geometry(session, flags),
            "name": self.name,
            "number": self.number,
            "block name": self.block_name,
            "version": 1,
        }

    @classmethod
    def restore_snapshot(cls, session, data):
        """The surface of a session file."""
        surface = cls(data["name"], session, data["number"], data["block name"])
        surface.restore_geometry(session, data["geometry"])
        return surface


class BlocksModel(Model):
    """Blocks of an ensemble; its children are BlockSurface models.

    Attributes:
        folder: path they came from.
        rows: one dict a block, the columns of ``blocks.csv``.
    """

    def __init__(self, name, session, folder="", rows=()):
        super().__init__(name, session)
        self.folder = folder
        self.rows = list(rows)

    @property
    def surfaces(self):
        """The block surfaces that are still open, in the order of their numbers."""
        found = [child for child in self.child_models() if isinstance(child, BlockSurface)]
        return sorted(found, key=lambda surface: surface.number)

    def take_snapshot(self, session, flags):
        """Session state: the table. The surfaces save themselves."""
        return {
            "model state": Model.take_snapshot(self, session, flags),
            "folder": self.folder,
            "rows": self.rows,
            "version": 1,
        }

    @classmethod
    def restore_snapshot(cls, session, data):
        """The blocks of a session file."""
        blocks = cls("blocks", session, data["folder"], data["rows"])
        blocks.set_state_from_snapshot(session, data["model state"])
        return blocks


def block_number(name, position):
    """The number in ``block_07``; for masks with names of their own their position (0, 1, ...) in the folder."""
    match = re.fullmatch(r"block_(\d+)", name)
    return int(match[1]) if match else position


def block_label(name, position):
    """What the user reads: ``block 7`` for ``block_07``, other names as they are."""
    return f"block {block_number(name, position)}" if re.fullmatch(r"block_\d+", name) else name


def rgba8(color):
    """``#rrggbb`` -> ``(4,)`` uint8."""
    return np.array([*bytes.fromhex(color.lstrip("#")), 255], dtype=np.uint8)


def blocks_model(session, name, folder, rows, masks, grid):
    """A blocks model, not yet added to the session.

    Args:
        rows: one dict a block with name, n_voxels and color ("#rrggbb").
        masks: one ``(z, y, x)`` bool array a block.
        grid: ChimeraX grid data of any of them; places the voxels in Å.
    """
    parent = BlocksModel(name, session, folder, rows)
    for position, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        label = block_label(row["name"], position)
        surface = BlockSurface(
            f"{label} ({row['n_voxels']} voxels)", session, block_number(row["name"], position), row["name"]
        )
        surface.set_geometry(*mask_surface(session, mask, grid))
        surface.color = rgba8(row["color"])
        parent.add([surface])
    return parent


def voxel_points(mask, grid):
    """Voxel centres of a ``(z, y, x)`` mask: ``(n, 3)`` float32, Å, x, y, z."""
    return grid.ijk_to_xyz_transform.transform_points(np.argwhere(mask)[:, ::-1].astype(np.float32))


def mask_surface(session, mask, grid):
    """A smooth closed surface around the voxels of ``mask`` (z, y, x): vertices (Å, x, y, z), normals, triangles.

    It is drawn at the level that encloses as many voxels as the mask has, so that a thin block does not vanish.
    """
    where = np.argwhere(mask)  # (n, 3) z, y, x
    if not len(where):
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    first = where.min(axis=0)
    box = np.zeros(where.max(axis=0) - first + 1 + 2 * _PAD, np.float32)
    box[tuple((where - first + _PAD).T)] = 1
    smooth = gaussian_filter(box, _SMOOTH)
    ranked = np.sort(smooth, axis=None)[::-1]
    level = float(ranked[len(where) - 1] + ranked[len(where)]) / 2
    with passing_volume(session, smooth, grid, (first - _PAD)[::-1]) as volume:
        # the user's own settings are for maps
        volume.set_parameters(surface_levels=[level], surface_smoothing=False, subdivide_surface=False)
        volume.update_drawings()
        (surface,) = volume.surfaces
        return surface.vertices, surface.normals, surface.triangles
