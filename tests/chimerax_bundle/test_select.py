"""`hetero select` and `hetero reconstruct`: from a run back to its particles and images."""

import numpy as np
import pytest
from make_run_truth import blob, latents, with_it

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def opened(run, trained):
    """The run, open as #1."""
    return run(f'hetero open "{trained}"')


def test_by_a_rule_on_latents(run, log, opened):
    z = latents()
    chosen = run('hetero select #1 where "z1 > 0 and z2 > 0.1"')
    assert chosen.tolist() == np.flatnonzero((z[:, 0] > 0) & (z[:, 1] > 0.1)).tolist()
    assert f"{len(chosen)} of 300 particles" in log.getvalue()
    run('hetero select #1 where "z1 < 0"')
    assert len(opened.chosen) == 150
    run("undo")
    assert opened.chosen.tolist() == chosen.tolist()
    run("hetero select #1 none")
    assert not len(opened.chosen)


def test_by_blocks_and_saved_for_relion(run, opened, trained, tmp_path):
    table, star = trained.parent / "occupancy.csv", trained.parent / "particles.star"
    chosen = run(
        f'hetero select #1 where "block 0 > 0.7" tables "{table}" save "{tmp_path}/out.star" original "{star}"'
    )
    assert chosen.tolist() == np.flatnonzero(with_it()).tolist()
    rows = [line for line in (tmp_path / "out.star").read_text().splitlines() if "@" in line]
    assert [int(row.split("@")[0][-6:]) - 1 for row in rows] == chosen.tolist()
    assert "block 0 > 0.7" in next(tmp_path.glob("out*.json")).read_text()


def test_by_the_volumes_that_particles_belong_to(run, opened, tmp_path):
    (tmp_path / "volumes.csv").write_text("name,block_3\nvol_0,0.9\nvol_1,0.1\n")
    rows = "".join(f"{i},vol_{i % 2}\n" for i in range(300))
    (tmp_path / "labels.csv").write_text("particle,name\n" + rows)
    words = f'tables "{tmp_path}/volumes.csv" labels "{tmp_path}/labels.csv"'
    assert run(f'hetero select #1 where "block 3 > 0.5" {words}').tolist() == list(range(0, 300, 2))


def test_inside_an_outline_and_saved_as_numbers(run, opened, tmp_path):
    z = latents()
    chosen = run("hetero select #1 inside z1,z2 outline 0.2,-0.3,0.9,-0.3,0.9,0.1,0.2,0.1")
    inside = (z[:, 0] > 0.2) & (z[:, 0] < 0.9) & (z[:, 1] > -0.3) & (z[:, 1] < 0.1)
    assert chosen.tolist() == np.flatnonzero(inside).tolist() and len(chosen) > 50
    run(f'hetero select #1 save "{tmp_path}/some.txt"')
    assert np.loadtxt(tmp_path / "some.txt", dtype=int).tolist() == chosen.tolist()
    volume = run("hetero decode #1 selected")
    np.testing.assert_allclose(opened.point_of(volume).z, z[chosen].mean(axis=0), atol=1e-5)


def test_an_outline_of_any_shape_agrees_with_a_plain_reference(session):
    from chimerax.hetero.models.places import Places

    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 20000)).astype(np.float32)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 60))
    star = (rng.uniform(0.2, 0.95, 60) * np.stack([np.cos(angle), np.sin(angle)])).T
    found = Places(np.arange(20000), ["a", "b"], np.stack([x, y])).inside("A", "b", star)
    a, b = star, np.roll(star, -1, axis=0)
    spans = (a[:, 1] > y[:, None]) != (b[:, 1] > y[:, None])
    at = a[:, 0] + (y[:, None] - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    assert (found == ((spans & (x[:, None] < at)).sum(axis=1) % 2 == 1)).all() and 0.1 < found.mean() < 0.9


def test_the_images_near_a_state_give_its_map(session, run, log, opened, trained, reopen):
    run("hetero decode #1 z 0.5,0")
    group = run(f'hetero reconstruct #1 near #2 particles "{trained.parent}/particles.star"')
    volume, half1, half2 = group.child_models()
    assert (volume.display, half1.display, half2.display) == (True, False, False)
    assert group.position.translation()[0] == pytest.approx(1.1 * 64)  # on screen to the right of the decoded one
    assert "particles near the point" in log.getvalue() and "odd and even particles" in log.getvalue()
    with_it, without = blob(-3, 0) + blob(7, 0) + 0.5 * blob(-3, 8), blob(-3, 0) + 0.5 * blob(-3, 8)
    data = volume.full_matrix().ravel()
    likeness = [np.corrcoef(data, truth.ravel())[0, 1] for truth in (with_it, without)]
    assert likeness[0] > 0.9 > likeness[1]
    volume_2 = run(f'hetero reconstruct #1 near -0.5,0 particles "{trained.parent}/particles.star"').child_models()[0]
    assert np.corrcoef(volume_2.full_matrix().ravel(), without.ravel())[0, 1] > 0.9
    assert any(point.z == (-0.5, 0.0) for point in opened.points.values())  # the decoded one stands beside it
    data, levels = volume_2.full_matrix().copy(), [v.surfaces[0].level for v in (volume, volume_2)]
    groups = [m for m in reopen() if m.name == "reconstruction"]
    assert groups[0].position.translation()[0] == pytest.approx(1.1 * 64)
    maps = [group.child_models()[0] for group in groups]
    np.testing.assert_allclose(maps[1].full_matrix(), data)
    assert [v.surfaces[0].level for v in maps] == pytest.approx(levels)
    assert [v.display for v in groups[0].child_models()] == [True, False, False]


def test_sentences(session, run, sentence, opened, trained, tmp_path):
    star = trained.parent / "particles.star"
    for command, part in (
        (f'hetero reconstruct #1 selected particles "{star}"', "No particles of run #1 are selected"),
        ("hetero select #1", "One of 'where', 'inside' and 'none' was expected"),
        ('hetero select #1 where "z9 > 0"', "z9"),
        ('hetero select #1 where "z1 > 99"', "None of the 300 particles fits"),
        ("hetero select #1 inside z1,z2 outline 1,2,3", "three points or more"),
        ("hetero select #1 inside z1,umap1 outline 0,0,1,0,1,1", "There is no column umap1"),
        ("hetero select #1 inside z1,z2 outline 8,8,9,8,9,9", "No particle lies inside"),
        (f'hetero select #1 save "{tmp_path}/a.txt"', "No particles of run #1 are selected"),
        ('hetero select #1 where "z1 > 0" save /tmp/a.doc', "is no kind of file"),
        (f'hetero reconstruct #1 near 1 particles "{star}"', "A latent of 1 numbers was given"),
        ("hetero reconstruct #1 near 0,0 particles /nowhere.star", "/nowhere.star"),
        ("hetero reconstruct #1 near 0,0", "was trained on was not named; 'particles FILE' was expected"),
        (f'hetero reconstruct #1 particles "{star}"', "One of 'near' (a decoded map, or a latent) and 'selected'"),
    ):
        assert part in sentence(command), command
