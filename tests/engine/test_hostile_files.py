"""Maps, particle lists, tables, structures and texts that lie, never end or hide something, as a user meets them.

Each is asked of one worker that lives under a limit on memory: docs/security.md counts them.
"""

import gzip
import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from hetero.cli import main
from hetero.errors import HeteroError
from hetero.latent.report import Section, write_report


def header(nx=8, ny=8, nz=8, mode=2, nsymbt=0, axes=(1, 2, 3), ispg=1, cell=16.0, order="<", stamp=b"DD\0\0") -> bytes:
    """An MRC header, 1024 bytes."""
    raw = bytearray(1024)
    struct.pack_into(order + "10i", raw, 0, nx, ny, nz, mode, 0, 0, 0, nx, ny, nz)
    struct.pack_into(order + "6f", raw, 40, cell, cell, cell, 90, 90, 90)
    struct.pack_into(order + "3i", raw, 64, *axes)
    struct.pack_into(order + "2i", raw, 88, ispg, nsymbt)
    raw[208:212], raw[212:216] = b"MAP ", stamp
    return bytes(raw)


CODE = b"\x80\x02cposix\nmkdir\nX\x03\0\0\0ran\x85R."  # a pickle that would make a folder
FULL = b"\0" * 2048
MOST = 2**31 - 1
MAPS = {
    "10^12 voxels": header(10_000, 10_000, 10_000) + FULL,
    "2^93 voxels": header(MOST, MOST, MOST) + FULL,
    "negative sizes": header(-8, -8, 8) + FULL,
    "no sizes": header(0, 0, 0) + FULL,
    "mode 5": header(mode=5) + FULL,
    "mode -1": header(mode=-1) + FULL,
    "mode 101": header(mode=101) + FULL,
    "complex": header(mode=4) + FULL + FULL,
    "nsymbt -1": header(nsymbt=-1) + FULL,
    "nsymbt least": header(nsymbt=-(2**31)) + FULL,
    "nsymbt most": header(nsymbt=MOST) + FULL,
    "axes 1 1 1": header(axes=(1, 1, 1)) + FULL,
    "axes 7 8 9": header(axes=(7, 8, 9)) + FULL,
    "a stack of volumes": header(ispg=401) + FULL,
    "the other byte order": header(order=">", stamp=b"\x11\x11\0\0", nx=MOST) + FULL,
    "a wrong stamp": header(order=">", nx=MOST) + FULL,
    "NaN": header() + struct.pack("<f", np.nan) * 512,
    "infinity": header() + struct.pack("<f", np.inf) * 512,
    "a header alone": header(),
    "half a header": header()[:500],
    "zeros": b"\0" * 4096,
    "noise": np.random.default_rng(0).bytes(4096),
    "text": b"data_\nloop_\n" * 200,
    "bzip2": b"BZh91AY&SY" + b"\0" * 2000,
    "gzip called mrc": gzip.compress(header(nx=MOST, ny=MOST) + FULL),
    "a pickle called mrc": CODE + b"\0" * 2000,
}


@pytest.mark.parametrize("which", MAPS)
def test_a_map(door, which):
    door.write("a.mrc", MAPS[which])
    door.refuses("info", path="a.mrc")


@pytest.mark.parametrize("which", ["10^12 voxels", "nsymbt most", "NaN", "gzip called mrc", "noise"])
def test_a_map_in_other_verbs(door, which):
    door.write("maps/a.mrc", MAPS[which])
    door.write("maps/b.mrc", MAPS[which])
    door.refuses("info", path="maps") if which != "NaN" else None
    door.refuses("blocks", folder="maps", out="blocks", level="0.5")


SIXTEEN_MB = gzip.compress(b"\0" * (16 << 20), 9)


def gz(head: bytes, zeros: int) -> bytes:
    """A packed map whose zeros are packed once and repeated."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as file:
        file.write(head)
    return out.getvalue() + SIXTEEN_MB * (zeros // (16 << 20))


PACKED = {
    "10^12 voxels": gz(header(10_000, 10_000, 10_000), 0),
    "4 GiB of zeros": gz(header(1024, 1024, 1024), 4 << 30),
    "an extended header of 2 GiB": gz(header(nsymbt=MOST), 0),
    "8 voxels, 10 GB behind them": gz(header(1, 1, 1), 10 << 30),
    "cut short": gzip.compress(header() + np.random.default_rng(0).bytes(2048))[:-900],
    "damaged": gzip.compress(header() + FULL)[:-20] + b"\xff" * 20,
    "no gzip": header() + FULL,
    "gzip in gzip": gzip.compress(gzip.compress(header() + FULL)),
    "nothing": b"",
}


@pytest.mark.parametrize("which", PACKED)
def test_a_packed_map(door, which):
    door.write("a.mrc.gz", PACKED[which])
    answer = door.asks("info", path="a.mrc.gz")
    if which in ("8 voxels, 10 GB behind them", "no gzip"):  # read as far as the header says
        assert answer["result"]["kind"] == "map"
    else:
        assert answer["error"]["kind"] == "input" and answer["error"]["message"].isprintable()


STACKS = {
    "10^12 images": header(64, 64, MOST, ispg=0) + FULL,
    "negative sizes": header(-8, -8, 8, ispg=0) + FULL,
    "a box of 2^31": header(MOST, MOST, 1, ispg=0) + FULL,
    "no images": header(nz=0, ispg=0) + FULL,
    "complex": header(mode=4, ispg=0) + FULL + FULL,
    "nsymbt least": header(nsymbt=-(2**31), nz=9, ispg=0) + FULL,
    "nsymbt most": header(nsymbt=MOST, ispg=0) + FULL,
    "packed": gzip.compress(header(ispg=0) + FULL),
    "NaN": header(ispg=0) + struct.pack("<f", np.nan) * 512,
    "oblong": header(ny=4, ispg=0) + FULL,
    "zeros": b"\0" * 4096,
}


@pytest.mark.parametrize("which", STACKS)
def test_a_stack(door, which):
    door.write("a.mrcs", STACKS[which])
    door.refuses("info", path="a.mrcs")


IMAGE = "rlnImageName"
OPTICS = (
    "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast",
)  # fmt: skip


def star(*rows: str, columns=("rlnImageName",), head="data_particles\n\nloop_\n") -> str:
    return head + "".join(f"_{c} #{i}\n" for i, c in enumerate(columns, 1)) + "".join(f"{row}\n" for row in rows)


STARS = {
    "a million columns": "data_\nloop_\n" + "_rlnX\n" * 1_000_000 + "1\n",
    "a million names": "data_\nloop_\n_rlnImageName\n" + "".join(f"_c{i}\n" for i in range(1_000_000)),
    "a column twice": star("1@stack.mrcs 2@stack.mrcs", columns=("rlnImageName", "rlnImageName")),
    "loops in loops": "data_\n" + "loop_\n" * 100_000,
    "a loop that names itself": "data_particles\nloop_\n_loop_\n_data_particles\n_rlnImageName\n",
    "a block in itself": "data_particles\nloop_\n_rlnImageName #1\ndata_particles\n" * 1000,
    "100 000 blocks": "data_a\n\n_b 1\n" * 100_000,
    "noise": np.random.default_rng(0).bytes(20_000),
    "one line of 20 MB": "data_particles loop_ _rlnImageName " * 600_000,
    "null bytes": star("1@stack.mrcs").encode() + b"\0" * 100_000,
    "no rows": star(),
    "quotes never closed": star('"1@stack.mrcs', "'2@stack.mrcs"),
    "a quote over all rows": star('1@stack.mrcs "', *["2@stack.mrcs 0"] * 1000, columns=("rlnImageName", "rlnVoltage")),
    "image 10^30": star("1000000000000000000000000000000@stack.mrcs"),
    "image 0": star("0@stack.mrcs"),
    "image -1": star("-1@stack.mrcs"),
    "image NaN": star("nan@stack.mrcs"),
    "image 1.5": star("1.5@stack.mrcs"),
    "image 1e400": star("1e400@stack.mrcs"),
    "no @": star("stack.mrcs"),
    "a name that is not there": star("1@../../../../../../etc/nothing.mrcs"),
    "a path out of the folder": star("1@../../../../../../../../../../etc/passwd"),
    "an absolute path": star("1@/etc/passwd"),
    "a device": star("1@/dev/zero"),
    "a terminal": star("1@/dev/tty"),
    "standard input": star("1@/dev/stdin"),
    "memory of the process": star("1@/proc/self/mem"),
    "a name with escapes": star("1@\x1b]0;owned\x07\x1b[2J.mrcs"),
    "a name of 10 000 letters": star("1@" + "x" * 10_000 + ".mrcs"),
    "a null in a name": star("1@a\0b.mrcs"),
    "a command": star("1@$(mkdir${IFS}ran);`mkdir\tran`.mrcs"),
    "an address": star("1@http://127.0.0.1:1/x.mrcs"),
    "angles in words": star("1@stack.mrcs a b c", columns=(IMAGE, "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")),
    "pixel size 0": star("1@stack.mrcs 0", columns=("rlnImageName", "rlnPixelSize")),
    "pixel size 1e308": star("1@stack.mrcs 1e308 1e-308", columns=(IMAGE, "rlnMagnification", "rlnDetectorPixelSize")),
    "voltage 0": star("1@stack.mrcs 1 1 0 0 2 0", columns=(IMAGE, *OPTICS)),
    "a group that is not there": "data_optics\n\nloop_\n_rlnOpticsGroup\n1\n\n"
    + star("1@stack.mrcs 7", columns=("rlnImageName", "rlnOpticsGroup")),
    "groups twice": "data_optics\n\nloop_\n_rlnOpticsGroup\n1\n1\n\n"
    + star("1@stack.mrcs 1", columns=("rlnImageName", "rlnOpticsGroup")),
    "RELION's save of code": "data_\n_eval __import__('os').mkdir('ran')\n",
}  # fmt: skip


@pytest.mark.parametrize("which", STARS)
def test_a_star_file(door, which):
    door.write("p.star", STARS[which])
    door.refuses("info", path="p.star")


LSTS = {
    "code for what is known": "0\tstack.mrcs\t{'class': __import__('os').mkdir('ran')}\n0\tgone.mrcs\n",
    "brackets": "0\tgone.mrcs\t{" + "[" * 100_000 + "\n",
    "minus signs": "0\tgone.mrcs\t{'a':" + "-" * 100_000 + "1}\n",
    "image 10^30": "1" + "0" * 30 + "\tstack.mrcs\n",
    "a digit of another script": "\u0661\tstack.mrcs\n",
    "a class that is a list": "0\tstack.mrcs\t{'class': [1, 2]}\n9\tstack.mrcs\t{'class': 1}\n",
    "an angle of 400 digits": "0\tstack.mrcs\t{'alt': 1" + "0" * 400 + ", 'az': 0, 'phi': 0}\n",
    "a matrix of brackets": "0\tstack.mrcs\t" + json.dumps({"xform.projection": {"matrix": "[" * 100_000}}) + "\n",
    "a device": "0\t/dev/zero.mrcs\n",
    "noise": np.random.default_rng(0).bytes(5000),
}


@pytest.mark.parametrize("which", LSTS)
def test_a_list_of_eman2(door, which):
    door.write("p.lst", LSTS[which])
    door.refuses("info", path="p.lst")


def test_a_folder_above_is_read_as_relion_s_projects_need_it(door):
    """A list may name stacks above its folder: they are only ever read, and only as images."""
    door.write("Job/p.star", star("000001@../stack.mrcs"))
    assert door.asks("info", path="Job/p.star")["result"]["n"] == 1


@pytest.mark.parametrize("name", ["a.mrc", "a.mrcs", "a.star", "a.cs", "a.txt", "a.pdb", "a.cif", "a.mrc.gz", "run"])
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a link to itself"])
def test_what_never_ends(door, name, kind):
    """``run``: the settings of a run, in a folder."""
    path = door.folder / name
    if name == "run":
        path.mkdir()
        path = path / "config.json"
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "a device" else path)
    door.refuses("info", path=name)


@pytest.mark.parametrize("setting", ["ind", "poses", "ctf"])
def test_a_pipe_for_a_setting(door, setting):
    os.mkfifo(door.folder / "x.pkl")
    door.refuses("downsample", particles="particles.star", out="small", box=4, **{setting: "x.pkl"})


def test_a_stack_that_is_a_pipe(door):
    os.mkfifo(door.folder / "pipe.mrcs")
    door.write("p.star", star("1@pipe.mrcs"))
    door.refuses("info", path="p.star")


def npy(head: str, data: bytes = b"\0" * 64, version=b"\x01\0") -> bytes:
    raw = head.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\x01\0" else "<I", len(raw)) + raw + data


def saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def records(**fields) -> bytes:
    """A .cs file of two particles."""
    base = {"blob/path": (b"stack.mrcs", "S12"), "blob/idx": (0, "u4")} | fields
    made = np.zeros(2, dtype=[(name, kind) for name, (_, kind) in base.items()])
    for name, (value, _) in base.items():
        made[name] = value
    return saved(made)


CS = {
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", CODE),
    "objects in records": npy("{'descr': [('blob/path', '|O')], 'fortran_order': False, 'shape': (2,)}"),
    "a pickle": CODE,
    "10^12 records": npy("{'descr': [('blob/idx', '<u4')], 'fortran_order': False, 'shape': (1000000000000,)}"),
    "2^70 records": npy(f"{{'descr': [('blob/idx', '<u4')], 'fortran_order': False, 'shape': ({2**70},)}}"),
    "-1 records": npy("{'descr': [('blob/idx', '<u4')], 'fortran_order': False, 'shape': (-1,)}"),
    "records of 2^31 bytes": npy("{'descr': [('a', '|V2147483647')], 'fortran_order': False, 'shape': (9,)}"),
    "records of nothing": npy("{'descr': [('a', '|V0')], 'fortran_order': False, 'shape': (1000000000000,)}"),
    "code in the header": npy("{'descr': __import__('os').mkdir('ran'), 'fortran_order': False, 'shape': (2,)}"),
    "a header of brackets": npy("[" * 9000),
    "a header of minus signs": npy("-" * 9000 + "1"),
    "a header of 4 GiB": b"\x93NUMPY\x02\0\xff\xff\xff\xff",
    "version 9": npy("{}", version=b"\x09\0"),
    "a float array": saved(np.zeros(4)),
    "text": b"blob/path,blob/idx\n",
    "NaN indices": records(**{"blob/idx": (np.nan, "f4")}),
    "indices in words": records(**{"blob/idx": ("one", "S4")}),
    "index 2^64 - 1": records(**{"blob/idx": (2**64 - 1, "u8")}),
    "paths that are numbers": records(**{"blob/path": (1.5, "f4")}),
    "a path out": records(**{"blob/path": (b"../../../../etc/passwd", "S40")}),
    "a device": records(**{"blob/path": (b"/dev/zero", "S12")}),
    "escapes": records(**{"blob/path": (b"\x1b[2J.mrcs", "S12")}),
    "NaN pixels": records(**{"blob/psize_A": (np.nan, "f4")}),
    "a pixel size of 3 axes": records(**{"blob/psize_A": (1.0, "(3,)f4")}),
    "NaN poses": records(**{"alignments3D/pose": (np.nan, "(3,)f4"), "alignments3D/psize_A": (1.0, "f4")}),
    "poses of 7 numbers": records(**{"alignments3D/pose": (1.0, "(7,)f4"), "alignments3D/psize_A": (1.0, "f4")}),
    "shifts in words": records(**{"alignments3D/pose": (1.0, "(3,)f4"), "alignments3D/shift": ("x", "S2")}),
    "defocus in words": records(**{"ctf/df1_A": ("x", "S2"), "blob/psize_A": (1.0, "f4")}),
}  # fmt: skip


@pytest.mark.parametrize("which", CS)
def test_a_cs_file(door, which):
    door.write("p.cs", CS[which])
    door.refuses("info", path="p.cs")


@pytest.mark.parametrize("which", ["objects", "10^12 records", "a header of brackets", "a float array", "a pickle"])
def test_indices_in_npy(door, which):
    door.write("ind.npy", CS[which])
    door.refuses("downsample", particles="particles.star", out="small", box=4, ind="ind.npy")


def npz(packed=zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return out.getvalue()


def big_zeros() -> bytes:
    """``z_mean`` of 3 GB in 3 MB."""
    head = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (375000000, 2)}", b"")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("z_mean.npy", "w") as file:
        file.write(head)
        for _ in range(30):
            file.write(b"\0" * (1 << 24))
    return out.getvalue().replace(
        struct.pack("<I", len(head) + 30 * (1 << 24)), struct.pack("<I", len(head) + 3_000_000_000)
    )


whole = {"z_mean": saved(np.zeros((3, 2), "f4")), "particle_index": saved(np.arange(3))}
NPZ = {
    "objects": npz(**whole | {"z_mean": CS["objects"]}),
    "10^12 rows": npz(
        **whole | {"z_mean": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 2)}")}
    ),
    "480 MB that says 3 GB, packed": big_zeros,
    "latents in words": npz(**whole | {"z_mean": saved(np.array([["a", "b"]]))}),
    "indices of fractions": npz(**whole | {"particle_index": saved(np.zeros(3))}),
    "NaN": npz(**whole | {"z_mean": saved(np.full((3, 2), np.nan, "f4"))}),
    "a path out": npz(**{"../../ran": b"x"}),
    "a pickle for an array": npz(**whole | {"z_mean": CS["a pickle"]}),
    "no archive": b"PK\x03\x04 but not really",
    "half": npz(**whole)[:200],
}  # fmt: skip


@pytest.mark.parametrize("which", NPZ)
def test_latents_in_npz(door, which):
    pytest.importorskip("torch", reason="the run's weights are written by torch")
    run = linear_run(door)
    content = NPZ[which]
    (run / "latents.npz").write_bytes(content() if callable(content) else content)
    door.refuses("info", path="run")


def linear_run(door):
    import torch

    run = door.run_of_ours("linear")
    maps = {"mean": torch.zeros(16, 16, 16), "components": torch.zeros(2, 16, 16, 16)}
    torch.save({"format": "hetero linear 1"} | maps, run / "checkpoint.pt")
    return run


CONFIGS = {
    "100 000 brackets": "[" * 100_000,
    "100 000 objects": '{"a":' * 100_000,
    "a number of a million digits": '{"format": "hetero run 1", "box": ' + "9" * 1_000_000 + "}",
    "a system that is a path": {"system": "../../trap"},
    "a box of 10^18": {"box": 10**18},
    "a negative box": {"box": -4},
    "a box that is true": {"box": True},
    "NaN": {"apix": float("nan")},
    "infinity": {"apix": float("inf")},
    "a list": {"settings": []},
    "a system of escapes": {"system": "\x1b[2J\n"},
    "nothing": "",
    "bytes": b"\xff\xfe\0",
}


@pytest.mark.parametrize("which", CONFIGS)
def test_settings_of_a_run_of_ours(door, which):
    pytest.importorskip("torch", reason="the run's weights are written by torch")
    run = linear_run(door)
    content = CONFIGS[which]
    if isinstance(content, dict):
        content = json.dumps(json.loads((run / "config.json").read_text()) | content)
    door.write("run/config.json", content)
    door.refuses("info", path="run")


TABLES = {
    "a million columns": "name," + ",".join(f"c{i}" for i in range(1_000_000)) + "\n",
    "a line of 20 MB": "name" + "x" * 20_000_000,
    "quotes never closed": 'name,level\n"good,1\n' + "x,2\n" * 1000,
    "noise": np.random.default_rng(0).bytes(20_000),
    "null bytes": b"name,level\n\0\0\0,\0\0\0x\n",
    "a row too long": "name,level\ngood,1\ngood2" + ",1" * 100_000 + "\n",
    "a name twice": "name,level\ngood,1\ngood,2\n",
    "a level in words": "name,level\ngood,=cmd|' /C calc'!A0\n",
    "level infinity": "name,level\ngood,inf\n",
    "no name": "level\n1\n",
    "nothing": "",
    "UTF-16": "name,level\ngood,1\n".encode("utf-16"),
    "packed": gzip.compress(b"name,level\ngood,1\n"),
}


@pytest.mark.parametrize("which", TABLES)
def test_a_table_of_an_ensemble(door, which):
    door.write("maps/ensemble.csv", TABLES[which])
    door.map("maps/good.mrc")
    door.refuses("info", path="maps")


@pytest.mark.parametrize("which", TABLES)
def test_a_table_of_occupancies(door, which):
    door.write("o.csv", TABLES[which])
    door.refuses("populations", table="o.csv", out="p.csv")


@pytest.mark.parametrize("which", [*TABLES, "a colour that is code"])
def test_a_table_of_blocks(door, which):
    code = "name,color\nblock_00,<script>alert(1)</script>\n"
    door.write("blocks/blocks.csv", TABLES.get(which, code))
    door.map("blocks/block_00.mrc")
    answer = door.asks("info", path="blocks")  # columns that we do not know are shown as they are
    assert "result" in answer or (answer["error"]["kind"] == "input" and answer["error"]["message"].isprintable())
    assert which in TABLES or "colour" in answer["error"]["message"]


STRUCTURES = {
    "noise.pdb": np.random.default_rng(0).bytes(20_000),
    "noise.cif": np.random.default_rng(0).bytes(20_000),
    "loops.cif": "data_x\n" + "loop_\n" * 100_000,
    "columns.cif": "data_x\nloop_\n" + "".join(f"_a.b{i}\n" for i in range(200_000)) + "1\n",
    "open.cif": "data_x\n;" + "text\n" * 100_000,
    "short.cif": "data_x\nloop_\n_atom_site.id\n_atom_site.Cartn_x\n1 2 3\n",
    "nan.pdb": "ATOM      1  CA  ALA A   1         nan     nan     nan  1.00  0.00           C\n",
    "line.pdb": "ATOM  " + "9" * 1_000_000,
    "empty.pdb": "",
    "hydrogens.pdb": "ATOM      1  H   ALA A   1       0.000   0.000   0.000  1.00  0.00           H\n",
    "bomb.cif.gz": gzip.compress(b"data_x\n" + b"#" * 1_000_000) + SIXTEEN_MB * 120,
    "zeros.pdb": b"\0" * 100_000,
    "cut.cif.gz": gzip.compress(b"data_x\n" * 1000)[:-30],
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure(door, name):
    door.write(name, STRUCTURES[name])
    door.refuses("info", path=name, words="unfolds" if "bomb" in name else "")


TEXTS = {
    "noise": np.random.default_rng(0).bytes(20_000),
    "one line of 20 MB": "0 " * 10_000_000,
    "numbers beyond": "1e400 0 0 1 1\n",
    "NaN": "nan 0 0 1 1\n",
    "rows of other lengths": "0 0 0 1 1\n0 0 0 1\n",
    "nothing": "",
    "stacks that are devices": "/dev/zero.mrcs\n",
    "a stack that is not there": "../../etc/passwd.mrcs\n",
    "escapes": "\x1b[2J.mrcs\n",
}


@pytest.mark.parametrize("which", TEXTS)
def test_a_text_of_gaussians_or_stacks(door, which):
    door.write("a.txt", TEXTS[which])
    door.refuses("info", path="a.txt")


entities = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghij", "bcdefghijk", strict=True))
    + "]><emd><map><contourLevel>&k;</contourLevel></map></emd>"
)
XMLS = {
    "billion laughs": entities,
    "billion laughs in UTF-16": entities.encode("utf-16"),
    "a file from outside": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><emd><contourLevel>&x;</contourLevel></emd>',
    "a quadratic blow-up": f'<!DOCTYPE a [<!ENTITY x "{"x" * 100_000}">]><emd>{"&x;" * 10_000}</emd>',
    "100 000 levels": "<a>" * 100_000,
    "not closed": "<emd><map>",
    "an odd encoding": '<?xml version="1.0" encoding="rot13"?><emd/>',
    "a level of words": "<emd><map><contourLevel>mkdir ran</contourLevel></map></emd>",
    "noise": np.random.default_rng(0).bytes(2000),
}  # fmt: skip


@pytest.mark.parametrize("which", XMLS)
def test_a_header_of_emdb(door, which):
    pytest.importorskip("torch", reason="train-level imports it")
    door.map("emd_1.mrc")
    door.write("emd-1.xml", XMLS[which])
    door.refuses("train-level", emdb=".", out="w.pt")


NAMES = [
    "a\nb", "\x1b[31mred", "a;rm -rf ~", "$(mkdir ran)", "`mkdir ran`", "'", '"', "=cmd()", "-rf", "--out", "a\tb",
    "%s%n", "{0}", "x..",
    "\u202egpj", b"\xff\xfe".decode(errors="surrogateescape"), " ", "<script>alert(1)</script>",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_only_a_name(door, name):
    folder = door.folder / name.replace("/", "_")
    folder.mkdir()
    door.write("bad.mrc", MAPS["noise"])
    os.replace(door.folder / "bad.mrc", folder / f"{folder.name}.mrc")
    answer = door.asks("info", path=str(folder))
    assert answer["error"]["kind"] == "input" and answer["error"]["message"].isprintable()
    door.map("good.mrc")
    os.replace(door.folder / "good.mrc", folder / f"{folder.name}.mrc")
    answer = door.asks("level", maps=[str(folder)], method="percentile")
    assert answer["result"]["maps"][0]["name"] == folder.name


def test_a_terminal_is_not_steered(tmp_path, capsys):
    assert main(["info", str(tmp_path / "\x1b[2Jx\n.mrc")]) == 1
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_a_sentence_stays_short():
    assert len(str(HeteroError("x" * 1_000_000 + "."))) < 2000


def test_a_page_shows_names_and_runs_none(tmp_path):
    import pandas as pd

    bad = "<script>alert(1)</script>"
    table = pd.DataFrame({bad: [bad]}, index=[bad])
    write_report(tmp_path / "r.html", bad, [Section(bad, bad, table, (), bad, (bad,))])
    assert "<script" not in (tmp_path / "r.html").read_text()
