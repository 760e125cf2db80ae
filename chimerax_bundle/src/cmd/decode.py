"""`hetero decode`: the map of one point of a run's latent space."""

import os
import tempfile

import numpy as np
from chimerax.core.commands import Bounded, CmdDesc, IntArg, register
from chimerax.core.errors import UserError
from chimerax.core.undo import UndoAction
from chimerax.map_data import ArrayGridData

from ..models.grids import draw_in_script, read_into_memory, volume_from_grid
from ..models.run import Point
from ..worker import ask
from .arguments import OpenMapsArg, given
from .points import LOW_PASS, POINT_KEYWORDS, point_settings
from .runs import RunArg, run_of

_COLOR = (0.70, 0.78, 0.88, 1.0)


def hetero_decode(session, run, to=None, box=None, low_pass=None, **point):
    """Decode the ``point`` (see POINT_KEYWORDS) of ``run`` and show its map; returns the Volume.

    With ``to`` (a list with one map) that map's values are replaced in one undo step, and its level and looks stay.

    Raises:
        UserError: no point or two, a point that the run does not have, or a ``to`` that cannot take the map.
    """
    run = run_of(session, run)
    target = None if to is None else _target(to, box)
    if target is not None:
        box = int(target.data.size[0])
    view = given(box=box, low_pass=low_pass)
    grid, answer = _decode(session, run, point, view, level=target is None)
    near = (answer["nearest"], bool(answer["beyond"]))
    point = Point(tuple(answer["z"]), answer["name"], *near, tuple(answer["scores"]))
    if target is None:
        volume = _show(session, run, grid, answer)
        run.points[volume] = point
        run.tell()
    else:
        if target.deleted:
            raise UserError("The map that was to be replaced was closed meanwhile.")
        _check_grid(target, grid)
        volume = target
        session.undo.register(ReplaceMap(run, target, grid.array, point))
    # clicks and drags come by the dozen: the log has their commands
    tell = session.logger.info if target is None else session.logger.status
    tell(f"{volume}: {_say(run, point)}")
    return volume


def _decode(session, run, point, view, level):
    """``(grid, answer)``: the engine's map, in memory, and what it says of it (see its ``peek``).

    ``view`` has the engine's settings box and low_pass, as far as given.

    Raises:
        UserError: no point or two, or the engine's sentence.
    """
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        settings = {"run": run.folder, "out": os.path.join(folder, "map.mrc"), "level": level}
        settings |= point_settings(run, folder, **point) | view | run.read_as("epoch", "apix", "flip", "invert")
        answer = ask(session, "peek", settings)
        return read_into_memory(answer["out"], f"{run.name} {answer['name']}"), answer


class ReplaceMap(UndoAction):
    """Other values in an open map, done when it is made; the map's level and looks stay."""

    def __init__(self, run, volume, values, point):
        super().__init__("hetero decode to")
        self._run, self._volume = run, volume
        self._before = (volume.data.array, volume.name, run.point_of(volume))
        self._after = (values, f"{run.name} {point.name}", point)
        self.redo()

    def undo(self):
        """Back to the values before."""
        self._put(*self._before)

    def redo(self):
        """Forward to the decoded ones."""
        self._put(*self._after)

    def _put(self, values, name, point):
        if self._volume.deleted:
            return
        data = self._volume.data
        data.array, data.name = values, name
        data.values_changed()
        draw_in_script(self._volume)
        self._volume.name = name
        self._run.points.pop(self._volume, None)
        if point is not None:
            self._run.points[self._volume] = point
        self._run.tell()


def _target(maps, box):
    """The one map whose values are replaced.

    Raises:
        UserError: several maps, one that belongs to a file, or a box as well.
    """
    if len(maps) > 1:
        raise UserError(f"A decoded map replaces one map, and {len(maps)} were named: {maps[0]} to {maps[-1]}.")
    if box is not None:
        raise UserError("The map that is replaced has a box already; leave out 'box' or 'to'.")
    if not isinstance(maps[0].data, ArrayGridData):
        raise UserError(f"{maps[0]} belongs to the file {maps[0].data.path}; a map that was decoded was expected.")
    return maps[0]


def _check_grid(volume, grid):
    same = tuple(volume.data.size) == tuple(grid.size) and np.allclose(volume.data.step, grid.step, rtol=1e-3)
    if not same or not np.allclose(volume.data.origin, grid.origin, atol=0.1 * min(grid.step)):
        raise UserError(f"{volume} lies on another grid than the run's maps; leave out 'to', and a new map is opened.")


def _show(session, run, grid, answer):
    grid.rgba = _COLOR
    volume = volume_from_grid(session, grid, answer["level"])
    session.models.add([volume])
    if answer["level_error"]:
        session.logger.warning(f"{volume} stands at ChimeraX's first level: {answer['level_error']}")
    elif answer["level"] is not None:
        session.logger.info(f"{volume}: level {answer['level']:.4g}")
    return volume


def _say(run, point):
    if point.nearest is None:
        return f"the map of {run}"
    place = ", ".join(f"{x:.3g}" for x in point.z[:8]) + (" ..." if len(point.z) > 8 else "")
    beyond = "; far from any particle, so it is an extrapolation" if point.beyond else ""
    return f"{run}, z {place}; nearest particle {point.nearest}{beyond}"


def register_command(name, logger):
    """Register `hetero decode`."""
    description = CmdDesc(
        required=[("run", RunArg)],
        keyword=[*POINT_KEYWORDS, ("to", OpenMapsArg), ("box", Bounded(IntArg, min=2)), ("low_pass", LOW_PASS)],
        synopsis="show the map of a point of a trained model's latent space",
    )
    register(name, description, hetero_decode, logger=logger)
