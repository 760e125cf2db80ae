"""The worker: `python -m hetero serve` in a Python of its own, asked by JSON lines (docs/architecture.md).

Two threads read what it writes; the thread that asks waits, and in the app goes on drawing the window while it does.
"""

import contextlib
import itertools
import json
import queue
import subprocess
import threading
import time
from collections import deque

from chimerax.core.errors import UserError

from .discovery import HOW_TO_GET
from .process import start_process

PROTOCOL = 1
HELLO_TIMEOUT = 60.0  # seconds; a first import of numpy from a network disk is slow
CANCEL_TIMEOUT = 5.0  # seconds that a cancelled request may take to stop before the worker is ended
SILENCE = 60.0  # seconds without a word in the middle of a request, after which the user is told
_MAX_LINE = 1 << 24  # characters of an answer; a longer line is no answer of ours
_TICK = 0.05  # seconds between looks at the window while waiting
COMMAND = ("-P", "-m", "hetero", "serve")  # -P: a folder called hetero in the working folder is not the engine

_GONE, _NOISE = object(), object()


class WorkerGone(Exception):
    """The worker died or wrote something other than answers; the text says which."""


class Worker:
    """One running worker process.

    Attributes:
        python: path of its Python.
        hello: its greeting: version, protocol, device, python.
        busy: the verb it works on, or None.
    """

    def __init__(self, python, wait=None):
        """Start the worker and wait for its greeting, calling ``wait()`` now and then.

        Raises:
            UserError: it cannot be started, says nothing, or speaks another protocol.
        """
        self.python = python
        self.busy = None
        self._wait = wait or (lambda: None)
        self._ids = itertools.count(1)
        self._messages = queue.Queue()
        self._last_words = deque(maxlen=20)
        self._request = None
        self._cancelled_at = None
        try:
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            self._process = start_process([python, *COMMAND], **pipes)
        except OSError as error:
            raise UserError(f"{python} could not be started ({error.strerror}): {HOW_TO_GET}.") from error
        self._threads = [
            threading.Thread(target=target, daemon=True, name="hetero worker")
            for target in (self._read_answers, self._read_complaints)
        ]
        for thread in self._threads:
            thread.start()
        try:
            self.hello = self._greet()
        except BaseException:
            self.close()
            raise

    @property
    def alive(self):
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def pid(self):
        """The process id."""
        return self._process.pid

    def ask(self, verb, settings, progress):
        """The answer ``(result, warnings)`` to ``verb``; ``progress(done, total, message)`` is called on the way.

        A worker that says nothing is waited for, as it may be at work; each minute ``progress`` tells so.

        Raises:
            UserError: the engine's one sentence; the request was stopped; or the worker is busy with another.
            WorkerGone: the worker died or wrote something else; it is closed.
        """
        if self.busy:
            raise UserError(f"The engine is still working on '{self.busy}': wait for it, or type 'hetero stop'.")
        self._request, self._cancelled_at = next(self._ids), None
        self.busy = verb
        try:
            self._send({"id": self._request, "verb": verb, "settings": settings})
            return self._answer(verb, progress)
        except WorkerGone:
            self.close()
            raise
        finally:
            self.busy = None

    def cancel(self):
        """Ask the worker to stop what it does; the waiting request then ends with a sentence."""
        if self.busy and self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            self._send({"cancel": self._request})

    def close(self):
        """End the process, at once when it does not end by itself."""
        with contextlib.suppress(OSError):  # it may have died before; there is nothing left to flush to
            self._process.stdin.close()
        if self.busy or not self._ends_within(1.0):
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1.0)
        self._process.stdout.close()
        self._process.stderr.close()

    def _ends_within(self, seconds):
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _greet(self):
        hello, deadline = None, time.monotonic() + HELLO_TIMEOUT
        while hello is None and time.monotonic() < deadline:
            hello = self._next_message()
        if hello is None:
            raise UserError(f"{self.python} started but no engine spoke within {HELLO_TIMEOUT:g} s: {HOW_TO_GET}.")
        if hello is _GONE:
            raise UserError(f"{self.python} could not run the engine{self._reason()}: {HOW_TO_GET}.")
        if hello is _NOISE or hello.get("hello") != "hetero":
            raise UserError(f"{self.python} started but what spoke is not the hetero engine: {HOW_TO_GET}.")
        if hello.get("protocol") != PROTOCOL:
            raise UserError(
                f"The engine of {self.python} is version {hello.get('version')} and speaks protocol "
                f"{hello.get('protocol')}, where this bundle speaks protocol {PROTOCOL}: update the older of the two."
            )
        return hello

    def _answer(self, verb, progress):
        heard = time.monotonic()
        while True:
            try:
                message = self._next_message()
                now = time.monotonic()
                if message is None and now - heard > SILENCE:
                    progress(0, 0, f"the engine has said nothing for {SILENCE:g} s; 'hetero stop' stops it")
                if message is not None or now - heard > SILENCE:
                    heard = now
                if message is _GONE or message is _NOISE:
                    raise WorkerGone(self._obituary(message, verb))
                if message is None or message.get("id") != self._request:
                    self._check_cancelled(verb)  # nothing yet, or a late word about an earlier request
                elif "progress" in message:
                    step = message["progress"]
                    progress(step["done"], step["total"], step["message"])
                elif "result" in message:
                    return message["result"], message.get("warnings", [])
                elif "error" in message:
                    raise UserError(_sentence(message["error"], verb))
            except KeyboardInterrupt:  # a first Ctrl-C asks, a second one does not
                if self._cancelled_at is not None:
                    raise WorkerGone(f"'{verb}' was stopped, and the engine with it.") from None
                self.cancel()

    def _check_cancelled(self, verb):
        if self._cancelled_at and time.monotonic() - self._cancelled_at > CANCEL_TIMEOUT:
            raise WorkerGone(f"'{verb}' was stopped, and the engine with it because it did not stop by itself.")

    def _obituary(self, message, verb):
        if message is _GONE:
            return f"The engine died while it worked on '{verb}'{self._reason()}; the next command starts it afresh."
        return (
            f"The engine of {self.python} wrote something other than an answer to '{verb}' and was stopped; "
            "the next command starts it afresh."
        )

    def _next_message(self):
        self._wait()
        try:
            return self._messages.get(timeout=_TICK)
        except queue.Empty:
            return None

    def _send(self, message):
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # a broken or closed pipe
            self._messages.put(_GONE)

    def _reason(self):
        """The last line that the worker complained with, in brackets, or its exit status."""
        self._ends_within(1.0)
        self._threads[1].join(1.0)
        words = [line.strip() for line in self._last_words if line.strip()]
        if words:
            return f" ({words[-1][:200].rstrip('.')})"
        status = self._process.poll()
        return "" if status is None else f" (exit status {status})"

    def _read_answers(self):
        while line := self._process.stdout.readline(_MAX_LINE):
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            self._messages.put(message if isinstance(message, dict) else _NOISE)
        self._messages.put(_GONE)

    def _read_complaints(self):
        while line := self._process.stderr.readline(_MAX_LINE):
            self._last_words.append(line)


def _sentence(error, verb):
    if error["kind"] == "cancelled":
        return f"'{verb}' was stopped; nothing was changed."
    return error["message"]
