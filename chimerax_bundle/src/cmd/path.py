"""`hetero path`: a way through a run's latent space as a playable series."""

import os
import tempfile

from chimerax.core.commands import Bounded, CmdDesc, EnumOf, FloatsArg, IntArg, NoArg, register
from chimerax.core.errors import UserError

from ..models.run import Point
from ..worker import ask
from .arguments import PathArg, given
from .gaussians import ask_gaussians
from .open import open_ensemble
from .points import LOW_PASS, AnchorsArg, decoded_point
from .quiver import show_arrows
from .runs import RunArg, run_of

METHODS = ("pc", "direct", "graph")
_FEWEST_SHARED = 8  # maps that the engine shares levels between
_MOST_IN_MEMORY = 2 << 30  # bytes of a path that is kept nowhere


def hetero_path(session, run, frames=20, box=None, low_pass=None, save=None, **way):
    """Decode ``frames`` maps along a path through ``run`` and open them as a series; returns the EnsembleModel.

    ``way`` says where it goes: from_, to, through (anchors), method, component, span, loop, neighbours. Without
    ``save`` (a folder) the maps are in memory.

    Raises:
        UserError: anchors that the method does not take, or none; a folder that cannot be written.
    """
    run = run_of(session, run)
    if save is None:
        _check_memory(run, frames, box)
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        settings = {"run": run.folder, "out": save or os.path.join(folder, "path")}
        settings |= given(box=box, low_pass=low_pass) | run.read_as("epoch", "apix", "flip", "invert")
        answer = ask(session, "traverse", settings | _way(run, folder, frames, way))
        for note in answer["path_notes"]:
            session.logger.warning(note)
        # kept beside the maps, so that whatever opens them later finds them levelled
        table = os.path.join(answer["path"], "ensemble.csv")
        share = answer["n"] >= _FEWEST_SHARED
        ask(session, "level", {"maps": [answer["path"]], "share": share, "out": table})
        series = open_ensemble(session, ask(session, "info", {"path": answer["path"]}), kept=save is not None)
    _remember(run, series, answer)
    where = "in memory" if save is None else f"in {save}"
    session.logger.info(f"{series}: a path of length {answer['length']:.3g} through {run}, {where}")
    if run.info["system"] == "gmm":
        _show_arrows(session, run, answer["z"])
    return series


def _remember(run, series, answer):
    """Where each map of the path comes from."""
    for volume, z, scores in zip(series.maps, answer["z"], answer["scores"], strict=True):
        run.points[volume] = Point(tuple(z), volume.name, scores=tuple(scores))
    run.tell()


def _show_arrows(session, run, way):
    """From the path's first map to its last, as long as the motion is."""
    ends = {"start": {"z": way[0]}, "end": {"z": way[-1]}}
    _, arrays = ask_gaussians(session, run.folder, **ends, **run.read_as("epoch"))
    try:
        show_arrows(session, f"{run.name} path", arrays)
    except UserError as error:  # nothing moves: the series says so too
        session.logger.info(str(error))


def _check_memory(run, frames, box):
    size = frames * (box or run.info["shape"][0]) ** 3 * 4
    if size > _MOST_IN_MEMORY:
        raise UserError(
            f"{frames} maps take {size / 2**30:.0f} GB; say with 'save FOLDER' where they are kept, or give a smaller "
            "box."
        )


def _way(run, folder, frames, way):
    """The engine's settings for where the path goes."""
    ends = [way[name] for name in ("from_", "through", "to") if way.get(name) is not None]
    component, span = way.get("component"), way.get("span")
    method = way.get("method") or ("direct" if ends else "pc")
    more = {name: way[name] for name in ("loop", "neighbours") if way.get(name)}
    if more and (method == "pc" or (method == "direct" and "neighbours" in more)):
        raise UserError(f"A path of the {method} method has no {' and no '.join(more)}; leave it out.")
    if method == "pc":
        return {"how": method} | _along_component(ends, component, span, frames)
    if component is not None or span is not None:
        raise UserError(f"The {method} method goes through points; 'component' and 'span' go with method pc.")
    if way.get("from_") is None or way.get("to") is None:
        raise UserError(f"The {method} method goes from a point to a point; give both 'from' and 'to'.")
    anchors = [point for anchor in ends for point in anchor]
    return {"how": method} | more | _through(run, method, anchors, frames, folder, "loop" in more)


def _along_component(ends, component, span, frames):
    if ends:
        raise UserError("A path along a component has no points; leave out 'from', 'through' and 'to', or the method.")
    if span is not None and len(span) != 2:
        raise UserError(f"The span has {len(span)} numbers; two percentiles were expected, such as 5,95.")
    return {"component": component or 1, "n": frames} | ({} if span is None else {"span": list(span)})


def _through(run, method, anchors, frames, folder, loop):
    """The engine's settings for anchors that are all particles, or all decoded maps; ``loop``: back to the first."""
    particles = [anchor for anchor in anchors if isinstance(anchor, int)]
    points = [decoded_point(run, anchor) for anchor in anchors if not isinstance(anchor, int)]
    if method == "graph":
        particles = [anchor if isinstance(anchor, int) else decoded_point(run, anchor).nearest for anchor in anchors]
        if None in particles:
            raise UserError("A path's own maps have no particle for a graph to start from; decode a point there first.")
        return {"particles": particles, "n": frames}
    if particles and points:
        raise UserError("Particle numbers and decoded maps cannot be mixed in a direct path; give one kind.")
    legs = len(anchors) - (not loop)
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
            ("loop", NoArg),
            ("neighbours", Bounded(IntArg, min=1)),
            ("frames", Bounded(IntArg, min=2, max=10000)),
            ("box", Bounded(IntArg, min=2)),
            ("low_pass", LOW_PASS),
            ("save", PathArg),
        ],
        synopsis="decode maps along a path through a trained model's latent space, as a series",
    )
    register(name, description, hetero_path, logger=logger)
