"""``checkpoint.pt`` and the one before it: tensors and plain values, checked before they are used."""

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from hetero.earlier import is_whole_archive
from hetero.errors import HeteroError, MapWarning
from hetero.files import atomic_path
from hetero.foreign import check_torch_archive

CHECKPOINT = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"


def write_checkpoint(path: Path | str, values: dict[str, Any]) -> None:
    """Write ``values``, and keep what was there as the one before.

    Raises:
        HeteroError: as :func:`save_tensors`; what was there stays.
    """
    set_aside(path)
    save_tensors(path, values)


def save_tensors(path: Path | str, values: dict[str, Any]) -> None:
    """Write tensors, numbers, text, and lists and dictionaries of these; whole or not at all.

    Raises:
        HeteroError: they cannot be written, as on a full disk.
    """
    import torch

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        watched = _Watched(file)
        try:
            torch.save(values, watched)
        except Exception:
            if watched.error is not None:  # torch speaks of its own archive; what the system said is what helps
                raise watched.error from None
            raise


class _Watched:
    """A file that remembers why it could not be written."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.error: OSError | None = None

    def write(self, content) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def read_checkpoint(path: Path | str, kind: str, what: str, verb: str) -> dict[str, Any]:
    """What a run's ``checkpoint.pt`` holds, on the CPU: tensors and plain values alone. Nothing in it is run.

    Args:
        path: the file.
        kind: its ``format``.
        what: and in words, for messages.
        verb: that writes such files.

    Raises:
        HeteroError: not there, or not such a file.
    """
    import torch

    path = Path(path)
    check_torch_archive(path, "the weights of a run")
    if not is_whole_archive(path):
        raise HeteroError(f"{path} is damaged: what it holds is not what was written (its checksums differ).")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no list of what a damaged file makes it raise
        raise HeteroError(f"{path} is not a file of network weights that can be read safely.") from error
    if not isinstance(found, dict) or found.get("format") != kind:
        raise HeteroError(f"{path} holds no {what}; a file written by hetero {verb} was expected.")
    return found


def set_aside(path: Path | str) -> None:
    """Keep a checkpoint as the one before, for when a new one takes its place; a damaged one is not kept."""
    path = Path(path)
    if is_whole_archive(path):
        with atomic_path(path.with_name(PREVIOUS)) as temporary:
            temporary.unlink()
            try:
                os.link(path, temporary)
            except OSError:  # a file system without links
                shutil.copyfile(path, temporary)


def newest_whole(path: Path | str, read: Callable[[Path], Any]) -> Any:
    """What ``read`` gives of a checkpoint, or of the one before where it is damaged; None where there is none.

    Raises:
        HeteroError: both are damaged; speaks of the newer one.

    Warns:
        MapWarning: the one before is used.
    """
    path = Path(path)
    before = path.with_name(PREVIOUS)
    if not path.is_file() and not before.is_file():
        return None
    try:
        return read(path)
    except HeteroError as error:
        try:
            found = read(before)
        except HeteroError:
            raise error from None
        warnings.warn(f"{error} Used in its place: the one before, {before}.", MapWarning, stacklevel=2)
        return found
