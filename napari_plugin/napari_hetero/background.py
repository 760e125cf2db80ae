"""A verb of the engine in a process that outlives napari, in a folder of its own that tells how it goes.

The folder holds ``job.json`` (verb and settings), ``process.json`` (who works on it), ``progress.json``, ``output.log``
and at the end ``answer.json``. Whoever knows the folder can look, stop it, or start it again. Knows no Qt.

    python -m napari_hetero.background FOLDER       (what :meth:`BackgroundJob.start` runs)
"""

import json
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from hetero.errors import Cancelled, HeteroError
from hetero.files import atomic_path

STARTING, RUNNING, DONE, FAILED, CANCELLED, LOST = "starting", "running", "done", "failed", "cancelled", "lost"
_JOB, _PROCESS, _PROGRESS, _ANSWER, _OUTPUT = "job.json", "process.json", "progress.json", "answer.json", "output.log"
_WRITE_EVERY = 0.5  # seconds between two reports


_children: list[subprocess.Popen] = []  # those begun here; others are none of ours to wait for


class BackgroundJob:
    """A job as its folder tells of it; nothing is kept in memory.

    Args:
        folder: made by :func:`new_job`.

    Raises:
        HeteroError: no such folder.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        about = _read(self.folder / _JOB)
        if not isinstance(about.get("verb"), str) or not isinstance(about.get("settings"), dict):
            raise HeteroError(f"{self.folder} holds no job of Hetero.")
        self.verb, self.settings = about["verb"], about["settings"]

    @property
    def out(self) -> Path:
        """Where its result goes."""
        return Path(self.settings["out"])

    def start(self) -> None:
        """Begin, or go on: the same settings again; a training goes on from its last checkpoint."""
        for name in (_PROCESS, _PROGRESS, _ANSWER):
            (self.folder / name).unlink(missing_ok=True)
        command = [sys.executable, "-m", "napari_hetero.background", str(self.folder)]
        with open(self.folder / _OUTPUT, "ab") as output:
            # A session of its own: closing napari, or the terminal it was started from, does not reach it.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        _children.append(process)
        _say_process(self.folder, process.pid)

    def state(self) -> str:
        """One of the words above."""
        _bury()
        answer = _read(self.folder / _ANSWER)
        if answer:
            return answer["state"]
        if not (self.folder / _PROCESS).is_file():
            return LOST
        if self._process() is None:
            # It may have answered between our two looks.
            return _read(self.folder / _ANSWER).get("state", LOST)
        return RUNNING if (self.folder / _PROGRESS).is_file() else STARTING

    def report(self) -> tuple[int, int, str]:
        """Done, total and message."""
        told = _read(self.folder / _PROGRESS)
        return int(told.get("done", 0)), int(told.get("total", 0)), str(told.get("message", ""))

    def answer(self) -> dict[str, Any]:
        """``{"state", "result"}`` or ``{"state", "message"}``; empty before the end."""
        return _read(self.folder / _ANSWER)

    def cancel(self) -> None:
        """Stop it as Ctrl-C would: it tidies up, and a training keeps its last checkpoint."""
        process = self._process()
        if process is not None:
            process.send_signal(signal.SIGINT)

    def output(self, most: int = 4000) -> str:
        """The last characters of what it printed."""
        try:
            return (self.folder / _OUTPUT).read_text(encoding="utf-8", errors="replace")[-most:]
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

    def _process(self):
        import psutil

        about = _read(self.folder / _PROCESS)
        try:
            process = psutil.Process(int(about["pid"]))
            same = abs(process.create_time() - about["created"]) < 1  # numbers of processes are used again
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.Error, KeyError, TypeError, ValueError):
            return None


def jobs_folder() -> Path:
    """Where jobs are kept."""
    from platformdirs import user_state_path

    return user_state_path("hetero-em") / "jobs"


def list_jobs() -> list[BackgroundJob]:
    """All jobs, the newest first."""
    found = []
    for folder in sorted(jobs_folder().glob("*/"), reverse=True):
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
        HeteroError: settings that do not fit.
    """
    from hetero.commands import settings_from

    settings_from(verb, values)
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{verb}"
    folder, n = jobs_folder() / stem, 1
    while folder.exists():
        n += 1
        folder = jobs_folder() / f"{stem}-{n}"
    folder.mkdir(parents=True)
    _write(folder / _JOB, {"verb": verb, "settings": values})
    return BackgroundJob(folder)


def main(folder: Path) -> int:
    """Work on the job in a folder; 0 when done."""
    from hetero.commands import load, settings_from

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have told its children to ignore it
    job = BackgroundJob(folder)
    last = 0.0

    def progress(done: int, total: int, message: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _WRITE_EVERY or done == total:
            last = time.monotonic()
            _write(folder / _PROGRESS, {"done": int(done), "total": int(total), "message": message})

    try:
        progress(0, 0, f"{job.verb} starts")
        answer = {"state": DONE, "result": load(job.verb).run(settings_from(job.verb, job.settings), progress)}
    except HeteroError as error:
        answer = {"state": FAILED, "message": str(error)}
    except (KeyboardInterrupt, Cancelled):
        answer = {"state": CANCELLED, "message": "Stopped; a training goes on from its last checkpoint."}
    except Exception as error:
        traceback.print_exc()
        answer = {"state": FAILED, "message": f"A bug in Hetero: {type(error).__name__}: {error}. See the log."}
    _write(folder / _ANSWER, answer)
    return 0 if answer["state"] == DONE else 1


def _bury() -> None:
    """Take leave of processes begun here that have ended: until then they count as running."""
    _children[:] = [process for process in _children if process.poll() is None]


def _say_process(folder: Path, pid: int) -> None:
    import psutil

    try:
        created = psutil.Process(pid).create_time()
    except psutil.Error:
        created = 0.0
    _write(folder / _PROCESS, {"pid": pid, "created": created})


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, values: dict[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, default=str), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
