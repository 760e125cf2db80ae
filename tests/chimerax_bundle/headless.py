"""A real ChimeraX without a window, for tests and pictures.

The wheel `ChimeraX` on PyPI (0.1.71, that is ChimeraX 1.7.1) is the program, less three things that its packaging
lost: the module `chimerax.core.nogui`, the metadata that tells the toolshed which packages are bundles, and a namespace
package `chimerax`. This file puts them in place and then calls ChimeraX's own start-up, so that commands, toolshed,
maps, sessions, undo and OpenGL (OSMesa, in software) are ChimeraX's code and not stand-ins.
"""

import collections
import collections.abc
import os
import queue
import sys
import tempfile
import threading
import types
import warnings
import weakref
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path

import bundle_metadata

_qt = None  # kept for as long as the process lives


class HeadlessUI:
    """What ChimeraX asks of a user interface when there is none."""

    is_gui = has_graphics = stereo = autostart_tools = False

    def __init__(self, session):
        self._session = weakref.ref(session)
        self._calls = queue.Queue()
        self._main = threading.get_ident()

    def initialize_color_output(self, _color):
        """No terminal colours."""

    def initialize_offscreen_rendering(self):
        """Give the view an OSMesa context."""
        from chimerax.graphics import OffScreenRenderingContext

        context = OffScreenRenderingContext()
        if not hasattr(context, "stereo"):
            context.stereo = False  # 'camera ortho' reads it
        self._session().main_view.initialize_rendering(context)
        self.has_graphics = True

    def splash_info(self, *_args, **_options):
        """No splash screen."""

    def build(self):
        """No window."""

    def event_loop(self):
        """No events."""

    def quit(self):
        """As the app: leave Python."""
        raise SystemExit(0)

    def thread_safe(self, call, *args, **options):
        """Run ``call`` at once on the main thread; from another thread, at the next :meth:`process`."""
        if threading.get_ident() == self._main:
            call(*args, **options)
        else:
            self._calls.put((call, args, options))

    def process(self):
        """Run what other threads handed over, as the app's event loop does."""
        while not self._calls.empty():
            call, args, options = self._calls.get()
            call(*args, **options)


def start(home=None):
    """The ChimeraX session of this process, with offscreen graphics; call it once.

    Raises:
        ImportError: ChimeraX or Qt (PyQt6, qtshim) is not installed.
        RuntimeError: it did not start, or has no offscreen OpenGL (libosmesa6 is missing).
    """
    _make_namespace()
    home = home or tempfile.mkdtemp(prefix="chimerax_home_")
    os.environ["HOME"] = home
    for kind in ("DATA", "CONFIG", "CACHE"):
        os.environ[f"XDG_{kind}_HOME"] = os.path.join(home, kind.lower())
    metadata = Path(home) / "metadata"
    bundle_metadata.write(metadata)
    sys.path.insert(0, str(metadata))
    for name in ("Mapping", "MutableMapping", "Sequence", "Iterable"):  # grako 3.16.5 looks for them here
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    _make_nogui()
    _make_qt()
    with _not_root(), _sessions_made() as sessions, warnings.catch_warnings():
        # ChimeraX 1.7's toolshed imports pkg_resources, which setuptools and its parts say will go away
        warnings.filterwarnings("ignore", message=r".*pkg_resources", category=UserWarning)
        warnings.filterwarnings("ignore", message=r".*pkg_resources", category=DeprecationWarning)
        from chimerax.core.__main__ import init

        status = init(["ChimeraX", "--offscreen", "--exit", "--silent"])
    if status or not sessions or not sessions[0].ui.has_graphics:
        raise RuntimeError(f"ChimeraX did not start with offscreen graphics (status {status}): is libosmesa6 there?")
    session = sessions[0]
    session.silent = False  # --silent was meant for the start only; it would mute every log
    return session


def stand_in_window():
    """A module in place of ``chimerax.ui``, which PyPI's ChimeraX has none of: the window that holds a panel."""
    from Qt.QtWidgets import QWidget

    class MainToolWindow:
        def __init__(self, tool):
            self.tool_instance, self.ui_area, self.shown, self.managed = tool, QWidget(), False, None

        def manage(self, placement):
            self.managed, self.shown = placement, True

        def destroy(self):
            self.ui_area.close()

        def cleanup(self):
            pass

    ui = types.ModuleType("chimerax.ui")
    ui.MainToolWindow = MainToolWindow
    return ui


def _make_namespace():
    """`chimerax` as a namespace package: the wheel's own __init__.py makes it a plain one that imports nothing."""
    spec = PathFinder.find_spec("chimerax")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("no chimerax package is installed")
    package = types.ModuleType("chimerax")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules["chimerax"] = package


def _make_nogui():
    import chimerax.core
    from chimerax.core.logger import PlainTextLog

    class NoGuiLog(PlainTextLog):
        """ChimeraX's log on stdout, where pytest shows it for a test that failed."""

        def log(self, level, msg):
            print(f"[{level}] {str(msg).rstrip()}", flush=True)
            return True

        def status(self, _msg, _color, _secondary):
            return True

    module = types.ModuleType("chimerax.core.nogui")
    module.UI, module.NoGuiLog = HeadlessUI, NoGuiLog
    sys.modules[module.__name__] = chimerax.core.nogui = module


def _make_qt():
    """ChimeraX writes the text of keys and labels with Qt, panels are made of it, and Qt wants an application first."""
    global _qt  # noqa: PLW0603 (Qt has one application a process)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from Qt.QtWidgets import QApplication

    _qt = QApplication(["ChimeraX"])


@contextmanager
def _not_root():
    """As root ChimeraX takes a home folder that does not exist."""
    if not hasattr(os, "getuid"):
        yield
        return
    getuid, os.getuid = os.getuid, lambda: 1000
    try:
        yield
    finally:
        os.getuid = getuid


@contextmanager
def _sessions_made():
    """The sessions that are made meanwhile; ChimeraX's start-up keeps its own to itself."""
    from chimerax.core.session import Session

    made, plain = [], Session.__init__

    def keeping(self, *args, **options):
        plain(self, *args, **options)
        made.append(self)

    Session.__init__ = keeping
    try:
        yield made
    finally:
        Session.__init__ = plain
