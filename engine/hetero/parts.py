"""Finished parts of a long computation, kept on disk so that a restart does only what is missing."""

import io
import json
import shutil
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hetero.errors import Cancelled, HeteroError, Interrupted, MapWarning
from hetero.files import atomic_path, reason

_JOB = "job.json"
_TAIL = 4  # bytes behind a part's numbers: their checksum


@contextmanager
def keep_parts(folder: Path | str, job: dict[str, Any]) -> Iterator["Parts"]:
    """:class:`Parts` for as long as a verb works; removed at its end, and kept where it is stopped.

    Raises:
        HeteroError: as :class:`Parts`; bad input found on the way leaves no parts behind that were not there before.
        Interrupted: the system ended the work; says where what is finished waits.
        Cancelled: the verb was stopped; says where what is finished waits.
    """
    folder = Path(folder)
    begun = folder.exists()
    parts = Parts(folder, job)
    try:
        yield parts
    except Interrupted as error:
        if parts.empty:
            parts.remove()
            raise
        raise Interrupted(f"{error} What is finished waits in {folder}; the same command goes on from it.") from error
    except HeteroError:
        if not begun:
            parts.remove()
        raise
    except (KeyboardInterrupt, Cancelled) as stopped:
        if parts.empty:
            parts.remove()
            raise
        raise Cancelled(
            f"Stopped; what is finished waits in {folder}, and the same command goes on from it."
        ) from stopped
    parts.remove()


class Parts:
    """A folder of ``job.json`` (what is computed) and ``part_000000.npy`` ..., each whole and with its checksum.

    Whoever works may keep other files there too. One process at a time (:func:`hetero.locks.hold_result`).

    Args:
        folder: made where it is not there.
        job: plain JSON values that tell one computation from another.

    Raises:
        HeteroError: the folder holds something else, or parts of another computation; names the first difference.

    Warns:
        MapWarning: a part is damaged, and is not there any more.
    """

    def __init__(self, folder: Path | str, job: dict[str, Any]):
        self.folder = Path(folder)
        job = json.loads(json.dumps(job, default=str))
        if self.folder.exists():
            self._check(job)
            for leftover in self.folder.glob(".partial-*"):  # of a process that was killed while it wrote
                leftover.unlink()
            self._drop_damaged()
            return
        try:
            self.folder.mkdir()
        except OSError as error:
            raise HeteroError(f"Cannot write {self.folder}: {reason(error)}.") from error
        self._begin(job)

    @property
    def empty(self) -> bool:
        """Whether nothing is finished yet."""
        return not any(path.name != _JOB and not path.name.startswith(".partial-") for path in self.folder.glob("*"))

    def __contains__(self, number: int) -> bool:
        return self._path(number).is_file()

    def save(self, number: int, values: np.ndarray) -> None:
        """Keep part ``number``; it is there as a whole or not at all, also after a power cut."""
        numbers = io.BytesIO()
        np.save(numbers, values, allow_pickle=False)
        with atomic_path(self._path(number)) as temporary, open(temporary, "wb") as file:
            file.write(numbers.getbuffer())
            file.write(zlib.crc32(numbers.getbuffer()).to_bytes(_TAIL, "little"))

    def load(self, number: int) -> np.ndarray:
        """Part ``number``.

        Raises:
            HeteroError: it is not there or damaged.
        """
        try:
            return np.load(self._path(number), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise HeteroError(f"{self._path(number)} is damaged; delete it and run again.") from error

    def remove(self) -> None:
        """Delete the folder: everything in it has found its place."""
        for part in self.folder.glob("*"):
            if part.name != _JOB:
                part.unlink()
        shutil.rmtree(self.folder)  # the job last: what a kill leaves is still known as ours

    def _begin(self, job: dict[str, Any]) -> None:
        with atomic_path(self.folder / _JOB) as temporary:
            temporary.write_text(json.dumps(job, indent=1) + "\n")

    def _drop_damaged(self) -> None:
        for path in self.folder.glob("part_*.npy"):
            raw = path.read_bytes()
            if zlib.crc32(raw[:-_TAIL]).to_bytes(_TAIL, "little") != raw[-_TAIL:]:
                warnings.warn(f"{path} is damaged (its checksum differs); it is made again.", MapWarning, stacklevel=4)
                path.unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"part_{number:06d}.npy"

    def _check(self, job: dict[str, Any]) -> None:
        try:
            begun = json.loads((self.folder / _JOB).read_text())
        except FileNotFoundError:
            strangers = [p.name for p in self.folder.iterdir() if not p.name.startswith(".partial-")]
            if strangers or not self.folder.is_dir():
                raise HeteroError(
                    f"{self.folder} holds no unfinished work of ours ({strangers[0]} is in it); it was kept."
                ) from None
            self._begin(job)
            return
        except (OSError, ValueError) as error:
            raise HeteroError(f"{self.folder / _JOB} cannot be read; delete {self.folder} to begin anew.") from error
        for key in sorted(begun.keys() | job.keys()):
            if begun.get(key) != job.get(key):
                raise HeteroError(
                    f"{self.folder} holds unfinished work with another {key} ({begun.get(key)}, now {job.get(key)}); "
                    "go on with that, or delete the folder to begin anew."
                )
