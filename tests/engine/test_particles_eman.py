"""EMAN2's lists of particles: the same particles as a star file says."""

import json

import numpy as np
import pytest

from hetero.cli import BAD_INPUT, main
from hetero.errors import HeteroError
from hetero.particles import Poses, euler_from_rotations, open_particles, write_stack, write_star
from hetero.particles.relion import star_tables
from hetero.particles.simulate import random_poses

N, BOX, APIX = 6, 8, 2.5
HEADER = "#LSX\n# This file is in fast LST format.\n# 200\n"


@pytest.fixture
def project(tmp_path):
    """A stack, a star file of it, and its poses."""
    rng = np.random.default_rng(0)
    with write_stack(tmp_path / "a.mrcs", N, BOX, APIX) as writer:
        writer.append(rng.normal(size=(N, BOX, BOX)).astype(np.float32))
    poses = random_poses(N, 4.0, rng)
    names = [f"{i + 1:06d}@a.mrcs" for i in range(N)]
    write_star(tmp_path / "a.star", star_tables(names, BOX, np.full(N, APIX), poses, None, np.arange(N) % 2))
    return tmp_path, poses


def write_lst(path, poses: Poses, **more):
    """As EMAN2 writes it: where the particle lies, in pixels, is the matrix's fourth column."""
    lines = []
    for i, (rotation, shift) in enumerate(zip(poses.rotations, poses.shifts, strict=True)):
        matrix = np.column_stack([rotation, np.append(-shift / APIX, 0)]).ravel()
        transform = {"__class__": "Transform", "matrix": "[" + ",".join(f"{v:.6g}" for v in matrix) + "]"}
        known = {"xform.projection": transform} | {name: int(values[i]) for name, values in more.items()}
        lines.append(f"{i}\ta.mrcs\t{json.dumps(known)}".ljust(260))
    path.write_text(HEADER + "\n".join(lines) + "\n")


def test_a_list_opens_like_the_star_file_of_the_same_particles(project):
    folder, poses = project
    write_lst(folder / "a.lst", poses, **{"class": np.arange(N) % 2})
    star, lst = open_particles(folder / "a.star"), open_particles(folder / "a.lst")
    np.testing.assert_array_equal(lst.stack[:], star.stack[:])
    np.testing.assert_allclose(lst.poses.rotations, star.poses.rotations, atol=1e-5)
    np.testing.assert_allclose(lst.poses.shifts, star.poses.shifts, atol=1e-4)
    np.testing.assert_array_equal(lst.half_set, star.half_set)
    assert lst.ctf is None and lst.apix == APIX and lst.total == N


def test_old_lists_give_euler_angles(project):
    folder, poses = project
    rot, tilt, psi = euler_from_rotations(poses.rotations)
    lines = []
    for i in range(N):  # EMAN's az = rot + 90, phi = psi - 90
        angles = {"type": "eman", "az": rot[i] + 90, "alt": tilt[i], "phi": psi[i] - 90}
        place = {"tx": -poses.shifts[i, 0] / APIX, "ty": -poses.shifts[i, 1] / APIX, "score": -0.3}
        lines.append(
            f"{i}\ta.mrcs\t{ {k: v if isinstance(v, str) else float(v) for k, v in (angles | place).items()} }"
        )
    (folder / "old.lst").write_text(HEADER + "\n".join(lines))
    found = open_particles(folder / "old.lst").poses
    np.testing.assert_allclose(found.rotations, poses.rotations, atol=1e-9)
    np.testing.assert_allclose(found.shifts, poses.shifts, atol=1e-9)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0\tset.hdf", "names images in set.hdf; MRC stacks were expected"),
        ("a.mrcs 0", "Line 4 of .* is no particle"),
        ("0\ta.mrcs\n1\ta.mrcs\t{'alt': 0, 'az': 0, 'phi': 0}", "gives no pose for particle 1"),
        ('0\ta.mrcs\t{"xform.projection": {"matrix": "[1,2]"}}', "no 3 x 4 matrix and no Euler angles .* particle 1"),
        ("9\ta.mrcs", "is image 10 of"),
        ("", "lists no particles"),
    ],
)
def test_what_is_no_list_is_said(project, line, sentence):
    folder, _ = project
    (folder / "bad.lst").write_text(HEADER + line + "\n")
    with pytest.raises(HeteroError, match=sentence):
        open_particles(folder / "bad.lst")


def test_a_list_is_no_original_to_write_a_subset_of(project, capsys):
    folder, poses = project
    write_lst(folder / "a.lst", poses)
    (folder / "n.csv").write_text("particle\n1\n")
    arguments = ["select", str(folder / "n.csv"), "--out", str(folder / "s.star"), "--original", str(folder / "a.lst")]
    assert main(arguments) == BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1
