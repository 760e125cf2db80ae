"""The worker of a session: started by the first request, there as long as ChimeraX runs, and ended with it."""

from chimerax.core.errors import UserError

from .discovery import find_python
from .worker_process import Worker, WorkerGone


def worker_of(session):
    """The running worker of ``session``, started when there is none.

    Raises:
        UserError: no engine was found, or it cannot be used.
    """
    worker = getattr(session, "_hetero_worker", None)
    if worker is not None and worker.alive:
        return worker
    if getattr(session, "_hetero_starting", False):
        # Events are handled while the engine starts, so a second command can arrive before there is a worker.
        raise UserError("The hetero engine is just starting; give the command again in a moment.")
    close_worker(session)
    python, _ = find_python(session)
    session.logger.status("starting the hetero engine")
    wait = session.ui.processEvents if session.ui.is_gui else None
    session._hetero_starting = True
    try:
        session._hetero_worker = Worker(python, wait)
    finally:
        session._hetero_starting = False
    if not hasattr(session, "_hetero_quit_handler"):
        session._hetero_quit_handler = session.triggers.add_handler("app quit", lambda *_: close_worker(session))
    return session._hetero_worker


def close_worker(session):
    """End the worker of ``session``, if there is one."""
    worker = getattr(session, "_hetero_worker", None)
    session._hetero_worker = None
    if worker is not None:
        worker.close()


def ask(session, verb, settings):
    """The engine's answer (a dict) to ``verb`` with ``settings`` (JSON-able dict); warnings go to the log.

    Raises:
        UserError: one sentence: the engine's own, or what became of it.
    """

    def progress(done, total, message):
        session.logger.status(f"hetero {verb}: {message}" + (f" ({done} of {total})" if total else ""))

    worker = worker_of(session)
    try:
        result, warnings = worker.ask(verb, settings, progress)
    except WorkerGone as error:
        raise UserError(str(error)) from error
    finally:
        session.logger.status("")
    for warning in warnings:
        session.logger.warning(warning)
    return result
