"""The linear model: against a dense Gaussian posterior, known states, and as a user runs it."""

import json

import numpy as np
import pandas as pd
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands import train_linear
from hetero.commands.open_run import open_run
from hetero.errors import Cancelled
from hetero.linear import junk
from hetero.linear.decoder import LinearDecoder
from hetero.linear.em import em_step, start_components, start_mean
from hetero.linear.full import image_power, regularised, solve_halves
from hetero.linear.grid import Grid
from hetero.linear.halves import alignment, shell_correlation, split, trusted_radius
from hetero.linear.posterior import Posterior, Statistics, posterior, statistics
from hetero.linear.slices import disc, read_slices
from hetero.linear.solve import Equations
from hetero.linear.store import read_store
from hetero.maps import low_pass, read_map, resample_fourier
from hetero.particles import open_particles, write_stack, write_star
from hetero.particles.project import MapProjector, Points, shift_phases, transforms_from_images
from hetero.particles.relion import star_tables
from hetero.particles.simulate import random_ctf, random_poses, signal_scale, simulate_images
from hetero.particles.specimens import mix_of_points
from hetero.progress import silent

pytest.importorskip("torch", reason="weights are written with torch")

BOX, APIX, N = 28, 6.0, 800


def states():
    """A body, and a lobe that sits at one of two places or is not there: no mirror plane, no symmetry."""
    rng = np.random.default_rng(1)
    body = rng.normal(size=(400, 3)) * [14, 10, 18] + [0, -8, 0]
    lobe = rng.normal(size=(120, 3)) * 7
    places = [lobe + place for place in np.array([[25, 18, 12], [-20, 25, 10]])]
    points = [np.concatenate([body, place]) for place in places] + [body]
    return [Points(p, np.ones(len(p)), 5.0) for p in points]


def write_particles(folder, images, poses, ctf, half=True):
    folder.mkdir(exist_ok=True)
    n = len(images)
    with write_stack(folder / "p.mrcs", n, images.shape[-1], APIX) as writer:
        writer.append(images)
    names = [f"{i:06d}@p.mrcs" for i in range(1, n + 1)]
    halves = np.arange(n) % 2 if half else None
    write_star(folder / "p.star", star_tables(names, images.shape[-1], np.full(n, APIX), poses, ctf, halves))
    return folder / "p.star"


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A star file of 800 particles of 28 pixels, their states, and the states' maps."""
    rng = np.random.default_rng(3)
    state = rng.choice(3, N, p=[0.4, 0.35, 0.25])
    population, poses = mix_of_points(states(), state), random_poses(N, 9.0, rng)
    ctf, _ = random_ctf(N, rng, bfactor=100.0)
    scale = signal_scale(population, poses, ctf, BOX, APIX, 0.3)
    images = np.concatenate(list(simulate_images(population, poses, ctf, BOX, APIX, scale, rng)))
    path = write_particles(tmp_path_factory.mktemp("known") / "set", images, poses, ctf)
    return path, state, [points.density(BOX, APIX) * scale for points in states()]


@pytest.fixture(scope="module")
def trained(known, tmp_path_factory):
    """The folder of a run on them, and the answer of the verb."""
    out = tmp_path_factory.mktemp("linear") / "run"
    return out, train_linear.run(train_linear.Settings(known[0], out, zdim=3))


def test_slices_are_the_projections_of_the_map(known):
    path, _, maps = known
    particles, pixels = open_particles(path).subset(slice(0, 100)), disc(9)
    clean = MapProjector(maps[0]).transforms(particles.poses.rotations)
    grid = Grid(BOX)
    parts = grid.transform(maps[0][None].astype(np.float32))
    ((_, slices),) = read_slices(particles, BOX, pixels)
    mine = grid.gather(slices.points, parts)[..., 0]
    x, y = pixels.places.T
    theirs = clean[:, y, x]
    side = np.sign(
        np.einsum("nij,pj->npi", particles.poses.rotations.transpose(0, 2, 1)[..., :2], pixels.places)[..., 0]
    )
    theirs = np.stack([theirs.real, theirs.imag * side], axis=-1)
    assert np.abs(mine - theirs).max() < 0.03 * np.abs(theirs).max()
    # and those of the images are their transforms, centred
    images = particles.stack[:5]
    moved = transforms_from_images(images) * shift_phases(particles.poses.shifts[:5], BOX, APIX)
    np.testing.assert_allclose(slices.values[:5, :, 0], moved[:, y, x].real, atol=1e-3)


def test_the_grid_and_its_transpose_agree():
    rng, grid = np.random.default_rng(0), Grid(12)
    maps = rng.standard_normal((2, 12, 12, 12)).astype(np.float32)
    points = rng.uniform(-5, 5, (40, 3)).astype(np.float32)
    points[:, 0] = np.abs(points[:, 0])
    back = np.zeros((grid.nodes, 2, 2), np.float32)
    there = grid.gather(points, grid.transform(maps))
    other = rng.standard_normal(there.shape).astype(np.float32)
    grid.scatter(points, other, back)
    assert (there * other).sum() == pytest.approx((maps * grid.adjoint(back)).sum(), rel=1e-4)


def test_the_posterior_is_that_of_a_dense_gaussian():
    rng = np.random.default_rng(0)
    samples, values = rng.standard_normal((5, 30, 4)).astype(np.float32), rng.standard_normal((5, 30)) * 2
    found = posterior(statistics(samples, values.astype(np.float32)))
    for i in range(5):
        mean, loadings = samples[i, :, 0].astype(float), samples[i, :, 1:].astype(float)
        covariance = loadings @ loadings.T + np.eye(30)  # of the image
        away = values[i] - mean
        np.testing.assert_allclose(found.mean[i], loadings.T @ np.linalg.solve(covariance, away), rtol=1e-4, atol=1e-5)
        expected = np.eye(3) - loadings.T @ np.linalg.solve(covariance, loadings)
        np.testing.assert_allclose(found.covariance[i], expected, rtol=1e-4, atol=1e-6)
        cost = 0.5 * (away @ np.linalg.solve(covariance, away) + np.linalg.slogdet(covariance)[1])
        assert found.cost[i] == pytest.approx(cost, rel=1e-5)


def test_every_iteration_lowers_the_cost(known):
    particles = open_particles(known[0])
    grid, pixels = Grid(18), disc(8)
    store = read_store(particles, 18, pixels, None, silent)
    state = start_components(start_mean(store, grid), 3, np.random.default_rng(0))
    costs = []
    for _ in range(15):
        state, cost = em_step(store, grid, state)
        costs.append(cost)
    assert (np.diff(costs) < 0).all() and costs[0] - costs[-1] > N


def test_states_are_found_and_noise_components_are_not(known, trained):
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    _, state, _ = known
    out, answer = trained
    run = open_run(out)
    assert run.system == "linear" and len(run) == N and run.zdim == 3
    labels = KMeans(3, n_init=5, random_state=0).fit_predict(run.latents)
    assert adjusted_rand_score(state, labels) > 0.95
    assert [row["above_noise"] for row in answer["components"]] == [1, 1, 0]
    assert answer["above_noise"] == 2
    # three corners of a triangle have two dimensions: nothing is left for the third component
    assert answer["components"][2]["share"] < 0.05
    assert run.latents[:, 0].std() == pytest.approx(1, abs=0.15)


def test_images_without_a_particle_are_junk(known, tmp_path):
    particles = open_particles(known[0])
    images = particles.stack[:]
    images[-12:] = np.random.default_rng(9).standard_normal((12, BOX, BOX))
    path = write_particles(tmp_path / "set", images, particles.poses, particles.ctf)
    answer = train_linear.run(train_linear.Settings(path, tmp_path / "run", zdim=2, box=20, iterations=4))
    table = pd.read_csv(tmp_path / "run" / "particles.csv")
    np.testing.assert_array_equal(table["particle"], np.arange(N))
    assert table["junk"][-12:].all() and table["junk"][:-12].mean() < 0.01
    assert answer["junk"] == table["junk"].sum()
    assert table["contrast"][-12:].mean() < 0.3
    assert table["contrast"][:-12].mean() == pytest.approx(1, abs=0.1)


def test_decoded_maps_are_the_states_with_the_right_hand(known, trained):
    _, state, maps = known
    run = open_run(trained[0])
    centres = np.stack([run.latents[state == k].mean(axis=0) for k in range(3)])
    found = [volume.data for volume in run.decode(centres)]
    for k, data in enumerate(found):
        near = [np.corrcoef(data.ravel(), truth.ravel())[0, 1] for truth in maps]
        assert np.argmax(near) == k and near[k] > 0.95
        # the same scale of values as the images, not only the same picture
        assert np.vdot(data, maps[k]) / np.vdot(maps[k], maps[k]) == pytest.approx(1, abs=0.1)
    lobe, truth = found[0] - found[2], maps[0] - maps[2]
    mirrored = np.roll(truth[::-1], 1, axis=0)  # about voxel box // 2
    assert np.corrcoef(lobe.ravel(), truth.ravel())[0, 1] > 0.9
    assert np.corrcoef(lobe.ravel(), mirrored.ravel())[0, 1] < 0.3


def test_a_smaller_map_is_the_same_map(trained):
    run = open_run(trained[0])
    (whole,), (small,) = (list(run.decoder(run.latents[:1], box)) for box in (BOX, 14))
    assert small.shape == (14,) * 3
    spectrum, coarse = np.fft.fftn(whole) / whole.size, np.fft.fftn(small) / small.size
    np.testing.assert_allclose(coarse[:6, :6, :6], spectrum[:6, :6, :6], atol=1e-5 * np.abs(spectrum).max())
    assert isinstance(run.decoder, LinearDecoder)


def test_latents_errors_are_as_large_as_said(known, trained):
    # of states that are points, latents scatter by no more than prior and noise allow
    run = open_run(trained[0])
    state = known[1]
    scatter = np.stack([run.latents[state == k][:, :2].std(axis=0) for k in range(3)])
    said = np.exp(0.5 * run.log_variance[:, :2]).mean(axis=0)
    assert (scatter < 1.5 * said).all() and (scatter > 0.5 * said).all()


def test_the_same_seed_gives_the_same_run(known, trained, tmp_path, capsys):
    arguments = ["train-linear", str(known[0]), "--out", str(tmp_path / "again"), "--zdim", "3", "--json"]
    assert main(arguments) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert answer["radius"] == trained[1]["radius"]
    np.testing.assert_array_equal(open_run(tmp_path / "again").latents, open_run(trained[0]).latents)


def test_some_particles_at_a_smaller_box(known, tmp_path, capsys):
    import pickle

    rows = np.arange(100, 500)
    (tmp_path / "ind.pkl").write_bytes(pickle.dumps(rows))
    out = tmp_path / "some"
    arguments = ["train-linear", known[0], "--out", out, "--zdim", "2", "--ind", tmp_path / "ind.pkl", "--box", "20"]
    assert main([str(a) for a in arguments]) == DONE
    assert "for an image of the other half" in capsys.readouterr().out
    run = open_run(out)
    np.testing.assert_array_equal(run.particle_index, rows)
    assert run.box == 20 and run.apix == pytest.approx(APIX * BOX / 20)
    assert main(["decode", str(out), "--particles", "100", "--out", str(tmp_path / "maps")]) == DONE
    volume = read_map(tmp_path / "maps" / "vol_000.mrc")
    assert volume.data.shape == (20,) * 3 and volume.data.max() > 5 * volume.data.std()
    assert main(["info", str(out)]) == DONE and "a run of linear" in capsys.readouterr().out


@pytest.mark.parametrize("box", [BOX, 18])  # as fine as the images, and hardly finer than EM's own maps
def test_a_first_look_has_the_states_as_coarse_maps(known, tmp_path, box):
    _, state, maps = known
    out = tmp_path / "look"
    answer = train_linear.run(train_linear.Settings(known[0], out, zdim=3, coarse=True, box=box))
    assert answer["radius"] == answer["final_radius"] and "all radii" not in answer["seconds"]
    run = open_run(out)
    assert run.box == box and np.isfinite(run.log_variance).all()
    coarse = BOX * APIX / (answer["radius"] - 1)
    centres = np.stack([run.latents[state == k].mean(axis=0) for k in range(3)])
    found = [low_pass(volume.data, run.apix, coarse) for volume in run.decode(centres)]
    truths = [low_pass(resample_fourier(truth, (box,) * 3), run.apix, coarse) for truth in maps]
    for k, data in enumerate(found):
        near = [np.corrcoef(data.ravel(), truth.ravel())[0, 1] for truth in truths]
        assert np.argmax(near) == k and near[k] > 0.95
        # a projection adds up fewer voxels in a smaller box
        assert np.vdot(data, truths[k]) / np.vdot(truths[k], truths[k]) == pytest.approx(BOX / box, rel=0.15)
    lobe, truth = found[0] - found[2], truths[0] - truths[2]
    assert np.corrcoef(lobe.ravel(), truth.ravel())[0, 1] > 0.9


def test_a_stop_leaves_nothing(known, tmp_path):
    seen = []

    def stop(done, total, message):
        seen.append(message)
        if message == "fitting all radii":
            raise Cancelled

    with pytest.raises(Cancelled):
        train_linear.run(train_linear.Settings(known[0], tmp_path / "run", zdim=2, iterations=2), stop)
    assert "expectation maximisation" in seen and not list(tmp_path.iterdir())


def bad_set(tmp_path, what):
    """Particles with one thing wrong."""
    rng = np.random.default_rng(0)
    n = 60 if what == "few" else 150
    images = rng.standard_normal((n, 24, 24)).astype(np.float32)
    poses, (ctf, _) = random_poses(n, 0.0, rng), random_ctf(n, rng)
    if what == "NaN":
        images[77, 3, 4] = np.nan
    if what == "same":
        images[:] = images[0]
    if what == "flat":
        images[0] = 2.0
    return write_particles(tmp_path / "bad", images, None if what == "poses" else poses, None if what == "ctf" else ctf)


@pytest.mark.parametrize(
    ("what", "more", "words"),
    [
        ("poses", (), "has no poses"),
        ("ctf", (), "has no CTF parameters"),
        ("NaN", (), "not numbers (NaN)"),
        ("same", (), "are all the same"),
        ("flat", (), "holds one value alone"),
        ("few", (), "has 60 particles; 100 or more"),
        ("good", ("--zdim", 4), "carry 2 components at most"),
        ("good", ("--zdim", 0), "zdim) is 0; 1 to 32"),
        ("good", ("--zdim", 1, "--box", 23), "Maps of 23 voxels"),
        ("good", ("--zdim", 1, "--radius", 12), "A radius of 12 was asked for; 3 to 11"),
    ],
)
def test_bad_particles_get_one_sentence(tmp_path, capsys, what, more, words):
    path = bad_set(tmp_path, what)
    arguments = ["train-linear", path, "--out", tmp_path / "run", "--zdim", 2, *more]
    status = main([str(a) for a in arguments])
    error = capsys.readouterr().err
    assert status == BAD_INPUT and words in error and error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad"]


def test_a_damaged_run_is_named(trained, tmp_path, capsys):
    import shutil

    import torch

    for name, harm, words in (
        ("gone", lambda p: p.unlink(), "is not there"),
        ("text", lambda p: p.write_text("x"), "that can be read safely"),
        ("foreign", lambda p: torch.save({"a": torch.ones(2)}, p), "holds no linear model"),
    ):
        folder = tmp_path / name
        shutil.copytree(trained[0], folder)
        harm(folder / "checkpoint.pt")
        assert main(["info", str(folder)]) == BAD_INPUT
        assert words in capsys.readouterr().err


def test_halves_agree_to_the_shell_where_noise_begins():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((32, 32, 32))
    along = np.fft.fftfreq(32, 1 / 32)
    radius = np.sqrt(along[:, None, None] ** 2 + along[:, None] ** 2 + along[:17] ** 2)

    def half():
        other = np.fft.rfftn(rng.standard_normal(data.shape))
        return np.fft.irfftn(np.where(radius < 9.5, np.fft.rfftn(data), other), s=data.shape, axes=(0, 1, 2))

    first, second = half(), half()
    curve = shell_correlation(first, second)
    np.testing.assert_allclose(curve[:9], 1, atol=1e-6)
    assert np.abs(curve[11:]).max() < 0.1
    assert trusted_radius(first, second, 14) == 9


def test_the_prior_of_the_last_fit_is_as_strong_as_the_truth_asks_for(known, monkeypatch):
    path, state, maps = known
    particles = open_particles(path).subset(np.flatnonzero(state == 0))
    n, plain = len(particles), Equations.with_prior
    alone = Posterior(np.zeros((n, 0), np.float32), np.zeros((n, 0, 0), np.float32), np.zeros(n))  # no latents
    noise = image_power(particles, BOX, disc(BOX // 2 - 1))
    halves, equations = solve_halves(particles, split(None, n), alone, noise, BOX, silent)

    def error(times):
        monkeypatch.setattr(Equations, "with_prior", lambda self, power: plain(self, times * power))
        return np.linalg.norm(regularised(halves, equations)[0][0] - maps[0]) / np.linalg.norm(maps[0])

    errors = [error(times) for times in (1 / 16, 1, 16)]
    assert errors[1] < 0.9 * min(errors[0], errors[2])


def test_one_map_anew_beside_the_others_stays_where_all_of_them_end(known):
    path, _, _ = known
    particles = open_particles(path)
    latents = np.random.default_rng(0).normal(size=(len(particles), 2)).astype(np.float32)
    some = Posterior(latents, np.full((len(particles), 2, 2), 0.1, np.float32), np.zeros(len(particles)))
    noise = image_power(particles, BOX, disc(BOX // 2 - 1))
    _, equations = solve_halves(particles, split(None, len(particles)), some, noise, BOX, silent)
    power = np.full((3, BOX // 2), 1.0)
    together = equations.with_prior(power).step(np.zeros((3, *[BOX] * 3), np.float32), ridge=0, iterations=300)
    for which in range(3):
        alone = equations.again(which, together, power[which], 300)
        assert np.linalg.norm(alone - together[which]) < 0.01 * np.linalg.norm(together[which])
    weaker = equations.again(0, together, power[0] / 100, 300)
    assert np.linalg.norm(weaker) < 0.9 * np.linalg.norm(together[0])


def test_components_turn_onto_each_other():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((3, 4, 4, 4))
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    other = np.tensordot(turn, maps, axes=1)
    np.testing.assert_allclose(np.tensordot(alignment(maps, other), other, axes=1), maps, atol=1e-12)


def test_misfit_of_true_images_is_a_standard_normal():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((2000, 60, 3))
    z = np.column_stack([np.ones(2000), rng.standard_normal((2000, 2))])
    values = np.einsum("nij,nj->ni", samples, z) + rng.standard_normal((2000, 60))
    values[0] += 5
    found = statistics(samples, values)
    assert isinstance(found, Statistics)
    away = junk.misfit(found, posterior(found), 60)
    assert away[1:].mean() == pytest.approx(0, abs=0.1) and away[1:].std() == pytest.approx(1, abs=0.1)
    chosen = junk.is_junk(away, junk.contrast(found, posterior(found)))
    assert chosen[0] and chosen.sum() < 12
