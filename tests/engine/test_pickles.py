"""Foreign pickles: arrays come out as numpy wrote them; anything else is refused by name and never run."""

import os
import pickle

import numpy as np
import pytest

from hetero.errors import HeteroError
from hetero.pickles import read_pickles, write_pickle


def save(path, *values, protocol=4):
    with open(path, "wb") as file:
        for value in values:
            pickle.dump(value, file, protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_gives_the_arrays_that_went_in(tmp_path, protocol):
    rng = np.random.default_rng(0)
    poses = (rng.standard_normal((5, 3, 3)).astype("f4"), rng.standard_normal((5, 2)))
    labels = np.asfortranarray(rng.integers(0, 9, (4, 3)))
    big_endian = np.arange(4, dtype=">i4")
    flags = np.array([True, False])
    (rotations, shifts), one, two, three, rest = read_pickles(
        save(tmp_path / "p.pkl", poses, labels, big_endian, flags, [1, np.float64(2.5), "x", None], protocol=protocol)
    )
    for found, expected in (
        (rotations, poses[0]),
        (shifts, poses[1]),
        (one, labels),
        (two, big_endian),
        (three, flags),
    ):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype.newbyteorder("=") and found.flags.writeable
    assert rest == [1, 2.5, "x", None]


def test_written_pickles_are_ordinary_ones(tmp_path):
    write_pickle(tmp_path / "ind.pkl", np.arange(5))
    with open(tmp_path / "ind.pkl", "rb") as file:
        np.testing.assert_array_equal(pickle.load(file), np.arange(5))


def test_names_of_old_and_new_numpy_are_known(tmp_path):
    written = pickle.dumps(np.arange(3.0), protocol=3)
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        other = written.replace(b"numpy._core.multiarray", name).replace(b"numpy.core.multiarray", name)
        (tmp_path / "a.pkl").write_bytes(other)
        np.testing.assert_array_equal(read_pickles(tmp_path / "a.pkl")[0], np.arange(3.0))


def test_python_2_s_bytes_as_text(tmp_path):
    data = np.array([1.5, -2.0]).tobytes()
    program = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR(I1\n(I2\ntcnumpy\ndtype\n(U\x02f8I0\nI1\n"
        b"tR(I3\nU\x01<NNNI-1\nI-1\nI0\ntbI00\nU" + bytes([len(data)]) + data + b"tb."
    )
    (tmp_path / "old.pkl").write_bytes(program)
    np.testing.assert_array_equal(read_pickles(tmp_path / "old.pkl")[0], [1.5, -2.0])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_dictionaries_by_text(tmp_path, protocol):
    """What cryoDRGN before 1.0 wrote as config.pkl."""
    value = {"a": {"norm": [0.0, np.float64(2.5)], "ind": None}, "b": ("text", True), "c": np.arange(3)}
    save(tmp_path / "config.pkl", value, protocol=protocol)
    (found,) = read_pickles(tmp_path / "config.pkl")
    np.testing.assert_array_equal(found.pop("c"), [0, 1, 2])
    assert found == {"a": {"norm": [0.0, 2.5], "ind": None}, "b": ("text", True)}


class Runs:
    """Would write a file, were it unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_is_named_and_not_run(tmp_path):
    trap = tmp_path / "trap"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        save(tmp_path / "bad.pkl", (np.arange(3), Runs(trap)), protocol=protocol)
        with pytest.raises(
            HeteroError, match=r"bad.pkl holds (posix|nt).mkdir, which is no plain array; nothing in it"
        ):
            read_pickles(tmp_path / "bad.pkl")
    assert not trap.exists()


def array_program(dtype=b"f8", state=b"<", shape=b"I2\n", data=b"\0" * 16) -> bytes:
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01"
        + shape
        + b"\x85cnumpy\ndtype\nX"
        + len(dtype).to_bytes(4, "little")
        + dtype
        + b"K\0K\x01\x87R(K\x03X\x01\0\0\0"
        + state
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89C"
        + bytes([len(data)])
        + data
        + b"tb."
    )


HOSTILE = {
    "objects in an array": (pickle.dumps(np.array([1, "a"], dtype=object)), "array of Python objects"),
    "records": (pickle.dumps(np.zeros(2, dtype=[("a", "f4")])), "where numbers were expected"),
    "text array": (pickle.dumps(np.array(["ab"])), "values of type U2"),
    "a dictionary by numbers": (pickle.dumps({1: 2}), "damaged"),
    "a dictionary of hidden code": (pickle.dumps({"a": {"b": os.getcwd}}), "getcwd, which is no plain array"),
    "a dictionary without values": (b"\x80\x03}X\x01\0\0\0as.", "damaged"),
    "a set": (pickle.dumps({1, 2}, protocol=4), "pickle instruction EMPTY_SET"),
    "a persistent id": (b"Pabc\n.", "pickle instruction PERSID"),
    "an extension code": (b"\x80\x02\x82\x01.", "pickle instruction EXT1|damaged"),
    "getattr": (b"\x80\x03cbuiltins\ngetattr\n.", "builtins.getattr"),
    "a name with dots": (b"\x80\x04\x8c\x05numpy\x8c\x0ctesting.os.x\x93.", "numpy.testing.os.x"),
    "a class alone": (b"\x80\x03cnumpy\nndarray\n.", "bare type"),
    "a called class": (b"\x80\x03cnumpy\nndarray\nK\x08\x85R.", "damaged"),
    "nested too deep": (pickle.dumps([[[[[[[[1]]]]]]]]), "nested deeper"),
    "a list in itself": (b"\x80\x03]q\0h\0a.", None),
    "more bytes than shape": (array_program(shape=b"I1\n"), "damaged"),
    "huge shape": (array_program(shape=b"\x8a\x08" + (2**62).to_bytes(8, "little")), "damaged"),
    "negative shape": (array_program(shape=b"I-2\n"), "damaged"),
    "a wrong byte order": (array_program(state=b"!"), "records|damaged"),
    "a wrong type": (array_program(dtype=b"g9"), "values of type g9"),
    "bytes that never come": (b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"abc.", "damaged"),
    "a huge memo index": (b"\x80\x03Nr\xff\xff\xff\xff.", None),
    "memo never set": (b"\x80\x03h\x05.", "damaged"),
    "an empty stack": (b"\x80\x03.", "damaged"),
    "no end": (b"\x80\x03N", "damaged"),
    "an empty file": (b"", "damaged"),
    "a zip archive": (b"PK\x03\x04" + b"\0" * 30, "damaged|PERSID"),
    "text": (b"hello there, no pickle", "damaged|instruction"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_get_a_sentence(tmp_path, case):
    program, message = HOSTILE[case]
    path = tmp_path / "x.pkl"
    path.write_bytes(program)
    if message is None:  # harmless: it gives a value, and no more
        assert len(read_pickles(path)) == 1
        return
    with pytest.raises(HeteroError, match=message) as error:
        read_pickles(path)
    assert str(error.value).startswith(f"{path} ") and str(error.value).endswith(".")


def test_a_good_program_of_the_same_making_is_read(tmp_path):
    (tmp_path / "x.pkl").write_bytes(array_program())
    np.testing.assert_array_equal(read_pickles(tmp_path / "x.pkl")[0], np.zeros(2))


def test_shared_tuples_cost_nothing(tmp_path):
    """2^60 leaves in 60 lines: each object is looked at once, and depth is bounded."""
    program = b"\x80\x03N" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60)) + b"."
    (tmp_path / "x.pkl").write_bytes(program)
    with pytest.raises(HeteroError, match="nested deeper"):
        read_pickles(tmp_path / "x.pkl")


def test_random_damage_never_escapes(tmp_path):
    """Every flipped byte of a good file gives either a value or the sentence."""
    rng = np.random.default_rng(1)
    good = pickle.dumps((rng.standard_normal((3, 3)), np.arange(4)), protocol=4)
    path = tmp_path / "x.pkl"
    for _ in range(200):
        bad = bytearray(good)
        for place in rng.integers(0, len(bad), 3):
            bad[place] = rng.integers(0, 256)
        path.write_bytes(bad)
        try:
            read_pickles(path)
        except HeteroError as error:
            assert str(error).startswith(str(path))


def test_missing_and_folder(tmp_path):
    with pytest.raises(HeteroError, match="is not there; a pickle of arrays was expected"):
        read_pickles(tmp_path / "gone.pkl")
    with pytest.raises(HeteroError, match="is a folder"):
        read_pickles(tmp_path)


def test_shared_data(shared):
    for path in sorted((shared / "data/particles").glob("*/*.pkl")):
        with open(path, "rb") as file:
            expected = pickle.load(file)  # our own shared files
        (found,) = read_pickles(path)
        for a, b in zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]:
            np.testing.assert_array_equal(a, b)
    mean, log_variance = read_pickles(shared / "data/trained/cryodrgn_tests/het_z.pkl")
    assert mean.shape == log_variance.shape == (100, 8)


def test_a_million_rows_are_read(tmp_path):
    save(tmp_path / "z.pkl", np.zeros((1_000_000, 8), "f4"), list(range(100_000)))
    z, indices = read_pickles(tmp_path / "z.pkl")
    assert z.shape == (1_000_000, 8) and indices[-1] == 99_999
