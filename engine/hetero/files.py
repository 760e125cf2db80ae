"""Files and folders that appear whole or not at all."""

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from hetero.earlier import STORE, forget, note, set_aside, set_folder_aside, stamp
from hetero.errors import HeteroError, Interrupted

PICTURE_MARK = "Hetero (occupancy)"
"""What our pictures of tables carry as their ``Software``, so that no other picture is replaced."""

_BEGUN = ".partial-"
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux
_OF_FOLDERS = ("ensemble.csv", "blocks.csv", "truth.csv")


@contextmanager
def atomic_path(path: Path | str, keep: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on any error it is removed.

    The temporary name ends like ``path`` does, so writers that look at the suffix work.

    Args:
        path: of the file.
        keep: it is a result that will be read again: what it replaces is kept, and what was written is noted
            (:mod:`hetero.earlier`).

    Raises:
        HeteroError: the folder does not exist or cannot be written to.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise HeteroError(f"{path} is no ordinary file; it was left alone.")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_BEGUN, suffix=path.name)
    except OSError as error:
        raise Interrupted(f"Cannot write {path}: {reason(error)}.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        if keep:
            with suppress(OSError):  # what is kept is a help: the result comes first
                stamp(temporary)
            with suppress(OSError):
                set_aside(path)
        os.replace(temporary, path)
        if not path.parent.name.startswith(_BEGUN):  # in a folder that appears as a whole, its names are synced then
            sync_folder(path.parent)
        if keep and path.suffix.lower() != ".npz":  # which has checksums of its own
            with suppress(OSError):
                note(path)
    except OSError as error:
        raise Interrupted(f"Cannot write {path}: {reason(error)}.") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path | str, kind: "FolderKind", keep: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``; on success it takes ``folder``'s place, on any error it is removed.

    Args:
        folder: to be written.
        kind: of the folder.
        keep: as in :func:`atomic_path`, of all its tables and maps.

    Raises:
        HeteroError: ``folder`` is not ours to replace (:func:`check_folder`), or cannot be written.
    """
    folder = Path(folder).resolve()  # the folder a link points to is replaced, not the link
    check_folder(folder, kind)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{_BEGUN}{folder.name}-"))
    except OSError as error:
        raise Interrupted(f"Cannot write {folder}: {reason(error)}.") from error
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        if keep:
            with suppress(OSError):
                for file in [*temporary.glob("*.csv"), *temporary.glob("*.mrc")]:
                    note(file)
                if not folder.exists():
                    forget(folder)
        _sync_tree(temporary)
        _swap(temporary, folder, (lambda old: set_folder_aside(old, folder)) if keep else shutil.rmtree)
        sync_folder(folder.parent)
    except OSError as error:
        raise Interrupted(f"Cannot write {folder}: {reason(error)}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class FolderKind:
    """What a verb writes into a folder of its own.

    Attributes:
        mark: the file without which a folder is not of this kind.
        entries: patterns of everything the verb writes there.
    """

    mark: str
    entries: tuple[str, ...]


def check_folder(folder: Path | str, kind: FolderKind) -> None:
    """Refuse a folder that may not be replaced: only an empty one, or one that holds a result of ``kind`` alone.

    Raises:
        HeteroError: something else is there; names it.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise HeteroError(f"{folder} is a file; a folder to write into was expected.")
    entries = sorted(p.name for p in folder.iterdir() if p.name != STORE) if folder.is_dir() else []
    strangers = [name for name in entries if not any(fnmatch(name, pattern) for pattern in kind.entries)]
    if strangers or (entries and kind.mark not in entries):
        other = (strangers or entries)[0]
        raise HeteroError(f"{folder} already holds other files ({other} is one); give a new or empty folder.")


def check_table(path: Path | str, keys: tuple[str, ...] = ("name",)) -> None:
    """Refuse a path that a table may not be written to: only a ``.csv`` that is new or holds such a table already.

    Args:
        path: of the table.
        keys: how such a table may begin: its first column, or the first few joined by commas.

    Raises:
        HeteroError: another kind of file is named, or something else is there.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise HeteroError(f"{path} does not end in .csv; a table to write was expected.")
    if not path.absolute().parent.is_dir():
        raise HeteroError(f"Cannot write {path}: its folder is not there.")
    if path.is_dir():
        raise HeteroError(f"{path} is a folder; a table to write was expected.")
    if path.is_file():
        with open(path, "rb") as file:
            start = file.readline(1024)
        begins = [column.strip(' "\r\n') for column in start.decode(errors="replace").split(",")]
        if start and not any(begins[: key.count(",") + 1] == key.split(",") for key in keys):
            wanted = " or ".join(f"'{key}'" for key in keys)
            raise HeteroError(
                f"{path} is there already and is no table of ours (no column {wanted} first); it was kept."
            )


def check_result(path: Path | str, keys: tuple[str, ...], inputs: tuple[Path | None, ...]) -> None:
    """Refuse a path where a verb's own table would take the place of what it reads, or of what describes a folder.

    Args:
        path: of the table.
        keys: as in :func:`check_table`.
        inputs: what the verb reads; None for what was not given.

    Raises:
        HeteroError: as :func:`check_table`, or one of these is there.
    """
    path = Path(path)
    if path.name in _OF_FOLDERS:
        raise HeteroError(f"{path} is what describes its folder; give the table another name.")
    if any(given is not None and given.resolve() == path.resolve() for given in inputs):
        raise HeteroError(f"{path} is read for this; give the new table another name.")
    check_table(path, keys)


def check_picture(path: Path | str) -> None:
    """Refuse a path where a picture stands that none of ours may replace.

    Raises:
        HeteroError: it is there, and does not carry the mark that :func:`hetero.occupancy.draw_heat_map` leaves.
    """
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as file:
            if PICTURE_MARK.encode() in file.read(2048):
                return
    if path.exists():
        raise HeteroError(f"{path} is there already and is no picture of ours; it was kept.")


def _swap(new: Path, folder: Path, retire: Callable[[Path], None]) -> None:
    """Put ``new`` in ``folder``'s place: at once where the system can, else the old one comes back where that fails.

    ``retire`` is told where the old one lies then.
    """
    if not folder.exists():
        os.replace(new, folder)
        return
    if _exchanged(new, folder):
        retire(new)
        return
    old = new.with_name(new.name + "-old")
    os.replace(folder, old)
    try:
        os.replace(new, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    retire(old)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places, so that a kill finds the one or the other; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # no Linux, or an old one
        return False
    here = -100  # AT_FDCWD
    return rename(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE) == 0


def sync_folder(folder: Path | str) -> None:
    """Wait until the names in a folder are on the disk: a power cut leaves them as they now are."""
    if os.name != "posix":  # elsewhere folders cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has no such thing
            raise
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    """Every file below ``folder``, and the names of all of them."""
    for here, _, names in os.walk(folder):
        for name in names:
            with open(Path(here) / name, "rb") as file:
                os.fsync(file.fileno())
        sync_folder(here)


def reason(error: OSError) -> str:
    """What the system says went wrong, to be put into a sentence."""
    return (error.strerror or str(error)).rstrip(".").lower()


def _umask() -> int:
    # The umask can only be read by setting it; mkstemp's 0600 would lock colleagues out of shared results.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
