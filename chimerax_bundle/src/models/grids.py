"""ChimeraX's grid data and volumes from files, and back to files."""

import gzip
import os
import shutil
import tempfile
from contextlib import contextmanager

from chimerax.core.errors import UserError
from chimerax.map.volume import save_map, volume_from_grid_data
from chimerax.map_data import ArrayGridData, open_file


def open_grid(path):
    """The grid data of one map file, its values not yet read. A .gz file is unpacked and held in memory.

    Raises:
        UserError: ChimeraX cannot read the file.
    """
    try:
        return _unpacked(path) if str(path).endswith(".gz") else _grid(path)
    except (OSError, EOFError, SyntaxError, UserError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a map: {str(error).strip().rstrip('.')}.") from error


def volume_from_grid(session, grid, level=None, display=True):
    """A Volume as ChimeraX's own opener makes it, not yet added to the session, with its surface at ``level``.

    With a level no statistics are needed, so the values are read when the map is first displayed.
    """
    volume = volume_from_grid_data(grid, session, style="surface", open_model=False, show_dialog=False)
    volume.display = display  # before anything changes, or ChimeraX notes down that it is to be drawn
    volume.new_region()  # every voxel, or of a large map every second one, fourth ...
    if level is not None:
        volume.set_parameters(surface_levels=[level], surface_colors=[volume.default_rgba])
        draw_in_script(volume)
    return volume


def draw_in_script(volume):
    """Make the surface of a displayed map, in a script: its next command may need it, and comes before any frame."""
    if volume.session.in_script and volume.display:
        volume.update_drawings()


def read_into_memory(path, name):
    """Grid data of a map file that may go away: the values are in memory, and in session files."""
    grid = open_grid(path)
    # the file is the engine's and gone in a moment; a grid without a path is saved with its values
    return ArrayGridData(grid.matrix().copy(), origin=grid.origin, step=grid.step, name=name)


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


def write_grid(session, grid, path):
    """Write grid data as an MRC file with ChimeraX's own writer."""
    # a folder of its own: what else lies there may be links to the user's files, which ChimeraX would write through
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path), prefix=".writing-") as own:
        plain = os.path.join(own, "map.mrc")  # ChimeraX would write a map called "a%d" as "a1"
        with passing_volume(session, grid.matrix(), grid) as volume:  # not the map itself: saving names its grid anew
            save_map(session, plain, "mrc", [volume])
        os.replace(plain, path)


@contextmanager
def passing_volume(session, array, grid, corner=(0, 0, 0)):
    """A Volume of ``array`` (z, y, x) on ``grid``, from its voxel ``corner`` (x, y, z) on; never opened, gone after."""
    frame = {"step": grid.step, "cell_angles": grid.cell_angles, "rotation": grid.rotation}
    data = ArrayGridData(array, origin=grid.ijk_to_xyz(corner), name=grid.name, **frame)
    data.rgba = (1, 1, 1, 1)  # or it takes the colour that the next map would have
    volume = volume_from_grid_data(data, session, open_model=False, show_dialog=False)
    volume.display = False
    try:
        yield volume
    finally:
        volume.delete()


def _grid(path):
    # '.map' is CCP4's, .rec IMOD's: all of them the engine reads as MRC, so do we
    return open_file(str(path), "ccp4" if str(path).endswith((".map", ".ccp4")) else "mrc")[0]


def _unpacked(path):
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        plain = os.path.join(folder, os.path.basename(path)[: -len(".gz")])
        with gzip.open(path, "rb") as packed, open(plain, "wb") as file:
            shutil.copyfileobj(packed, file)
        grid = _grid(plain)
        return ArrayGridData(grid.matrix().copy(), origin=grid.origin, step=grid.step, name=grid.name)
