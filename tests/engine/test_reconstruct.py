"""Backprojection: projections of a known map give the map; ``hetero reconstruct`` as a user types it."""

import json

import numpy as np
import pandas as pd
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands import load, settings_from
from hetero.errors import Cancelled
from hetero.maps import Volume, density_from_atoms, fsc_curves, read_map, write_map
from hetero.particles import CTF, Poses, open_particles, write_stack, write_star
from hetero.particles.backproject import backproject, fine_box
from hetero.particles.project import MapProjector, images_from_transforms, shift_phases
from hetero.particles.reconstruct import reconstruct, split_halves
from hetero.particles.relion import star_tables
from hetero.particles.simulate import random_poses
from hetero.particles.symmetry import symmetry_rotations

BOX, APIX = 32, 4.0


def say(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def truth_of(globule, seed=0, box=BOX):
    structure = globule(seed, atoms=400, radius=0.15 * box * APIX)
    positions = structure.positions - [0.2 * box * APIX * 0.5, 0, 0]
    return density_from_atoms(positions, structure.weights, (box,) * 3, APIX, np.full(3, -APIX * (box // 2)), 3 * APIX)


def microscope(n, rng):
    u = rng.uniform(8_000, 20_000, n)
    return CTF(u, u - rng.uniform(0, 2_000, n), rng.uniform(0, 180, n), 300.0, 2.7, 0.1)


def images_of(truth, poses, ctf):
    transforms = MapProjector(truth).transforms(poses.rotations)
    transforms *= shift_phases(-poses.shifts, len(truth), APIX)
    if ctf is not None:
        transforms *= ctf.images(len(truth), APIX)
    return images_from_transforms(transforms, len(truth)).astype(np.float32)


def write_set(folder, images, poses, ctf, half_set=None):
    """``particles.star`` in a new folder."""
    folder.mkdir()
    n, box = images.shape[:2]
    with write_stack(folder / "p.mrcs", n, box, APIX) as writer:
        writer.append(images)
    names = [f"{i:06d}@p.mrcs" for i in range(1, n + 1)]
    write_star(folder / "particles.star", star_tables(names, box, np.full(n, APIX), poses, ctf, half_set))
    return folder / "particles.star"


@pytest.fixture(scope="module")
def clean(globule, tmp_path_factory):
    """1,200 noise-free images with CTF and shifts, and their map."""
    rng = np.random.default_rng(0)
    truth, poses, ctf = truth_of(globule), random_poses(1200, 6.0, rng), microscope(1200, rng)
    half_set = rng.permutation(np.arange(1200) % 2)
    return write_set(tmp_path_factory.mktemp("s") / "clean", images_of(truth, poses, ctf), poses, ctf, half_set), truth


def test_projections_give_their_map(clean, tmp_path, capsys):
    """Axes, hand, sign, shifts and scale: each mistake alone would show."""
    star, truth = clean
    out = tmp_path / "out"
    status, text, err = say(capsys, "reconstruct", star, "--out", out)
    assert (status, err) == (DONE, "") and "from 1,200 particles" in text
    assert "(the refinement's own): 600 and 600" in text
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["map.mrc", "half1.mrc", "half2.mrc", "fsc.csv", "fsc.png", "config.json"]
    )
    volume = read_map(out / "map.mrc")
    assert volume.apix[0] == APIX and not volume.origin.any()
    for name in ("map", "half1", "half2"):
        data = read_map(out / f"{name}.mrc").data
        fsc = fsc_curves(truth, data, APIX).unmasked
        assert fsc[: int(0.9 * BOX / 2)].min() > 0.99, name
    assert np.vdot(volume.data, truth) / np.vdot(truth, truth) == pytest.approx(1, abs=0.03)
    for wrong in (truth[::-1], truth[:, ::-1], truth[:, :, ::-1], truth.transpose(2, 1, 0)):
        assert np.corrcoef(np.roll(wrong, 1).ravel(), volume.data.ravel())[0, 1] < 0.9
    table = pd.read_csv(out / "fsc.csv")
    assert len(table) == BOX // 2 and table["fsc"].min() > 0.9
    record = json.loads((out / "config.json").read_text())
    assert record["verb"] == "reconstruct" and record["result"]["n"] == 1200


def test_each_part_of_an_image_matters(clean):
    """Without their shifts, their CTF or with its other sign, the images give another map."""
    from dataclasses import replace

    star, truth = clean
    particles = open_particles(star)
    half_set, _ = split_halves(particles)
    still = replace(particles, poses=Poses(particles.poses.rotations, 0 * particles.poses.shifts))
    turned = replace(particles, poses=Poses(particles.poses.rotations.transpose(0, 2, 1), particles.poses.shifts))
    for other, least, most in ((still, -1, 0.95), (turned, -1, 0.9), (replace(particles, ctf=None), -1, 0.9)):
        fsc = fsc_curves(truth, reconstruct(other, half_set).data, APIX).unmasked[:14]
        assert least < fsc.mean() < most
    dark = replace(particles, stack=particles.stack.inverted())
    assert fsc_curves(truth, reconstruct(dark, half_set).data, APIX).unmasked[:14].max() < -0.99


@pytest.mark.parametrize("box", [24, 25])
def test_sums_are_those_of_the_plain_definition(globule, tmp_path, box):
    """Every pixel of whole transforms, with its CTF, to its eight neighbours on the whole grid; any threads."""
    rng = np.random.default_rng(3)
    truth, poses, ctf = truth_of(globule, 1, box), random_poses(7, 6.0, rng), microscope(7, rng)
    images, weights = images_of(truth, poses, ctf), rng.uniform(0.5, 2, 7)
    weights[2] = 0
    particles = open_particles(write_set(tmp_path / "set", images, poses, ctf))
    sums = backproject(particles, weights, threads=1)
    for threads in (2, 5):
        again = backproject(particles, weights, threads=threads)
        assert (again.numerator == sums.numerator).all() and (again.density == sums.density).all()
    fine = fine_box(box)
    numerator, density = np.zeros((fine,) * 3, complex), np.zeros((fine,) * 3)
    k = np.fft.fftfreq(box, 1 / box)
    ky, kx = (v.ravel() for v in np.meshgrid(k, k, indexing="ij"))
    inside = kx**2 + ky**2 < (box / 2) ** 2
    kx, ky = kx[inside], ky[inside]
    for i in range(7):
        moved = np.fft.fft2(images[i]).ravel()[inside]
        moved *= np.exp(-2j * np.pi * (kx * (poses.shifts[i, 0] / APIX - box // 2)) / box)
        moved *= np.exp(-2j * np.pi * (ky * (poses.shifts[i, 1] / APIX - box // 2)) / box)
        c = ctf[[i]].evaluate(kx[None] / (box * APIX), ky[None] / (box * APIX))[0]
        place = np.stack([kx, ky, 0 * kx], axis=1) @ poses.rotations[i] * (fine / box)  # R^T k
        low = np.floor(place).astype(int)
        for corner in np.ndindex(2, 2, 2):
            share = np.prod(np.where(corner, place - low, 1 - (place - low)), axis=1) * weights[i]
            at = tuple(((low + corner) % fine).T[::-1])
            np.add.at(numerator, at, share * c * moved)
            np.add.at(density, at, share * c * c)
    half = fine // 2 + 1
    # The plane of Nyquist, on which no map of this box has a frequency, is only half filled.
    ours, plain = slice(None, half - 1), (slice(None), slice(None), slice(None, half - 1))
    np.testing.assert_allclose(sums.density[:, :, ours], density[plain], atol=1e-4)
    np.testing.assert_allclose(sums.numerator[:, :, ours], numerator[plain], atol=1e-4 * np.abs(numerator).max())


def test_halves_are_disjoint_and_noise_agrees_with_nothing(tmp_path, capsys):
    rng = np.random.default_rng(5)
    n = 400
    images, poses = rng.standard_normal((n, BOX, BOX)).astype(np.float32), random_poses(n, 6.0, rng)
    star = write_set(tmp_path / "noise", images, poses, microscope(n, rng))
    particles = open_particles(star)
    halves, whose = split_halves(particles)
    assert whose == "odd-even" and (halves == np.arange(n) % 2).all()
    assert say(capsys, "reconstruct", star, "--out", tmp_path / "out")[0] == DONE
    fsc = pd.read_csv(tmp_path / "out" / "fsc.csv")
    assert abs(fsc["fsc"][2:].mean()) < 0.05 and fsc["fsc"][2:].max() < 0.4
    # A half map knows nothing of the other half's images.
    images[halves == 1] = 0
    other = write_set(tmp_path / "other", images, poses, particles.ctf)
    first, second = (reconstruct(open_particles(s), halves).halves for s in (star, other))
    raw = [backproject(open_particles(s), (halves == 0).astype(float)) for s in (star, other)]
    assert (raw[0].numerator == raw[1].numerator).all()
    assert np.corrcoef(first[0].ravel(), second[0].ravel())[0, 1] > 0.8 and not second[1].any()


def test_symmetry(globule, tmp_path, capsys):
    """A map with a two-fold axis along z is better with it, from few noisy images; and is symmetric to the eye."""
    rng = np.random.default_rng(6)
    one = truth_of(globule, 2)
    truth = one + np.roll(one[:, ::-1, ::-1], 1, axis=(1, 2))
    poses, ctf = random_poses(150, 6.0, rng), microscope(150, rng)
    images = images_of(truth, poses, ctf)
    images += rng.normal(0, 2 * images.std(), images.shape).astype(np.float32)
    star = write_set(tmp_path / "set", images, poses, ctf)
    areas = {}
    for name in ("C1", "C2"):
        assert say(capsys, "reconstruct", star, "--out", tmp_path / name, "--symmetry", name)[0] == DONE
        data = read_map(tmp_path / name / "map.mrc").data
        areas[name] = fsc_curves(truth, data, APIX).unmasked.mean()
    assert areas["C2"] > areas["C1"] + 0.02
    turned = np.roll(data[:, ::-1, ::-1], 1, axis=(1, 2))
    assert np.corrcoef(turned.ravel(), data.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(("name", "order"), [("C1", 1), ("c7", 7), ("D3", 6), ("T", 12), ("O", 24), ("I", 60)])
def test_groups_are_groups(name, order):
    group = symmetry_rotations(name)
    products = np.einsum("aij,bjk->abik", group, group).reshape(-1, 9)
    distance = np.abs(products[:, None] - group.reshape(1, order, 9)).max(axis=2)
    assert len(group) == order and (distance.min(axis=1) < 1e-9).all()


@pytest.fixture
def two_states(write_cryodrgn, globule, tmp_path):
    """600 noisy particles of states A (every third) and B, and a run whose latents tell them."""
    pytest.importorskip("torch", reason="runs need torch")
    rng = np.random.default_rng(8)
    states = truth_of(globule, 3), truth_of(globule, 4)
    poses, ctf = random_poses(600, 4.0, rng), microscope(600, rng)
    is_a = np.arange(600) % 3 == 0
    images = np.where(is_a[:, None, None], images_of(states[0], poses, ctf), images_of(states[1], poses, ctf))
    images += rng.normal(0, images.std(), images.shape).astype(np.float32)
    return write_set(tmp_path / "set", images, poses, ctf), write_cryodrgn(n=600), states


def test_near_a_latent_the_map_is_that_state_s(two_states, tmp_path, capsys):
    star, folder, (a, b) = two_states
    arguments = ["reconstruct", star, "--run", folder]
    status, text, _ = say(capsys, *arguments, "--z", 4, 0, "--bandwidth", 0.5, "--out", tmp_path / "a")
    assert status == DONE and "near a latent: as good as" in text
    near_a = read_map(tmp_path / "a" / "map.mrc").data
    result = json.loads((tmp_path / "a" / "config.json").read_text())["result"]
    assert 100 < result["effective"] <= result["n"] <= 200
    assert say(capsys, *arguments, "--z", 0, 0, "--bandwidth", 0.5, "--out", tmp_path / "b")[0] == DONE
    near_b = read_map(tmp_path / "b" / "map.mrc").data

    def likeness(data, truth):
        return fsc_curves(truth, data, APIX).unmasked[:8].mean()

    assert likeness(near_a, a) > 0.9 > likeness(near_a, b) + 0.2
    assert likeness(near_b, b) > 0.9 > likeness(near_b, a) + 0.2
    # around a decoded map is around its latent; and by itself the bandwidth takes a share of the particles
    assert say(capsys, "decode", folder, "--z", 4, 0, "--out", tmp_path / "maps")[0] == DONE
    around = ["--around-volume", tmp_path / "maps" / "vol_000.mrc", "--bandwidth", 0.5]
    assert say(capsys, *arguments, *around, "--out", tmp_path / "c")[0] == DONE
    np.testing.assert_array_equal(read_map(tmp_path / "c" / "map.mrc").data, near_a)
    answer = json.loads(say(capsys, *arguments, "--z", 4, 0, "--out", tmp_path / "d", "--json")[1])
    assert answer["effective"] == pytest.approx(150, rel=0.02)  # a quarter: there are few


def test_a_number_that_the_model_does_not_use_counts_nothing():
    """A latent's unused number has the prior's variance in every posterior and means near zero."""
    from hetero.latent.kernel import bandwidth_of, effective_number, kernel_weights, squared_distances

    rng = np.random.default_rng(0)
    latents = np.stack([rng.normal(0, 2, 2000), rng.normal(0, 0.01, 2000)], axis=1)
    log_variance = np.stack([np.full(2000, -6.0), np.zeros(2000)], axis=1)
    squared = squared_distances(latents, log_variance, np.array([1.0, 0.0]))
    expected = ((latents[:, 0] - 1) / latents[:, 0].std()) ** 2
    assert np.abs(np.sqrt(squared) - np.sqrt(expected)).max() < 0.06
    turned = latents @ [[0.6, -0.8], [0.8, 0.6]]
    whitened = squared_distances(turned, None, np.array([0.6, -0.8]))
    np.testing.assert_allclose(whitened, squared_distances(latents, None, np.array([1.0, 0.0])), rtol=1e-6)
    for number in (20, 200, 1500):
        weights = kernel_weights(squared, bandwidth_of(squared, number))
        assert effective_number(weights) == pytest.approx(number, rel=0.03)
    assert effective_number(np.ones(7)) == 7


BAD = {
    "no poses": (["set/p.mrcs"], "set/p.mrcs has no poses"),
    "no such symmetry": (["set/particles.star", "--symmetry", "X7"], "There is no symmetry 'X7' here; C1, C2 ..."),
    "a latent without a run": (["set/particles.star", "--z", "1", "2"], "--run was expected too"),
    "a run without a latent": (["set/particles.star", "--run", "run"], "One of --z and --around-volume was expected"),
    "two latents": (
        ["set/particles.star", "--run", "run", "--z", "1", "2", "--around-volume", "map.mrc"],
        "One of --z and --around-volume was expected",
    ),
    "a latent too long": (["set/particles.star", "--run", "run", "--z", "1"], "A latent of 1 numbers was given"),
    "a run of others": (
        ["set/particles.star", "--run", "fewer", "--z", "1", "2"],
        "set/particles.star lists 600 particles and the run of fewer has 30",
    ),
    "no run": (["set/particles.star", "--run", "set", "--z", "1", "2"], "set is not a run"),
    "a map of no run": (
        ["set/particles.star", "--run", "run", "--around-volume", "map.mrc"],
        "ensemble.csv is not there; a map that hetero decode wrote",
    ),
    "a latent far off": (
        ["set/particles.star", "--run", "run", "--z", "90", "0", "--bandwidth", "0.5"],
        "No particle of set/particles.star lies within three bandwidths (0.5)",
    ),
    "no bandwidth": (
        ["set/particles.star", "--run", "run", "--z", "4", "0", "--bandwidth", "0"],
        "The bandwidth is 0; 0.001 or more was expected",
    ),
    "one particle": (["set/particles.star", "--ind", "one.npy"], "The half sets have 1 and 0 particles"),
    "onto other files": (["set/particles.star", "--out", "set"], "set already holds other files"),
}


def test_bad_input_gets_one_sentence_and_leaves_nothing(two_states, write_cryodrgn, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_cryodrgn("fewer")
    write_map(tmp_path / "map.mrc", Volume(np.zeros((8, 8, 8)), 2.0))
    np.save(tmp_path / "one.npy", np.array([4]))
    before = sorted(tmp_path.rglob("*"))
    for arguments, words in BAD.values():
        status, out, err = say(
            capsys, "reconstruct", *arguments, *([] if "--out" in arguments else ["--out", "new"]), "--quiet"
        )
        assert (status, out) == (BAD_INPUT, "") and words in err, arguments
        assert err.startswith("hetero reconstruct: ") and len(err.strip().splitlines()) == 1, arguments
        assert sorted(tmp_path.rglob("*")) == before, arguments


def test_stopped_in_the_middle_nothing_is_left(clean, tmp_path):
    def stop(done, total, message):
        if done > total // 2:
            raise Cancelled

    verb, out = load("reconstruct"), tmp_path / "out"
    with pytest.raises(Cancelled):
        verb.run(settings_from("reconstruct", {"particles": clean[0], "out": out}), stop)
    assert not list(tmp_path.iterdir())
    verb.run(settings_from("reconstruct", {"particles": clean[0], "out": out}))
    made = (out / "map.mrc").stat().st_mtime_ns
    with pytest.raises(Cancelled):
        verb.run(settings_from("reconstruct", {"particles": clean[0], "out": out}), stop)
    assert (out / "map.mrc").stat().st_mtime_ns == made  # the earlier result stays


def test_real_images_give_a_hand(shared, tmp_path, capsys):
    """cryoDRGN's own test set: a hand, with poses in a pickle and no CTF."""
    data = shared / "data" / "particles" / "cryodrgn_tests"
    poses = data / "hand_rot.pkl"
    status, text, _ = say(capsys, "reconstruct", data / "hand.mrcs", "--poses", poses, "--out", tmp_path / "hand")
    assert status == DONE and "no CTF; it was taken as 1" in text
    made, truth = read_map(tmp_path / "hand" / "map.mrc").data, read_map(data / "hand-vol.mrc").data
    left, right = (np.corrcoef(made.ravel(), t.ravel())[0, 1] for t in (truth, np.roll(truth[::-1], 1, axis=0)))
    assert left > 0.99 and right < 0.9
