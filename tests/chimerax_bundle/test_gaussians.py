"""`hetero gaussians` and `hetero quiver` as a user sees them, on a run whose motion is known."""

import numpy as np
import pytest
from make_run_truth import BOX, gaussians, latents
from scenes import in_memory, picture

pytestmark = pytest.mark.usefixtures("engine")

N = 150


def middles(model):
    """``(n, 3)`` x, y, z: the middle of each glyph's vertices."""
    return model.vertices.reshape(len(model.values), -1, 3).mean(axis=1)


def knob_map(session):
    """An open map whose surface holds the knob, on the run's grid."""
    array = np.zeros((BOX,) * 3, np.float32)
    array[:, :, BOX // 2 + 1 :] = 1
    return in_memory(session, array, "knob")


def test_spheres_lie_where_the_gaussians_are_and_are_as_large_as_their_mass(session, run, log, moving):
    model = run(f'hetero gaussians "{moving}" z 0.5,0')
    centres, pace = gaussians(N)
    knob = pace > 0
    np.testing.assert_allclose(middles(model), centres + np.outer(pace, [5.0, 0, 0]), atol=0.02)
    radii = np.linalg.norm(model.vertices.reshape(N, -1, 3) - middles(model)[:, None], axis=2).mean(axis=1)
    np.testing.assert_allclose(radii[knob].mean() / radii[~knob].mean(), 2 ** (1 / 3), rtol=1e-3)
    assert "150 Gaussians as spheres" in log.getvalue()
    assert session.models.list()[0].point_of(model).z == (0.5, 0.0)


def test_particles_and_centers_are_points_too(session, run, moving):
    run(f'hetero open "{moving}"')
    for words in ("particle 3", "center 0 clusters 2", "at PC1=0.2"):
        assert len(run(f"hetero gaussians #1 {words}").values) == N


def test_a_model_text_opens(session, run, sentence, moving, tmp_path):
    ours = run(f'hetero open "{moving}/neutral.txt"')
    np.testing.assert_allclose(middles(ours), gaussians(N)[0], atol=0.02)
    lines = (moving / "neutral.txt").read_text().splitlines(keepends=True)
    foreign = tmp_path / "model_gmm.txt"
    foreign.write_text("".join(line for line in lines if not line.startswith("#")))
    assert "hetero gaussians FILE program new box 128" in sentence(f'hetero open "{foreign}"')
    theirs = run(f'hetero gaussians "{foreign}" program new box {BOX} apix 2')
    np.testing.assert_allclose(middles(theirs), middles(ours), atol=1e-3)


def test_arrows_show_the_motion_from_its_start(session, run, log, moving):
    run(f'hetero open "{moving}"')
    run("hetero decode #1 z -0.5,0")
    run("hetero decode #1 z 0.5,0")
    model = run("hetero quiver #1 from #2 to #3 scale 2")
    centres, pace = gaussians(N)
    knob = pace > 0
    assert model.numbers.tolist() == (np.flatnonzero(knob) + 1).tolist()
    np.testing.assert_allclose(model.values, 10 * pace[knob], rtol=1e-4)
    each = model.vertices.reshape(len(model.values), -1, 3)
    tails = centres[knob, 0] - 5 * pace[knob]
    np.testing.assert_allclose(each[..., 0].min(axis=1), tails, atol=1e-3)
    np.testing.assert_allclose(each[..., 0].max(axis=1), tails + 20 * pace[knob], atol=1e-3)
    assert "50 of 150 Gaussians move by 1 Å or more, the furthest by 15.0 Å" in log.getvalue()
    assert (model.vertex_colors.reshape(50, -1, 4)[:, 0, 1] == np.sort(model.vertex_colors[::64, 1])).all()


def test_a_run_that_was_trained_on_is_not_taken_for_the_epoch_that_is_open(run, sentence, moving):
    """Such a run keeps its last epoch alone."""
    model = run(f'hetero open "{moving}" epoch 1')
    assert len(run("hetero gaussians #1 z 0,0").values) == N
    assert len(run("hetero quiver #1 from 0 to 2 minLength 0").values)
    model.reading["epoch"] = 0  # what was open before more were trained
    for command in ("gaussians #1 z 0,0", "quiver #1 from 0 to 2"):
        assert "has no weights of epoch 0; there is 1" in sentence(f"hetero {command}")


def test_arrows_along_a_component(run, sentence, moving):
    """The first component is z1, along which the knob moves; arrows end where the Gaussians do."""
    z1 = latents()[:, 0]
    model = run(f'hetero quiver "{moving}" component 1')
    apart = np.diff(np.percentile(z1, (5, 95)))[0]
    np.testing.assert_allclose(model.values.max(), 10 * gaussians(N)[1].max() * apart, rtol=0.02)
    drawn = np.ptp(model.vertices.reshape(len(model.values), -1, 3)[..., 0], axis=1)
    np.testing.assert_allclose(drawn, model.values, rtol=1e-3)
    for words in ("", "from 0", "from 0 to 1 component 1"):
        assert "Two points ('from' and 'to') or a component was expected" in sentence(f"hetero quiver #1 {words}")
    assert "There is no column PC3" in sentence("hetero quiver #1 component 3")


def test_meshes_are_closed_and_face_outwards(run, moving):
    """Twice the signed volume of each glyph is positive, and normals point where triangles do."""
    run(f'hetero open "{moving}"')
    for model in (run("hetero gaussians #1 z 0,0"), run("hetero quiver #1 from 0 to 2")):
        corners = model.vertices[model.triangles].astype(float)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        flat = np.linalg.norm(normal, axis=1) < 1e-6  # at tips
        outward = (normal * model.normals[model.triangles].mean(axis=1)).sum(axis=1)
        assert (outward[~flat] > 0).all()
        shifted = corners - corners.mean(axis=(0, 1))
        volume = np.einsum("ni,ni->n", shifted[:, 0], np.cross(shifted[:, 1], shifted[:, 2]))
        assert volume.sum() > 0


def test_the_key_tells_how_far(session, run, moving):
    from chimerax.color_key.model import get_model

    run(f'hetero open "{moving}"')
    run("hetero decode #1 z -0.5,0")
    run("hetero decode #1 z 0.5,0")
    run("hetero quiver #1 from #2 to #3")
    colors, labels = zip(*get_model(session, create=False).rgbas_and_labels, strict=True)
    assert colors[0][2] > colors[0][1] and colors[-1][1] > 0.8 > colors[-1][2]  # purple to yellow
    assert list(labels) == ["0 Å", "3.75 Å", "7.5 Å", "11.2 Å", "15 Å"]


def test_a_region_leaves_out_the_rest_and_is_told_as_a_body(session, run, log, sentence, moving):
    run(f'hetero open "{moving}"')
    knob_map(session)
    run("volume #2 level 0.5")
    model = run("hetero quiver #1 from 0 to 2 region #2 minLength 0")
    centres, _ = gaussians(N)
    assert 0 < len(model.values) < N
    assert (centres[model.numbers - 1][:, 0] > BOX - 10).all()  # voxels of 2 Å: the middle is at BOX
    assert "as one body the region turns by" in log.getvalue()
    run("volume #2 origin 9,9,9")
    assert "the grid of neutral, 64 Å cubed" in sentence("hetero quiver #1 from 0 to 2 region #2")


def test_selection_by_length_and_undo(session, run, log, moving):
    run(f'hetero open "{moving}"')
    run("hetero decode #1 z -0.5,0")
    run("hetero decode #1 z 0.5,0")
    model = run("hetero quiver #1 from #2 to #3")
    fast = np.count_nonzero(gaussians(N)[1] >= 1)
    assert 0 < run("hetero quiver select #4 longer 10") == fast < 50
    assert (model.values[model.chosen] >= 10).all() and model.chosen.sum() == fast
    run("undo")
    assert not model.chosen.any()
    run("redo")
    assert model.chosen.sum() == fast
    assert run("hetero quiver select #4 shorter 9.99") == 50 - fast
    assert f"{50 - fast} of 50 arrows are selected" in log.getvalue()


def test_a_path_of_gaussians_has_arrows_and_its_maps_are_marked(session, run, moving):
    series = run(f'hetero path "{moving}" component 1 frames 3')
    arrows = [m for m in session.models.list() if type(m).__name__ == "GlyphsModel"]
    assert len(arrows) == 1 and len(arrows[0].values) == 50
    points = [session.models.list()[0].point_of(volume) for volume in series.maps]
    assert np.diff([point.scores[0] for point in points]).min() > 0


def test_sessions_keep_arrows(session, run, moving, tmp_path, reopen):
    from chimerax.geometry import translation

    run(f'hetero open "{moving}"')
    model = run("hetero quiver #1 from 0 to 2")
    model.position = translation((7, 0, 0))
    vertices, colors = model.vertices.copy(), model.vertex_colors.copy()
    (model,) = reopen("GlyphsModel")
    assert np.array_equal(model.vertices, vertices) and np.array_equal(model.vertex_colors, colors)
    assert model.position.translation()[0] == pytest.approx(7)
    assert run("hetero quiver select #2 longer 1") == 50


def test_the_picture(session, run, moving, tmp_path):
    run(f'hetero open "{moving}"')
    run("hetero gaussians #1 z -0.5,0")
    run("hetero decode #1 z -0.5,0")
    run("hetero decode #1 z 0.5,0")
    run("hide #3,4 models; set bgColor white; lighting soft; view")
    before = picture(session, run, tmp_path / "before.png")
    run("hetero quiver #1 from #3 to #4; key delete; view")
    after = picture(session, run, tmp_path / "after.png", 640, 480)
    yellow = (after[..., 0] > 180) & (after[..., 1] > 170) & (after[..., 2] < 120)
    assert yellow.mean() > 0.005 and np.argwhere(yellow)[:, 1].mean() > 320  # the knob is on the right
    assert (before.min(axis=-1) < 240).mean() > 0.05


def test_sentences(session, run, sentence, moving, trained):
    run(f'hetero open "{moving}"')
    run("hetero gaussians #1 z 0,0")
    for command, part in (
        ("hetero gaussians #1", "One of z, at, particle, center and selected was expected"),
        ("hetero gaussians #1 z 1", "A latent of 1 numbers was given"),
        (f'hetero gaussians "{trained}" z 0,0', "which has no Gaussians"),
        (f'hetero gaussians "{moving}/neutral.txt" particle 3', "which has no points to choose"),
        ("hetero gaussians #1 z 0,0 box 32", "belong to a model text"),
        ("hetero quiver #1 from 0,1 to 2", "'from' names 2 points"),
        ("hetero quiver #1 from 0 to 1", "None of the 150 Gaussians moves by 1 Å; the furthest moves by"),
        ("hetero quiver #1 from 0 to 999", "has no particle 999"),
        ("hetero quiver select #2 longer 3", "None of these models holds arrows"),
    ):
        assert part in sentence(command), command
