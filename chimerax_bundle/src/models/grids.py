"""ChimeraX's grid data and volumes from files, and back to files."""

import gzip
import os
import shutil
import tempfile

from chimerax.core.errors import UserError
from chimerax.map.volume import set_initial_region_and_style, volume_from_grid_data
from chimerax.map_data import ArrayGridData, FileFormatError, open_file
from chimerax.map_data.mrc.writemrc import write_mrc2000_grid_data


def open_grid(path):
    """The grid data of one map file, its values not yet read. A .gz file is unpacked and held in memory.

    Raises:
        UserError: ChimeraX cannot read the file.
    """
    try:
        if str(path).endswith(".gz"):
            return _unpacked(path)
        # '.map' is CCP4's, .rec IMOD's: all of them the engine reads as MRC, so do we
        return open_file(str(path), "ccp4" if str(path).endswith((".map", ".ccp4")) else "mrc")[0]
    except (OSError, EOFError, FileFormatError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a map: {str(error).strip().rstrip('.')}.") from error


def volume_from_grid(session, grid, level=None):
    """A Volume as ChimeraX's own opener makes it, not yet added to the session, with its surface at ``level``.

    With a level no statistics are needed, so the values are read when the map is first displayed.
    """
    volume = volume_from_grid_data(grid, session, style="surface", open_model=False, show_dialog=False)
    set_initial_region_and_style(volume)
    if level is not None:
        volume.set_parameters(surface_levels=[level], surface_colors=[volume.default_rgba])
    return volume


def read_into_memory(path, name):
    """Grid data of a map file that may go away: the values are in memory, and in session files."""
    grid = open_grid(path)
    # the file is the engine's and gone in a moment; a grid without a path is saved with its values
    return ArrayGridData(grid.full_matrix().copy(), origin=grid.origin, step=grid.step, name=name)


def open_kept(path, name, kept):
    """Grid data under ``name``: of the file where that is ``kept``, else in memory."""
    if not kept:
        return read_into_memory(path, name)
    grid = open_grid(path)
    grid.name = name
    return grid


def map_file(volume):
    """Path of the MRC file that holds ``volume`` as it stands, or None where there is no such file."""
    grid = volume.data
    untouched = (
        grid.file_type in ("mrc", "ccp4")
        and not grid.grid_id
        and isinstance(grid.path, str)
        and os.path.isfile(grid.path)
        and tuple(grid.step) == tuple(grid.original_step)
        and tuple(grid.origin) == tuple(grid.original_origin)
    )
    return os.path.abspath(grid.path) if untouched else None


def write_grid(grid, path):
    """Write grid data as an MRC file with ChimeraX's own writer."""
    write_mrc2000_grid_data(grid, str(path))


def _unpacked(path):
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        plain = os.path.join(folder, os.path.basename(path)[: -len(".gz")])
        with gzip.open(path, "rb") as packed, open(plain, "wb") as file:
            shutil.copyfileobj(packed, file)
        grid = open_grid(plain)
        return ArrayGridData(grid.full_matrix().copy(), origin=grid.origin, step=grid.step, name=grid.name)
