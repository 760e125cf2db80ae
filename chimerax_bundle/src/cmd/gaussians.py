"""`hetero gaussians`: the Gaussians of a run at one point, or of a model text, as spheres."""

import os
import tempfile

import numpy as np
from chimerax.core.commands import Bounded, CmdDesc, EnumOf, FloatArg, IntArg, register
from chimerax.core.errors import UserError

from ..models.glyphs import GlyphsModel, spheres
from ..models.run import Point
from ..worker import ask
from .arguments import given
from .points import POINT_KEYWORDS, point_settings
from .runs import RunArg, run_of

PROGRAMS = ("new", "refine", "point")
_COLOR = np.array([178, 199, 224, 255], np.uint8)


def hetero_gaussians(session, run, scale=1.0, program=None, box=None, apix=None, **point):
    """Show the Gaussians of ``run`` (a run, or the path of a model text) as spheres; returns the GlyphsModel.

    A sphere's volume is its Gaussian's mass; one of the mean mass has the radius of its standard deviation times
    ``scale``. ``point`` (see POINT_KEYWORDS) says where in the run; ``program``, ``box`` and ``apix`` complete a text.

    Raises:
        UserError: no point or two, a run without Gaussians, or the engine's sentence.
    """
    text = given(program=program, box=box, apix=apix)
    if isinstance(run, str) and os.path.isfile(run):
        if any(value is not None for value in point.values()):
            raise UserError(f"{run} is a model text, which has no points to choose; a run has.")
        answer, arrays = ask_gaussians(session, run, **text)
        return _show(session, answer["name"], answer, arrays, scale)
    if text:
        raise UserError(f"{' and '.join(text)} belong to a model text; a run knows its own.")
    run = run_of(session, run)
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        at = {"start": point_settings(run, folder, **point)} | run.read_as("epoch")
        answer, arrays = ask_gaussians(session, run.folder, **at)
    model = _show(session, f"{run.name} {answer['name']}", answer, arrays, scale)
    near = (answer["nearest"], bool(answer["beyond"]))
    run.points[model] = Point(tuple(answer["z"]), answer["name"], *near, tuple(answer["scores"]))
    run.tell()
    return model


def ask_gaussians(session, source, **settings):
    """``(answer, arrays)`` of the engine's ``gaussians``; places and displacements in Å along x, y, z.

    Raises:
        UserError: the engine's sentence.
    """
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        out = os.path.join(folder, "gaussians.npz")
        answer = ask(session, "gaussians", {"source": source, "out": out} | settings)
        with np.load(out) as file:
            arrays = dict(file)
    for name in {"centres", "displacements"} & set(arrays):
        arrays[name] = arrays[name][:, ::-1]
    return answer, arrays


def _show(session, name, answer, arrays, scale):
    masses = arrays["masses"]
    model = GlyphsModel(name, session, "spheres", masses, np.arange(1, len(masses) + 1))
    radii = scale * arrays["sigmas"] * np.cbrt(masses / masses.mean())
    model.show(spheres(arrays["centres"], radii), np.tile(_COLOR, (len(masses), 1)))
    session.models.add([model])
    session.logger.info(f"{model}: {answer['n']:,} Gaussians as spheres, in volume as in mass")
    return model


def register_command(name, logger):
    """Register `hetero gaussians`."""
    description = CmdDesc(
        required=[("run", RunArg)],
        keyword=[
            *POINT_KEYWORDS,
            ("scale", Bounded(FloatArg, min=0.01)),
            ("program", EnumOf(PROGRAMS)),
            ("box", Bounded(IntArg, min=2)),
            ("apix", Bounded(FloatArg, min=0.01)),
        ],
        synopsis="show the Gaussians of a trained model, or of a model text, as spheres",
    )
    register(name, description, hetero_gaussians, logger=logger)
