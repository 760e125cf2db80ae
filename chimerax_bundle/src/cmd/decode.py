"""`hetero decode`: the map of one point of a run's latent space."""

import os
import tempfile

import numpy as np
from chimerax.core.commands import Annotation, AnnotationError, Bounded, CmdDesc, FloatsArg, IntArg, NoArg, register
from chimerax.core.commands.cli import next_token
from chimerax.core.errors import UserError
from chimerax.core.undo import UndoAction
from chimerax.map_data import ArrayGridData

from ..models.grids import read_into_memory, volume_from_grid
from ..models.run import Point
from ..worker import ask
from .arguments import OpenMapsArg
from .runs import RunArg, run_of

_COLOR = (0.70, 0.78, 0.88, 1.0)


class PlaceArg(Annotation):
    """Places along components or numbers of a latent: ``PC1=0.5,PC2=-1`` or ``z2=1``."""

    name = "places such as PC1=0.5,PC2=-1 or z2=1"

    @classmethod
    def parse(cls, text, session):
        """A dict of names and numbers, the text, and the rest of the command."""
        if not text:
            raise AnnotationError(f"Expected {cls.name}")
        token, used, rest = next_token(text)
        places = {}
        for part in token.split(","):
            name, _, number = part.partition("=")
            try:
                places[name] = float(number)
            except ValueError:
                raise AnnotationError(f"Expected {cls.name}") from None
        return places, used, rest


def hetero_decode(
    session, run, z=None, at=None, particle=None, center=None, clusters=20, selected=False, to=None, box=None
):
    """Decode a point of ``run`` and show its map; returns the Volume.

    With ``to`` (a list with one map) that map's values are replaced in one undo step, and its level and looks stay.

    Raises:
        UserError: no point or two, a point that the run does not have, or a ``to`` that cannot take the map.
    """
    run = run_of(session, run)
    how = {"z": z, "at": at, "particle": particle, "center": center, "mean_of": True if selected else None}
    how = {name: value for name, value in how.items() if value is not None}
    if len(how) > 1 or (not how and run.zdim):
        raise UserError("One of z, at, particle, center and selected was expected, to say what is decoded.")
    if center is not None:
        how["clusters"] = clusters
    target = None if to is None else _target(to, box)
    if target is not None:
        box = target.data.size[0]
    grid, answer = decode(session, run, how, box, level=target is None)
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


def decode(session, run, how, box=None, level=True):
    """``(grid, answer)``: the engine's map, in memory, and what it says of it (see its ``peek``).

    Raises:
        UserError: the engine's sentence.
    """
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        settings = {"run": run.folder, "out": os.path.join(folder, "map.mrc"), "level": level} | how
        if "mean_of" in how:
            settings["mean_of"] = write_selected(run, folder)
        if box is not None:
            settings["box"] = int(box)
        answer = ask(session, "peek", settings)
        return read_into_memory(answer["out"], f"{run.name} {answer['name']}"), answer


def write_selected(run, folder):
    """Path of a file in ``folder`` with the numbers of the particles that are selected in ``run``.

    Raises:
        UserError: none are.
    """
    if not len(run.chosen):
        raise UserError(f"No particles of {run} are selected; 'hetero select' and the lasso of 'hetero latent' do it.")
    path = os.path.join(folder, "selected.npy")
    np.save(path, run.chosen)
    return path


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
        keyword=[
            ("z", FloatsArg),
            ("at", PlaceArg),
            ("particle", Bounded(IntArg, min=0)),
            ("center", Bounded(IntArg, min=0)),
            ("clusters", Bounded(IntArg, min=1)),
            ("selected", NoArg),
            ("to", OpenMapsArg),
            ("box", Bounded(IntArg, min=2)),
        ],
        synopsis="show the map of a point of a trained model's latent space",
    )
    register(name, description, hetero_decode, logger=logger)
