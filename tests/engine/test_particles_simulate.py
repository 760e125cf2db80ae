"""Simulated particles: every image is its truth's projection through its CTF plus noise of s.d. 1, and no more."""

import importlib.util
import json
import re

import numpy as np
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.errors import HeteroError
from hetero.maps import Volume, read_map, write_map
from hetero.particles import CTF, Poses, open_particles, rotations_from_euler
from hetero.particles.project import MapProjector, Points, images_from_transforms, shift_phases
from hetero.particles.simulate import random_ctf, random_poses, simulate_images
from hetero.particles.specimens import draw_amounts, mix_of_points, part_moves, parts_come_and_go


def blobs(n=40, spread=12.0, seed=0):
    rng = np.random.default_rng(seed)
    return Points(rng.normal(0, spread, (n, 3)).clip(-2 * spread, 2 * spread), rng.uniform(5, 9, n), 3.0)


def write_pdb(path, positions):
    lines = [
        f"ATOM  {i + 1:5d}  CA  ALA A{i + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
        for i, (z, y, x) in enumerate(positions)
    ]
    path.write_text("\n".join([*lines, "END", ""]))


def clean_images(volume, particles):
    """What a map looks like from where each particle looks, by slices: another road than the simulator's points."""
    transforms = MapProjector(volume.data).transforms(particles.poses.rotations)
    transforms *= shift_phases(-particles.poses.shifts, particles.box, particles.apix)
    if particles.ctf is not None:
        transforms *= particles.ctf.images(particles.box, particles.apix)
    return images_from_transforms(transforms, particles.box)


@pytest.fixture(scope="module")
def two_states(tmp_path_factory):
    """Two little proteins, one twice as common."""
    folder = tmp_path_factory.mktemp("states")
    for name, seed in (("open", 1), ("closed", 2)):
        write_pdb(folder / f"{name}.pdb", blobs(60, 8.0, seed).positions)
    out = folder / "sim"
    states = [str(folder / f"{name}.pdb") for name in ("open", "closed")]
    arguments = ["--out", str(out), "--particles", "400", "--box", "32", "--states", *states]
    assert main(["simulate", *arguments, "--shares", "2", "1", "--snr", "0.5", "--bfactor", "60", "--quiet"]) == DONE
    return out


def test_images_are_the_truth_s_projections_and_white_noise(two_states):
    particles, truth = open_particles(two_states), np.load(two_states / "truth.npz")
    assert abs((truth["state"] == 0).mean() - 2 / 3) < 0.1 and list(truth["names"]) == ["open", "closed"]
    clean = np.empty((400, 32, 32))
    for k in range(2):
        mine = truth["state"] == k
        clean[mine] = clean_images(read_map(two_states / f"truth/state_{k}.mrc"), particles.subset(mine))
    images = particles.stack[:]
    noise = images - clean
    assert noise.var() == pytest.approx(1, abs=0.02)
    assert clean.var() == pytest.approx(0.5, rel=0.05)  # the signal-to-noise ratio asked for
    assert np.sum(clean * images) / np.sum(clean**2) == pytest.approx(1, abs=0.02)
    spectrum = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0) / 32**2
    assert spectrum.min() > 0.75 and spectrum.max() < 1.3  # white: nothing of the signal is left in any frequency
    wrong = clean_images(read_map(two_states / "truth/state_0.mrc"), particles.subset(truth["state"] == 1))
    assert np.corrcoef(wrong.ravel(), images[truth["state"] == 1].ravel())[0, 1] < 0.6


def test_the_star_file_is_relion_s_and_says_what_was_done(two_states):
    tables = pytest.importorskip("starfile").read(two_states / "particles.star")
    assert tables["optics"]["rlnImageSize"].item() == 32 and tables["optics"]["rlnVoltage"].item() == 300
    assert tables["particles"]["rlnImageName"][4] == "000005@particles.mrcs"
    truth, particles = np.load(two_states / "truth.npz"), open_particles(two_states / "particles.star")
    np.testing.assert_allclose(particles.poses.rotations, truth["rotations"], atol=1e-7)
    np.testing.assert_allclose(particles.poses.shifts, truth["shifts"], atol=1e-6)
    np.testing.assert_array_equal(particles.ctf.bfactor, 60)
    assert (np.bincount(particles.half_set) == 200).all()
    u, v = particles.ctf.defocus_u, particles.ctf.defocus_v
    assert (u.min() > 9_000) and (u.max() < 26_000) and (abs(u - v).max() <= 400)


def test_orientations_are_uniform_and_shifts_as_asked():
    poses = random_poses(20_000, 3.0, np.random.default_rng(0))
    np.testing.assert_allclose(poses.rotations.mean(axis=0), 0, atol=0.02)
    beam = poses.rotations[:, 2]
    np.testing.assert_allclose(beam.T @ beam / 20_000, np.eye(3) / 3, atol=0.01)
    assert poses.shifts.std() == pytest.approx(2.93, abs=0.05) and np.abs(poses.shifts).max() <= 7.5  # cut at 2.5 s.d.


def test_the_seed_repeats_and_matters(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = ["--out", str(tmp_path / name), "--particles", "3", "--box", "24", "--seed", str(seed), "--quiet"]
        assert main(["simulate", *arguments]) == DONE
    first, again, other = ((tmp_path / name / "particles.mrcs").read_bytes() for name in "abc")
    assert first == again != other


def test_chains_come_and_go(tmp_path, capsys):
    """The packaged ribosome: a particle without a block differs from the whole by that block's projection."""
    out = tmp_path / "sim"
    assert main(["simulate", "--out", str(out), "--particles", "60", "--box", "32", "--no-ctf", "--json"]) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert (answer["kind"], answer["n"], answer["ctf"]) == ("particles", 60, False)
    particles, truth = open_particles(out), np.load(out / "truth.npz")
    assert truth["present"].shape == (60, 7) and 0.3 < truth["present"].mean() < 0.7 and len(truth["names"]) == 7
    whole = read_map(out / "truth/all.mrc")
    images = clean_images(whole, particles)
    for k in range(7):
        without = read_map(out / f"truth/without_{k}.mrc")
        part = Volume(whole.data - without.data, whole.apix, whole.origin)
        images -= clean_images(part, particles) * ~truth["present"][:, k][:, None, None]
    assert (particles.stack[:] - images).var() == pytest.approx(1, abs=0.02)


def test_a_swing_turns_the_part_about_its_hinge(tmp_path):
    """Distances within the part, and to the hinge, stay; the angle is the one asked for; the rest rests."""
    rng = np.random.default_rng(0)
    core, arm = rng.normal(0, 6, (40, 3)), rng.normal(0, 3, (20, 3)) + np.array([0, 0, 25])
    points = Points(np.concatenate([core, arm]), np.ones(60), 2.0)
    moving = np.arange(60) >= 40
    amount = np.array([0.0, 30.0, 90.0])
    population = part_moves(points, moving, "rotate", 90.0, amount)

    def middle_of_arm(i):
        # the arm alone: what the projection of all has over that of the core, seen along z and along x
        places = []
        for view in (np.eye(3), rotations_from_euler([0.0], [90.0], [0.0])[0]):
            alone = population.project(i, view, 64, 1.5) - Points(core, np.ones(40), 2.0).transform(view, 64, 1.5)
            image = images_from_transforms(alone, 64)
            row, column = np.mgrid[:64, :64] - 32
            places += [(column * image).sum() / image.sum() * 1.5, (row * image).sum() / image.sum() * 1.5]
        x, y, minus_z, _ = places  # tilt 90: the image's x is minus the map's z
        return np.array([x, y, -minus_z])

    rest, turned, far = (middle_of_arm(i) for i in range(3))
    np.testing.assert_allclose(rest, arm.mean(axis=0)[::-1], atol=0.05)
    # three places on one circle: the chords tell the angle
    chords = np.linalg.norm([turned - rest, far - rest], axis=1)
    assert chords[0] / chords[1] == pytest.approx(np.sin(np.radians(15)) / np.sin(np.radians(45)), rel=1e-3)
    assert chords[1] > 4
    assert list(population.examples) == ["amount_0", "amount_22.5", "amount_45", "amount_67.5", "amount_90"]
    density = population.examples["amount_0"](64, 1.5)
    assert density.sum() * 1.5**3 == pytest.approx(60, rel=1e-4)


def test_a_slide_and_its_spreads(tmp_path):
    points = blobs(30)
    moving = np.arange(30) < 8
    population = part_moves(points, moving, "slide", 20.0, np.array([0.0, 20.0]))
    difference = population.project(1, np.eye(3), 64, 2.0) - population.project(0, np.eye(3), 64, 2.0)
    assert np.abs(difference).max() > 0 and difference[0, 0] == pytest.approx(0, abs=1e-9)
    rng = np.random.default_rng(0)
    uniform, ends, gaps = (draw_amounts(5000, s, rng) for s in ("uniform", "cooperative", "non-contiguous"))
    for amounts in (uniform, ends, gaps):
        assert 0 <= amounts.min() < 0.01 and 0.99 < amounts.max() <= 1
    middle = [((a > 0.2) & (a < 0.8)).mean() for a in (uniform, ends)]
    assert middle[0] == pytest.approx(0.6, abs=0.03) and middle[1] < 0.4
    assert not ((gaps > 0.201) & (gaps < 0.399)).any() and not ((gaps > 0.601) & (gaps < 0.799)).any()


def test_motion_by_command(tmp_path):
    out = tmp_path / "sim"
    arguments = ["--out", str(out), "--particles", "20", "--box", "32", "--motion", "rotate", "--reach", "40"]
    assert main(["simulate", *arguments, "--spread", "non-contiguous", "--quiet"]) == DONE
    amount = np.load(out / "truth.npz")["amount"]
    assert amount.shape == (20,) and amount.min() >= 0 and amount.max() <= 40
    assert sorted(p.name for p in (out / "truth").iterdir())[:2] == ["amount_0.mrc", "amount_10.mrc"]


def test_a_folder_of_maps_as_states(tmp_path):
    (tmp_path / "maps").mkdir()
    for k in range(2):
        data = blobs(40, 8.0, k).density(24, 2.5)
        write_map(tmp_path / f"maps/v{k}.mrc", Volume(data, 2.5, 0, f"v{k}"))
    out = tmp_path / "sim"
    arguments = ["--out", str(out), "--particles", "50", "--states", str(tmp_path / "maps"), "--snr", "20"]
    assert main(["simulate", *arguments, "--quiet"]) == DONE
    particles, truth = open_particles(out), np.load(out / "truth.npz")
    assert (particles.box, particles.apix) == (24, 2.5)
    for k in range(2):
        mine = truth["state"] == k
        clean = clean_images(read_map(out / f"truth/state_{k}.mrc"), particles.subset(mine))
        assert (particles.stack[:][mine] - clean).var() == pytest.approx(1, abs=0.05)


def test_agrees_with_the_benchmark_s_simulator(shared, tmp_path):
    """Another program's atoms, projection, CTF and shift: the same image, up to what it folds over at Nyquist."""
    spec = importlib.util.spec_from_file_location("simulate_drgn", shared / "bench/simulate_drgn.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    atoms = bench.atoms_discrete(1, bench.model())  # x, y, z
    angles, place = np.array([[20.0, 60, -75], [-140, 110, 30]]), np.array([[6.0, -11], [-3, 9]])
    poses = Poses(rotations_from_euler(*angles.T), -place)
    ctf = CTF([15000.0, 22000], [14700.0, 21700], [30.0, 130], bench.KV, bench.CS, bench.W, bfactor=bench.BFAC)
    weights = np.full(len(atoms), (2 * np.pi * bench.SIG**2) * bench.APIX)  # theirs have height 1 in projection
    population = mix_of_points([Points(atoms[:, ::-1], weights, bench.SIG)], np.zeros(2, dtype=int))
    (found,) = simulate_images(population, poses, ctf, bench.D, bench.APIX, 1.0, None)
    for i in range(2):
        image = bench.project(atoms, bench.euler(*angles[i]), place[i])
        transfer = bench.ctf2d(ctf.defocus_u[i], ctf.defocus_v[i], ctf.angle[i])
        expected = np.fft.ifft2(np.fft.fft2(image) * transfer).real
        assert np.abs(found[i] - expected).max() < 5e-3 * np.abs(expected).max()


BAD = {
    "states without particles": (["--states", "a.pdb"], "say how many with --particles"),
    "motion without particles": (["--motion", "slide"], "say how many with --particles"),
    "fewer than none": (["--particles", "-1"], "The number of particles is -1"),
    "no signal": (["--particles", "5", "--snr", "0"], r"signal-to-noise ratio \(snr\) is 0"),
    "no such chain": (["--particles", "5", "--blocks", "ZZZ"], "has no chain ZZZ"),
    "too big for the box": (["--particles", "5", "--apix", "2"], "does not fit into 64 pixels of 2 Å"),
    "everything moves": (["--particles", "5", "--motion", "slide", "--structure", "a.pdb", "--blocks", "A"], "whole"),
    "no such state": (["--particles", "5", "--states", "gone.pdb"], "gone.pdb is not there"),
    "states of two kinds": (["--particles", "5", "--states", "a.pdb", "m24.mrc"], "m24.mrc is no structure|two kinds"),
    "states on two grids": (["--particles", "5", "--states", "m24.mrc", "m16.mrc"], "m16.mrc lies on another grid"),
    "a share too many": (["--particles", "5", "--states", "a.pdb", "--shares", "1", "2"], "2 shares are given for 1"),
    "a share of nothing": (["--particles", "5", "--states", "a.pdb", "--shares", "0"], "shares of the states are"),
    "states that move": (
        ["--particles", "5", "--states", "a.pdb", "--motion", "slide"],
        "give no structure, blocks",
    ),
    "maps of another pixel": (["--particles", "5", "--states", "m24.mrc", "--apix", "3"], "Maps keep their own voxels"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    write_pdb(folder / "a.pdb", np.array([[i % 7, 0, 3.0 * i] for i in range(90)]))
    for box in (16, 24):
        write_map(folder / f"m{box}.mrc", Volume(blobs().density(box, 3.0), 3.0))
    return folder


@pytest.mark.filterwarnings("ignore::hetero.maps.MapWarning")
@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_one_sentence(place, case, capsys, monkeypatch):
    arguments, message = BAD[case]
    monkeypatch.chdir(place)
    assert main(["simulate", "--out", "out", *arguments]) == BAD_INPUT
    error = capsys.readouterr().err.strip()
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1 and not (place / "out").exists()


def test_counts_that_differ():
    population = parts_come_and_go(blobs(), np.zeros((1, 40), dtype=bool), np.ones((3, 1)))
    poses, (ctf, _) = random_poses(3, 1.0, np.random.default_rng(0)), random_ctf(2, np.random.default_rng(0))
    with pytest.raises(HeteroError, match="3 particles are to be made with 2 CTFs"):
        next(simulate_images(population, poses, ctf, 64, 2.0, 1.0, None))
