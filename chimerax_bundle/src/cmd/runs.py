"""Runs as arguments: by path or by model."""

import os

from chimerax.core.commands import Annotation, AnnotationError, ModelsArg
from chimerax.core.errors import UserError

from ..models.run import RunModel, open_runs
from ..worker import ask
from .arguments import PathArg


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


class RunPathArg(RunArg):
    """A run, of which the folder alone matters."""

    @classmethod
    def parse(cls, text, session):
        """The folder's path, the text that named it, and the rest of the command."""
        run, used, rest = super().parse(text, session)
        return run if isinstance(run, str) else run.folder, used, rest


def run_of(session, run):
    """The RunModel that a RunArg named; a folder that is not open yet is opened.

    Raises:
        UserError: no run is there.
    """
    if isinstance(run, RunModel):
        return run
    for model in open_runs(session):
        if os.path.realpath(model.folder) == os.path.realpath(run):
            return model
    answer = ask(session, "info", {"path": run})
    if answer["kind"] != "run":
        raise UserError(f"{run} is no run (a trained model); it is of the kind '{answer['kind']}'.")
    return show_run(session, answer)


def newest_of(run, what):
    """The folder of ``run``, for ``what``, which knows the newest epoch alone.

    Raises:
        UserError: another epoch is open.
    """
    if "epoch" in run.reading:
        raise UserError(f"{run} is open at epoch {run.reading['epoch']}; '{what}' knows the newest epoch alone.")
    return run.folder


def show_run(session, answer, reading=None):
    """The RunModel of the answer of ``info``, added to the session; ``reading`` is the model's."""
    run = RunModel(answer["name"], session, os.path.abspath(answer["path"]), answer, reading)
    session.models.add([run])
    for note in answer.get("notes", []):
        session.logger.warning(note)
    session.logger.info(f"{run}: {run.describe()}")
    return run
