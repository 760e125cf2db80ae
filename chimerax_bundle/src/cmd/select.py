"""`hetero select`: particles by a rule or an outline, kept with the run, or written for the next program."""

import os
import tempfile

import numpy as np
from chimerax.core.commands import Annotation, AnnotationError, CmdDesc, FloatsArg, ListOf, NoArg, StringArg, register
from chimerax.core.errors import UserError
from chimerax.core.undo import UndoAction

from ..models.places import places_of
from ..worker import ask
from .arguments import PathArg, given
from .points import write_selected
from .runs import RunArg, run_of


class ColumnsArg(Annotation):
    """The names of two columns: ``PC1,PC2``."""

    name = "two columns such as PC1,PC2"

    @classmethod
    def parse(cls, text, session):
        """Two names, the text, and the rest of the command."""
        token, used, rest = StringArg.parse(text, session)
        names = token.split(",")
        if len(names) != 2:
            raise AnnotationError(f"Expected {cls.name}")
        return names, used, rest


def hetero_select(session, run, where=None, inside=None, none=False, save=None, **more):
    """Select particles of ``run``, and write those that are selected where ``save`` says; returns their numbers.

    ``more``: outline (x1, y1, x2, ...) goes with ``inside``; tables with ``where`` (those that the run has, without
    it), and labels, which say to which volume of a table each particle belongs; original (the particle file) with
    ``save``. Selecting is one undo step.

    Raises:
        UserError: no particle fits, half an outline, or the engine's sentence.
    """
    run = run_of(session, run)
    ways = [where is not None, inside is not None, none]
    if sum(ways) > 1 or not (any(ways) or save):
        raise UserError("One of 'where', 'inside' and 'none' was expected, or 'save' for the particles now selected.")
    rule = None
    if where is not None:
        sources = [*(more.get("tables") or run.tables), run.folder]
        rule = {"rule": where, "sources": sources} | given(labels=more.get("labels")) | run.read_as("epoch")
        _set(session, run, _by_rule(session, rule), where)
    elif inside is not None:
        found = _by_outline(session, run, inside, more.get("outline"))
        _set(session, run, found, f"inside an outline in {' and '.join(inside)}")
    elif none:
        session.undo.register(ChooseParticles(run, np.zeros(0, np.int64)))
        session.logger.info(f"{run}: no particle is selected")
    if save is not None:
        _write(session, run, rule, given(out=save, original=more.get("original")))
    return run.chosen


class ChooseParticles(UndoAction):
    """Another selection of particles, done when it is made."""

    def __init__(self, run, particles):
        super().__init__("hetero select")
        self._run, self._before, self._after = run, run.chosen, particles
        self.redo()

    def undo(self):
        """The particles before."""
        self._run.choose(self._before)

    def redo(self):
        """The particles chosen."""
        self._run.choose(self._after)


def _set(session, run, particles, how):
    session.undo.register(ChooseParticles(run, particles))
    n = run.info["n"]
    session.logger.info(f"{run}: {len(particles):,} of {n:,} particles ({100 * len(particles) / n:.1f} %): {how}")


def _by_rule(session, rule):
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        out = os.path.join(folder, "selected.npy")
        answer = ask(session, "select", rule | {"out": out})
        if answer["unknown"]:
            session.logger.warning(
                f"{answer['unknown']:,} particles lack a number that the rule needs and are left out"
            )
        return np.load(out).astype(np.int64)


def _by_outline(session, run, columns, outline):
    if outline is None or len(outline) < 6 or len(outline) % 2:
        raise UserError("An outline of three points or more was expected: 'outline x1,y1,x2,y2,x3,y3'.")
    places = places_of(session, run)
    found = np.sort(places.particle[places.inside(*columns, np.reshape(outline, (-1, 2)))])
    if not len(found):
        raise UserError("No particle lies inside the outline; the selection stays as it was.")
    return found


def _write(session, run, rule, settings):
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        # a rule is written as a rule: its file then says how it was made
        chosen = {"among": write_selected(run, folder), "sources": [run.folder]} | run.read_as("epoch")
        how = rule or chosen
        answer = ask(session, "select", settings | how)
    session.logger.info(f"{answer['selected']:,} particles written: {' and '.join(answer['written'])}")


def register_command(name, logger):
    """Register `hetero select`."""
    description = CmdDesc(
        required=[("run", RunArg)],
        keyword=[
            ("where", StringArg),
            ("tables", ListOf(PathArg)),
            ("labels", PathArg),
            ("inside", ColumnsArg),
            ("outline", FloatsArg),
            ("none", NoArg),
            ("save", PathArg),
            ("original", PathArg),
        ],
        synopsis="select particles by a rule or an outline, and write them for the next program",
    )
    register(name, description, hetero_select, logger=logger)
