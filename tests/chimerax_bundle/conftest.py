"""Tests in real ChimeraX, without a window (headless.py), with the real engine in its own Python (HETERO_PYTHON)."""

import os
import re
import subprocess
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# ChimeraX 1.7.1's own code on this Python and numpy; none of it is ours. Only the module named may warn so.
THIRD_PARTY = (
    "ignore:.*pkg_resources:UserWarning",  # toolshed imports it; setuptools says that it will go
    "ignore:.*pkg_resources:DeprecationWarning",
    "ignore:.*pkg_resources.declare_namespace:DeprecationWarning",
    "ignore:tostring:DeprecationWarning:chimerax.map_data",  # the MRC writer's name for tobytes
    "ignore:`np.bool8`:DeprecationWarning",  # the session writer, compiled, looks at it once
    "ignore:New metadata version:UserWarning:pkginfo",  # pkginfo meets newer wheels of other packages
)


def pytest_collection_modifyitems(items):
    """Put the marks for warnings that ChimeraX gives in its own code on our tests."""
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            for line in THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(line))


_session = None


@pytest.fixture(scope="session")
def engine():
    """Path of the Python that has the engine."""
    python = os.environ.get("HETERO_PYTHON")
    if not python:
        pytest.skip("HETERO_PYTHON does not name the Python that has hetero-em installed")
    return python


@pytest.fixture(scope="session")
def trained(engine, tmp_path_factory):
    """Folder of a run whose maps are known (make_run.py), with occupancy.csv beside it; for reading only."""
    return _make(engine, "make_run.py", tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture(scope="session")
def moving(engine, tmp_path_factory):
    """Folder of a run of Gaussians whose motion is known (make_gaussian_run.py); for reading only."""
    return _make(engine, "make_gaussian_run.py", tmp_path_factory.mktemp("moving") / "run")


def _make(engine, script, folder, *words):
    """``folder``, after the engine's Python ran a script of ours that writes it."""
    words = [engine, str(Path(__file__).with_name(script)), str(folder), *words]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture
def session():
    """The one ChimeraX session of the process, empty again after each test."""
    global _session  # noqa: PLW0603 (ChimeraX has one session a process)
    if _session is None:
        for package in ("chimerax", "Qt"):
            if find_spec(package) is None:
                pytest.skip(f"no {package} in this Python; the ChimeraX environment has it")
        import headless

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pkginfo and setuptools at start-up; no code of ours runs yet
            _session = headless.start()
    yield _session
    _empty(_session)
    from chimerax.hetero.settings import settings_of
    from chimerax.hetero.worker import close_worker

    settings_of(_session).python = ""
    if getattr(_session, "_hetero_worker", None) and _session._hetero_worker.python != os.environ.get("HETERO_PYTHON"):
        close_worker(_session)


def _empty(session):
    """Close everything, and forget the hidden maps that ChimeraX 1.7 still means to draw.

    Closed maps in that queue make its update of the next map's surface fail now and then, and after one failure no map
    is drawn again (VolumeUpdateManager, entered a second time from within by the first map's bounds).
    """
    session.update_loop.draw_new_frame()
    session.reset()
    waiting = getattr(session, "_volume_update_manager", None)
    if waiting is not None:
        waiting._volumes_to_update.clear()
        waiting._displayed_volumes_to_update.clear()


@pytest.fixture(scope="session", autouse=True)
def _end_worker():
    yield
    if _session is not None:
        _session.triggers.activate_trigger("app quit", None)
        # whatever commands ran meanwhile: the engine and its libraries stayed in their own process
        assert not {"torch", "hetero", "mrcfile", "pandas", "sklearn"} & set(sys.modules)


@pytest.fixture
def run(session):
    """Run a command as typed; the app draws a frame between typed commands, so do we."""
    from chimerax.core.commands import run as run_command

    def run_and_draw(command):
        result = run_command(session, command)
        session.update_loop.draw_new_frame()
        return result

    return run_and_draw


@pytest.fixture
def log(session):
    """What the user reads in the log: ``log.getvalue()``."""
    from chimerax.core.logger import StringPlainTextLog

    with StringPlainTextLog(session.logger) as text:
        yield text


@pytest.fixture
def settle(session):
    """Run n frames and what threads queued, as the event loop does."""

    def frames(n=1):
        for _ in range(n):
            session.ui.process()
            session.update_loop.draw_new_frame()

    return frames


@pytest.fixture
def reopen(session, run, tmp_path):
    """Save the session, close everything, open it again: ``reopen()``, or of a kind of model only: its class's name."""

    def save_and_open(kind=None):
        run(f'save "{tmp_path}/session.cxs"')
        session.update_loop.draw_new_frame()
        session.reset()
        assert not session.models.list() and not session.tools.list()
        run(f'open "{tmp_path}/session.cxs"')
        return [m for m in session.models.list() if (len(m.id) == 1 if kind is None else type(m).__name__ == kind)]

    return save_and_open


@pytest.fixture
def window(session, monkeypatch):
    """What panels need of a window; see headless.py."""
    import headless

    monkeypatch.setitem(sys.modules, "chimerax.ui", headless.stand_in_window())
    monkeypatch.setattr(import_module("chimerax.hetero.cmd.latent"), "has_window", lambda _session: True)
    yield
    for tool in session.tools.list():
        tool.delete()


@pytest.fixture
def sentence(run):
    """The one sentence that a command ends with: ``sentence("hetero level #7")``."""
    from chimerax.core.errors import UserError

    def text_of(command):
        with pytest.raises(UserError) as caught:
            run(command)
        text = str(caught.value)
        assert "\n" not in text and text.endswith(".") and not re.search(r"\. [A-Z]", text), text
        assert "Traceback" not in text
        return text

    return text_of
