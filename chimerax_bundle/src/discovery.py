"""Where the Python is that runs the engine."""

import os
import shutil
from pathlib import Path

from chimerax.core.errors import UserError

from .settings import settings_of

HOW_TO_GET = (
    "type 'hetero install' here; or run 'pip install hetero-em' in a Python >= 3.11, then 'hetero engine "
    "/path/to/that/python' here"
)


def find_python(session):
    """``(path, source)`` of the engine's Python: the command's choice, $HETERO_PYTHON, then a ``hetero`` on the PATH.

    Raises:
        UserError: none of them is there, or the named one does not exist.
    """
    for path, source in (
        (settings_of(session).python, "chosen with 'hetero engine'"),
        (os.environ.get("HETERO_PYTHON", ""), "named by the variable HETERO_PYTHON"),
        (_python_of_script(shutil.which("hetero")), "that of the 'hetero' on the PATH"),
    ):
        if path:
            return check_python(path), source
    raise UserError(f"No engine was found: {HOW_TO_GET}.")


def check_python(path):
    """``path`` made absolute, when it can be run.

    Raises:
        UserError: it is not there or cannot be run.
    """
    found = shutil.which(os.path.expanduser(path))
    if found is None:
        raise UserError(f"{path} is not a Python that can be run: {HOW_TO_GET}.")
    return os.path.abspath(found)  # not resolved: the link in a virtual environment is what makes it one


def _python_of_script(script):
    """The interpreter in the first line of a script, or ""; pip writes it there."""
    if not script:
        return ""
    with open(script, "rb") as file:
        first = file.readline(4096).decode("utf-8", "replace").strip()
    if first.startswith("#!"):
        python = first[2:].strip()
        return python if Path(python).name.startswith("python") else ""
    beside = Path(script).with_name("python.exe")  # Windows: hetero.exe lies in Scripts, beside python.exe
    return str(beside) if beside.exists() else ""
