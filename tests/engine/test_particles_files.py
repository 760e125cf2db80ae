"""Particle files: poses, CTFs and images as other programs have them, exact subsets, damage in a sentence."""

import json
import os
import pickle
import struct
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.lib.recfunctions import repack_fields

from hetero.cli import DONE, main
from hetero.errors import HeteroError
from hetero.particles import (
    CTF,
    Particles,
    ParticleStack,
    ParticleWarning,
    Poses,
    open_particles,
    particle_block,
    read_block,
    read_cs,
    read_stack_header,
    write_cs_subset,
    write_ctf,
    write_indices,
    write_poses,
    write_stack,
    write_star_subset,
)

CRYODRGN = "data/particles/cryodrgn_tests"


def stack_header(n=3, box=8, mode=2, order="<", columns=None, extended=0, apix=0.0) -> bytes:
    header = bytearray(1024)
    struct.pack_into(order + "4i", header, 0, columns or box, box, n, mode)
    struct.pack_into(order + "3i3f", header, 28, box, box, 1, box * apix, box * apix, apix)
    struct.pack_into(order + "i", header, 92, extended)
    return bytes(header)


def write_mrcs(path, images, apix=1.0):
    images = np.asarray(images, dtype=np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stack_header(len(images), images.shape[1], apix=apix) + images.tobytes())
    return path


def stand_in(path, n, box):
    """A stack of zeros that takes no room on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(stack_header(n, box, apix=1.0))
        file.truncate(1024 + n * box * box * 4)


def write_text(path, text):
    path.write_text(text)
    return path


def loop_header(columns):
    return "loop_\n" + "".join(f"_rln{column}\n" for column in columns.split())


OPTICS = """
data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
7 first 300.0 2.7 0.1 1.25 8
3 second 200.0 2.6 0.07 1.5 8

"""
PARTICLES = """
data_particles

loop_
_rlnImageName #1
_rlnOpticsGroup #2
_rlnDefocusU #3
_rlnDefocusV #4
_rlnDefocusAngle #5
_rlnAngleRot #6
_rlnAngleTilt #7
_rlnAnglePsi #8
_rlnOriginXAngst #9
_rlnOriginYAngst #10
_rlnMicrographName #11
_rlnRandomSubset #12
000002@images/b.mrcs   3 15000.0 14000.0 30.0  10.0 20.0 30.0   1.5 -2.5  0007  1
000001@images/a.mrcs   7 16000.0 14500.0 31.0  11.0 21.0 31.0   2.5 -3.5  mic_2 2
000003@images/a.mrcs   7 17000.0 15500.0 32.0  12.0 22.0 32.0   3.5 -4.5  mic_3 1
"""


@pytest.fixture
def project(tmp_path):
    """Three particles of two optics groups in two stacks, out of order."""
    rng = np.random.default_rng(0)
    for name in "ab":
        write_mrcs(tmp_path / f"images/{name}.mrcs", rng.standard_normal((3, 8, 8)))
    return write_text(tmp_path / "p.star", OPTICS + PARTICLES)


def raw(path):
    return np.frombuffer(path.read_bytes()[1024:], "<f4").reshape(-1, 8, 8)


# Images


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("mode", "kind"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")])
def test_every_mode_byte_order_and_extended_header(tmp_path, mode, kind, order):
    rng = np.random.default_rng(mode)
    low = 0 if kind[0] == "u" else -100
    images = rng.integers(low, 100, (4, 6, 6)).astype(order + kind)
    path = tmp_path / "s.mrcs"
    path.write_bytes(stack_header(4, 6, mode, order, extended=160, apix=2.5) + b"x" * 160 + images.tobytes())
    stack = open_particles(path).stack
    np.testing.assert_array_equal(stack[:], images.astype("f4"))
    np.testing.assert_array_equal(stack[[2, 0]], images[[2, 0]].astype("f4"))
    np.testing.assert_array_equal(stack[-1], images[-1].astype("f4"))
    assert stack[0].dtype == np.float32 and stack.shape == (4, 6, 6)
    assert stack.apix[0] == pytest.approx(2.5)


def test_imod_s_unsigned_bytes_and_packed_half_bytes(tmp_path):
    header = bytearray(stack_header(1, 4, 0, apix=1.0))
    struct.pack_into("<2i", header, 152, 1146047817, 0)
    values = np.arange(100, 228, 8, dtype="u1")
    (tmp_path / "imod.mrcs").write_bytes(bytes(header) + values.tobytes())
    np.testing.assert_array_equal(open_particles(tmp_path / "imod.mrcs").stack[0].ravel(), values)
    rows = np.array([[1, 2, 3], [4, 5, 6], [15, 0, 7]])  # three 4-bit pixels take two bytes, low half first
    packed = np.array([[0x21, 0x03], [0x54, 0x06], [0x0F, 0x07]], dtype="u1")
    (tmp_path / "half.mrcs").write_bytes(stack_header(1, 3, 101, apix=1.0) + packed.tobytes())
    np.testing.assert_array_equal(open_particles(tmp_path / "half.mrcs").stack[0], rows)


def test_images_beyond_4_gib_are_the_right_ones(tmp_path):
    """A sparse file stands in. 32-bit offsets would answer with image 18000 - 4 GiB / 256 KiB = 1616."""
    n, box = 18_100, 256
    path = tmp_path / "big.mrcs"
    stand_in(path, n, box)
    with open(path, "r+b") as file:
        for i in (1616, 18_000, n - 1):
            file.seek(1024 + i * box * box * 4)
            file.write(np.full(4, i, "<f4").tobytes())
    assert path.stat().st_size > 4 << 30
    records = np.zeros(3, dtype=[("blob/path", "S8"), ("blob/idx", "<u4"), ("blob/psize_A", "f4"), ("uid", "u8")])
    records["blob/path"], records["blob/idx"], records["blob/psize_A"] = b"big.mrcs", [18_000, 1616, n - 1], 1.5
    with open(tmp_path / "p.cs", "wb") as file:
        np.save(file, records)
    write_text(tmp_path / "p.star", f"data_\nloop_\n_rlnImageName\n18001@big.mrcs\n1617@big.mrcs\n{n}@big.mrcs\n")
    for name in ("p.cs", "p.star"):
        stack = open_particles(tmp_path / name).stack
        np.testing.assert_array_equal(stack[:][:, 0, 0], [18_000, 1616, n - 1])
        assert stack[2][0, 0] == n - 1 and stack[0].sum() == 4 * 18_000


def test_a_stack_keeps_nothing_open_or_in_memory(tmp_path):
    stand_in(tmp_path / "big.mrcs", 2000, 128)
    stack = open_particles(tmp_path / "big.mrcs").stack
    pickle.loads(pickle.dumps(stack))[3]  # a data loader's workers get a copy
    if os.path.isdir("/proc/self/fd"):
        for _ in stack.batches(500):
            pass
        assert not [f for f in os.listdir("/proc/self/fd") if "big.mrcs" in os.path.realpath(f"/proc/self/fd/{f}")]
        with open("/proc/self/maps") as maps:
            assert "big.mrcs" not in maps.read()


@pytest.mark.slow
def test_a_million_particles_open_in_little_memory(tmp_path):
    """65 GB of images (a sparse file) and a star file of 12 columns; a step's worth of images is read."""
    n = 1_000_000
    stand_in(tmp_path / "big.mrcs", n, 128)
    columns = PARTICLES.split("loop_\n")[1].split("000002@", maxsplit=1)[0]
    tail = "7 15000.0 14000.0 30.0  10.0 20.0 30.0   1.5 -2.5  a/rather/long/name/of/a/micrograph_0007.mrc  1\n"
    with open(tmp_path / "p.star", "w") as file:
        file.write(f"{OPTICS}\ndata_particles\n\nloop_\n{columns}")
        file.writelines(f"{i:07d}@big.mrcs {tail}" for i in range(1, n + 1))
    code = (
        "import resource, sys, numpy as np; from hetero.particles import open_particles\n"
        "particles = open_particles(sys.argv[1])\n"
        "assert len(particles) == 1_000_000 and particles.stack[[999_999, 5]].shape == (2, 128, 128)\n"
        "for part, images in particles.stack.subset(slice(0, 20_000)).batches(500): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "p.star"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.5  # GiB


def test_writing_a_stack_piece_by_piece(tmp_path):
    import mrcfile

    images = np.random.default_rng(0).standard_normal((5, 8, 8)).astype("f4")
    for half in (False, True):
        path = tmp_path / f"w{half}.mrcs"
        with write_stack(path, 5, 8, 1.7, half=half) as writer:
            writer.append(images[:2])
            writer.append(images[2:])
        mrcfile.validate(path)
        with mrcfile.open(path) as mrc:
            assert mrc.is_image_stack() and float(mrc.voxel_size.x) == pytest.approx(1.7)
            np.testing.assert_allclose(mrc.data, images, rtol=1e-3 if half else 0, atol=1e-4 if half else 0)
            assert float(mrc.header.rms) == pytest.approx(images.std(), rel=1e-3)
        np.testing.assert_array_equal(open_particles(path).stack[:], images.astype("f2" if half else "f4"))
    with pytest.raises(HeteroError, match="was to hold 5 images; 2 came"), write_stack(path, 5, 8, 1.7) as writer:
        writer.append(images[:2])
    np.testing.assert_array_equal(open_particles(path).stack[4], images[4].astype("f2"))  # the old one is still there


# Lists of particles


def test_order_optics_groups_and_stacks_are_the_star_file_s(project):
    particles = open_particles(project)
    a, b = raw(project.parent / "images/a.mrcs"), raw(project.parent / "images/b.mrcs")
    np.testing.assert_array_equal(particles.stack[:], [b[1], a[0], a[2]])
    np.testing.assert_array_equal(particles.stack[[False, True, True]], [a[0], a[2]])
    np.testing.assert_allclose(particles.stack.apix, [1.5, 1.25, 1.25])
    np.testing.assert_allclose(particles.ctf.voltage, [200, 300, 300])
    np.testing.assert_allclose(particles.ctf.cs, [2.6, 2.7, 2.7])
    np.testing.assert_allclose(particles.ctf.amplitude_contrast, [0.07, 0.1, 0.1])
    np.testing.assert_allclose(particles.ctf.defocus_v, [14000, 14500, 15500])
    np.testing.assert_allclose(particles.poses.shifts, [[1.5, -2.5], [2.5, -3.5], [3.5, -4.5]])
    np.testing.assert_array_equal(particles.half_set, [0, 1, 0])
    with pytest.raises(HeteroError, match=r"pixel sizes from 1.25 to 1.5 Å; one was expected. hetero downsample"):
        _ = particles.apix
    chosen = particles.subset([2, 0])
    np.testing.assert_array_equal(chosen.stack[:], [a[2], b[1]])
    np.testing.assert_array_equal(chosen.rows, [2, 0])
    np.testing.assert_allclose(chosen.poses.shifts[:, 0], [3.5, 1.5])
    assert chosen.total == 3


def test_star_of_relion_3_0(tmp_path):
    write_mrcs(tmp_path / "a.mrcs", np.ones((1, 8, 8)))
    header = loop_header(
        "ImageName DefocusU DefocusV DefocusAngle Voltage SphericalAberration AmplitudeContrast Magnification "
        "DetectorPixelSize AngleRot AngleTilt AnglePsi OriginX OriginY PhaseShift CtfBfactor CtfScalefactor"
    )
    row = "1@a.mrcs 15000 14000 30 300 2.7 0.1 20000 5.0 1 2 3 4.0 -2.0 90 60 0.5"
    write_text(tmp_path / "p.star", f"\ndata_\n\n{header}{row}\n\n")
    particles = open_particles(tmp_path / "p.star")
    assert particles.apix == pytest.approx(2.5)
    np.testing.assert_allclose(particles.poses.shifts, [[10.0, -5.0]])  # pixels there, Å here
    assert (particles.ctf.phase_shift[0], particles.ctf.bfactor[0], particles.ctf.scale[0]) == (90, 60, 0.5)


def test_comments_and_hashes_in_a_star_file(project):
    """A comment between rows is skipped; without one a # is part of a name."""
    whole = open_particles(project)
    text = project.read_text()
    plain = write_text(project.parent / "plain.star", text.replace("mic_2", "mic#2"))
    table = read_block(plain, particle_block(plain))
    assert list(table["rlnMicrographName"]) == ["0007", "mic#2", "mic_3"] and table["rlnRandomSubset"].tolist() == [
        1,
        2,
        1,
    ]
    commented = write_text(project.parent / "c.star", text.replace("000001@", "# a comment\n\n000001@") + "# the end\n")
    np.testing.assert_array_equal(open_particles(commented).stack[:], whole.stack[:])
    write_star_subset(commented, [2, 1], project.parent / "s.star")
    np.testing.assert_array_equal(open_particles(project.parent / "s.star").stack[:], whole.stack[[2, 1]])
    assert len(list(whole.stack)) == 3


def test_real_star_files_agree_with_starfile(shared):
    """Every block, column and number of stars of RELION 3.0, 3.1 and 5, against an independent reader."""
    starfile = pytest.importorskip("starfile")
    paths = sorted((shared / "data/particles").glob("*/*.star"))
    assert len(paths) > 12
    for path in paths:
        block = particle_block(path)
        expected = starfile.read(path, always_dict=True)[block.name]
        found = read_block(path, block)
        assert list(found.columns) == list(expected.columns) and len(found) == len(expected)
        for column in found:
            if pd.api.types.is_numeric_dtype(expected[column]):
                np.testing.assert_array_equal(found[column], expected[column])
            else:
                assert list(found[column].astype(str)) == list(expected[column].astype(str))


def test_poses_and_ctf_of_cryosparc_are_as_parsed_by_cryodrgn(shared, tmp_path):
    """The published parser's answer for 2,019 real particles. Stand-ins take the place of the images."""
    source = shared / CRYODRGN / "cryosparc_P12_J24_001_particles.cs"
    records = read_cs(source)
    for name in np.unique(records["blob/path"]):
        n = int(records["blob/idx"][records["blob/path"] == name].max()) + 1
        stand_in(tmp_path / name.decode(), n, 180)
    particles = open_particles(source, datadir=tmp_path)
    with open(shared / CRYODRGN / "pose.cs.pkl", "rb") as file:
        rotations, shifts = pickle.load(file)
    with open(shared / CRYODRGN / "ctf2.pkl", "rb") as file:
        table = pickle.load(file)
    assert len(particles) == 2019 and particles.apix == pytest.approx(2.95)
    np.testing.assert_allclose(particles.poses.rotations, rotations, atol=1e-5)
    np.testing.assert_allclose(particles.poses.shifts / (180 * particles.apix), shifts, atol=1e-5)
    ctf = particles.ctf
    names = ("defocus_u", "defocus_v", "angle", "voltage", "cs", "amplitude_contrast", "phase_shift")
    for name, column in zip(names, table.T[2:], strict=True):
        np.testing.assert_allclose(getattr(ctf, name), column, rtol=1e-6, atol=1e-5)
    # The same through its pickles: one door for both.
    other = open_particles(
        source, poses=shared / CRYODRGN / "pose.cs.pkl", ctf=shared / CRYODRGN / "ctf2.pkl", datadir=tmp_path
    )
    np.testing.assert_allclose(other.poses.shifts, particles.poses.shifts, atol=1e-4)
    np.testing.assert_allclose(other.ctf.images(32, 5.0)[:9], ctf.images(32, 5.0)[:9], atol=1e-5)


def test_poses_and_ctf_of_relion_are_as_parsed_by_cryodrgn(shared, tmp_path):
    source = shared / CRYODRGN / "FinalRefinement-OriginalParticles-PfCRT.star"
    stand_in(tmp_path / "FinalRefinement-OriginalParticles-PfCRT.mrcs", 10, 300)
    with pytest.warns(ParticleWarning, match=r"no amplitude contrast; 0.1 is assumed"):
        particles = open_particles(source, datadir=tmp_path)
    with open(shared / CRYODRGN / "pose.star.pkl", "rb") as file:
        rotations, shifts = pickle.load(file)
    with open(shared / CRYODRGN / "ctf1.pkl", "rb") as file:
        table = pickle.load(file)
    np.testing.assert_allclose(particles.poses.rotations, rotations, atol=1e-5)
    np.testing.assert_allclose(particles.poses.shifts / (300 * particles.stack.apix[:, None]), shifts, atol=1e-7)
    np.testing.assert_allclose(particles.ctf.defocus_v, table[:, 3], rtol=1e-6)
    assert particles.apix == pytest.approx(float(table[0, 1]))


def test_real_optics_groups_and_aberrations(shared, tmp_path):
    starfile = pytest.importorskip("starfile")
    source = shared / CRYODRGN / "relion31.6opticsgroups.star"
    names = starfile.read(source)["particles"]["rlnImageName"]
    for name in {n.split("@")[1] for n in names}:
        stand_in(tmp_path / name, 2000, 196)
    with pytest.warns(ParticleWarning, match=r"beam tilt, odd Zernike.*anisotropic magnification; these are ignored"):
        particles = open_particles(source, datadir=tmp_path)
    assert len(particles) == 139 and particles.stack.shape == (139, 196, 196)
    tables = starfile.read(source)
    groups = tables["optics"].set_index("rlnOpticsGroup").loc[tables["particles"]["rlnOpticsGroup"]]
    np.testing.assert_allclose(particles.stack.apix, groups["rlnImagePixelSize"])
    np.testing.assert_allclose(particles.ctf.cs, groups["rlnSphericalAberration"])
    assert set(np.round(particles.stack.apix, 3)) == {1.24, 1.25}


def test_real_images_by_star_and_by_cs(shared):
    """EMPIAR-10076: one stack, listed by both programs. cryoSPARC's says that its particles are dark."""
    star = open_particles(shared / CRYODRGN / "empiar_10076_7.star")
    cs = open_particles(shared / CRYODRGN / "empiar_10076_7.cs")
    assert star.apix == pytest.approx(cs.apix, rel=1e-4) == pytest.approx(1.31, rel=1e-3)
    np.testing.assert_array_equal(cs.stack[:], -star.stack[:])
    np.testing.assert_array_equal(cs.stack.inverted()[:], star.stack[:])
    np.testing.assert_allclose(star.ctf.images(64, 6.55), cs.ctf.images(64, 6.55), atol=1e-4)


def cs_records(n, **fields):
    kinds = [("uid", "u8"), ("blob/path", "S20"), ("blob/idx", "u4"), ("blob/psize_A", "f4"), ("blob/sign", "f4")]
    kinds += [(name.replace("__", "/"), "f4", np.shape(value)[1:]) for name, value in fields.items()]
    records = np.zeros(n, dtype=kinds)
    records["uid"], records["blob/idx"] = np.arange(n) * 7 + 3, np.arange(n)
    records["blob/path"], records["blob/psize_A"], records["blob/sign"] = b">J1/a.mrcs", 2.0, 1
    for name, value in fields.items():
        records[name.replace("__", "/")] = value
    return records


def save_cs(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        np.save(file, records)
    return path


def test_cs_takes_what_it_lacks_from_its_passthrough_file(tmp_path):
    write_mrcs(tmp_path / "J1/a.mrcs", np.arange(4)[:, None, None] * np.ones((4, 8, 8)))
    images = cs_records(4)
    poses = cs_records(4, alignments3D__pose=np.eye(4, 3), alignments3D__shift=np.eye(4, 2))[::-1]
    poses = poses[["uid", "alignments3D/pose", "alignments3D/shift"]]
    save_cs(tmp_path / "J2/P1_J2_passthrough_particles.cs", repack_fields(images))
    save_cs(tmp_path / "J2/P1_J2_particles.cs", repack_fields(poses))
    particles = open_particles(tmp_path / "J2/P1_J2_particles.cs")
    np.testing.assert_array_equal(particles.stack[:][:, 0, 0], [3, 2, 1, 0])  # joined by uid, not by place
    np.testing.assert_allclose(particles.poses.shifts, np.eye(4, 2)[::-1] * 2.0)


def test_cs_of_classes_takes_the_likeliest_and_its_own_pixel_size(tmp_path):
    write_mrcs(tmp_path / "J1/a.mrcs", np.ones((2, 8, 8)))
    shift = np.array([[1.0, 2.0], [3.0, 4.0]])
    fields = {}
    for i, likely in enumerate(([0.9, 0.1], [0.1, 0.9])):
        fields[f"alignments_class_{i}__pose"] = np.full((2, 3), i * 0.5)
        fields[f"alignments_class_{i}__shift"] = shift * (i + 1)
        fields[f"alignments_class_{i}__class_posterior"] = np.array(likely)
        fields[f"alignments_class_{i}__psize_A"] = np.full(2, 4.0)  # aligned on images binned twice
    particles = open_particles(save_cs(tmp_path / "J2/p.cs", cs_records(2, **fields)))
    np.testing.assert_allclose(particles.poses.shifts, [[4, 8], [24, 32]])
    assert not np.allclose(particles.poses.rotations[1], np.eye(3))


def test_txt_of_stacks_with_pickles(tmp_path):
    images = np.random.default_rng(1).standard_normal((5, 8, 8)).astype("f4")
    write_mrcs(tmp_path / "data/a.mrcs", images[:2])
    write_mrcs(tmp_path / "data/b.mrcs", images[2:])
    write_text(tmp_path / "p.txt", "data/a.mrcs\n\ndata/b.mrcs\n")
    poses = Poses(np.broadcast_to(np.eye(3), (5, 3, 3)), np.arange(10).reshape(5, 2) / 10)
    ctf = CTF(np.arange(5) * 1000.0 + 1e4, 1e4, 20, 300, 2.7, 0.1, 5)
    write_poses(tmp_path / "poses.pkl", poses, 8 * 3.5)
    write_ctf(tmp_path / "ctf.pkl", ctf, 16, 1.75)  # of the images before they were binned twice
    write_indices(tmp_path / "ind.pkl", [4, 0, 2])
    write_indices(tmp_path / "ind.npy", [4, 0, 2])
    for ind in ("ind.pkl", "ind.npy"):
        particles = open_particles(tmp_path / "p.txt", tmp_path / "poses.pkl", tmp_path / "ctf.pkl", tmp_path / ind)
        np.testing.assert_array_equal(particles.stack[:], images[[4, 0, 2]])
        np.testing.assert_allclose(particles.poses.shifts, poses.shifts[[4, 0, 2]], atol=1e-5)
        np.testing.assert_allclose(particles.ctf.defocus_u, ctf.defocus_u[[4, 0, 2]])
        np.testing.assert_array_equal(particles.rows, [4, 0, 2])
        assert particles.apix == pytest.approx(3.5)


def test_pickles_of_the_chosen_particles_alone(tmp_path):
    write_mrcs(tmp_path / "a.mrcs", np.ones((5, 8, 8)))
    poses = Poses(np.broadcast_to(np.eye(3), (2, 3, 3)), [[1, 2], [3, 4]])
    write_poses(tmp_path / "poses.pkl", poses, 8.0)
    write_indices(tmp_path / "ind.pkl", [1, 3])
    particles = open_particles(tmp_path / "a.mrcs", tmp_path / "poses.pkl", ind=tmp_path / "ind.pkl")
    np.testing.assert_allclose(particles.poses.shifts, poses.shifts, atol=1e-5)


# Subsets


def test_star_subset_keeps_every_byte_of_the_kept_rows(project, tmp_path):
    out = tmp_path / "sub.star"
    write_star_subset(project, [2, 0], out)
    lines = project.read_text().splitlines(keepends=True)
    assert out.read_text() == "".join([*lines[:-3], lines[-1], lines[-3]])
    chosen, whole = open_particles(out), open_particles(project)
    np.testing.assert_array_equal(chosen.stack[:], whole.stack[[2, 0]])
    np.testing.assert_array_equal(chosen.ctf.defocus_u, whole.ctf.defocus_u[[2, 0]])
    write_star_subset(project, np.array([True, False, True]), out)
    assert len(open_particles(out)) == 2


def test_subsets_of_real_star_files(shared, tmp_path):
    """As many columns, optics groups and numbers as before, by an independent reader; 3.0 stays 3.0."""
    starfile = pytest.importorskip("starfile")
    rng = np.random.default_rng(0)
    for path in sorted((shared / "data/particles").glob("*/*.star")):
        block = particle_block(path)
        chosen = rng.permutation(block.rows)[: max(1, block.rows // 2)]
        write_star_subset(path, chosen, tmp_path / "s.star")
        before, after = (starfile.read(p, always_dict=True) for p in (path, tmp_path / "s.star"))
        assert list(before) == list(after)
        for name in before:
            expected = before[name].iloc[chosen].reset_index(drop=True) if name == block.name else before[name]
            # a column that is text in the whole file may be all numbers in half of it
            pd.testing.assert_frame_equal(after[name].astype(str), expected.astype(str))


def test_star_subset_where_optics_come_last(project, tmp_path):
    text = PARTICLES + OPTICS
    write_text(tmp_path / "o.star", text)
    write_star_subset(tmp_path / "o.star", [1], tmp_path / "s.star")
    found = open_particles(tmp_path / "s.star")
    assert len(found) == 1 and found.ctf.voltage[0] == 300
    assert (tmp_path / "s.star").read_text().endswith(OPTICS)


def test_cs_subset_keeps_every_field(shared, tmp_path):
    source = shared / CRYODRGN / "cryosparc_P12_J24_001_particles.cs"
    chosen = np.random.default_rng(0).permutation(2019)[:100]
    write_cs_subset(source, chosen, tmp_path / "sub.cs")
    before, after = read_cs(source), read_cs(tmp_path / "sub.cs")
    assert before.dtype == after.dtype
    np.testing.assert_array_equal(after, before[chosen])
    assert [p.name for p in tmp_path.iterdir()] == ["sub.cs"]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 3], r"Index 3 is asked for \(counted from 0\); there are 3 particles in .*p.star"),
        ([0, 0], "Particle 0 .counted from 0. is chosen more than once"),
        ([], "No particle of .*p.star is chosen"),
        ([0.5], "whole numbers were expected"),
        ([True, False], "does not fit 3 particles"),
    ],
)
def test_selections_that_fit_nothing(project, tmp_path, indices, message):
    with pytest.raises(HeteroError, match=message):
        write_star_subset(project, indices, tmp_path / "s.star")
    assert not (tmp_path / "s.star").exists()


# Damage


def row(name="1@a.mrcs", u=15000, angle=10, group=1, more=""):
    return f"{name} {group} {u} {u} 0 300 2.7 0.1 {angle} 20 30 {more}\n"


HEADER = "data_particles\n" + loop_header(
    "ImageName OpticsGroup DefocusU DefocusV DefocusAngle Voltage SphericalAberration AmplitudeContrast "
    "AngleRot AngleTilt AnglePsi"
)


def make_bad(folder):
    ones = np.ones((2, 8, 8))
    write_mrcs(folder / "a.mrcs", ones)
    write_mrcs(folder / "other_box.mrcs", np.ones((2, 6, 6)))
    (folder / "short.mrcs").write_bytes((folder / "a.mrcs").read_bytes()[:-100])
    (folder / "rect.mrcs").write_bytes(stack_header(1, 8, columns=6) + b"\0" * 400)
    (folder / "complex.mrcs").write_bytes(stack_header(1, 8, 4) + b"\0" * 600)
    (folder / "colour.mrcs").write_bytes(stack_header(1, 8, 16) + b"\0" * 600)
    (folder / "text.mrcs").write_text("no stack\n" * 200)
    (folder / "zipped.mrcs").write_bytes(b"\x1f\x8b" + b"\0" * 2000)
    nan = ones.copy()
    nan[1, 3, 3] = np.nan
    write_mrcs(folder / "nan.mrcs", nan)
    (folder / "secret.txt").write_text("root:x:0:0\n" * 200)
    stars = {
        "missing": HEADER + row("1@gone/x.mrcs"),
        "mixed": HEADER + row() + row("1@other_box.mrcs"),
        "beyond": HEADER + row() + row("3@a.mrcs"),
        "zeroth": HEADER + row("0@a.mrcs"),
        "defocus": HEADER + row() + row(u=0),
        "microns": HEADER + row(u=1.5),
        "text": HEADER + row(angle="north"),
        "noat": HEADER + row("a.mrcs"),
        "nan": HEADER + row("1@nan.mrcs") + row("2@nan.mrcs"),
        "cut": HEADER + row() + "2@a.mrcs 1 150",
        "empty": HEADER,
        "group": "data_optics\nloop_\n_rlnOpticsGroup\n_rlnImagePixelSize\n1 1.0\n\n" + HEADER + row() + row(group=2),
        "other": "data_job\nloop_\n_rlnJob\n1\n",
        "words": "just words\n",
        "nokv": "data_\nloop_\n_rlnImageName\n_rlnDefocusU\n1@a.mrcs 15000\n",
        "traversal": HEADER + row("1@../../../../../../../../etc/passwd") + row(f"1@{folder}/secret.txt"),
        "premult": HEADER.replace("AnglePsi\n", "AnglePsi\n_rlnCtfDataAreCtfPremultiplied\n") + row(more="1"),
        "tomo": HEADER.replace("AnglePsi\n", "AnglePsi\n_rlnTomoName\n") + row(more="t1"),
        "good": HEADER + row() + row("2@a.mrcs"),
    }
    for name, text in stars.items():
        write_text(folder / f"{name}.star", text)
    write_text(folder / "secret.star", HEADER + row("1@secret.txt"))
    save_cs(folder / "good.cs", cs_records(2))
    (folder / "J1").mkdir()
    write_mrcs(folder / "J1/a.mrcs", ones)
    with open(folder / "pickled.cs", "wb") as file:
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    (folder / "cut.cs").write_bytes((folder / "good.cs").read_bytes()[:-9])
    np.save(folder / "plain.npy", np.arange(4))
    os.rename(folder / "plain.npy", folder / "plain.cs")
    rotations = np.broadcast_to(np.eye(3, dtype="f4"), (2, 3, 3))
    pickles = {
        "three": (np.broadcast_to(np.eye(3), (3, 3, 3)), np.zeros((3, 2))),
        "pixels": (rotations, np.full((2, 2), 5.0)),
        "mirror": (rotations * np.array([1, 1, -1]), np.zeros((2, 2))),
        "scaled": (rotations * 2, np.zeros((2, 2))),
        "nanshift": (rotations, np.full((2, 2), np.nan)),
        "flat": np.zeros((2, 9)),
        "ctf": np.tile([8, 1.0, 15000, 15000, 0, 300, 2.7, 0.1, 0], (3, 1)),
        "ctf8": np.zeros((2, 8)),
        "nokv": np.tile([8, 1.0, 15000, 15000, 0, 0, 2.7, 0.1, 0], (2, 1)),
        "ind9": np.array([0, 9]),
        "indtwice": np.array([1, 1]),
        "indfloat": np.array([0.5]),
        "dict": {"a": 1},
    }
    for name, value in pickles.items():
        with open(folder / f"{name}.pkl", "wb") as file:
            pickle.dump(value, file)


BAD = {
    "not there": (("gone.star",), "gone.star is not there"),
    "a folder": ((".",), "is a folder; a .star"),
    "another kind": (("a.pdf",), "a.pdf is no list of particles"),
    "missing stack": (("missing.star",), "missing.star names the stack gone/x.mrcs, which is not there"),
    "mixed boxes": (("mixed.star",), "other_box.mrcs holds images of 6 pixels, .*a.mrcs of 8; one box"),
    "beyond the end": (("beyond.star",), "Particle 2 is image 3 of .*a.mrcs, which has 2"),
    "image 0": (("zeroth.star",), "rlnImageName of particle 1 is '0@a.mrcs'; number@stack"),
    "no number": (("noat.star",), "rlnImageName of particle 1 is 'a.mrcs'; number@stack"),
    "zero defocus": (("defocus.star",), r"defocus_u is 0 for 1 of 2 particles \(first: particle 2\)"),
    "microns": (("microns.star",), "defocus_u is 1.5 for 1 of 1 particles.*Å, such as 15000"),
    "a word for a number": (("text.star",), "rlnAngleRot of particle 1 is 'north'; a number was expected"),
    "NaN in an image": (("nan.star",), "Image 000002@.*nan.mrcs holds values that are not numbers"),
    "a star cut short": (("cut.star",), "the last row of data_particles has 3 of 11 columns"),
    "no rows": (("empty.star",), "lists no particles: data_particles is empty"),
    "unknown optics group": (("group.star",), "particle 2 is of optics group 2, which data_optics does not list"),
    "no particles": (("other.star",), r"lists no particles: none of its blocks \(data_job\)"),
    "no star": (("words.star",), "is not a star file"),
    "no voltage": (("nokv.star",), r"gives a defocus but no voltage \(rlnVoltage\)"),
    "premultiplied": (("premult.star",), "multiplied by their CTF"),
    "tomograms": (("tomo.star",), "lists particles of tomograms"),
    "traversal": (("traversal.star",), "passwd is not an MRC stack|secret.txt is not an MRC stack"),
    "no stack named": (("secret.star",), "secret.txt is not an MRC stack"),
    "a stack cut short": (("short.mrcs",), "short.mrcs is cut short: its header promises 2 images .* the file has 1"),
    "not square": (("rect.mrcs",), "holds images of 6 x 8 pixels"),
    "complex": (("complex.mrcs",), r"holds complex numbers \(MRC mode 4\)"),
    "colours": (("colour.mrcs",), "holds colours"),
    "text": (("text.mrcs",), "text.mrcs is not an MRC stack"),
    "compressed": (("zipped.mrcs",), "is compressed; unpack it first"),
    "pickled cs": (("pickled.cs",), "pickled.cs cannot be read as a cryoSPARC .cs file"),
    "cs cut short": (("cut.cs",), "cut.cs cannot be read"),
    "cs without records": (("plain.cs",), "plain.cs holds no records"),
    "poses of another count": (("good.star", "three.pkl"), "three.pkl is for 3 particles, .*good.star has 2 images"),
    "shifts in pixels": (("good.star", "pixels.pkl"), "shifts of up to 5.0; shares of the box"),
    "the other hand": (("good.star", "mirror.pkl"), r"rotation of particle 1 mirrors \(determinant -1\)"),
    "no rotation": (("good.star", "scaled.pkl"), "is no rotation matrix"),
    "NaN shift": (("good.star", "nanshift.pkl"), "shift of particle 1 is not finite"),
    "no poses in it": (("good.star", "flat.pkl"), "rotations .n, 3, 3. were expected"),
    "a dictionary": (("good.star", "dict.pkl"), "holds no poses"),
    "CTF of another count": (("good.star", None, "ctf.pkl"), "ctf.pkl is for 3 particles"),
    "CTF of 8 columns": (("good.star", None, "ctf8.pkl"), r"an array of shape \(2, 8\)"),
    "CTF without voltage": (("good.star", None, "nokv.pkl"), "voltage is 0 for 2 of 2"),
    "index beyond": (
        ("good.star", None, None, "ind9.pkl"),
        r"ind9.pkl names particle 9 \(counted from 0\); there are 2",
    ),
    "index twice": (("good.star", None, None, "indtwice.pkl"), "names a particle more than once"),
    "no indices": (("good.star", None, None, "indfloat.pkl"), "holds no list of whole numbers"),
    "no datadir": (("good.star", None, None, None, "gone"), "gone is no folder"),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    make_bad(folder)
    (folder / "a.pdf").write_text("x")
    return folder


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_at_the_door(bad, case):
    files, message = BAD[case]
    with pytest.raises(HeteroError, match=message) as error, warnings.catch_warnings():
        warnings.simplefilter("ignore", ParticleWarning)
        open_particles(*(None if f is None else bad / f for f in files))
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_poses_and_ctf_that_are_not_there(bad):
    particles = open_particles(bad / "good.cs")
    with pytest.raises(HeteroError, match=r"good.cs has no poses; .*--poses"):
        particles.require_poses()
    with pytest.raises(HeteroError, match=r"good.cs has no CTF parameters; .*--ctf"):
        particles.require_ctf()


def test_counts_are_checked_by_the_nouns_too(bad):
    files = (read_stack_header(bad / "a.mrcs"),)
    stack = ParticleStack(files, [0, 0], [0, 1], 1.0, 1)
    poses = Poses(np.eye(3)[None], np.zeros((1, 2)))
    with pytest.raises(HeteroError, match="has 2 images and 1 poses"):
        Particles(stack, poses, None, bad / "a.mrcs", np.arange(2), 2)
    with pytest.raises(ValueError, match="read-only"):
        poses.rotations[0] = 0
    with pytest.raises(HeteroError, match="Index 2 is asked for"):
        stack[2]


def test_no_pixel_size_anywhere_is_said(tmp_path):
    stack = tmp_path / "a.mrcs"
    stack.write_bytes(stack_header(1, 8) + b"\0" * 256)
    with pytest.warns(ParticleWarning, match="gives no pixel size, nor do its stacks; 1 Å is assumed"):
        assert open_particles(stack).apix == 1.0


def test_info_says_what_a_particle_file_holds(project, capsys):
    assert main(["info", str(project)]) == DONE
    out = capsys.readouterr().out
    assert "p.star: 3 particles\n8 x 8 pixels of 1.25 and 1.5 Å, in 2 stacks\n" in out
    assert "poses; CTF at 200 and 300 kV, defocus 1.45 to 1.62 µm (median 1.52); half sets of 2 and 1" in out
    assert main(["info", str(project.parent / "images/a.mrcs"), "--json"]) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert (answer["kind"], answer["n"], answer["poses"], answer["ctf"]) == ("particles", 3, False, False)
    write_text(project.parent / "list.txt", "images/a.mrcs\nimages/b.mrcs\n")
    assert main(["info", str(project.parent / "list.txt")]) == DONE
    assert "6 particles" in capsys.readouterr().out
