"""`hetero path`: a way through a run's latent space as a playable series."""

import os
import tempfile

from chimerax.core.commands import Annotation, Bounded, CmdDesc, EnumOf, FloatsArg, IntArg, ListOf, register
from chimerax.core.errors import UserError

from ..worker import ask
from .arguments import OpenMapsArg, PathArg
from .open import open_ensemble
from .runs import RunArg, run_of

METHODS = ("pc", "direct", "graph")
_FEWEST_SHARED = 8  # maps that the engine shares levels between


class AnchorsArg(Annotation):
    """Points that a path goes through: particles (``17`` or ``17,80``), or decoded maps (``#3-5``)."""

    name = "particle numbers such as 17,80, or decoded maps such as #3"

    @classmethod
    def parse(cls, text, session):
        """A list of particle numbers or of maps, the text, and the rest of the command."""
        return (OpenMapsArg if text.startswith("#") else ListOf(IntArg)).parse(text, session)


def hetero_path(
    session,
    run,
    from_=None,
    to=None,
    through=None,
    method=None,
    component=None,
    span=None,
    frames=20,
    box=None,
    save=None,
):
    """Decode ``frames`` maps along a path through ``run`` and open them as a series; returns the EnsembleModel.

    Raises:
        UserError: anchors that the method does not take, or none; a folder that cannot be written.
    """
    run = run_of(session, run)
    ends = [anchor for anchor in (from_, through, to) if anchor is not None]
    method = method or ("direct" if ends else "pc")
    settings = {"run": run.folder, "out": save or free_folder(run.folder, "path"), "how": method}
    if box is not None:
        settings["box"] = box
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        if method == "pc":
            settings |= _along_component(ends, component, span, frames)
        else:
            if component is not None or span is not None:
                raise UserError(f"The {method} method goes through points; 'component' and 'span' go with method pc.")
            if from_ is None or to is None:
                raise UserError(f"The {method} method goes from a point to a point; give both 'from' and 'to'.")
            settings |= _through(run, method, [point for anchor in ends for point in anchor], frames, folder)
        answer = ask(session, "traverse", settings)
    for note in answer["path_notes"]:
        session.logger.warning(note)
    # kept beside the maps, so that whatever opens them later finds them levelled
    table = os.path.join(answer["path"], "ensemble.csv")
    share = answer["n"] >= _FEWEST_SHARED
    ask(session, "level", {"maps": [answer["path"]], "share": share, "out": table})
    series = open_ensemble(session, ask(session, "info", {"path": answer["path"]}))
    session.logger.info(f"{series}: a path of length {answer['length']:.3g} through {run}, in {answer['path']}")
    return series


def free_folder(parent, word):
    """``parent/word_1``, or the first number that is not taken.

    Raises:
        UserError: ``parent`` cannot be written to.
    """
    if not os.access(parent, os.W_OK):
        raise UserError(f"{parent} cannot be written to; say with 'save FOLDER' where the result goes.")
    number = 1
    while os.path.exists(os.path.join(parent, f"{word}_{number}")):
        number += 1
    return os.path.join(parent, f"{word}_{number}")


def _along_component(ends, component, span, frames):
    if ends:
        raise UserError("A path along a component has no points; leave out 'from', 'through' and 'to', or the method.")
    if span is not None and len(span) != 2:
        raise UserError(f"The span has {len(span)} numbers; two percentiles were expected, such as 5,95.")
    return {"component": component or 1, "n": frames} | ({} if span is None else {"span": list(span)})


def _through(run, method, anchors, frames, folder):
    """The engine's settings for anchors that are all particles, or all decoded maps."""
    particles = [anchor for anchor in anchors if isinstance(anchor, int)]
    points = [run.point_of(anchor) for anchor in anchors if not isinstance(anchor, int)]
    if None in points:
        raise UserError(f"One of the maps was not decoded from {run}; particle numbers or decoded maps were expected.")
    if method == "graph":
        particles = [anchor if isinstance(anchor, int) else run.point_of(anchor).nearest for anchor in anchors]
        return {"particles": particles, "n": frames}
    if particles and points:
        raise UserError("Particle numbers and decoded maps cannot be mixed in a direct path; give one kind.")
    legs = len(anchors) - 1
    settings = {"n": max(1, round((frames - 1) / legs))}
    if particles:
        return settings | {"particles": particles}
    path = os.path.join(folder, "anchors.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(" ".join(f"{x:.9g}" for x in point.z) + "\n" for point in points)
    return settings | {"z_file": path}


def register_command(name, logger):
    """Register `hetero path`."""
    description = CmdDesc(
        required=[("run", RunArg)],
        keyword=[
            ("from_", AnchorsArg),
            ("to", AnchorsArg),
            ("through", AnchorsArg),
            ("method", EnumOf(METHODS)),
            ("component", Bounded(IntArg, min=1)),
            ("span", FloatsArg),
            ("frames", Bounded(IntArg, min=2, max=10000)),
            ("box", Bounded(IntArg, min=2)),
            ("save", PathArg),
        ],
        synopsis="decode maps along a path through a trained model's latent space, as a series",
    )
    register(name, description, hetero_path, logger=logger)
