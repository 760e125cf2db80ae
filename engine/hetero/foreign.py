"""Other people's tables, arrays and archives: read within bounds, and nothing in them is ever run.

:mod:`hetero.pickles` is the door for pickles; docs/security.md says what is and is not opened.
"""

import gzip
import math
import os
import pickletools
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hetero.earlier import check_whole, newest_good
from hetero.errors import Damaged, HeteroError

_MOST_COLUMNS = 10_000
_LONGEST_HEAD = 1 << 20  # bytes of a table's first line
_FREE_BYTES = 1 << 28  # a packed array or text may unfold to this, however small it is
_MOST_UNPACKED = 100  # and beyond that to so many times its size
_BLOCK = 1 << 20  # bytes looked at at once
_TORCH_HEAD = 64 << 20  # bytes of the pickle in an archive of torch, which holds names and shapes alone
_TORCH_NAMES = {
    "collections OrderedDict", "torch Size", "torch device", "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter", "_codecs encode", "torch.nn.modules.loss MSELoss",
    "__builtin__ set", "builtins set",
    "numpy ndarray", "numpy dtype",
    *(f"numpy.{core}.multiarray {name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
}  # fmt: skip


def check_file(path: Path | str, expected: str) -> int:
    """Refuse what is no ordinary file: a pipe would keep us waiting, a device never ends.

    Returns:
        Its size in bytes.

    Raises:
        HeteroError: not there, a folder, a pipe or a device, or a name that no file can have.
    """
    try:
        about = os.stat(path)
    except FileNotFoundError:
        raise HeteroError(f"{path} is not there; {expected} was expected.") from None
    except (OSError, ValueError) as error:
        raise HeteroError(f"{path} cannot be read: {reason(error)}.") from error
    if stat.S_ISDIR(about.st_mode):
        raise HeteroError(f"{path} is a folder; {expected} was expected.")
    if not stat.S_ISREG(about.st_mode):
        raise HeteroError(f"{path} is a pipe or a device; {expected} was expected.")
    return about.st_size


def check_gzip(path: Path | str, expected: str, largest: int) -> None:
    """Refuse a packed file that unfolds beyond measure, before a reader unfolds all of it.

    Raises:
        HeteroError: it unfolds to more than ``largest`` bytes, or to more than 256 MiB and 100 times its size, or is
            damaged.
    """
    most = min(max(_FREE_BYTES, _MOST_UNPACKED * check_file(path, expected)), largest)
    try:
        with gzip.open(path) as file:
            while file.read(_BLOCK):
                if file.tell() > most:
                    raise HeteroError(f"{path} unfolds to more than {most:,} bytes; {expected} was expected.")
    except (OSError, EOFError, zlib.error) as error:
        raise HeteroError(f"{path} cannot be read as {expected}: {reason(error)}.") from error


def reason(error: BaseException) -> str:
    """What an error says, as the end of a sentence."""
    nameless = "it does not fit into memory" if isinstance(error, MemoryError) else type(error).__name__
    words = getattr(error, "strerror", None) or str(error) or nameless
    return words.strip().splitlines()[0].rstrip(".")


def read_csv(path: Path | str, expected: str = "a table (.csv)", **choices: Any):
    """As ``pandas.read_csv``, of a file on disk with at most 10,000 columns.

    Raises:
        HeteroError: not there, no such table, or one that does not fit into memory.
        Damaged: it is one of ours and not what was written, and none before it is kept.

    Warns:
        MapWarning: it is damaged, and the one before was read.
    """
    return newest_good(path, lambda one: _read_csv(one, expected, choices))


def _read_csv(path: Path, expected: str, choices: dict[str, Any]):
    import pandas as pd

    check_file(path, expected)
    try:
        check_whole(path)
        with open(path, "rb") as file:
            head = file.readline(_LONGEST_HEAD)
        if len(head) == _LONGEST_HEAD or head.count(b",") >= _MOST_COLUMNS:
            raise HeteroError(f"{path} begins with more than {_MOST_COLUMNS:,} columns; {expected} was expected.")
        return pd.read_csv(path, **choices)
    except (ValueError, OSError, OverflowError, MemoryError, RecursionError) as error:
        raise HeteroError(f"{path} cannot be read as {expected}: {reason(error)}.") from error


def read_npy(path: Path | str, expected: str) -> np.ndarray:
    """The array of a ``.npy`` file; pickled objects are refused, and nothing is allocated that the file does not hold.

    Raises:
        HeteroError: not there, damaged, or another kind of file.
    """
    size = check_file(path, expected)
    try:
        with open(path, "rb") as file:
            _check_npy(file, size)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # numpy's parser of headers has no list of what it raises
        raise HeteroError(f"{path} cannot be read as {expected}: it is damaged, or another kind of file.") from error


def read_npz(path: Path | str, names: Iterable[str], expected: str) -> dict[str, np.ndarray]:
    """Those of ``names`` that a ``.npz`` file holds; pickled objects are refused, and what unfolds beyond measure.

    Raises:
        HeteroError: not there, or it unfolds too far.
        Damaged: damaged, or another kind of file, and none before it is kept.

    Warns:
        MapWarning: it is damaged, and the one before was read.
    """
    return newest_good(path, lambda one: _read_npz(one, names, expected))


def _read_npz(path: Path, names: Iterable[str], expected: str) -> dict[str, np.ndarray]:
    check_file(path, expected)
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                if f"{name}.npy" not in archive.namelist():
                    continue
                about = archive.getinfo(f"{name}.npy")
                if about.file_size > max(_FREE_BYTES, _MOST_UNPACKED * about.compress_size):
                    raise HeteroError(f"{path} unfolds to {about.file_size:,} bytes; {expected} was expected.")
                with archive.open(about) as file:
                    _check_npy(file, about.file_size)
                with archive.open(about) as file:
                    found[name] = np.lib.format.read_array(file, allow_pickle=False)
    except HeteroError:
        raise
    except Exception as error:  # neither has zipfile, nor numpy's parser of headers, a list of what it raises
        raise Damaged(f"{path} cannot be read as {expected}: it is damaged, or another kind of file.") from error
    return found


def _check_npy(file, size: int) -> None:
    """Refuse a header that promises more than ``size`` bytes hold: numpy would allocate it first."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise ValueError("more promised than there is")


def check_torch_archive(path: Path | str, expected: str) -> None:
    """Refuse a file of torch that holds more than tensors and plain values, before torch opens it.

    An archive has its members stored as they are, so that it cannot unfold; its pickle names tensors and plain
    containers alone (torch itself, ``weights_only``, also takes calls that allocate what they are told to).

    Raises:
        HeteroError: not there, no such file, or anything else in it; names it.
    """
    path = Path(path)
    size = check_file(path, expected)
    try:
        if not zipfile.is_zipfile(path):
            _check_old_torch(path)
            return
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unfolds = any(m.compress_type != zipfile.ZIP_STORED for m in members)
            if unfolds or sum(m.file_size for m in members) > size:
                raise HeteroError(f"{path} unfolds when it is opened, as no file of weights does; it was left alone.")
            heads = [m for m in members if m.filename.endswith("data.pkl")]
            if len(heads) != 1 or heads[0].file_size > _TORCH_HEAD:
                raise HeteroError(f"{path} is not a file of network weights; {expected} was expected.")
            with archive.open(heads[0]) as file:
                _check_names(path, file)
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, MemoryError, OverflowError,
            RecursionError, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        raise HeteroError(f"{path} is not a file of network weights that can be read safely.") from error


def _check_old_torch(path: Path) -> None:
    """Before torch 1.6: pickles one after the other (number, version, system, values, keys), then the numbers."""
    with open(path, "rb") as file:
        for _ in range(5):
            _check_names(path, file)


def _check_names(path: Path, file) -> None:
    """One pickle's words, none of them run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # odd escapes in the text of damaged files
        words = list(pickletools.genops(file))
    for opcode, argument, _ in words:
        known = opcode.name != "GLOBAL" or argument in _TORCH_NAMES or _is_storage(argument)
        if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX", "PERSID") or not known:
            what = argument.replace(" ", ".") if opcode.name in ("GLOBAL", "INST") else opcode.name
            raise HeteroError(
                f"{path} holds {str(what)[:80]}, which is no tensor, so it cannot be read safely; nothing was run."
            )


def _is_storage(name: str) -> bool:
    module, _, word = name.partition(" ")
    return module in ("torch", "torch.storage") and (word.endswith("Storage") or word in _DTYPES)


_DTYPES = {
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
    "complex128",
}  # fmt: skip
