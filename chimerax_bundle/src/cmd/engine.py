"""`hetero engine`: which Python runs the engine."""

from chimerax.core.commands import CmdDesc, FileNameArg, register

from ..discovery import check_python, find_python
from ..settings import settings_of
from ..worker import ask, close_worker, worker_of
from ..worker_process import Worker


def hetero_engine(session, python=None):
    """Report the engine, after making ``python`` (a path, or ``default`` to forget it) the one that runs it.

    Returns the engine's greeting: version, protocol, python, device. A Python that has no engine is not remembered.

    Raises:
        UserError: no engine, or one that cannot be used.
    """
    settings = settings_of(session)
    if python == "default":
        settings.python = ""
        close_worker(session)
    elif python is not None:
        python = check_python(python)
        Worker(python).close()  # raises its sentence before anything changes
        settings.python = python
        close_worker(session)
    _, source = find_python(session)
    worker = worker_of(session)
    hello = worker.hello
    session.logger.info(
        f"hetero engine {hello['version']}, protocol {hello['protocol']}, device {hello['device']}: "
        f"{worker.python} ({source})"
    )
    session.logger.info(_say(ask(session, "machine", {})))
    return hello


def _say(machine):
    versions = ", ".join(f"{name} {machine[name] or 'is not installed'}" for name in ("python", "numpy", "torch"))
    if machine["free"] is None:
        return f"{versions}; {machine['device']}"
    free, total = (f"{machine[name] / 2**30:.1f}" for name in ("free", "total"))
    return f"{versions}; {machine['device']}, {free} of {total} GB free"


def register_command(name, logger):
    """Register `hetero engine`."""
    description = CmdDesc(
        optional=[("python", FileNameArg)],
        synopsis="say which Python runs the engine, or choose it",
    )
    register(name, description, hetero_engine, logger=logger)
