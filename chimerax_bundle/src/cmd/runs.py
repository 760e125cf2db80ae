"""Runs as arguments: by path or by model."""

import os

from chimerax.core.commands import Annotation, AnnotationError, ModelsArg
from chimerax.core.errors import UserError

from ..models.run import RunModel, open_runs
from ..worker import ask
from .arguments import PathArg, given


class RunArg(Annotation):
    """A run: the number of its model, or its folder."""

    name = "a run (model number or folder)"
    html_name = "a run (model number or folder)"

    @classmethod
    def parse(cls, text, session):
        """The RunModel or the path, the text that named it, and the rest of the command.

        Raises:
            UserError: the number is that of no run, or of several.
        """
        if not text:
            raise AnnotationError(f"Expected {cls.name}")
        if not text.startswith("#"):
            return PathArg.parse(text, session)
        models, used, rest = ModelsArg.parse(text, session)
        runs = [model for model in models if isinstance(model, RunModel)]
        if len(runs) != 1:
            found = f"{len(runs)} runs" if runs else "no run"
            raise UserError(f"{used} names {found}; the number of one run that 'hetero open' has opened was expected.")
        return runs[0], used, rest


def run_of(session, run, **reading):
    """The RunModel that a RunArg named; a folder that is not open yet is opened.

    Args:
        reading: how it must be open, where that matters: epoch, None for the newest.

    Raises:
        UserError: no run is there.
    """
    if isinstance(run, RunModel):
        return run
    for model in open_runs(session):
        same = os.path.realpath(model.folder) == os.path.realpath(run)
        if same and all(model.reading.get(name) == value for name, value in reading.items()):
            return model
    reading = given(**reading)
    answer = ask(session, "info", {"path": run} | reading)
    if answer["kind"] != "run":
        raise UserError(f"{run} is no run (a trained model); it is of the kind '{answer['kind']}'.")
    return show_run(session, answer, reading)


def run_settings(run):
    """The engine's settings for ``run`` (a RunArg): its folder, and the epoch at which it is open."""
    return {"run": run} if isinstance(run, str) else {"run": run.folder} | run.read_as("epoch")


def show_run(session, answer, reading=None):
    """The RunModel of the answer of ``info``, added to the session; ``reading`` is the model's."""
    run = RunModel(answer["name"], session, os.path.abspath(answer["path"]), answer, reading)
    session.models.add([run])
    for note in answer.get("notes", []):
        session.logger.warning(note)
    session.logger.info(f"{run}: {run.describe()}")
    return run
