"""A disk that fails at the n-th thing that is done to it: the process is killed, the power goes, the disk is full.

``FaultyDisk(folder, at, how).install()`` in a process of its own; everything that this process then does to files below
``folder`` through Python is counted. Linux.
"""

import builtins
import contextlib
import errno
import io
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

KINDS = ("kill", "power", "full", "readonly")
_ERRORS = {"full": errno.ENOSPC, "readonly": errno.EROFS}
_MAKES = ("write", "create", "mkdir", "link")  # what a full disk refuses; a read-only one refuses everything


class FaultyDisk:
    """What is done to files below a folder, counted from 1, until number ``at``.

    - ``kill``: a write is half done, anything else not at all, and the process is killed (signal 9).
    - ``power``: the same, but what was not waited for (fsync) is lost: ends of files, and new, moved and deleted names.
    - ``full``, ``readonly``: from then on the system refuses.

    Args:
        folder: below which things are counted.
        at: number of the one that fails; none does where it is never reached.
        how: one of ``KINDS``.
        stash: a folder elsewhere on the same file system, for what a power cut brings back.
    """

    def __init__(self, folder: Path, at: int, how: str, stash: Path):
        self.folder, self.at, self.how, self.stash = str(folder.resolve()), at, how, stash
        self.done: list[str] = []
        self._unsynced: dict[int, int] = {}  # inode -> bytes that are safe
        self._names: list[tuple[str, str, Callable[[], None]]] = []  # folder, path, how it is undone

    def install(self) -> None:
        """From now on, in this process."""
        names = ("open", "fsync", "replace", "link", "unlink", "mkdir", "rmdir")
        self._real = {name: getattr(os, name) for name in names}
        real_open = builtins.open

        def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *more, **others):
            writes = any(c in mode for c in "wax+") and isinstance(file, (str, os.PathLike)) and self._counts(file)
            if not writes:
                return real_open(file, mode, buffering, encoding, errors, newline, *more, **others)
            raw = _File(self, os.fspath(file), mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw, 1 << 16)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)

        builtins.open = io.open = opened
        with contextlib.suppress(ImportError):
            import numpy.lib._format_impl as numpy_format

            numpy_format.isfileobj = lambda file: False  # it would write past us
        os.open, os.fsync, os.replace, os.link = self._open, self._fsync, self._replace, self._link
        os.unlink = os.remove = self._unlink
        os.mkdir, os.rmdir = self._mkdir, self._rmdir

    def step(self, what: str, path: str, half: Callable[[], None] = lambda: None) -> None:
        """Count one thing; ``half`` does what a failing one leaves."""
        self.done.append(f"{what} {os.path.relpath(path, self.folder)}")
        reached = len(self.done) >= self.at > 0
        if not reached:
            return
        if self.how in _ERRORS:
            if self.how == "readonly" or what in _MAKES:
                number = _ERRORS[self.how]
                raise OSError(number, os.strerror(number), path)
        elif len(self.done) == self.at:
            half()
            if self.how == "power":
                self._lose()
            os.kill(os.getpid(), signal.SIGKILL)

    def unsafe(self, number: int, safe: int) -> None:
        """Of an open file no more than its first ``safe`` bytes are on the disk, until it is synced."""
        self._unsynced.setdefault(os.fstat(number).st_ino, safe)

    def _counts(self, path) -> bool:
        return os.path.abspath(os.fspath(path)).startswith(self.folder + os.sep)

    def _open(self, path, flags, mode=0o777, *, dir_fd=None):
        new = flags & os.O_CREAT and dir_fd is None and self._counts(path) and not os.path.lexists(path)
        if new:
            self.step("create", path)
        number = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        if new:
            self.created(path)
        return number

    def created(self, path: str) -> None:
        """A new name, which a power cut takes away until the file or its folder is synced."""
        self._note(path, lambda: self._real["unlink"](path))

    def _fsync(self, number: int) -> None:
        path = os.readlink(f"/proc/self/fd/{number}")
        if not self._counts(path) and path != self.folder:
            return self._real["fsync"](number)
        self.step("fsync", path)
        self._real["fsync"](number)
        if os.path.isdir(path):
            self._names = [entry for entry in self._names if entry[0] != path]
        else:  # with a new file its name is safe, as Linux' file systems do it
            status = os.fstat(number)
            self._unsynced.pop(status.st_ino, None)
            self._names = [entry for entry in self._names if entry[1] != path]
        return None

    def _replace(self, source, target) -> None:
        source, target = os.path.abspath(os.fspath(source)), os.path.abspath(os.fspath(target))
        if not self._counts(target):
            return self._real["replace"](source, target)
        self.step("replace", target)
        kept = self._stashed(target)
        self._real["replace"](source, target)

        def undo():
            self._real["replace"](target, source)
            if kept:
                self._real["link"](kept, target)

        return self._note(target, undo)

    def _link(self, source, target, **others) -> None:
        if not self._counts(target):
            return self._real["link"](source, target, **others)
        self.step("link", os.fspath(target))
        self._real["link"](source, target, **others)
        return self._note(target, lambda: self._real["unlink"](target))

    def _unlink(self, path, *, dir_fd=None) -> None:
        full = self._full(path, dir_fd)
        if not self._counts(full):
            return self._real["unlink"](path, dir_fd=dir_fd)
        self.step("unlink", full)
        kept = self._stashed(full)
        self._real["unlink"](path, dir_fd=dir_fd)
        return self._note(full, (lambda: self._real["link"](kept, full)) if kept else (lambda: None))

    def _mkdir(self, path, mode=0o777, *, dir_fd=None) -> None:
        full = self._full(path, dir_fd)
        if not self._counts(full) or os.path.isdir(full):
            return self._real["mkdir"](path, mode, dir_fd=dir_fd)
        self.step("mkdir", full)
        self._real["mkdir"](path, mode, dir_fd=dir_fd)
        return self._note(full, lambda: shutil.rmtree(full, ignore_errors=True))

    def _rmdir(self, path, *, dir_fd=None) -> None:
        full = self._full(path, dir_fd)
        if not self._counts(full):
            return self._real["rmdir"](path, dir_fd=dir_fd)
        self.step("rmdir", full)
        self._real["rmdir"](path, dir_fd=dir_fd)
        return self._note(full, lambda: self._real["mkdir"](full))

    def _full(self, path, dir_fd) -> str:
        if dir_fd is None:
            return os.path.abspath(os.fspath(path))
        return os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fspath(path))

    def _stashed(self, path: str) -> str | None:
        if self.how != "power" or not os.path.isfile(path):
            return None
        kept = str(self.stash / f"{len(self.done):06d}")
        self._real["link"](path, kept)
        return kept

    def _note(self, path, undo: Callable[[], None]) -> None:
        path = os.path.abspath(os.fspath(path))
        self._names.append((os.path.dirname(path), path, undo))

    def _lose(self) -> None:
        """What is on the disk when the power comes back."""
        os.unlink = os.remove = self._real["unlink"]
        os.rmdir, os.replace = self._real["rmdir"], self._real["replace"]
        for here, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(here, name)
                safe = self._unsynced.get(os.stat(path).st_ino)
                if safe is not None:
                    os.truncate(path, min(safe, os.path.getsize(path)))
        for _, _, undo in reversed(self._names):
            with contextlib.suppress(OSError):  # a name in a folder that is gone itself
                undo()


class _File(io.FileIO):
    """A file whose writes are counted."""

    def __init__(self, disk: FaultyDisk, path: str, mode: str):
        new = not os.path.lexists(path)
        self._disk, self._path = disk, path
        if new:
            disk.step("create", path)
        safe = 0 if new or "w" in mode else os.path.getsize(path)
        super().__init__(path, mode)
        if new:
            disk.created(path)
        disk.unsafe(self.fileno(), safe)

    def write(self, content) -> int:
        content = bytes(content)
        self._disk.unsafe(self.fileno(), os.fstat(self.fileno()).st_size)
        self._disk.step("write", self._path, lambda: super(_File, self).write(content[: len(content) // 2]))
        return super().write(content)

    def truncate(self, size=None) -> int:
        self._disk.step("write", self._path)
        return super().truncate(self.tell() if size is None else size)
