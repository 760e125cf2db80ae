"""An environment for the engine: made with ChimeraX's own Python, apart from ChimeraX's packages."""

import contextlib
import os
import shutil
import subprocess
import sys

from chimerax.core.errors import UserError
from chimerax.core.tasks import Task

from .process import start_process
from .settings import settings_of
from .worker import close_worker
from .worker_process import Worker

PACKAGE = "hetero-em"
_CPU_TORCH = "https://download.pytorch.org/whl/cpu"  # a tenth of the CUDA build's size
_DRIVERS = ("/dev/nvidia0", "/dev/dxg")


class InstallTask(Task):
    """Makes the environment in a thread, with every line of pip in the Log; cancelled from the Task Manager.

    Attributes:
        folder: of the environment.
        failure: one sentence, or "".
    """

    SESSION_ENDURING = True
    SESSION_SAVE = False

    def __init__(self, session, folder, source):
        super().__init__(session)
        self.folder, self.failure = folder, ""
        self._steps = steps(folder, source)
        self._new = not os.path.isdir(folder)
        self._process = None

    def run(self):
        """Each step in turn; stops at the first that fails."""
        for words, needed in self._steps:
            if self.terminating() or self.failure:
                return
            self._do(words, needed)

    def _do(self, words, needed):
        self.thread_safe_log(" ".join(words))
        try:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            self._process = start_process(words, **pipes)
        except OSError as error:
            self.failure = f"{words[0]} could not be started ({error.strerror})."
            return
        last = ""
        with self._process.stdout as lines:
            for line in filter(None, map(str.strip, lines)):
                last = line
                self.thread_safe_log(line)
        if self._process.wait() and not self.terminating():
            if needed:
                self.failure = f"The engine was not installed: {last[:300].rstrip('.')}."
            else:
                self.thread_safe_log("that did not work; going on without it")

    def terminate(self):
        """Stop, and leave nothing half-made."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.kill()
        super().terminate()
        self._clear()

    def on_finish(self):
        """Try the engine, and remember it; runs on the main thread."""
        session = self.session
        if not self.failure:
            python = python_in(self.folder)
            try:
                worker = Worker(python)
                worker.close()
            except UserError as error:
                self.failure = str(error)
            else:
                settings_of(session).python = python
                close_worker(session)
                session.logger.info(f"hetero engine {worker.hello['version']} is installed in {self.folder}")
                return
        self._clear()
        session.logger.error(self.failure)

    def _clear(self):
        if self._new:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __str__(self):
        return f"hetero install, id {self.id}, {self.state}"


def steps(folder, source=None, driver=None):
    """The command lines that make the environment, or bring it up to date: (words, whether all is lost without it).

    Without a driver torch comes first and from its own place, where there is a build that is a tenth of PyPI's.

    Args:
        source: a wheel or a checkout, in place of the package on PyPI.
        driver: whether there is an NVIDIA driver; looked up without it.
    """
    driver = any(map(os.path.exists, _DRIVERS)) if driver is None else driver
    install = [python_in(folder), "-m", "pip", "install", "--progress-bar", "off", "--upgrade"]
    lines = []
    if not os.path.isfile(os.path.join(folder, "pyvenv.cfg")):
        lines.append(([own_python(), "-m", "venv", folder], True))
    if sys.platform.startswith("linux") and not driver:
        lines.append(([*install, "--retries", "1", "--index-url", _CPU_TORCH, "torch"], False))
    return [*lines, ([*install, source or PACKAGE], True)]


def own_python():
    """The Python that ChimeraX runs on; the program itself is not one.

    Raises:
        UserError: it is not where ChimeraX keeps it.
    """
    beside = os.path.dirname(os.path.realpath(sys.executable))
    name = "python.exe" if sys.platform == "win32" else f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in (beside, os.path.join(os.path.dirname(beside), "bin")):  # on a Mac the program lies in MacOS/
        if os.path.isfile(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise UserError(
        f"ChimeraX's own Python was not found beside {sys.executable}; use any Python with 'hetero engine'."
    )


def python_in(folder):
    """The Python of an environment."""
    return os.path.join(folder, *(("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")))
