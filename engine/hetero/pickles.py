"""Plain arrays out of other programs' pickles. Nothing in such a file is ever run.

A pickle is a program for a small stack machine. The machine here knows the few words that numbers, text, lists, tuples,
dictionaries and numeric numpy arrays need, and refuses every other word by its name.
"""

import io
import math
import pickle
import pickletools
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.foreign import check_file

MAX_BYTES = 4 << 30
MAX_STEPS = 20_000_000
MAX_PICKLES = 64
MAX_DEPTH = 4

_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_NUMPY_MODULES = ("numpy.core", "numpy._core")  # before and since numpy 2
_KNOWN = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("codecs", "encode"): "encode",
    ("builtins", "bytes"): "bytes",
    ("__builtin__", "bytes"): "bytes",
} | {
    (f"{module}.{part}", name): name
    for module in _NUMPY_MODULES
    for part, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
}
_PUSHES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}


def read_pickles(path: Path | str) -> list[Any]:
    """Read every pickle of a file, one after the other, as plain values.

    Returns:
        One value a pickle: a number, text, ``None``, a numeric numpy array, or lists, tuples and dictionaries (by text)
        of these. Arrays come in the machine's byte order and may be written to.

    Raises:
        HeteroError: not there, not a pickle, cut short, larger or deeper than any such file has to be, or it holds
            anything else; the sentence names it.
    """
    path = Path(path)
    try:
        if check_file(path, "a pickle of arrays") > MAX_BYTES:
            raise HeteroError(f"{path} is larger than {MAX_BYTES >> 30} GiB; a pickle of arrays was expected.")
        stream = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise HeteroError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    size = stream.getbuffer().nbytes
    values = []
    while stream.tell() < size or not values:
        if len(values) == MAX_PICKLES:
            raise HeteroError(f"{path} holds more than {MAX_PICKLES} pickles; a file of arrays was expected.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # odd escapes in the text of damaged files
                values.append(_Machine().run(stream))
        except _Refused as refusal:
            raise HeteroError(f"{path} {refusal}; nothing in it was run.") from None
        except (
            ValueError,
            TypeError,
            IndexError,
            KeyError,
            OverflowError,
            UnicodeError,
            RecursionError,
            MemoryError,
        ) as error:
            raise HeteroError(
                f"{path} cannot be read as a pickle of arrays: it is damaged, cut short or another kind of file."
            ) from error
    return values


def write_pickle(path: Path | str, *values: Any) -> None:
    """Write values (arrays, numbers, tuples) as pickles one after the other; whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for value in values:
            pickle.dump(value, file, protocol=4)


class _Refused(Exception):
    """What a pickle holds that we do not take."""


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle mentions; only ever compared, never called."""

    name: str


@dataclass
class _Dtype:
    code: str
    order: str = "|"

    def numpy(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder(self.order)


@dataclass
class _Array:
    """An array under construction: made empty, remembered, filled later."""

    value: np.ndarray | None = None


class _Machine:
    """Runs one pickle from a stream."""

    def __init__(self):
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if step > MAX_STEPS:
                raise _Refused(f"takes more than {MAX_STEPS:,} steps to read")
            if opcode.name == "STOP":
                break
            self._do(opcode.name, argument)
        return _plain(self.stack.pop(), {}, 0)

    def _do(self, word: str, argument: Any) -> None:
        stack = self.stack
        if word in _PUSHES:
            stack.append(argument)
        elif word in _CONSTANTS:
            stack.append(_CONSTANTS[word])
        elif word in _TUPLES:
            n = _TUPLES[word]
            stack[-n:] = [tuple(self._top(n))]
        elif word == "MARK":
            self.marks.append(len(stack))
        elif word in ("TUPLE", "LIST"):
            items = self._since_mark()
            stack.append(tuple(items) if word == "TUPLE" else items)
        elif word in ("EMPTY_TUPLE", "EMPTY_LIST"):
            stack.append(() if word == "EMPTY_TUPLE" else [])
        elif word in ("EMPTY_DICT", "DICT"):
            stack.append({} if word == "EMPTY_DICT" else _pairs(self._since_mark()))
        elif word in ("SETITEM", "SETITEMS"):
            items = self._pop(2) if word == "SETITEM" else self._since_mark()
            _expect(stack[-1], dict).update(_pairs(items))
        elif word in ("APPEND", "APPENDS"):
            items = [stack.pop()] if word == "APPEND" else self._since_mark()
            _expect(stack[-1], list).extend(items)
        else:
            self._do_more(word, argument)

    def _do_more(self, word: str, argument: Any) -> None:
        stack = self.stack
        if word in _PUTS or word == "MEMOIZE":
            self.memo[len(self.memo) if word == "MEMOIZE" else argument] = stack[-1]
        elif word in _GETS:
            stack.append(self.memo[argument])
        elif word in ("GLOBAL", "STACK_GLOBAL"):
            module, name = argument.split(" ", 1) if word == "GLOBAL" else self._pop(2)
            stack.append(_known(module, name))
        elif word == "REDUCE":
            function, arguments = self._pop(2)
            stack.append(_call(function, arguments))
        elif word == "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        elif word not in ("PROTO", "FRAME"):
            raise _Refused(f"holds something other than plain arrays (pickle instruction {word})")

    def _top(self, n: int) -> list[Any]:
        if len(self.stack) < n:
            raise ValueError("stack underflow")
        return self.stack[-n:]

    def _pop(self, n: int) -> list[Any]:
        items = self._top(n)
        del self.stack[-n:]
        return items

    def _since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items


def _pairs(items: list[Any]) -> dict[str, Any]:
    keys = [_expect(key, str) for key in items[::2]]
    return dict(zip(keys, items[1::2], strict=True))


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected")
    return value


def _known(module: Any, name: Any) -> _Name:
    known = _KNOWN.get((_expect(module, str), _expect(name, str)))
    if known is None:
        raise _Refused(f"holds {module[:80]}.{name[:80]}, which is no plain array")
    return _Name(known)


def _call(function: Any, arguments: Any) -> Any:
    """The few calls that make arrays, done by us."""
    name, arguments = _expect(function, _Name).name, _expect(arguments, tuple)
    if name == "dtype":
        return _dtype(_expect(arguments[0], str))
    if name == "_reconstruct":
        if arguments[0] != _Name("ndarray"):
            raise TypeError("ndarray expected")
        return _Array()
    if name == "_frombuffer":
        buffer, dtype, shape, order = arguments
        return _Array(_array(buffer, dtype, shape, order == "F"))
    if name == "scalar":
        dtype, buffer = arguments
        return _array(buffer, dtype, (), False).item()
    if name == "encode":
        text, encoding = arguments
        if encoding != "latin1":
            raise TypeError("latin1 expected")
        return _expect(text, str).encode("latin1")
    if name == "bytes" and not arguments:
        return b""
    raise TypeError(f"{name} is not called")


def _build(thing: Any, state: Any) -> None:
    """Fill a dtype or an array with the state that numpy wrote for it."""
    _expect(state, tuple)
    if isinstance(thing, _Dtype):
        _, thing.order, subarray, names = state[:4]
        if thing.order not in ("<", ">", "|", "=") or subarray is not None or names is not None:
            raise _Refused("holds an array of records, where numbers were expected")
    elif isinstance(thing, _Array) and thing.value is None:
        shape, dtype, fortran, buffer = state[-4:]
        thing.value = _array(buffer, dtype, shape, bool(fortran))
    else:
        raise TypeError("array expected")


def _dtype(code: str) -> _Dtype:
    if not _DTYPE.fullmatch(code):
        what = "Python objects" if code.startswith("O") else f"values of type {code[:20]}"
        raise _Refused(f"holds an array of {what}, where numbers were expected")
    return _Dtype(code)


def _array(buffer: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    if isinstance(buffer, str):  # Python 2 wrote bytes as text
        buffer = buffer.encode("latin1")
    if not isinstance(buffer, (bytes, bytearray)) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise TypeError("bytes and a shape expected")
    kind = _expect(dtype, _Dtype).numpy()
    if math.prod(shape) * kind.itemsize != len(buffer) or len(shape) > 32:
        raise ValueError("shape and bytes disagree")
    values = np.frombuffer(buffer, kind).reshape(shape, order="F" if fortran else "C")
    return values.astype(kind.newbyteorder("="))


def _plain(value: Any, done: dict[int, Any], depth: int) -> Any:
    """``value`` with arrays in place of their stand-ins; each object is looked at once, however often it appears."""
    if depth > MAX_DEPTH:
        raise _Refused("is nested deeper than a file of arrays is")
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, (_Name, _Dtype)):
        raise _Refused("holds a bare type or function, where arrays were expected")
    if isinstance(value, _Array):
        if value.value is None:
            raise ValueError("array without data")
        return value.value
    if isinstance(value, (list, tuple)):
        done[id(value)] = None
        done[id(value)] = type(value)(_plain(item, done, depth + 1) for item in value)
        return done[id(value)]
    if isinstance(value, dict):
        done[id(value)] = None
        done[id(value)] = {key: _plain(item, done, depth + 1) for key, item in value.items()}
        return done[id(value)]
    return value
