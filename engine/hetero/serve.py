"""The worker: the verbs as JSON lines on stdin and stdout, for viewers that live in another Python.

docs/architecture.md has the protocol. Requests are worked on one at a time in the main thread; a second thread reads
stdin, so that a cancel is heard while a request runs. The worker ends when stdin closes.
"""

import contextlib
import ctypes
import gc
import json
import math
import os
import queue
import sys
import threading
import time
import traceback
import warnings
from typing import Any, TextIO

import hetero
from hetero.commands import load, settings_from
from hetero.errors import Cancelled, HeteroError, is_out_of_memory, printable, refusal_of_system
from hetero.maps import MapWarning

PROTOCOL = 1
MAX_LINE = 1 << 24  # characters of a request: paths (of many thousand maps) and numbers; data never travel this way
_TIDY_AFTER = 16  # requests; it takes a tenth of a second, after the answer
_PROGRESS_INTERVAL = 0.1  # seconds between progress lines


def serve() -> int:
    """Answer requests until stdin closes; returns the exit status."""
    # What any library prints must not end up between our lines: stdout becomes stderr, we keep the real one.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = _Worker(answers)
    worker.send(
        {
            "hello": "hetero",
            "version": hetero.__version__,
            "protocol": PROTOCOL,
            "python": sys.executable,
            "device": _device(),
        }
    )
    threading.Thread(target=worker.listen, args=(sys.stdin,), daemon=True).start()
    return worker.work()


class _Worker:
    def __init__(self, answers: TextIO):
        self._answers = answers
        self._requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._cancelled: set[Any] = set()

    def send(self, message: dict[str, Any]) -> None:
        self._answers.write(json.dumps(message, allow_nan=False) + "\n")
        self._answers.flush()

    def listen(self, lines: TextIO) -> None:
        """Read requests until the other side closes; runs in its own thread."""
        try:
            while line := lines.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    break  # no way to find the next request: end, and let the viewer start a fresh worker
                self._take(line)
        finally:
            self._requests.put(None)

    def _take(self, line: str) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        number = message.get("cancel", message.get("id")) if isinstance(message, dict) else None
        if not isinstance(number, (str, int)):
            self._requests.put({"id": None, "verb": None})
        elif "cancel" in message:
            self._cancelled.add(number)
        else:
            self._requests.put(message)

    def work(self) -> int:
        """Answer until there is nothing left to answer, or nobody to answer to."""
        try:
            answered = 0
            while (request := self._requests.get()) is not None:
                self.send({"id": request.get("id"), **self._outcome(request)})
                self._cancelled.discard(request.get("id"))
                answered += 1
                if answered % _TIDY_AFTER == 0:
                    _give_memory_back()
        except BrokenPipeError:
            # The viewer is gone. The interpreter would complain once more when it closes the broken pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._answers.fileno())
        return 0

    def _outcome(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", MapWarning)
                result = self._answer(request)
            return {
                "result": result,
                "warnings": [printable(str(w.message)) for w in caught if issubclass(w.category, MapWarning)],
            }
        except HeteroError as error:
            return _error("input", str(error))
        except Cancelled as error:
            return _error("cancelled", str(error))
        except Exception as error:
            if is_out_of_memory(error):
                return _error("input", f"'{request.get('verb')}' needs more memory than this machine gives it.")
            if refusal := refusal_of_system(error):
                return _error("input", refusal)
            sentence = f"A bug in Hetero stopped '{request.get('verb')}': {type(error).__name__}: {error}."
            return _error("bug", printable(sentence), traceback.format_exc())

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        verb, values = request.get("verb"), request.get("settings", {})
        if not isinstance(verb, str) or not isinstance(values, dict):
            raise HeteroError(
                'A request is one line {"id": 1, "verb": "level", "settings": {...}}; something else came.'
            )
        settings = settings_from(verb, values)
        last, every = -math.inf, request.get("every", _PROGRESS_INTERVAL)
        if not isinstance(every, (int, float)):
            raise HeteroError("'every' is how many seconds pass between two lines of progress; no number came.")

        def progress(done: int, total: int, message: str) -> None:
            nonlocal last
            if request.get("id") in self._cancelled:
                raise Cancelled
            if time.monotonic() - last >= every:
                last = time.monotonic()
                step = {"done": int(done), "total": int(total), "message": message}  # numpy's numbers are not JSON's
                try:
                    self.send({"id": request.get("id"), "progress": step})
                except BrokenPipeError:
                    raise Cancelled("The viewer is gone.") from None

        progress(0, 0, f"{verb} starts")
        return load(verb).run(settings, progress)


def _give_memory_back() -> None:
    """What requests before this one used, to the system: pictures are cycles, and glibc keeps what lies between."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another system's allocator
        ctypes.CDLL(None).malloc_trim(0)


def _error(kind: str, message: str, detail: str | None = None) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message, "detail": detail}}


def _device() -> str:
    """``"cuda"`` where the driver's device is there, else ``"cpu"``; torch is not imported for the greeting."""
    return "cuda" if os.path.exists("/dev/nvidia0") or os.path.exists("/dev/dxg") else "cpu"
