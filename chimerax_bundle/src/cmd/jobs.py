"""`hetero jobs`: what the engine works on in processes of their own, also those that an earlier ChimeraX began."""

from chimerax.core.commands import CmdDesc, EnumOf, IntArg, register
from chimerax.core.errors import UserError

from ..jobs import JobTask, follow, read_jobs
from ..report import log_table
from .results import open_result


def hetero_jobs(session, action=None, number=None):
    """List the jobs and follow those that run; or ``stop`` or ``open`` one by its number. Returns the Jobs.

    Raises:
        UserError: no job of that number, or one that has nothing to stop or to open.
    """
    jobs = read_jobs()
    if action is not None:
        job = _numbered(jobs, action, number)
        (_stop if action == "stop" else _open)(session, job)
        return jobs
    if not jobs:
        session.logger.info("no jobs; 'hetero train' and 'hetero siren' start them")
        return jobs
    for job in jobs:
        if not job.ended:
            follow(session, job)
    rows = [[str(job.number), job.verb, job.state, "" if job.ended else job.message, job.out] for job in jobs]
    log_table(session, ["job", "verb", "state", "", "result"], rows)
    return jobs


def _numbered(jobs, action, number):
    for job in jobs:
        if job.number == number:
            return job
    known = ", ".join(str(job.number) for job in jobs) or "none"
    said = "No number was given" if number is None else f"There is no job {number}"
    raise UserError(f"{said}; 'hetero jobs {action} NUMBER' was expected, with one of: {known}.")


def _stop(session, job):
    if job.ended:
        raise UserError(f"Job {job.number} does not run: {job.state.rstrip('.')}.")
    for task in session.tasks.list():
        if isinstance(task, JobTask) and task.job.folder == job.folder and not task.terminated():
            task.terminate()
            break
    else:
        job.stop()
    session.logger.info(f"job {job.number} was stopped; the same command goes on from its last checkpoint")


def _open(session, job):
    if job.result is None:
        raise UserError(f"Job {job.number} has no result: {job.state.rstrip('.')}.")
    open_result(session, job)


def register_command(name, logger):
    """Register `hetero jobs`."""
    description = CmdDesc(
        optional=[("action", EnumOf(("stop", "open"))), ("number", IntArg)],
        synopsis="list the engine's long jobs, stop one, or open its result",
    )
    register(name, description, hetero_jobs, logger=logger)
