"""`hetero install`: get the engine."""

import os

from chimerax.core.commands import CmdDesc, register
from chimerax.core.errors import UserError

from ..install import InstallTask
from .arguments import PathArg

_FOLDER = "~/hetero_engine"


def hetero_install(session, folder=None, source=None):
    """Make the engine's environment in ``folder`` (or update it), and use it from then on; returns the task.

    Without a window it waits until that is done.

    Raises:
        UserError: the folder holds something else, is ChimeraX's own, or (without a window) the installation failed.
    """
    folder = os.path.abspath(os.path.expanduser(folder or _FOLDER))
    if not _may_hold_it(folder):
        raise UserError(f"{folder} holds something that is no environment of Python's; an empty place was expected.")
    if source is not None and not os.path.exists(source):
        raise UserError(f"{source} is not there; a wheel or a checkout of the engine was expected.")
    task = InstallTask(session, folder, source)
    session.logger.info(f"installing the engine into {folder}; the Task Manager can stop it")
    wait = session.in_script or not session.ui.is_gui
    task.start(blocking=wait)
    if wait and task.failure:
        raise UserError(task.failure)
    return task


def _may_hold_it(folder):
    """Whether the place is free, empty, or an environment already."""
    if not os.path.exists(folder) or os.path.isfile(os.path.join(folder, "pyvenv.cfg")):
        return True
    return os.path.isdir(folder) and not os.listdir(folder)


def register_command(name, logger):
    """Register `hetero install`."""
    description = CmdDesc(
        optional=[("folder", PathArg)],
        keyword=[("source", PathArg)],
        synopsis="install the engine into an environment of its own",
    )
    register(name, description, hetero_install, logger=logger)
