"""Processes of another Python than ChimeraX's own."""

import contextlib
import os
import signal
import subprocess
import sys


def start_process(words, **options):
    """A ``subprocess.Popen`` of ``words`` that talks UTF-8 and inherits nothing that ChimeraX set for its own Python.

    Args:
        options: more of Popen's, such as ``stdin``.

    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(
        words,
        encoding="utf-8",
        errors="replace",
        env=clean_environment(os.environ),
        creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
        **options,
    )


def start_detached(words, **files):
    """As :func:`start_process`, for a process that lives on when ChimeraX ends and hears none of its signals."""
    apart = {"start_new_session": True} if os.name == "posix" else {}
    return start_process(words, **apart, **files)


def is_alive(pid):
    """Whether a process with this number runs; one that ended and that nobody asked about (a zombie) does not."""
    if os.name == "nt":
        return _is_alive_on_windows(pid)
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:  # another ChimeraX's child
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end(pid):
    """End a process at once; one that is gone already is no error."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)


def _is_alive_on_windows(pid):
    """os.kill would end it there."""
    import ctypes

    kernel = ctypes.windll.kernel32
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return False
    status = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(status))
    kernel.CloseHandle(handle)
    return status.value == 259  # STILL_ACTIVE


def clean_environment(environment, prefix=sys.prefix):
    """A copy of ``environment`` (name -> value) without what ChimeraX set for its own Python.

    PYTHONHOME and the like would send another Python to ChimeraX's library; a library path inside ``prefix`` would
    give it ChimeraX's shared libraries.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("PYTHON") and name != "__PYVENV_LAUNCHER__"
    }
    for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
        if name in kept:
            kept[name] = os.pathsep.join(p for p in kept[name].split(os.pathsep) if p and not p.startswith(prefix))
            if not kept[name]:
                del kept[name]
    return kept
