"""Jobs: the engine at work for hours, in a process that outlives ChimeraX, with all that is known of it in a folder.

A job is a worker (worker_process.py) with files in place of pipes: ``request.json`` is what it is asked,
``answers.jsonl`` what it says, ``log.txt`` what it prints, ``job.json`` which process it is. Any ChimeraX can read on.
"""

import json
import os
import time
from dataclasses import dataclass

from chimerax.core.errors import UserError
from chimerax.core.tasks import Task

from .discovery import find_python
from .process import end, is_alive, start_detached
from .worker_process import COMMAND

_EVERY = 1.0  # seconds between two words of progress, and between two looks at them
FOLDER = "~/hetero_jobs"


@dataclass
class Job:
    """One job, as its folder tells it.

    Attributes:
        folder: its path.
        verb: what the engine does.
        out: path of the result.
        pid: of the process.
        message: how far it is, one line.
        result: the engine's answer, None until there is one.
        failure: one sentence, or "".
    """

    folder: str
    verb: str
    out: str
    pid: int
    message: str = "is starting"
    result: dict | None = None
    failure: str = ""
    _read: int = 0

    @property
    def number(self):
        """What `hetero jobs` calls it."""
        return int(os.path.basename(self.folder))

    @property
    def settings(self):
        """What the engine was asked."""
        with open(os.path.join(self.folder, "request.json"), encoding="utf-8") as file:
            return json.load(file)["settings"]

    @property
    def ended(self):
        """Whether there is nothing more to come."""
        return self.result is not None or bool(self.failure)

    @property
    def state(self):
        """One word or one sentence."""
        return "finished" if self.result is not None else self.failure or "running"

    def look(self):
        """Read what it has said since the last look."""
        alive = is_alive(self.pid)  # before reading: what it says last is then not missed
        with open(os.path.join(self.folder, "answers.jsonl"), "rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith(b"\n"):
                self._read += len(line)
                self._hear(_message(line))
        if not self.ended and not alive:
            self.failure = f"'{self.verb}' ended without a result{self._last_words()}."

    def _hear(self, message):
        if "progress" in message:
            step = message["progress"]
            self.message = step["message"] + (f" ({step['done']} of {step['total']})" if step["total"] else "")
        elif "result" in message:
            self.result, self.message = message["result"], "done"
        elif "error" in message:
            self.failure = message["error"]["message"]

    def _last_words(self):
        with open(os.path.join(self.folder, "log.txt"), encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
        return f" ({lines[-1][:200].rstrip('.')})" if lines else ""

    def stop(self):
        """End it; what it has written stays, and the same command goes on from there."""
        if not self.ended:
            end(self.pid)
            self.failure = "was stopped"
            with open(os.path.join(self.folder, "answers.jsonl"), "a", encoding="utf-8") as file:
                # it may have ended within a line
                file.write("\n" + json.dumps({"error": {"message": self.failure}}) + "\n")


def _message(line):
    """What a line of its answers says; nothing where it is none, or one that a stop cut off."""
    try:
        return json.loads(line)
    except ValueError:
        return {}


def new_folder():
    """A folder for the next job, empty."""
    parent = os.path.expanduser(FOLDER)
    os.makedirs(parent, exist_ok=True)
    number = 1 + max((int(name) for name in os.listdir(parent) if name.isdecimal()), default=0)
    folder = os.path.join(parent, str(number))
    os.mkdir(folder)
    return folder


def start_job(session, verb, settings, folder):
    """Start the engine on ``verb`` in a process of its own; ``folder`` is of :func:`new_folder`.

    Raises:
        UserError: there is no engine, or it cannot be started.
    """
    python, _ = find_python(session)
    paths = {name: os.path.join(folder, name) for name in ("request.json", "answers.jsonl", "log.txt", "job.json")}
    with open(paths["request.json"], "w", encoding="utf-8") as file:
        file.write(json.dumps({"id": 1, "verb": verb, "settings": settings, "every": _EVERY}) + "\n")
    try:
        with (
            open(paths["request.json"]) as request,
            open(paths["answers.jsonl"], "a") as answers,  # to its end, so that stop() can add a word
            open(paths["log.txt"], "w") as log,
        ):
            process = start_detached([python, *COMMAND], stdin=request, stdout=answers, stderr=log)
    except OSError as error:
        raise UserError(f"{python} could not be started ({error.strerror}).") from error
    process.returncode = 0  # or Popen would warn that it still runs; is_alive() asks for its end
    with open(paths["job.json"], "w", encoding="utf-8") as file:
        json.dump({"verb": verb, "out": settings["out"], "pid": process.pid}, file)
    return Job(folder, verb, settings["out"], process.pid)


def read_jobs():
    """Every Job that has a folder, the oldest first."""
    parent = os.path.expanduser(FOLDER)
    names = os.listdir(parent) if os.path.isdir(parent) else []
    jobs = []
    for name in sorted((name for name in names if name.isdecimal()), key=int):
        folder = os.path.join(parent, name)
        try:
            with open(os.path.join(folder, "job.json"), encoding="utf-8") as file:
                known = json.load(file)
            job = Job(folder, known["verb"], known["out"], known["pid"])
            job.look()
        except (OSError, ValueError, KeyError):  # no job's folder, or one that was never started
            continue
        jobs.append(job)
    return jobs


class JobTask(Task):
    """Follows a job: progress in the status line, a line in the Log at its end. Cancelling it stops the job.

    Attributes:
        job: the Job.
    """

    SESSION_ENDURING = True
    SESSION_SAVE = False

    def __init__(self, session, job, then=None):
        """Args: ``then``: called with the session and the job on the main thread when it has a result."""
        super().__init__(session)
        self.job, self._then = job, then

    def run(self):
        """Look at the job until it has ended."""
        while not self.terminating():
            self.job.look()
            if self.job.ended:
                return
            self.thread_safe_status(f"hetero {self.job.verb}, job {self.job.number}: {self.job.message}")
            time.sleep(_EVERY)

    def terminate(self):
        """Stop the job too."""
        self.job.stop()
        super().terminate()

    def on_finish(self):
        """Say how it ended; runs on the main thread."""
        job, logger = self.job, self.session.logger
        logger.status("")
        if job.failure:
            logger.error(f"job {job.number}: {job.failure}")
            return
        logger.info(f"job {job.number}, {job.verb}, has finished: {job.out}")
        if self._then is not None:
            self._then(self.session, job)

    def __str__(self):
        return f"hetero {self.job.verb}, job {self.job.number}, {self.state}"


def follow(session, job, then=None):
    """The JobTask of a job that runs, one for each in a session."""
    for task in session.tasks.list():
        if isinstance(task, JobTask) and task.job.folder == job.folder and not task.terminated():
            return task
    task = JobTask(session, job, then)
    task.start()
    return task


def run_job(session, verb, settings, folder, wait, then):
    """Start a job and follow it; ``then(session, job)`` takes up its result. Returns the Job.

    With ``wait`` it has ended then; see :func:`must_wait` for what None means.

    Raises:
        UserError: it cannot be started; or it was waited for, and failed.
    """
    job = start_job(session, verb, settings, folder)
    session.logger.info(
        f"job {job.number}, {verb}, has started; its log is {os.path.join(folder, 'log.txt')}, 'hetero jobs' tells how "
        "far it is, and it goes on when ChimeraX ends"
    )
    if not must_wait(session, wait):
        follow(session, job, then)
        return job
    task = JobTask(session, job)
    task.start(blocking=True)
    if job.failure:
        raise UserError(job.failure)
    then(session, job)
    return job


def must_wait(session, wait):
    """Whether a command waits for its job: as was said, else in scripts and where there is no window."""
    return (session.in_script or not session.ui.is_gui) if wait is None else wait
