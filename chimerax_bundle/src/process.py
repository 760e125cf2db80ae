"""Processes of another Python than ChimeraX's own."""

import os
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
