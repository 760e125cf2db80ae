"""Pickles and archives of torch that would run code, fill the memory or never end, as a user meets them.

Each is asked of one worker that lives under a limit on memory: docs/security.md counts them.
"""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

SENTINEL = "ran"  # what the programs here would make

CALLABLES = [
    ("posix", "system"), ("os", "system"), ("os", "mkdir"), ("nt", "system"), ("subprocess", "Popen"),
    ("builtins", "eval"), ("builtins", "exec"), ("builtins", "open"), ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("__builtin__", "eval"), ("importlib", "import_module"), ("runpy", "run_path"), ("pydoc", "locate"),
    ("operator", "attrgetter"), ("operator", "methodcaller"), ("functools", "partial"), ("copyreg", "_reconstructor"),
    ("copyreg", "add_extension"), ("pickle", "loads"), ("_pickle", "loads"), ("numpy", "load"), ("numpy", "memmap"),
    ("numpy", "fromfile"), ("numpy.testing._private.utils", "runstring"), ("numpy.core.multiarray", "fromstring"),
    ("torch", "load"), ("torch.storage", "_load_from_bytes"), ("torch.hub", "load"), ("ctypes", "CDLL"),
    ("pathlib", "PosixPath"), ("types", "FunctionType"), ("shutil", "rmtree"), ("webbrowser", "open"),
    ("trap", "Thing"), ("builtins", "bytearray"),
]  # fmt: skip


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def reduce(module, name, argument=SENTINEL) -> bytes:
    return f"c{module}\n{name}\n".encode() + b"(" + text(argument) + b"tR."


FORMS = {
    "INST": b"(" + text(SENTINEL) + b"iposix\nmkdir\n.",
    "OBJ": b"(cposix\nmkdir\n" + text(SENTINEL) + b"o.",
    "NEWOBJ": b"\x80\x02cposix\nmkdir\n" + text(SENTINEL) + b"\x85\x81.",
    "NEWOBJ_EX": b"\x80\x04cposix\nmkdir\n" + text(SENTINEL) + b"\x85}\x92.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x05mkdir\x93" + text(SENTINEL) + b"\x85R.",
    "STACK_GLOBAL of parts": b"\x80\x04\x8c\x05numpy\x8c\x10f2py.os.sys.exit\x93" + text(SENTINEL) + b"\x85R.",
    "BUILD of a class": b"ctrap\nThing\n)\x81}" + text("__setstate__") + b"cposix\nsystem\nsb.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT2": b"\x80\x02\x83\x01\x00.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "PERSID": b"Pposix.system\n.",
    "BINPERSID": text("posix.system") + b"Q.",
    "a buffer from outside": b"\x80\x05\x97.",
    "READONLY_BUFFER": b"\x80\x05\x97\x98.",
    "a pickle in a pickle": b"cpickle\nloads\n(C\x0d" + b"cos\nsystem\n(." + b"tR.",
    "a name behind POP": reduce("posix", "mkdir")[:-1] + b"0N.",
    "a dictionary's key": b"}cposix\nmkdir\n(" + text(SENTINEL) + b"tRK\x01s.",
    "a shape that is code": b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\ncposix\nmkdir\n(" + text(SENTINEL)
    + b"tRC\x01b\x87R.",
    "a good first pickle, a bad second": pickle.dumps(np.arange(3)) + reduce("posix", "mkdir"),
}  # fmt: skip
PROTOCOLS = {f"protocol {n}": n for n in range(6)}

array = pickle.dumps(np.arange(4.0), protocol=3)
double = b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(200))
BOMBS = {
    "LONG4 of 2 GiB": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "LONG4 of minus 1": b"\x80\x02\x8b\xff\xff\xff\xff.",
    "LONG1 of 255 bytes": b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".",
    "a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "BINBYTES8 of 2^62": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "BINUNICODE8 of 2^63": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"x.",
    "BYTEARRAY8 of 2^40": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "FRAME of 2^60": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "memo at 4 billion": b"\x80\x02Nr\xff\xff\xff\xff.",
    "PUT at 10^18": b"Np1000000000000000000\n.",
    "DUP a million times": b"\x80\x02N" + b"2" * 1_000_000 + b".",
    "doubled 200 times": b"\x80\x02K\x01q\x00" + double + b".",
    "a list that eats itself": b"\x80\x02]q\x00" + b"(h\x00h\x00e" * 60 + b".",
    "appended 40 times to itself": b"\x80\x02]q\x00K\x01a" + b"h\x00h\x00a" * 40 + b".",
    "100 000 lists deep": b"]" * 100_000 + b"a" * 99_999 + b".",
    "100 000 tuples deep": b"N" + b"\x85" * 100_000 + b".",
    "a million marks": b"(" * 1_000_000 + b".",
    "a million lists": b"\x80\x02](" + b"]" * 1_000_000 + b"e.",
    "100 pickles": b"N." * 100,
    "numbers of 4 GiB by shape": array.replace(b"K\x04\x85", b"J\x00\x00\x00\x20\x85", 1),
    "shape (2^40, 2^40)": array.replace(b"K\x04\x85", b"\x8a\x06\0\0\0\0\0\1\x8a\x06\0\0\0\0\0\1\x86", 1),
    "shape (0, 2^62)": array.replace(b"K\x04\x85", b"K\x00\x8a\x08\0\0\0\0\0\0\0\x40\x86", 1),
    "40 axes": array.replace(b"K\x04\x85", b"(" + b"K\x01" * 40 + b"t", 1),
    "half a file": array[:-20],
    "an array of objects": pickle.dumps(np.array([1, None], dtype=object)),
    "an array of voids": pickle.dumps(np.zeros(3, dtype="V4")),
    "an array of text": pickle.dumps(np.array(["posix.system"])),
    "records": pickle.dumps(np.zeros(2, dtype=[("a", "O")])),
    "dates": pickle.dumps(np.zeros(2, dtype="M8[s]")),
    "a subarray": pickle.dumps(np.zeros(2, dtype=("f4", (3,)))).replace(b"f4", b"O8"),
    "long doubles": pickle.dumps(np.zeros(2, dtype=np.longdouble)),
    "NaN": pickle.dumps(np.array([np.nan, 1.0])),
    "a number": pickle.dumps(3),
    "text": pickle.dumps("rm -rf"),
    "zeros": b"\0" * 100_000,
    "nothing": b"",
}
PROGRAMS = (
    {f"{module}.{name}": reduce(module, name) for module, name in CALLABLES}
    | {f"form {form}": program for form, program in FORMS.items()}
    | BOMBS
)


class Runs:
    """Would make a folder, were it unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("which", PROGRAMS)
def test_a_pickle_of_indices(door, which):
    door.write("ind.pkl", PROGRAMS[which])
    door.refuses("downsample", particles="particles.star", out="small", box=4, ind="ind.pkl")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("setting", ["poses", "ctf"])
def test_a_pickle_of_poses_or_ctf_in_every_protocol(door, setting, protocol):
    door.write("x.pkl", pickle.dumps((np.eye(3)[None], Runs(SENTINEL)), protocol=PROTOCOLS[protocol]))
    door.refuses("downsample", particles="particles.star", out="small", box=4, **{setting: "x.pkl"})


# Runs of cryoDRGN and of ours


def member(head: bytes, storage: bytes = b"", more=(), packed=zipfile.ZIP_STORED) -> bytes:
    """An archive as torch writes it, with any pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        archive.writestr("archive/data.pkl", head)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", storage)
        for name, content in more:
            archive.writestr(name, content)
    return buffer.getvalue()


def tensor(size: int, stride: int, numel: int = 1) -> bytes:
    """A pickle of ``{"model_state_dict": {"decoder.main.0.weight": a tensor}}``; of numel stored numbers."""
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu" + number(numel) + b"tQ"
    shape = number(size) + number(size) + b"\x86" + number(stride) + number(stride) + b"\x86"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + shape + b"\x89ccollections\nOrderedDict\n)RtR"
    state = b"}" + text("decoder.main.0.weight") + made + b"s"
    return b"\x80\x02}" + text("model_state_dict") + state + b"s" + text("epoch") + b"K\x01s."


def number(n: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", n)


BUFFER = ("torch._utils", "_rebuild_device_tensor_from_numpy")
SCRIPT = [("archive/constants.pkl", b"\x80\x02)."), ("archive/code/x.py", "")]
OLD = pickle.dumps(0x1950A86A20F9469CFC6C, 2)  # how files began before torch 1.6
ARCHIVES = {
    "code in an archive": member(b"\x80\x02" + reduce("posix", "mkdir")),
    "eval in an archive": member(b"\x80\x02" + reduce("builtins", "eval", "__import__('os').mkdir('ran')")),
    "an import in an archive": member(b"\x80\x02" + reduce("trap", "Thing")),
    "code by STACK_GLOBAL": member(FORMS["STACK_GLOBAL"]),
    "code by INST": member(b"\x80\x02" + FORMS["INST"]),
    "code by BUILD": member(b"\x80\x02" + FORMS["BUILD of a class"]),
    "a bytearray of 100 GB": member(b"\x80\x02c__builtin__\nbytearray\n" + number(10**11) + b"\x85R."),
    "a Counter": member(b"\x80\x02ccollections\nCounter\n)R."),
    "numbers from a buffer of the system": member(b"\x80\x02" + reduce(*BUFFER)),
    "a storage by name": member(b"\x80\x02" + reduce("torch.storage", "_load_from_bytes")),
    "a script of torch": member(b"\x80\x02}.", more=SCRIPT),
    "10^6 x 10^6 numbers out of one": member(tensor(10**6, 0), b"\0" * 4),
    "10^6 x 10^6 numbers, none there": member(tensor(10**6, 10**6, 10**12), b"\0" * 4),
    "a storage of 2^60 numbers": member(tensor(1, 1, 2**60), b"\0" * 4),
    "negative sizes": member(tensor(-5, 1), b"\0" * 4),
    "negative strides": member(tensor(2, -1), b"\0" * 16),
    "a path out of the archive": member(b"\x80\x02}.", more=[("../../ran", "x")]),
    "an absolute path": member(b"\x80\x02}.", more=[("/tmp/ran", "x")]),
    "two heads": member(b"\x80\x02}.", more=[("b/data.pkl", b"\x80\x02}.")]),
    "a packed archive": member(b"\x80\x02}.", b"\0" * 1_000_000, packed=zipfile.ZIP_DEFLATED),
    "no head": b"PK\x05\x06" + b"\0" * 18,
    "half an archive": member(b"\x80\x02}.", b"\0" * 5000)[:3000],
    "an empty dictionary": member(b"\x80\x02}."),
    "the old format with code": OLD + pickle.dumps(1001, 2) + reduce("posix", "mkdir"),
    "the old format, cut": OLD,
    "a plain pickle of code": reduce("posix", "system", "mkdir ran"),
    "a tar of nothing": b"sys_info" + b"\0" * 1016,
}  # fmt: skip


@pytest.mark.parametrize("which", ARCHIVES)
def test_weights_of_a_run_of_cryodrgn(door, write_cryodrgn, which):
    run = write_cryodrgn("run", epochs=(1,), final=False)
    (run / "weights.1.pkl").write_bytes(ARCHIVES[which])
    door.refuses("info", path=str(run))


@pytest.mark.parametrize("which", ["code in an archive", "a packed archive", "10^6 x 10^6 numbers out of one"])
def test_weights_of_the_level_network(door, which):
    pytest.importorskip("torch", reason="weights are read by torch")
    door.write("w.pt", ARCHIVES[which])
    door.refuses("level", maps=[door.map()], method="cnn", weights="w.pt")


def test_an_archive_that_unfolds_to_ten_gigabytes(door, write_cryodrgn):
    run = write_cryodrgn("run", epochs=(1,), final=False)
    packed = b"".join(deflated_zeros(10 << 30))
    path = run / "weights.1.pkl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", packed)
    # say in the directory, and before the member, that it is packed and how large it becomes
    raw = bytearray(path.read_bytes())
    for mark, method, size in ((b"PK\x03\x04", 8, 22), (b"PK\x01\x02", 10, 24)):
        at = raw.rfind(mark) if mark == b"PK\x01\x02" else raw.rfind(mark, 0, raw.find(b"PK\x01\x02"))
        struct.pack_into("<H", raw, at + method, zipfile.ZIP_DEFLATED)
        struct.pack_into("<I", raw, at + size, 0xFFFFFF00)
    path.write_bytes(raw)
    assert len(raw) < 20 << 20
    door.refuses("info", "unfolds when it is opened", path=str(run))


def deflated_zeros(length: int):
    """Deflated zeros: one packed piece again and again, so that it takes no time to make."""
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(b"\0" * (16 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    yield from [piece] * (length // (16 << 20))
    yield packer.flush()


@pytest.mark.parametrize("which", ["posix.system", "trap.Thing", "form STACK_GLOBAL", "100 000 lists deep", "text"])
@pytest.mark.parametrize("name", ["z.1.pkl", "config.pkl"])
def test_latents_and_settings_of_a_run_of_cryodrgn(door, write_cryodrgn, name, which):
    run = write_cryodrgn("run", epochs=(1,), final=False)
    if name == "config.pkl":
        (run / "config.yaml").unlink()
    (run / name).write_bytes(PROGRAMS[which])
    door.refuses("info", path=str(run))


bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
YAMLS = {
    "python/object/apply": "!!python/object/apply:os.mkdir ['ran']",
    "python/object/new": "!!python/object/new:os.mkdir ['ran']",
    "python/name": "model_args: !!python/name:os.system ''",
    "python/module": "model_args: !!python/module:trap",
    "an anchor bomb": bomb,
    "an anchor bomb as the model": bomb + "model_args: {zdim: *l}\n",
    "an anchor bomb as the lattice": bomb + "model_args: {zdim: 2}\nlattice_args: {D: *l}\n",
    "a mapping in itself": "&a {model_args: *a, lattice_args: *a, dataset_args: *a}",
    "10 000 brackets": "[" * 10_000,
    "a list": "[1, 2]",
    "bytes that are no text": "\x00\x01",
    "a box of 10^18": "model_args: {zdim: 2, layers: 2, dim: 12}\nlattice_args: {D: 1000000000000000001}\n"
    "dataset_args: {norm: [0.0, 1.0]}",
    "10^9 layers": "model_args: {zdim: 2, layers: 1000000000, dim: 12}\nlattice_args: {D: 17}\n"
    "dataset_args: {norm: [0, 1]}",
    "10^12 waves": "model_args: {zdim: 2, layers: 2, dim: 12, pe_dim: 1000000000000}\nlattice_args: {D: 17}\n"
    "dataset_args: {norm: [0, 1]}",
}  # fmt: skip


@pytest.mark.parametrize("which", YAMLS)
def test_settings_in_yaml(door, write_cryodrgn, which):
    run = write_cryodrgn("run", epochs=(1,), final=False)
    (run / "config.yaml").write_text(YAMLS[which])
    door.refuses("info", path=str(run))


@pytest.mark.parametrize("system", ["drgn", "linear", "gmm"])
@pytest.mark.parametrize("which", ["code in an archive", "a packed archive", "the old format with code"])
def test_checkpoints_of_ours(door, system, which):
    pytest.importorskip("torch", reason="weights are read by torch")
    door.run_of_ours(system)
    door.write("run/checkpoint.pt", ARCHIVES[which])
    door.refuses("info", path="run")


SHAPES = {
    "a width of 10^9": {"width": 10**9},
    "10^9 layers": {"layers": 10**9},
    "10^9 waves": {"per_axis": 10**9},
    "a box of 10^9": {"box": 10**9, "encoding": "linear_lowf"},
    "an unknown word": {"eval": "x"},
    "a word for a number": {"width": "wide"},
}


@pytest.mark.parametrize("which", SHAPES)
def test_a_shape_that_the_weights_do_not_have(door, which):
    torch = pytest.importorskip("torch", reason="weights are written by torch")
    door.run_of_ours("drgn")
    shape = {"box": 16, "zdim": 2, "width": 8, "layers": 1, "per_axis": 4} | SHAPES[which]
    found = {"format": "hetero drgn decoder 1", "shape": shape, "state": {"x": torch.zeros(2)}, "sd": 1.0, "mean": 0.0}
    torch.save(found | {"epoch": 1}, door.folder / "run/checkpoint.pt")
    door.refuses("info", path="run")
