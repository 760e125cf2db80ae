"""Stacks of images in MRC files, of any number type and size; only the images asked for are read."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError, Interrupted
from hetero.files import atomic_path
from hetero.foreign import check_file

SUFFIXES = (".mrcs", ".mrc", ".st", ".stk")
HEADER_BYTES = 1024
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}  # 101: two 4-bit numbers a byte
_PACKED = 101
_OTHER_MODES = {3: "complex numbers", 4: "complex numbers", 16: "colours"}
_IMOD_STAMP = 1146047817


@dataclass(frozen=True)
class StackFile:
    """What a stack file says of itself.

    Attributes:
        path: the file.
        shape: images, rows, columns.
        mode: of MRC2014.
        dtype: number type and byte order on disk.
        offset: bytes before the first image.
        apix: Å per pixel; ``None`` where the header gives none.
    """

    path: Path
    shape: tuple[int, int, int]
    mode: int
    dtype: np.dtype
    offset: int
    apix: float | None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def bytes_per_image(self) -> int:
        """On disk."""
        _, rows, columns = self.shape
        return rows * ((columns + 1) // 2 if self.mode == _PACKED else columns * self.dtype.itemsize)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Read some images.

        The file is open for the time of the call only, and nothing of it stays in memory. (Mapping it into memory was
        100 times slower for images at random places, as the system then reads around each.)

        Args:
            indices: ``(k,)`` integers, counted from 0, in any order; those that follow each other are read at once.

        Returns:
            ``(k, rows, columns)`` float32.

        Raises:
            HeteroError: no such image, or the file is no longer what it was.
        """
        indices = np.asarray(indices, dtype=np.int64)
        n, rows, columns = self.shape
        if indices.size and not 0 <= indices.min() <= indices.max() < n:
            wrong = int(indices[(indices < 0) | (indices >= n)][0])
            raise HeteroError(f"{self.path} has {n:,} images; image {wrong + 1:,} is asked for.")
        raw = np.empty((len(indices), self.bytes_per_image), dtype=np.uint8)
        starts = np.flatnonzero(np.diff(indices, prepend=-2) != 1)
        try:
            with open(self.path, "rb", buffering=0) as file:
                for start, end in zip(starts, [*starts[1:], len(indices)], strict=True):
                    # Python's integers: a product of 32-bit ones would wrap beyond 4 GiB
                    file.seek(self.offset + int(indices[start]) * self.bytes_per_image)
                    _fill(file, raw[start:end])
        except (OSError, EOFError) as error:
            raise Interrupted(f"{self.path} cannot be read any more: {str(error).rstrip('.').lower()}.") from error
        if self.mode == _PACKED:
            raw = raw.reshape(len(raw), rows, -1)
            return np.stack([raw & 15, raw >> 4], axis=-1).reshape(len(raw), rows, -1)[..., :columns].astype(np.float32)
        return raw.view(self.dtype).reshape(-1, rows, columns).astype(np.float32, copy=False)


def _fill(file, block: np.ndarray) -> None:
    """Read ``block`` full, however few bytes come at a time."""
    view = memoryview(block).cast("B")
    while len(view):
        count = file.readinto(view)
        if not count:
            raise EOFError("it has become shorter")
        view = view[count:]


def read_stack_header(path: Path | str) -> StackFile:
    """Read a stack's header, and check that the file is as long as it promises.

    Raises:
        HeteroError: not there, not an MRC stack of square real images, or cut short.
    """
    path = Path(path)
    try:
        size = check_file(path, "an MRC stack")
        with open(path, "rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError as error:
        raise HeteroError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    if header[:2] == b"\x1f\x8b":
        raise HeteroError(f"{path} is compressed; unpack it first, images are read from where they lie.")
    order = _byte_order(header)
    if order is None:
        raise HeteroError(f"{path} is not an MRC stack: the header it begins with makes no sense.")
    columns, rows, n, mode = np.frombuffer(header, order + "i4", 4).tolist()
    if mode in _OTHER_MODES:
        raise HeteroError(f"{path} holds {_OTHER_MODES[mode]} (MRC mode {mode}); real images were expected.")
    if rows != columns:
        raise HeteroError(f"{path} holds images of {columns} x {rows} pixels; square ones were expected.")
    extended = int(np.frombuffer(header, order + "i4", 1, 92)[0])
    found = StackFile(
        path,
        (n, rows, columns),
        mode,
        np.dtype(_number_type(header, order, mode)).newbyteorder(order),
        HEADER_BYTES + max(extended, 0),
        _pixel_size(header, order, columns),
    )
    expected = found.offset + n * found.bytes_per_image
    if size < expected:
        whole = max(0, (size - found.offset) // found.bytes_per_image)
        raise HeteroError(
            f"{path} is cut short: its header promises {n:,} images ({expected:,} bytes), the file has {whole:,} "
            f"({size:,} bytes)."
        )
    return found


@contextmanager
def write_stack(path: Path | str, n: int, box: int, apix: float, half: bool = False) -> Iterator["StackWriter"]:
    """Write a stack piece by piece; the file appears when the block ends well, or not at all.

    Args:
        path: ``.mrcs``.
        n: images in all.
        box: pixels along each side.
        apix: Å per pixel.
        half: store 16-bit floats (MRC mode 12), half the size.

    Raises:
        HeteroError: the file cannot be written, or fewer than ``n`` images came.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(b"\0" * HEADER_BYTES)
        writer = StackWriter(file, box, np.dtype("<f2" if half else "<f4"))
        yield writer
        if writer.n != n:
            raise HeteroError(f"{path} was to hold {n:,} images; {writer.n:,} came.")
        file.seek(0)
        file.write(writer.header(apix))


class StackWriter:
    """Appends images to an open stack and keeps its statistics."""

    def __init__(self, file, box: int, dtype: np.dtype):
        self._file, self._box, self._dtype = file, box, dtype
        self.n = 0
        self._sums = np.zeros(2)
        self._range = [math.inf, -math.inf]

    def append(self, images: np.ndarray) -> None:
        """Add ``(k, box, box)`` images."""
        images = np.ascontiguousarray(images, dtype=np.float32)
        if images.shape[1:] != (self._box, self._box):
            raise ValueError(f"images of shape {images.shape[1:]}, box {self._box}")
        self._file.write(images.astype(self._dtype, copy=False).data)
        self.n += len(images)
        for image in images:  # one at a time, while it is in the processor's cache
            self._sums += image.sum(), np.vdot(image, image)
        if len(images):
            self._range = [min(self._range[0], float(images.min())), max(self._range[1], float(images.max()))]

    def header(self, apix: float) -> bytes:
        """The MRC2014 header of what was written so far."""
        from mrcfile.dtypes import HEADER_DTYPE

        header = np.zeros((), dtype=HEADER_DTYPE)
        header["nx"] = header["ny"] = header["mx"] = header["my"] = self._box
        header["nz"], header["mz"] = self.n, 1  # mz 1: a stack of images, not a volume
        header["mode"] = 12 if self._dtype.itemsize == 2 else 2
        header["cella"] = (self._box * apix, self._box * apix, apix)
        header["cellb"] = (90, 90, 90)
        header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
        header["map"], header["machst"], header["nversion"] = b"MAP ", (0x44, 0x44, 0, 0), 20141
        count = max(self.n, 1) * self._box**2
        mean = self._sums[0] / count
        header["dmin"], header["dmax"] = self._range if self.n else (0, -1)
        header["dmean"], header["rms"] = mean, math.sqrt(max(self._sums[1] / count - mean**2, 0))
        return header.tobytes()


def _byte_order(header: bytes) -> str | None:
    """``<`` or ``>``, by what makes sense: machine stamps are often wrong or missing."""
    if len(header) < HEADER_BYTES:
        return None
    for order in "<>":
        columns, rows, n, mode = np.frombuffer(header, order + "i4", 4).tolist()
        known = mode in _MODES or mode in _OTHER_MODES
        if known and 0 < columns <= 1 << 17 and 0 < rows <= 1 << 17 and n > 0:
            return order
    return None


def _number_type(header: bytes, order: str, mode: int) -> str:
    """Bytes are signed, as MRC2014 has it, but for IMOD's stamp that says otherwise."""
    if mode == 0:
        stamp, flags = np.frombuffer(header, order + "i4", 2, 152).tolist()
        if stamp == _IMOD_STAMP and not flags & 1:
            return "u1"
    return _MODES.get(mode, "u1")


def _pixel_size(header: bytes, order: str, columns: int) -> float | None:
    intervals = int(np.frombuffer(header, order + "i4", 1, 28)[0])
    length = float(np.frombuffer(header, order + "f4", 1, 40)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NaN and huge numbers in damaged headers
        apix = length / (intervals if intervals > 0 else columns)
    return apix if math.isfinite(apix) and 0.01 < apix < 1000 else None
