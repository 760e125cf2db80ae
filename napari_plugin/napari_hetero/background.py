"""A verb of the engine in a process that outlives napari, with all that is known of it in a folder. Knows no Qt.

A job is a worker (``hetero serve``) with files in place of pipes: ``request.json`` is what it is asked,
``answers.jsonl`` what it says, ``log.txt`` what it prints, ``job.json`` which process it is. ChimeraX keeps its jobs in
the same place in the same way, so each shows, stops and goes on with the other's.
"""

import contextlib
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from hetero.errors import HeteroError
from napari_hetero.preferences import worker_python

STARTING, RUNNING, DONE, FAILED, STOPPED, LOST = "starting", "running", "done", "failed", "stopped", "lost"
_REQUEST, _ANSWERS, _LOG, _JOB = "request.json", "answers.jsonl", "log.txt", "job.json"
_EVERY = 1.0  # seconds between two words of progress
_TAIL = 1 << 16  # bytes of the answers that are looked at each time
_WAS_STOPPED = "was stopped"  # what ChimeraX writes, too
# A shell may have told its children to ignore Ctrl-C, which is how a job is asked to tidy up and end.
_WORK = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from hetero.serve import serve; serve()"
)
_children: list[subprocess.Popen] = []  # those begun here; others are none of ours to wait for


class BackgroundJob:
    """A job as its folder tells of it; nothing is kept in memory.

    Args:
        folder: made by :func:`new_job`, or by ChimeraX.

    Attributes:
        verb: what the engine does.
        settings: of the verb, plain values.

    Raises:
        HeteroError: no such folder.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        about = _read(self.folder / _REQUEST)
        if not isinstance(about.get("verb"), str) or "out" not in about.get("settings", {}):
            raise HeteroError(f"{self.folder} holds no job of Hetero.")
        self.verb, self.settings = about["verb"], about["settings"]

    @property
    def number(self) -> int:
        """What it is called."""
        return int(self.folder.name)

    @property
    def out(self) -> Path:
        """Where its result goes."""
        return Path(self.settings["out"])

    def start(self) -> None:
        """Begin; only once.

        Raises:
            HeteroError: the Python that was set for the engine is not there.
        """
        python = worker_python()
        with (
            open(self.folder / _REQUEST) as request,
            open(self.folder / _ANSWERS, "a") as answers,  # to its end, so that stop() can add a word
            open(self.folder / _LOG, "w") as log,
        ):
            # A session of its own: closing napari, or the terminal it was started from, does not reach it.
            process = subprocess.Popen(
                [python, "-P", "-c", _WORK], stdin=request, stdout=answers, stderr=log, start_new_session=True
            )
        _children.append(process)
        about = {"verb": self.verb, "out": str(self.out), "pid": process.pid, "created": _created(process.pid)}
        (self.folder / _JOB).write_text(json.dumps(about), encoding="utf-8")

    def state(self) -> str:
        """One of the words above."""
        _bury()
        alive = self._process() is not None  # before reading: what it says last is then not missed
        said = self._said()
        if "result" in said:
            return DONE
        if "error" in said:
            return STOPPED if said["error"]["message"] == _WAS_STOPPED else FAILED
        return LOST if not alive else RUNNING if "progress" in said else STARTING

    def report(self) -> tuple[int, int, str]:
        """Done, total and message."""
        told = self._said().get("progress", {})
        return int(told.get("done", 0)), int(told.get("total", 0)), str(told.get("message", ""))

    def result(self) -> dict[str, Any]:
        """The verb's answer; empty before the end."""
        return self._said().get("result", {})

    def failure(self) -> str:
        """One sentence on what went wrong, or an empty string."""
        return self._said().get("error", {}).get("message", "")

    def stop(self) -> None:
        """Stop it as Ctrl-C would: it tidies up, and a training keeps its last checkpoint."""
        process = self._process()
        if process is not None:
            process.send_signal(signal.SIGINT)
            with open(self.folder / _ANSWERS, "a", encoding="utf-8") as file:
                # it may be within a line
                file.write("\n" + json.dumps({"error": {"message": _WAS_STOPPED}}) + "\n")

    def output(self, most: int = 4000) -> str:
        """The last characters of what it printed."""
        try:
            return (self.folder / _LOG).read_text(encoding="utf-8", errors="replace")[-most:]
        except OSError:
            return ""

    def losses(self) -> dict[str, Any]:
        """Name -> ``(rows,)`` of the training's ``log.csv`` so far: loss and held_out, where it has them."""
        import pandas as pd

        try:
            table = pd.read_csv(self.out / "log.csv")
        except (OSError, ValueError):  # not begun, or a row half-way
            return {}
        names = [name for name in ("loss", "held_out") if name in table and table[name].notna().any()]
        return {name: pd.to_numeric(table[name], errors="coerce").to_numpy() for name in names}

    def _said(self) -> dict[str, Any]:
        """Its last whole line of every kind."""
        said: dict[str, Any] = {}
        for line in _last_lines(self.folder / _ANSWERS):
            with contextlib.suppress(ValueError):  # an empty line, or one that a stop cut off
                said |= json.loads(line)
        return said

    def _process(self):
        import psutil

        about = _read(self.folder / _JOB)
        try:
            process = psutil.Process(int(about["pid"]))
            # Numbers of processes are used again. ChimeraX keeps no time.
            ours = abs(process.create_time() - about["created"]) < 1 if "created" in about else _serves(process)
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.Error, KeyError, TypeError, ValueError):
            return None


def jobs_folder() -> Path:
    """Where jobs are kept; ChimeraX's too."""
    return Path.home() / "hetero_jobs"


def list_jobs() -> list[BackgroundJob]:
    """All jobs, the newest first."""
    found = []
    for folder in sorted((f for f in jobs_folder().glob("*/") if f.name.isdecimal()), key=lambda f: -int(f.name)):
        try:
            found.append(BackgroundJob(folder))
        except HeteroError:
            continue
    return found


def new_job(verb: str, values: dict[str, Any]) -> BackgroundJob:
    """Check settings and make a job's folder; :meth:`BackgroundJob.start` begins.

    Args:
        verb: of ``hetero.commands.VERBS``.
        values: its settings as plain JSON values; paths as text.

    Raises:
        HeteroError: settings that do not fit, or no folder can be made.
    """
    from hetero.commands import settings_from

    settings_from(verb, values)
    parent = jobs_folder()
    numbers = [int(folder.name) for folder in parent.glob("*/") if folder.name.isdecimal()]
    folder = parent / str(1 + max(numbers, default=0))
    try:
        folder.mkdir(parents=True)
        request = {"id": 1, "verb": verb, "settings": values, "every": _EVERY}
        (folder / _REQUEST).write_text(json.dumps(request) + "\n", encoding="utf-8")
    except OSError as error:
        raise HeteroError(f"Cannot write {folder}: {error.strerror}.") from error
    return BackgroundJob(folder)


def _bury() -> None:
    """Take leave of processes begun here that have ended: until then they count as running."""
    _children[:] = [process for process in _children if process.poll() is None]


def _created(pid: int) -> float:
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def _serves(process) -> bool:
    return "hetero" in process.cmdline() and "serve" in process.cmdline()


def _last_lines(path: Path) -> list[bytes]:
    """The whole lines in the last part of a file that grows for hours; all of them where one is longer than that."""
    try:
        with open(path, "rb") as file:
            begin = max(0, file.seek(0, 2) - _TAIL)
            file.seek(begin)
            lines = file.read().splitlines(keepends=True)[begin > 0 :]
            if begin and not lines:
                file.seek(0)
                lines = file.read().splitlines(keepends=True)
    except OSError:
        return []
    return [line for line in lines if line.endswith(b"\n")]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
