"""MRC/CCP4 map files: read generously, written strictly."""

import gzip
import os
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
from mrcfile.mrcinterpreter import MrcInterpreter

from hetero.earlier import check_whole
from hetero.errors import Damaged, HeteroError, MapWarning
from hetero.files import atomic_path
from hetero.foreign import check_file, reason
from hetero.maps.volume import Volume

SUFFIXES = (".mrc", ".map", ".ccp4", ".rec")
_FREE_BYTES = 1 << 30  # a packed map may unfold to this, however small it is: a mask packs well
_MOST_UNPACKED = 100  # and beyond that to so many times its size
_LABEL = b"Hetero: crc32 of the values "
_REAL_MODES = {0: "int8", 1: "int16", 2: "float32", 6: "uint16", 12: "float16"}


@dataclass(frozen=True)
class MapHeader:
    """What a map file says of itself, in our conventions.

    Attributes:
        shape: voxels along z, y, x.
        apix: ``(3,)`` Å per voxel along z, y, x.
        origin: ``(3,)`` Å along z, y, x.
        mode: number type on disk, e.g. ``"float32"``.
        notes: what had to be assumed, one sentence each.
    """

    shape: tuple[int, int, int]
    apix: np.ndarray
    origin: np.ndarray
    mode: str
    notes: tuple[str, ...] = ()


def map_name(path: Path | str) -> str:
    """File name without ``.gz`` and without the map suffix: the name of the volume in every table."""
    name = Path(path).name
    while suffix := next((s for s in (".gz", *SUFFIXES) if name.lower().endswith(s) and len(name) > len(s)), ""):
        name = name[: -len(suffix)]
    return name


def is_map_path(path: Path | str) -> bool:
    """Whether the file name ends like a map's (``.mrc``, ``.map``, ``.ccp4``, ``.rec``, also ``.gz``)."""
    name = Path(path).name.lower()
    return not name.startswith(".") and name.removesuffix(".gz").endswith(SUFFIXES)


def read_header(path: Path | str) -> MapHeader:
    """Read a map's header only.

    Raises:
        HeteroError: not there, not an MRC map, or shorter than its header says.
    """
    path = Path(path)
    with _open(path, header_only=True) as mrc:
        return _interpret(mrc.header, path)


def read_map(path: Path | str) -> Volume:
    """Read a map as float32 in ``(z, y, x)`` order, whatever axis order, number type or compression it has on disk.

    Memory: the file's data and its float32 copy.

    Raises:
        HeteroError: as :func:`read_header`, or the map holds NaN or infinite values.
        Damaged: it is cut short, or it is a block of ours and not what was written.

    Warns:
        MapWarning: the header has no voxel size (1 Å is assumed); or the map was written by us, and changed since.
    """
    path = Path(path)
    check_file(path, "a map file")
    check_whole(path)
    header = read_header(path)  # first: a header that promises too much must not make us allocate it
    with _open(path) as mrc:
        if mrc.data is None:
            raise Damaged(f"{path} is truncated: it ends before the {_text(header.shape)} voxels its header promises.")
        whole = _is_as_written(mrc)
        data = np.ascontiguousarray(np.transpose(mrc.data, _file_axes(mrc.header)), dtype=np.float32)
    for note in header.notes:
        warnings.warn(f"{path.name}: {note}", MapWarning, stacklevel=2)
    bad = data.size - np.count_nonzero(np.isfinite(data))
    if bad:
        raise HeteroError(
            f"{path} holds {bad:,} values that are not numbers (NaN or infinite); a finite map was expected."
        )
    if not whole:
        warnings.warn(
            f"{path} does not hold the values that Hetero wrote into it (their checksum differs): it is damaged, or "
            "was changed since; the command that made it makes it again.",
            MapWarning,
            stacklevel=2,
        )
    return Volume(data, header.apix, header.origin, map_name(path))


def write_map(path: Path | str, volume: Volume, dtype: type = np.float32) -> None:
    """Write ``volume`` as an MRC2014 map of number type ``dtype``; the file appears whole or not at all.

    A label in its header holds the values' checksum, in place of the time: the same map is the same file.
    """
    with atomic_path(path) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(volume.data, dtype=dtype))
        mrc.voxel_size = tuple(float(a) for a in volume.apix[::-1])
        mrc.header.origin = tuple(float(o) for o in volume.origin[::-1])
        mrc.set_volume()
        mrc.header.label[0] = _LABEL + f"{zlib.crc32(mrc.data):08x}".encode()


def _is_as_written(mrc) -> bool:
    """Whether the values have the checksum that we wrote beside them; true of maps that have none."""
    label = bytes(mrc.header.label[0])
    return not label.startswith(_LABEL) or label[len(_LABEL) :].strip() == f"{zlib.crc32(mrc.data):08x}".encode()


def _open(path: Path, header_only: bool = False):
    """Open permissively: a zero machine stamp or a missing "MAP " id is common in this field and harmless."""
    try:
        _check_start(path, check_file(path, "a map file"))
        with warnings.catch_warnings(record=True):
            # mrcfile's permissive remarks arrive here as warnings; what matters of them is checked in _interpret.
            warnings.simplefilter("always")
            if _is_compressed(path):
                # mrcfile's own class for these unpacks all that lies behind the map, to learn how long it is.
                with gzip.open(path) as stream:
                    return MrcInterpreter(stream, permissive=True, header_only=header_only)
            return mrcfile.open(path, permissive=True, header_only=header_only)
    except (OSError, EOFError, ValueError, MemoryError, OverflowError, zlib.error) as error:
        raise HeteroError(f"{path} cannot be read as an MRC map: {reason(error)}.") from error


def _check_start(path: Path, size: int) -> None:
    """Refuse what mrcfile would allocate gigabytes for: text read as a header promises an enormous extended header."""
    packed = _is_compressed(path)
    if size < 1024 and not packed:
        raise HeteroError(f"{path} is not an MRC map: it has {size} bytes, less than a header's 1024.")
    with gzip.open(path) if packed else open(path, "rb") as file:
        start = file.read(1024)
    if start[:2] == b"BZ" and start[208:212] != b"MAP ":
        raise HeteroError(f"{path} is packed by bzip2; unpack it first.")
    extended = [int.from_bytes(start[92:96], order, signed=True) for order in ("little", "big")]
    longest = max(_FREE_BYTES, _MOST_UNPACKED * size) if packed else size - 1024
    if len(start) < 1024 or not any(0 <= n <= longest for n in extended):
        raise HeteroError(f"{path} is not an MRC map: the header it begins with makes no sense.")


def _is_compressed(path: Path) -> bool:
    """By its first bytes, as mrcfile decides it, whatever the file is called."""
    with open(path, "rb") as file:
        start = file.read(212)
    return start[:2] == b"\x1f\x8b" and start[208:] != b"MAP "


def _interpret(header: np.recarray, path: Path) -> MapHeader:
    crs = np.array([header.nx, header.ny, header.nz], dtype=np.int64)  # columns, rows, sections
    mode = int(header.mode)
    if mode in (3, 4):
        raise HeteroError(f"{path} holds complex numbers (mode {mode}); a map in real space was expected.")
    if mode not in _REAL_MODES or (crs <= 0).any():
        raise HeteroError(f"{path} is not an MRC map: its header has box {crs.tolist()} and mode {mode}.")
    if sorted(_maps(header)) != [1, 2, 3]:
        raise HeteroError(f"{path} gives its axes as {_maps(header)}; 1, 2 and 3 in some order were expected.")
    if int(header.ispg) > 400:
        raise HeteroError(f"{path} is a stack of volumes; a single map was expected.")
    if path.name.lower().removesuffix(".gz").endswith(".mrcs") or (int(header.ispg) == 0 and header.mz == 1 < crs[2]):
        raise HeteroError(f"{path} is a stack of {crs[2]} images of {crs[0]} x {crs[1]}; a single map was expected.")
    _check_length(path, header, crs, mode)
    order = np.argsort(_maps(header))  # order[x, y, z] = which of column, row, section runs along it
    xyz = crs[order]
    notes = []
    intervals = np.array([header.mx, header.my, header.mz], dtype=float)
    intervals = np.where(intervals > 0, intervals, xyz)
    apix = np.array([header.cella.x, header.cella.y, header.cella.z], dtype=float) / intervals
    if not np.isfinite(apix).all() or (apix <= 0).any():
        notes.append(f"the header gives voxel size {_text(apix, ' x ')}; 1 Å is assumed.")
        apix = np.ones(3)
    origin = np.array([header.origin.x, header.origin.y, header.origin.z], dtype=float)
    if not np.isfinite(origin).all() or not origin.any():
        start = np.array([header.nxstart, header.nystart, header.nzstart], dtype=float)
        origin = start[order] * apix
    zyx = tuple(int(n) for n in xyz[::-1])
    return MapHeader(zyx, apix[::-1].copy(), origin[::-1].copy(), _REAL_MODES[mode], tuple(notes))


def _check_length(path: Path, header: np.recarray, crs: np.ndarray, mode: int) -> None:
    voxels = int(np.prod(crs, dtype=object))
    expected = 1024 + max(int(header.nsymbt), 0) + voxels * np.dtype(_REAL_MODES[mode]).itemsize
    found = os.path.getsize(path)
    if _is_compressed(path):  # how long it is, is known only once unpacked; read_map sees it then
        if expected > max(_FREE_BYTES, _MOST_UNPACKED * found):
            raise HeteroError(f"{path} has {found:,} bytes and promises {expected:,}; no map packs as small as that.")
    elif found < expected:
        raise Damaged(f"{path} is truncated: its header promises {expected:,} bytes, the file has {found:,}.")


def _maps(header: np.recarray) -> list[int]:
    axes = [int(header.mapc), int(header.mapr), int(header.maps)]
    return axes if any(axes) else [1, 2, 3]  # some writers leave all three zero


def _file_axes(header: np.recarray) -> list[int]:
    """For each of our axes z, y, x: which axis of the array on disk (section, row, column) it is."""
    order = np.argsort(_maps(header))
    return [2 - int(order[axis]) for axis in (2, 1, 0)]


def _text(numbers, between: str = " x ") -> str:
    return between.join(f"{n:g}" for n in numbers)
