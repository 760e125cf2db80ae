"""A verb of the engine in a process of its own: what computes for long, or holds Python's lock, must not hold the
screen. Knows no Qt."""

import contextlib
import json
import queue
import subprocess
import threading
from typing import Any

from hetero.errors import Cancelled, HeteroError
from hetero.progress import Progress, silent
from napari_hetero.preferences import worker_python

_LOOK_EVERY = 0.1  # seconds between two looks for a cancel
_PATIENCE = 60.0  # seconds that a cancelled verb may take to tidy up


def in_process(verb: str, values: dict[str, Any], progress: Progress = silent) -> dict[str, Any]:
    """Run a verb by ``python -m hetero serve`` and wait for it; its answer, with ``warnings``.

    Args:
        verb: of ``hetero.commands.VERBS``.
        values: its settings as plain JSON values; paths as text.
        progress: called ten times a second at least; may raise Cancelled.

    Raises:
        HeteroError: bad input, or the process ended without an answer.
        Cancelled: nothing half-written is left.
    """
    command = [worker_python(), "-m", "hetero", "serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    ) as process:
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            _send(process, {"id": 1, "verb": verb, "settings": values})
            return _answer(verb, lines, progress)
        except Cancelled:
            _send(process, {"cancel": 1})
            raise
        finally:
            _end(process)
            reader.join()


def _answer(verb: str, lines: queue.Queue, progress: Progress) -> dict[str, Any]:
    report = (0, 0, "starting")
    while True:
        progress(*report)
        try:
            line = lines.get(timeout=_LOOK_EVERY)
        except queue.Empty:
            continue
        if line is None:
            raise HeteroError(f"hetero {verb} ended without an answer; the machine may have run out of memory.")
        message = json.loads(line)
        if "progress" in message:
            told = message["progress"]
            report = (told["done"], told["total"], told["message"])
        elif "error" in message:
            if message["error"]["kind"] == "cancelled":
                raise Cancelled
            raise HeteroError(message["error"]["message"])
        elif "result" in message:
            return message["result"] | {"warnings": message["warnings"]}


def _read(stream, lines: queue.Queue) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _send(process, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # it has ended; the missing answer says so
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()


def _end(process) -> None:
    """Let it end by itself: killed, it could not take its unfinished files away."""
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
