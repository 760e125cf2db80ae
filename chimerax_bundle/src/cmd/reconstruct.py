"""`hetero reconstruct`: the map of the images themselves near a point of a run, to check a decoded one."""

import os
import tempfile

from chimerax.core.commands import (
    Annotation,
    BoolArg,
    Bounded,
    CmdDesc,
    FloatArg,
    FloatsArg,
    NoArg,
    StringArg,
    register,
)
from chimerax.core.errors import UserError
from chimerax.core.models import Model
from chimerax.geometry import translation

from ..models.grids import open_kept, volume_from_grid
from ..report import log_picture
from ..worker import ask
from .arguments import OpenMapsArg, PathArg, given
from .decode import hetero_decode
from .level import hetero_level
from .points import decoded_point, write_selected
from .runs import RunArg, run_of, run_settings

_COLOR = (0.93, 0.75, 0.45, 1.0)  # the images' map, beside the decoded one in blue
_IMAGES = ("particles", "poses", "ctf", "datadir")
_ASIDE = 1.1  # boxes
_MAPS = ("map", "half1", "half2")


class NearArg(Annotation):
    """A point: a decoded map (``#3``) or the numbers of a latent."""

    name = "a decoded map, or the numbers of a latent"

    @classmethod
    def parse(cls, text, session):
        """A list with a map or of numbers, the text, and the rest of the command."""
        return (OpenMapsArg if text.startswith("#") else FloatsArg).parse(text, session)


def hetero_reconstruct(session, run, near=None, selected=False, save=None, **options):
    """Backproject the particles near a point, or those ``selected``; opens the map, its halves (hidden) and the decoded
    one.

    ``options`` are the engine's: particles, poses, ctf, datadir (which the run remembers), bandwidth, symmetry, invert.
    Returns the group of the map and its halves.

    Raises:
        UserError: no point, particles that are not the run's, or the engine's sentence.
    """
    run = run_of(session, run)
    if (near is None) != bool(selected):
        raise UserError("One of 'near' (a decoded map, or a latent) and 'selected' (particles) was expected.")
    options = given(**options)
    images = {name: options.pop(name) for name in _IMAGES if name in options} or run.images
    if "particles" not in images:
        raise UserError(f"The particle file that {run} was trained on was not named; 'particles FILE' was expected.")
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        out = save or os.path.join(folder, "reconstruction")
        settings = images | options
        if selected:
            settings["ind"], point = write_selected(run, folder), {"selected": True}
        else:
            point = None if not isinstance(near[0], float) else {"z": near}
            z = list(near if point else decoded_point(run, near[0]).z)
            settings |= run_settings(run) | {"z": z}
        answer = ask(session, "reconstruct", settings | {"out": out})
        group = _open(session, out, kept=save is not None)
        _move_aside(session, group, answer)
        log_picture(session, os.path.join(out, "fsc.png"), width=450)
    run.images = images
    _tell(session, group, answer)
    hetero_level(session, group.child_models()[:1])
    if point is not None:
        box = answer["box"] if answer["box"] != run.info["shape"][0] else None
        hetero_decode(session, run, box=box, **point)
    return group


def _open(session, folder, kept):
    """A group of the map and its halves: from their files where those are kept, else in memory."""
    group = Model("reconstruction", session)
    for name in _MAPS:
        path = os.path.join(folder, f"{name}.mrc")
        grid = open_kept(path, name, kept)
        grid.rgba = _COLOR
        volume = volume_from_grid(session, grid)
        volume.display = name == "map"
        group.add([volume])
    session.models.add([group])
    return group


def _move_aside(session, group, answer):
    """To the right of where it lies, by a little more than its box: there the decoded map stands."""
    right = session.main_view.camera.position.axes()[0]
    group.position = translation(_ASIDE * answer["box"] * answer["apix"] * right)


def _tell(session, group, answer):
    halves = "the refinement's own" if answer["halves_of"] == "file" else "odd and even particles"
    reach = answer["resolution_0143"]
    reach = f"to the end ({answer['nyquist']:.3g} \u00c5)" if reach is None else f"to {reach:.3g} \u00c5"
    whose = "that were selected" if answer["z"] is None else f"near the point, worth {answer['effective']:,.0f}"
    session.logger.info(f"{group}: {answer['n']:,} particles {whose}; half maps ({halves}) agree {reach} (FSC 0.143)")


def register_command(name, logger):
    """Register `hetero reconstruct`."""
    description = CmdDesc(
        required=[("run", RunArg)],
        keyword=[
            ("near", NearArg),
            ("selected", NoArg),
            ("particles", PathArg),
            ("poses", PathArg),
            ("ctf", PathArg),
            ("datadir", PathArg),
            ("bandwidth", Bounded(FloatArg, min=1e-3)),
            ("symmetry", StringArg),
            ("invert", BoolArg),
            ("save", PathArg),
        ],
        synopsis="reconstruct the map of the images near a point of a trained model, or of particles selected",
    )
    register(name, description, hetero_reconstruct, logger=logger)
