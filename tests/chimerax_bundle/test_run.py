"""`hetero open` on a run and `hetero decode`, as a user sees them."""

import pickle
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from make_run_truth import blob, latents
from scenes import picture, write_ensemble

BACKGROUND = (22, 24, 29)  # of the plane

pytestmark = pytest.mark.usefixtures("engine")


def expected(z):
    """The map of a latent by the definition of the run (make_run.py)."""
    return blob(-3, 0) + (0.5 + z[0]) * blob(7, 0) + (0.5 + z[1]) * blob(-3, 8)


def test_open_says_what_a_run_is(run, log, trained):
    model = run(f'hetero open "{trained}"')
    assert type(model).__name__ == "RunModel" and model.name == "run" and model.zdim == 2
    assert "run #1: a run of linear: 300 particles, latents of 2, maps of 32³ voxels" in log.getvalue()


def test_a_point_is_decoded_at_its_level(session, run, log, trained):
    volume = run(f'hetero decode "{trained}" z 0.5,-0.25')
    np.testing.assert_allclose(volume.full_matrix(), expected([0.5, -0.25]), atol=1e-5)
    assert volume.data.step == (2.0, 2.0, 2.0) and len(volume.surfaces[0].vertices) > 100
    assert 0.05 < volume.surfaces[0].level < 0.8
    assert f"{volume}: run #1, z 0.5, -0.25; nearest particle" in log.getvalue()
    (again,) = run("hetero level #2")
    assert volume.surfaces[0].level == pytest.approx(again, rel=1e-4)


def test_particles_centers_and_places(session, run, trained):
    run(f'hetero open "{trained}"')
    z = latents()
    volume = run("hetero decode #1 particle 17")
    np.testing.assert_allclose(volume.full_matrix(), expected(z[17]), atol=1e-5)
    model = session.models.list()[0]
    assert model.point_of(volume).nearest == 17 and volume.name == "run particle 17"
    centers = [run(f"hetero decode #1 center {k} clusters 2") for k in (0, 1)]
    assert sorted(np.sign(model.point_of(v).z[0]) for v in centers) == [-1, 1]
    point = model.point_of(run("hetero decode #1 at z1=0.4"))
    np.testing.assert_allclose(point.z, [0.4, z[:, 1].mean()], atol=1e-5)


def test_far_from_the_particles_is_an_extrapolation(run, log, trained):
    run(f'hetero decode "{trained}" particle 3')
    assert "extrapolation" not in log.getvalue()
    run("hetero decode #1 z 9,9")
    assert "far from any particle, so it is an extrapolation" in log.getvalue()


def test_to_replaces_the_values_in_place_and_undo_brings_them_back(session, run, trained):
    run(f'hetero open "{trained}"')
    volume = run("hetero decode #1 z -0.5,0")
    run("volume #2 level 0.4 color #3377cc")
    surface, before = volume.surfaces[0], len(volume.surfaces[0].vertices)
    assert run("hetero decode #1 z 0.5,0 to #2") is volume and volume.surfaces == [surface]
    np.testing.assert_allclose(volume.full_matrix(), expected([0.5, 0]), atol=1e-5)
    assert surface.level == 0.4 and tuple(surface.color[:3]) == (0x33, 0x77, 0xCC)
    right = len(surface.vertices)
    assert right > 1.4 * before and surface.vertices[:, 0].max() > 2.0 * (16 + 7)
    run("undo")
    np.testing.assert_allclose(volume.full_matrix(), expected([-0.5, 0]), atol=1e-5)
    assert len(surface.vertices) == before and volume.name == "run z -0.5,0"
    run("redo")
    assert len(surface.vertices) == right and session.models.list()[0].point_of(volume).z == (0.5, 0.0)


def test_a_picture_of_two_states(session, run, trained, tmp_path):
    run(f'hetero decode "{trained}" z -0.5,0')
    run("set bgColor black; volume #2 level 0.4; view; lighting soft")
    without = picture(session, run, tmp_path / "without.png")
    run("hetero decode #1 z 0.5,0 to #2")
    with_it = picture(session, run, tmp_path / "with.png")
    lit = [(image.sum(axis=-1) > 60).any(axis=0).nonzero()[0] for image in (without, with_it)]
    assert lit[1].max() > lit[0].max() + 10 and abs(int(lit[1].min()) - int(lit[0].min())) < 8


def test_a_box_of_ones_own(run, trained):
    volume = run(f'hetero decode "{trained}" particle 0 box 16')
    assert tuple(volume.data.size) == (16, 16, 16) and volume.data.step[0] == 4.0
    run("hetero decode #1 particle 1 to #2")
    assert tuple(volume.data.size) == (16, 16, 16)


def test_sessions_keep_run_map_and_point(session, run, trained, tmp_path, reopen):
    run(f'hetero open "{trained}"')
    run("hetero decode #1 z 0.5,0.1")
    run("volume #2 level 0.33")
    model, volume = reopen()
    assert (model.folder, model.zdim) == (str(trained), 2) and volume.surfaces[0].level == pytest.approx(0.33)
    np.testing.assert_allclose(volume.full_matrix(), expected([0.5, 0.1]), atol=1e-5)
    assert model.point_of(volume).z == pytest.approx((0.5, 0.1))
    run("hetero decode #1 z -0.5,0 to #2")
    np.testing.assert_allclose(volume.full_matrix(), expected([-0.5, 0]), atol=1e-5)


def test_a_run_is_read_as_was_said_and_sessions_know_it(session, run, sentence, trained, tmp_path, reopen):
    run(f'hetero open "{trained}" flip true invert true')
    volume = run("hetero decode #1 z 0.5,0.25 lowPass 4")
    np.testing.assert_allclose(volume.full_matrix(), _flipped(-expected([0.5, 0.25])), atol=0.02)
    reopen()
    run("hetero decode #1 z -0.5,0 to #2")
    volume = session.models.list()[1]
    np.testing.assert_allclose(volume.full_matrix(), _flipped(-expected([-0.5, 0])), atol=1e-4)
    series = run("hetero path #1 from 0 to 2 frames 3 loop")
    first, last = series.maps[0].full_matrix(), series.maps[-1].full_matrix()
    np.testing.assert_allclose(first, last, atol=1e-5)
    assert first.min() < -0.5
    assert "no weights of epoch 7; a run of 'linear' has no epochs" in sentence(f'hetero open "{trained}" epoch 7')
    ensemble = write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])
    assert "is no run (a trained model), so it has no flip" in sentence(f'hetero open "{ensemble}" flip true')


def _flipped(array):
    """Mirrored along z, about the box's centre (voxel n // 2)."""
    return np.roll(array[::-1], 1, axis=0)


@pytest.fixture
def epochs(shared, tmp_path):
    """A folder of cryoDRGN's with two epochs: in epoch 1 each latent is 10 more than in epoch 0."""
    source = shared / "data/trained/cryodrgn_tests"
    folder = tmp_path / "epochs"
    folder.mkdir()
    shutil.copyfile(source / "het_config.yaml", folder / "config.yaml")
    with open(source / "het_z.pkl", "rb") as file:
        means, variances = pickle.load(file), pickle.load(file)
    for epoch in (0, 1):
        shutil.copyfile(source / "het_weights.pkl", folder / f"weights.{epoch}.pkl")
        with open(folder / f"z.{epoch}.pkl", "wb") as file:
            pickle.dump(means + np.float32(10 * epoch), file)
            pickle.dump(variances, file)
    return folder, means


def test_what_is_done_with_a_run_is_done_at_its_epoch(session, run, log, sentence, epochs, tmp_path, monkeypatch):
    from chimerax.hetero.cmd import select
    from chimerax.hetero.cmd.results import open_result

    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # jobs lie in it
    folder, z = epochs
    first, newest = run(f'hetero open "{folder}" epoch 0'), run(f'hetero open "{folder}"')
    assert first.info["epoch"] == 0 and newest.info["epoch"] == 1
    assert "a run of cryodrgn, epoch 0: " in log.getvalue() and "a run of cryodrgn, epoch 1: " in log.getvalue()
    middle = float(np.median(z[:, 0]))
    chosen = np.flatnonzero(z[:, 0] > middle).tolist()
    assert run(f'hetero select #1 where "z1 > {middle}" save "{tmp_path}/some.txt"').tolist() == chosen
    assert len(run(f'hetero select #2 where "z1 > {middle}"')) == 100
    told, ask = [], select.ask
    monkeypatch.setattr(select, "ask", lambda session, verb, words: told.append(words) or ask(session, verb, words))
    for model in (first, newest):
        run(f'hetero select {model.atomspec} save "{tmp_path}/those.txt"')
    assert [words.get("epoch") for words in told] == [0, None]
    for model, more in ((first, 0), (newest, 10)):
        volume = run(f"hetero decode {model.atomspec} particle 5")
        np.testing.assert_allclose(model.point_of(volume).z, z[5] + more, rtol=1e-5)
    asked = []
    monkeypatch.setattr("chimerax.hetero.cmd.analyze.run_job", lambda *args: asked.append(args[2]))
    for model in (first, newest):
        run(f"hetero analyze {model.atomspec} umap false clusters 2")
    assert asked[0]["epoch"] == 0 and "epoch" not in asked[1]
    labels = tmp_path / "labels.csv"
    labels.write_text("particle,cluster\n" + "".join(f"{k},{k % 2}\n" for k in range(100)))
    made = {"labels": str(labels), "report": str(tmp_path / "report.html"), "trust": {"warnings": []}}
    open_result(session, SimpleNamespace(verb="analyze", settings=asked[0], result=made))
    assert {"cluster", "z1"} <= set(first.places.names) and first.tables and not newest.tables
    assert np.abs(first.places.column("z1") - z[:, 0]).max() < 1e-4
    assert "has no weights of epoch 7; there is 0, 1" in sentence(f'hetero open "{folder}" epoch 7')


@pytest.mark.usefixtures("window")
def test_a_real_cryodrgn_run_opens_decodes_and_comes_back(session, run, log, shared, tmp_path, reopen):
    source = shared / "data/trained/cryodrgn_tests"
    if not source.is_dir():
        pytest.skip(f"{source} is not there")
    folder = tmp_path / "hand"
    folder.mkdir()
    for ours, theirs in (
        ("config.yaml", "het_config.yaml"),
        ("weights.pkl", "het_weights.pkl"),
        ("z.pkl", "het_z.pkl"),
    ):
        shutil.copyfile(source / theirs, folder / ours)
    model = run(f'hetero open "{folder}"')
    volume = run("hetero decode #1 particle 0")
    assert "a run of cryodrgn" in log.getvalue() and model.point_of(volume).nearest == 0
    # trained for a moment only: the surface is small, the map is not nothing
    assert volume.full_matrix().std() > 0 and len(volume.surfaces[0].vertices) > 0
    panel = run("hetero latent #1")
    assert len(panel.run.places.particle) == model.info["n"] == 100
    assert (panel.canvas.raster() != BACKGROUND).any(axis=-1).sum() > 50
    values, point = volume.full_matrix().copy(), model.point_of(volume)
    model, volume = reopen()
    np.testing.assert_allclose(volume.full_matrix(), values)
    assert model.folder == str(folder) and model.point_of(volume) == point
    other = run("hetero decode #1 particle 9")
    assert not np.allclose(other.full_matrix(), values) and model.point_of(other).nearest == 9


def test_sentences(session, run, sentence, trained, tmp_path):
    assert "nowhere is not there" in sentence("hetero decode /nowhere particle 1")
    ensemble = write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])
    assert "is no run (a trained model); it is of the kind 'ensemble'" in sentence(f'hetero decode "{ensemble}" z 1')
    run(f'hetero open "{trained}"')
    run("hetero decode #1 particle 0")
    run(f'hetero open "{ensemble}"')
    for command, part in (
        ("hetero decode #1", "One of z, at, particle, center and selected was expected"),
        ("hetero decode #1 z 1,2 particle 3", "One of z, at, particle, center and selected was expected"),
        ("hetero decode #1 z 1", "A latent of 1 numbers was given"),
        ("hetero decode #1 at PC3=1", "PC3 = 1 is no place in"),
        ("hetero decode #1 particle 300", "has no particle 300; it has 300, numbered 0 to 299"),
        ("hetero decode #1 selected", "No particles of run #1 are selected"),
        ("hetero decode #1 particle 1 to #3.1", "belongs to the file"),
        ("hetero decode #1 particle 1 to #2 box 16", "leave out 'box' or 'to'"),
        ("hetero decode #2 z 1,2", "names no run"),
        ("hetero decode #1 particle 1 box 7", "A box of 7 voxels was asked for"),
    ):
        assert part in sentence(command), command
    assert len([m for m in session.models.list() if len(m.id) == 1]) == 3
