"""Files and folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hetero.errors import HeteroError


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on any error it is removed.

    The temporary name ends like ``path`` does, so writers that look at the suffix work.

    Raises:
        HeteroError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.name)
    except OSError as error:
        raise HeteroError(f"Cannot write {path}: {_reason(error)}.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise HeteroError(f"Cannot write {path}: {_reason(error)}.") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path | str, replaces: str) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``; on success it takes ``folder``'s place, on any error it is removed.

    An existing ``folder`` is replaced only where it is empty or holds a file called ``replaces``, the mark of an
    earlier result of the same kind: a folder with anything else in it is not ours to delete.

    Raises:
        HeteroError: ``folder`` holds something else, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise HeteroError(f"{folder} is a file; a folder to write into was expected.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / replaces).is_file():
        raise HeteroError(f"{folder} already holds other files (no {replaces} among them); give a new or empty folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".partial-{folder.name}-"))
    except OSError as error:
        raise HeteroError(f"Cannot write {folder}: {_reason(error)}.") from error
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        old = None
        if folder.exists():
            old = temporary.with_name(temporary.name + "-old")
            os.replace(folder, old)
        os.replace(temporary, folder)
        if old is not None:
            shutil.rmtree(old)
    except OSError as error:
        raise HeteroError(f"Cannot write {folder}: {_reason(error)}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _umask() -> int:
    # The umask can only be read by setting it; mkstemp's 0600 would lock colleagues out of shared results.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
