"""`hetero quiver`: how the Gaussians of a run move from one point to another, as arrows."""

import os
import tempfile

import numpy as np
from chimerax.core.commands import Bounded, CmdDesc, FloatArg, IntArg, ModelsArg, register
from chimerax.core.errors import UserError
from chimerax.core.undo import UndoAction
from chimerax.map_data import ArrayGridData
from scipy.spatial import cKDTree

from ..models.glyphs import GlyphsModel, arrows
from ..models.grids import write_grid
from ..models.places import places_of
from ..palette import RAMP
from ..report import show_key
from .arguments import OpenMapsArg, one_map
from .gaussians import ask_gaussians
from .points import AnchorsArg, decoded_point
from .runs import RunArg, run_of

_SPAN = (5, 95)  # percentiles, as of a path along a component
_THIN = 0.15  # a shaft's radius, of the median distance to the next Gaussian


def hetero_quiver(session, run, scale=1.0, min_length=1.0, region=None, **ends):
    """Show the motion of the Gaussians of ``run`` as arrows; returns the GlyphsModel.

    ``ends``: between two anchors, from_ and to, or along a component, from the 5th to the 95th percentile of particles.

    Arrows are drawn ``scale`` times as long as the motion, from ``min_length`` Å of motion on, coloured by the motion.
    ``region`` (a list with a map) leaves out those that start outside its surface.

    Raises:
        UserError: anchors that are no single points, a run without Gaussians, or nothing that moves so far.
    """
    run = run_of(session, run)
    start, end = _ends(session, run, **ends)
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        settings = {"start": start, "end": end} | run.read_as("epoch")
        if region is not None:
            settings["mask"] = _write_mask(one_map(region, "A region is the inside of one map"), folder)
        answer, arrays = ask_gaussians(session, run.folder, **settings)
    model = show_arrows(session, f"{run.name} motion", arrays, scale, min_length)
    if answer["rigid"] is not None:
        _tell_rigid(session, model, answer["rigid"])
    return model


def show_arrows(session, name, arrays, scale=1.0, min_length=1.0):
    """The GlyphsModel of ``centres``, ``displacements`` and maybe ``inside`` of :func:`ask_gaussians`, with its key.

    Raises:
        UserError: nothing moves by ``min_length``.
    """
    centres, moved = arrays["centres"], arrays["displacements"]
    lengths = np.linalg.norm(moved, axis=1)
    inside = arrays.get("inside", np.ones(len(lengths), bool))
    kept = np.flatnonzero(inside & (lengths >= min_length) & (lengths > 0))
    if not len(kept):
        raise UserError(
            f"None of the {np.count_nonzero(inside):,} Gaussians moves by {min_length:g} \u00c5; the furthest moves by "
            f"{lengths[inside].max():.2g} \u00c5."
        )
    longest = lengths[kept].max()
    shade = (255 * lengths[kept] / longest).astype(np.uint8)
    width = _THIN * np.median(cKDTree(centres).query(centres, 2)[0][:, -1])
    model = GlyphsModel(name, session, "arrows", lengths[kept], kept + 1)
    model.show(arrows(centres[kept], scale * moved[kept], width), np.insert(RAMP[shade], 3, 255, axis=1))
    session.models.add([model])
    shares = (1, 0.75, 0.5, 0.25, 0)
    stops = [f"#{bytes(RAMP[int(255 * share)]).hex()}" for share in shares]
    labels = [f"{share * longest:.3g} \u00c5" for share in shares]
    show_key(session, list(zip(stops, labels, strict=True)), "blended")
    session.logger.info(
        f"{model}: {len(kept):,} of {np.count_nonzero(inside):,} Gaussians move by {min_length:g} \u00c5 or more, the "
        f"furthest by {longest:.1f} \u00c5 (median {np.median(lengths[kept]):.1f} \u00c5); arrows are "
        f"{'as long' if scale == 1 else f'{scale:g} times as long'}, from purple (0) to yellow"
    )
    return model


def hetero_quiver_select(session, models, longer=None, shorter=None):
    """Select the arrows of ``models`` whose motion is ``longer`` or ``shorter`` than so many Å; returns their number.

    One undo step.

    Raises:
        UserError: no arrows among the models, or neither bound.
    """
    drawn = [model for model in models if isinstance(model, GlyphsModel) and model.what == "arrows"]
    if not drawn:
        raise UserError("None of these models holds arrows; the number of one that 'hetero quiver' made was expected.")
    if longer is None and shorter is None:
        raise UserError("How far was not said; 'longer' or 'shorter' and a number of \u00c5 was expected.")
    low, high = 0 if longer is None else longer, np.inf if shorter is None else shorter
    session.undo.register(ChooseArrows([(m, (m.values >= low) & (m.values <= high)) for m in drawn]))
    n = sum(np.count_nonzero(model.chosen) for model in drawn)
    session.logger.info(f"{n:,} of {sum(len(model.values) for model in drawn):,} arrows are selected")
    return n


class ChooseArrows(UndoAction):
    """Another selection of arrows, done when it is made."""

    def __init__(self, chosen):
        super().__init__("hetero quiver select")
        self._before, self._after = [(model, model.chosen) for model, _ in chosen], chosen
        self.redo()

    def undo(self):
        """The arrows that were selected before."""
        self._choose(self._before)

    def redo(self):
        """The arrows chosen."""
        self._choose(self._after)

    def _choose(self, chosen):
        for model, mask in chosen:
            if not model.deleted:
                model.choose(mask)


def _ends(session, run, from_=None, to=None, component=None):
    """The engine's names of where arrows start and end.

    Raises:
        UserError: one anchor, or anchors and a component, or neither.
    """
    if (from_ is None) != (to is None) or (from_ is None) == (component is None):
        raise UserError("Two points ('from' and 'to') or a component was expected, to say what moves where.")
    if component is None:
        return _named(run, *_one("from", from_)), _named(run, *_one("to", to))
    column = places_of(session, run).column(f"PC{component}")
    return [{"at": {f"PC{component}": float(place)}} for place in np.percentile(column, _SPAN)]


def _one(word, anchors):
    if len(anchors) > 1:
        raise UserError(f"'{word}' names {len(anchors)} points; arrows go from one point to one other.")
    return anchors


def _named(run, anchor):
    """The engine's name of a point."""
    return {"particle": anchor} if isinstance(anchor, int) else {"z": list(decoded_point(run, anchor).z)}


def _write_mask(volume, folder):
    """Path of a map that is 1 inside the surface of ``volume``, at its level."""
    volume.update_drawings()
    if not volume.surfaces:
        raise UserError(f"{volume} has no surface, so no inside; show it as a surface.")
    data = volume.data
    inside = (volume.full_matrix() >= min(s.level for s in volume.surfaces)).astype(np.int8)
    path = os.path.join(folder, "region.mrc")
    write_grid(volume.session, ArrayGridData(inside, origin=data.origin, step=data.step, name=volume.name), path)
    return path


def _tell_rigid(session, model, body):
    session.logger.info(
        f"{model}: as one body the region turns by {body['angle']:.1f} degrees and shifts by "
        f"{np.linalg.norm(body['shift']):.1f} \u00c5; that leaves {body['left']:.1f} of {body['moved']:.1f} \u00c5 "
        "(r.m.s.)"
    )


def register_command(name, logger):
    """Register `hetero quiver` or `hetero quiver select`."""
    if name.endswith("select"):
        description = CmdDesc(
            required=[("models", ModelsArg)],
            keyword=[("longer", Bounded(FloatArg, min=0)), ("shorter", Bounded(FloatArg, min=0))],
            synopsis="select arrows by how far their Gaussians move",
        )
        register(name, description, hetero_quiver_select, logger=logger)
        return
    description = CmdDesc(
        required=[("run", RunArg)],
        keyword=[
            ("from_", AnchorsArg),
            ("to", AnchorsArg),
            ("component", Bounded(IntArg, min=1)),
            ("scale", Bounded(FloatArg, min=0.01)),
            ("min_length", Bounded(FloatArg, min=0)),
            ("region", OpenMapsArg),
        ],
        synopsis="show how the Gaussians of a trained model move, as arrows",
    )
    register(name, description, hetero_quiver, logger=logger)
