"""`hetero reconstruct`: the map of the images themselves near a point of a run, to check a decoded one."""

import os
import tempfile

from chimerax.core.commands import Annotation, Bounded, CmdDesc, FloatArg, FloatsArg, StringArg, register
from chimerax.core.models import Model

from ..models.grids import open_kept, volume_from_grid
from ..report import log_picture
from ..worker import ask
from .arguments import OpenMapsArg, PathArg
from .decode import hetero_decode
from .level import hetero_level
from .points import decoded_point
from .runs import RunArg, run_of

_COLOR = (0.93, 0.75, 0.45, 1.0)  # the images' map, beside the decoded one in blue
_MAPS = ("map", "half1", "half2")


class NearArg(Annotation):
    """A point: a decoded map (``#3``) or the numbers of a latent."""

    name = "a decoded map, or the numbers of a latent"

    @classmethod
    def parse(cls, text, session):
        """A list with a map or of numbers, the text, and the rest of the command."""
        return (OpenMapsArg if text.startswith("#") else FloatsArg).parse(text, session)


def hetero_reconstruct(session, run, near, particles, save=None, **options):
    """Backproject the particles near a point; opens the map, its halves (hidden) and the decoded one.

    ``options`` are the engine's: poses, ctf, datadir, bandwidth, symmetry. Returns the group of the map and its halves.

    Raises:
        UserError: no point, particles that are not the run's, or the engine's sentence.
    """
    run = run_of(session, run)
    decoded = not isinstance(near[0], float)
    z = list(decoded_point(run, near[0]).z if decoded else near)
    settings = {"particles": particles, "run": run.folder, "z": z}
    settings |= {name: value for name, value in options.items() if value is not None}
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        out = save or os.path.join(folder, "reconstruction")
        answer = ask(session, "reconstruct", settings | {"out": out})
        group = _open(session, out, kept=save is not None)
        log_picture(session, os.path.join(out, "fsc.png"), width=450)
    _tell(session, group, answer)
    hetero_level(session, group.child_models()[:1])
    if not decoded:
        hetero_decode(session, run, z=z, box=answer["box"] if answer["box"] != run.info["shape"][0] else None)
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


def _tell(session, group, answer):
    halves = "the refinement's own" if answer["halves_of"] == "file" else "odd and even particles"
    reach = answer["resolution_0143"]
    reach = f"to the end ({answer['nyquist']:.3g} \u00c5)" if reach is None else f"to {reach:.3g} \u00c5"
    session.logger.info(
        f"{group}: {answer['n']:,} particles near the point, worth {answer['effective']:,.0f}; half maps ({halves}) "
        f"agree {reach} (FSC 0.143)"
    )


def register_command(name, logger):
    """Register `hetero reconstruct`."""
    description = CmdDesc(
        required=[("run", RunArg)],
        keyword=[
            ("near", NearArg),
            ("particles", PathArg),
            ("poses", PathArg),
            ("ctf", PathArg),
            ("datadir", PathArg),
            ("bandwidth", Bounded(FloatArg, min=1e-3)),
            ("symmetry", StringArg),
            ("save", PathArg),
        ],
        required_arguments=["near", "particles"],
        synopsis="reconstruct the map of the images near a point of a trained model",
    )
    register(name, description, hetero_reconstruct, logger=logger)
