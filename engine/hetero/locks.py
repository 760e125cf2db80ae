"""Results that one process alone makes, and what processes that were killed left of them."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hetero.errors import HeteroError
from hetero.files import reason

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = ".lock"
"""What lies in a folder that :func:`hold` has held; it tells nothing by being there."""

_OF_TRAINING = (".pt", "latents.npz", "poses.npz", "poses.pkl", "log.csv", "config.json", "images.c64", "images.json")


@contextmanager
def hold(folder: Path | str) -> Iterator[None]:
    """A folder for this process alone. The system lets go of it when the process ends, however it ends.

    What a training that was killed had begun to write there (``.partial-...``) is removed.

    Raises:
        HeteroError: another process works in it; says which and where.
    """
    if fcntl is None:
        yield
        return
    handle = _held(Path(folder) / LOCK, folder)
    try:
        for leftover in Path(folder).glob(".partial-*"):
            if leftover.name.endswith(_OF_TRAINING):  # other verbs may be writing beside them
                _remove(leftover)
        yield
    finally:
        os.close(handle)


@contextmanager
def hold_result(path: Path | str, parents: bool = False) -> Iterator[None]:
    """A file or folder to be written, for this process alone; nothing of the lock stays.

    What killed processes had begun in its place is removed, and a folder that one of them had moved out of the way
    comes back.

    Args:
        path: of the result.
        parents: make the folder that it shall lie in, where that is not there.

    Raises:
        HeteroError: another process makes it, or nothing can be written there.
    """
    path = Path(path).resolve()
    if parents:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HeteroError(f"Cannot write {path}: {reason(error)}.") from error
    if fcntl is None:
        yield
        return
    lock = path.with_name(f".{path.name}{LOCK}")
    while True:
        handle = _held(lock, path)
        try:
            if os.path.samestat(os.fstat(handle), os.stat(lock)):
                break
        except FileNotFoundError:
            pass
        os.close(handle)  # who held it has removed it since
    try:
        _tidy(path)
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def check_free(folder: Path | str) -> None:
    """Refuse a folder that another process holds; any number of processes may ask at once.

    Raises:
        HeteroError: as :func:`hold`.
    """
    path = Path(folder) / LOCK
    if fcntl is not None and path.is_file():
        with open(path, "rb") as file:
            _lock(file.fileno(), fcntl.LOCK_SH, folder)


def _held(path: Path, what: Path | str) -> int:
    """The open lock file at ``path``, which says who holds it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)  # a link may lead to another's file
    except OSError as error:
        raise HeteroError(f"Cannot write {path}: {reason(error)}.") from error
    try:
        _lock(handle, fcntl.LOCK_EX, what)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {platform.node()}".encode(), 0)
    except OSError as error:
        os.close(handle)
        raise HeteroError(f"Cannot write {path}: {reason(error)}.") from error
    except HeteroError:
        os.close(handle)
        raise
    return handle


def _lock(handle: int, kind: int, what: Path | str) -> None:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
        raise HeteroError(f"{what} is in use: {holder} works on it; wait for it, or give another.") from None
    except OSError:  # a file system without locks: better unheld than no training
        pass


def _tidy(path: Path) -> None:
    """Remove what :mod:`hetero.files` had begun for ``path`` (or ``path.json``) in processes that were killed."""
    name = re.escape(path.name)
    ours = re.compile(rf"\.partial-\w{{8}}{name}(\.json)?|\.partial-{name}(\.parts)?-\w{{8}}(-old)?")
    leftovers = [p for p in path.parent.glob(".partial-*") if ours.fullmatch(p.name)]
    for leftover in leftovers:
        if leftover.name.endswith("-old") and not path.exists():
            os.replace(leftover, path)
        else:
            _remove(leftover)


def _remove(leftover: Path) -> None:
    if leftover.is_dir():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        leftover.unlink(missing_ok=True)
