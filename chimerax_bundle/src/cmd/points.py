"""Points of a run's latent space as arguments: named by a number, or by a map that was decoded there."""

import os

import numpy as np
from chimerax.core.commands import (
    Annotation,
    AnnotationError,
    Bounded,
    FloatArg,
    FloatsArg,
    IntArg,
    ListOf,
    NoArg,
    next_token,
)
from chimerax.core.errors import UserError

from .arguments import OpenMapsArg, given


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


class AnchorsArg(Annotation):
    """Points that a path goes through: particles (``17`` or ``17,80``), or decoded maps (``#3-5``)."""

    name = "particle numbers such as 17,80, or decoded maps such as #3"

    @classmethod
    def parse(cls, text, session):
        """A list of particle numbers or of maps, the text, and the rest of the command."""
        return (OpenMapsArg if text.startswith("#") else ListOf(IntArg)).parse(text, session)


LOW_PASS = Bounded(FloatArg, min=0.1)
POINT_KEYWORDS = [
    ("z", FloatsArg),
    ("at", PlaceArg),
    ("particle", Bounded(IntArg, min=0)),
    ("center", Bounded(IntArg, min=0)),
    ("clusters", Bounded(IntArg, min=1)),
    ("selected", NoArg),
]
"""The keywords of every command that takes one point; :func:`point_settings` takes what they were given."""


def point_settings(run, folder, clusters=20, selected=False, **point):
    """The engine's words for one point of ``run``, of those in POINT_KEYWORDS.

    Args:
        folder: takes the selected particles' numbers, where these are asked for.

    Raises:
        UserError: no point or two, or no particles are selected.
    """
    how = given(**point)
    if len(how) + bool(selected) > 1 or (not how and not selected and run.zdim):
        raise UserError("One of z, at, particle, center and selected was expected, to say what is decoded.")
    if selected:
        how["mean_of"] = write_selected(run, folder)
    if "center" in how:
        how["clusters"] = clusters
    return how


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


def decoded_point(run, volume):
    """The Point that ``volume`` was decoded from.

    Raises:
        UserError: it was not decoded from this run.
    """
    point = run.point_of(volume)
    if point is None:
        raise UserError(f"{volume} was not decoded from {run}; a map that 'hetero decode' made was expected.")
    return point
