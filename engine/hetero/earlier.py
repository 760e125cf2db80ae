"""What was written, and the one before it: a damaged result is told from one that was changed on purpose.

Beside a result lies a folder ``.hetero``. In it are, as ``NAME.sum``, the size, time and checksum that the result was
written with, and as ``NAME`` the result that it took the place of (linked or moved, never copied where the file system
has links). Delete it and nothing but that is lost.

A checksum alone cannot tell damage from a table that somebody edited. The time can: what was edited has a newer one,
what a disk or a transfer spoiled keeps it. So a file with another checksum is damaged where its time is still the one
that it was written at; and a table also where it has zero bytes in it, or became shorter and ends within a row.
``.npz`` files have checksums of their own, and nobody edits them.
"""

import glob
import json
import os
import shutil
import stat
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from hetero.errors import Damaged, HeteroError, MapWarning

STORE = ".hetero"
_SUM, _DAMAGED = ".sum", ".damaged"
_LONGEST = 1 << 12  # bytes of a .sum
_TICK = 10_000_000  # nanoseconds: file systems' clocks may be as coarse as the system's ticks
_PIECE = 1 << 22
_LAST_LINE = 1 << 16
_OLD = 3600  # seconds: what was begun before is of a process that was killed


def before(path: Path | str) -> Path:
    """Where the result that ``path`` took the place of is kept."""
    path = Path(path).resolve()
    return path.parent / STORE / path.name


def newest_good(path: Path | str, read: Callable[[Path], Any]) -> Any:
    """What ``read`` gives of a file or folder, or of the one before where it is damaged.

    Raises:
        HeteroError: of ``read``; where both are damaged it speaks of the newer one.

    Warns:
        MapWarning: the one before is used; names both.
    """
    path = Path(path)
    try:
        return read(path)
    except Damaged as error:
        kept = before(path)
        if kept.parent.is_symlink():  # it may lead anywhere
            raise
        try:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(os.stat(kept).st_mtime))
            found = read(kept)
        except (HeteroError, OSError):
            raise error from None
        warnings.warn(f"{error} Used in its place: the one before, {kept} ({when}).", MapWarning, stacklevel=3)
        return found


def stamp(path: Path | str) -> None:
    """Give a file that is about to take its name a time of its own.

    The system's clock for files stands still for milliseconds, and what another process wrote within the same ones
    would be taken for this file, damaged.
    """
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def note(path: Path | str) -> None:
    """Remember what a file holds that was just written whole, and the one before it."""
    path = Path(path).resolve()
    store = _store(path)
    if store is None:
        return
    kept = store / path.name
    since = time.time_ns() - os.stat(path).st_mtime_ns
    if 0 <= since < _TICK:  # whoever edits it from now on gives it another time
        time.sleep((_TICK - since) / 1e9)
    found = {"now": _entry(path)} | ({"before": _entry(kept)} if kept.is_file() else {})
    with _begun(store, path.name + _SUM) as begun:
        with open(begun, "x") as file:
            file.write(json.dumps(found))  # not waited for: after a power cut half of it is as good as none
        os.replace(begun, store / (path.name + _SUM))  # what has its name may be a link, and is not followed


def set_aside(path: Path | str) -> None:
    """Keep a file as the one before, as a new one is about to take its place.

    A damaged one is not; a table becomes ``NAME.damaged``, as what was taken for damage may be somebody's work.
    """
    path = Path(path).resolve()
    if not path.is_file():
        forget(path)
        return
    store, damaged = _store(path), is_damaged(path)
    if store is not None and (not damaged or path.suffix.lower() == ".csv"):
        kept = store / (path.name + (_DAMAGED if damaged else ""))
        with _begun(store, path.name) as begun:
            try:
                os.link(path, begun)
            except OSError:  # a file system without links
                shutil.copy2(path, begun)
            os.replace(begun, kept)


def set_folder_aside(old: Path, folder: Path) -> None:
    """Keep ``old``, which lay at ``folder``, as the one before.

    One with a damaged file in it is deleted, but for tables that look damaged, as in :func:`set_aside`.
    """
    with suppress(OSError):  # what is kept is a help: the new folder has its place already
        store = _store(folder)
        damaged = [file for file in old.iterdir() if file.is_file() and is_damaged(file)]
        if store is not None and not damaged:
            forget(folder)
            os.replace(old, store / folder.name)
        for table in damaged if store is not None else []:
            if table.suffix.lower() == ".csv":
                os.replace(table, store / f"{folder.name}.{table.name}{_DAMAGED}")
    if old.exists():
        shutil.rmtree(old)


def forget(path: Path | str) -> None:
    """Remove what is kept of a file or folder that is gone itself, as another one begins in its place."""
    kept = before(path)
    if kept.parent.is_symlink() or not kept.parent.is_dir():
        return
    if kept.is_dir() and not kept.is_symlink():
        shutil.rmtree(kept, ignore_errors=True)
    else:
        kept.unlink(missing_ok=True)


def check_whole(path: Path) -> None:
    """Refuse a file that is not what was written.

    Raises:
        Damaged: it is not, and nobody changed it on purpose.
    """
    if is_damaged(path):
        raise Damaged(f"{path} is damaged: what it holds is not what was written (its checksum differs).")


def is_damaged(path: Path | str) -> bool:
    """Whether a file is not what was written, by its own checksums (.npz) or by those that were noted; False where
    nothing is known, and where somebody changed it."""
    path = Path(path)
    if path.suffix.lower() == ".npz":
        return not is_whole_archive(path)
    noted = _noted(path)
    if noted is None:
        return False
    size, when, checksum = noted
    with open(path, "rb") as file:  # one file throughout, though another may take its name meanwhile
        about = os.fstat(file.fileno())
        if about.st_size == size and _checksum(file) == checksum:
            return False
        return about.st_mtime_ns == when or (path.suffix.lower() == ".csv" and _is_cut(file, about.st_size < size))


def is_whole_archive(path: Path | str) -> bool:
    """Whether every member of an archive is what its checksum says (torch itself does not look)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile):
        return False


def _is_cut(file: BinaryIO, shorter: bool) -> bool:
    """Whether a table has zero bytes in it (a power cut leaves them), or became shorter and ends within a row."""
    file.seek(0)
    head = file.readline(_LAST_LINE)
    file.seek(0)
    while piece := file.read(_PIECE):
        if b"\0" in piece:
            return True
    file.seek(max(0, file.tell() - _LAST_LINE))
    last = file.read().rsplit(b"\n", 1)[-1]
    within_a_row = last != b"" and last.count(b",") < head.count(b",")
    return shorter and (within_a_row or (len(head) < _LAST_LINE and not head.endswith(b"\n")))


def _noted(path: Path) -> tuple[int, int, int] | None:
    path = path.resolve()
    kept = path.parent.name == STORE
    if not kept and (path.parent / STORE).is_symlink():
        return None
    file = path.with_name(path.name + _SUM) if kept else path.parent / STORE / (path.name + _SUM)
    try:
        about = os.stat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LONGEST:
            return None
        size, when, checksum = map(int, json.loads(file.read_text())["before" if kept else "now"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    return size, when, checksum


def _entry(path: Path) -> tuple[int, int, int]:
    with open(path, "rb") as file:
        about = os.fstat(file.fileno())
        # Some file systems keep whole seconds: an edit within the same one would not be told from damage.
        when = about.st_mtime_ns if about.st_mtime_ns % 1_000_000_000 else -1
        return about.st_size, when, _checksum(file)


def _checksum(file: BinaryIO) -> int:
    total = 0
    while piece := file.read(_PIECE):
        total = zlib.crc32(piece, total)
    return total


@contextmanager
def _begun(store: Path, name: str) -> Iterator[Path]:
    """A name of this process's own for what is about to get ``name``; nothing of it is left."""
    for old in store.glob(f".partial-*-{glob.escape(name)}"):
        with suppress(OSError):
            if time.time() - os.lstat(old).st_mtime > _OLD:
                old.unlink()
    begun = store / f".partial-{os.getpid()}-{name}"
    begun.unlink(missing_ok=True)
    try:
        yield begun
    finally:
        begun.unlink(missing_ok=True)


def _store(path: Path) -> Path | None:
    """The folder ``.hetero`` beside a result; None where something else has its name: a link may lead anywhere."""
    store = path.parent / STORE
    if store.is_symlink() or (store.exists() and not store.is_dir()):
        return None
    store.mkdir(exist_ok=True)
    return store
