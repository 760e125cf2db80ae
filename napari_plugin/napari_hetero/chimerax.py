"""Starts the user's ChimeraX on a script. Knows no Qt."""

import shutil
import subprocess
from pathlib import Path

from hetero.errors import HeteroError
from napari_hetero.preferences import preferences

_NAMES = ("chimerax", "ChimeraX", "chimerax-daily")
_PLACES = ("Applications/ChimeraX*.app/Contents/bin/ChimeraX", "Program Files/ChimeraX*/bin/ChimeraX.exe")
_begun: list[subprocess.Popen] = []  # until they have ended


def find_chimerax() -> str | None:
    """The program: as set in napari's Preferences, on the path, or where its installers put it; None where there is
    none.

    Raises:
        HeteroError: the one that was set is not there.
    """
    chosen = preferences().work.chimerax.strip()
    if chosen:
        if not Path(chosen).expanduser().is_file():
            raise HeteroError(f"{chosen} is not there; it was set as ChimeraX in napari's Preferences, Hetero.")
        return str(Path(chosen).expanduser())
    on_path = next(filter(None, map(shutil.which, _NAMES)), None)
    root = Path(Path.home().anchor)
    installed = [str(found) for place in _PLACES for found in sorted(root.glob(place))]
    return on_path or (installed[-1] if installed else None)


def open_in_chimerax(script: Path) -> bool:
    """Let ChimeraX open a script in a process of its own; False where no ChimeraX is found.

    Raises:
        HeteroError: it cannot be started, or as :func:`find_chimerax`.
    """
    program = find_chimerax()
    if program is None:
        return False
    _begun[:] = [process for process in _begun if process.poll() is None]
    quiet = subprocess.DEVNULL
    try:
        _begun.append(
            subprocess.Popen(
                [program, str(script.resolve())], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
            )
        )
    except OSError as error:
        raise HeteroError(f"Cannot start {program}: {error.strerror}.") from error
    return True
