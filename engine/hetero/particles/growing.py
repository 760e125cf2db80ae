"""A stack that is written over hours: what is safely on the disk stays when the writing is cut short."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError, Interrupted
from hetero.files import atomic_path, reason
from hetero.particles.mrcs import HEADER_BYTES, StackWriter

_JOURNAL = ".json"
_BETWEEN = 256 << 20  # bytes after which the disk is waited for


@contextmanager
def grow_stack(path: Path | str, n: int, box: int, apix: float, half: bool = False) -> Iterator[StackWriter]:
    """As :func:`hetero.particles.write_stack`, but going on with a stack that was begun: ``writer.n`` says from where.

    Beside it lies ``PATH.json`` (images that are safe, and the sums of the header).

    Args:
        path: ``.mrcs``; in a folder of this work alone, as :class:`hetero.parts.Parts` has one.
        n: images in all.
        box: pixels along each side.
        apix: Å per pixel.
        half: store 16-bit floats.

    Raises:
        HeteroError: the file cannot be written, or fewer than ``n`` images came.
    """
    path, kind = Path(path), np.dtype("<f2" if half else "<f4")
    journal = path.with_name(path.name + _JOURNAL)
    begun = _begun(path, journal, box * box * kind.itemsize)
    try:
        with open(path, "r+b" if begun else "wb") as file:
            writer = _GrowingWriter(file, box, kind, journal)
            writer.go_on(begun)
            yield writer
            if writer.n != n:
                raise HeteroError(f"{path} was to hold {n:,} images; {writer.n:,} came.")
            writer.keep()
            file.seek(0)
            file.write(writer.header(apix))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Interrupted(f"Cannot write {path}: {reason(error)}.") from error
    finally:
        if not journal.is_file():  # nothing is safe yet, so nothing stays
            path.unlink(missing_ok=True)


def _begun(path: Path, journal: Path, bytes_per_image: int) -> dict | None:
    """What the journal says, where the stack is as long as that."""
    try:
        state = json.loads(journal.read_text())
        long_enough = path.stat().st_size >= HEADER_BYTES + state["n"] * bytes_per_image
        return state if long_enough else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


class _GrowingWriter(StackWriter):
    def __init__(self, file, box: int, dtype: np.dtype, journal: Path):
        super().__init__(file, box, dtype)
        self._journal, self._kept = journal, 0

    def go_on(self, state: dict | None) -> None:
        """To the end of what is safe."""
        if state is None:
            self._file.write(b"\0" * HEADER_BYTES)
            return
        self.n = self._kept = state["n"]
        self._sums, self._range = np.array(state["sums"]), list(state["range"])
        self._file.truncate(self._bytes(self.n))
        self._file.seek(0, os.SEEK_END)

    def append(self, images: np.ndarray) -> None:
        super().append(images)
        if self._bytes(self.n) - self._bytes(self._kept) >= _BETWEEN:
            self.keep()

    def keep(self) -> None:
        """Wait for the disk, then note how far it is."""
        self._file.flush()
        os.fsync(self._file.fileno())
        state = {"n": self.n, "sums": self._sums.tolist(), "range": self._range}  # Python's text of a float is exact
        with atomic_path(self._journal) as temporary:
            temporary.write_text(json.dumps(state))
        self._kept = self.n

    def _bytes(self, n: int) -> int:
        return HEADER_BYTES + n * self._box**2 * self._dtype.itemsize
