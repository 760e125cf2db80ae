"""The latent panel, in Qt without a screen: its window is a stand-in, all else is real."""

from importlib import import_module

import numpy as np
import pytest
from make_run_truth import latents, with_it
from test_run import expected

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def panel(window, run, trained):
    """The panel of the run, z1 across and z2 up, 400 x 400 pixels."""
    run(f'hetero open "{trained}"')
    tool = run("hetero latent #1 axes z1,z2")
    tool.tool_window.ui_area.resize(440, 520)
    tool.canvas.resize(400, 400)
    return tool


def mouse(canvas, kind, x, y, button="LeftButton", shift=False):
    """A mouse event at a point of the plane."""
    from Qt.QtCore import QEvent, Qt
    from Qt.QtGui import QMouseEvent

    types_ = {"press": "MouseButtonPress", "move": "MouseMove", "release": "MouseButtonRelease"}
    button = getattr(Qt.MouseButton, button)
    held = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
    place = canvas.to_widget(x, y)
    event = QMouseEvent(getattr(QEvent.Type, types_[kind]), place, place, button, button, held)
    getattr(canvas, {"press": "mousePressEvent", "move": "mouseMoveEvent", "release": "mouseReleaseEvent"}[kind])(event)


def click(canvas, x, y):
    mouse(canvas, "press", x, y)
    mouse(canvas, "release", x, y)


def shot(panel, path):
    """The panel as one sees it: ``(h, w, 3)`` int."""
    from PIL import Image

    panel.tool_window.ui_area.grab().save(str(path))
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_a_click_decodes_there_and_the_next_one_replaces_it(session, run, log, panel):
    click(panel.canvas, 0.5, 0.0)
    model = session.models.list()[0]
    volume = panel.volume
    np.testing.assert_allclose(model.point_of(volume).z, [0.5, 0.0], atol=0.01)
    click(panel.canvas, -0.5, 0.1)
    assert panel.volume is volume and len(model.points) == 1
    np.testing.assert_allclose(model.point_of(volume).z, [-0.5, 0.1], atol=0.01)
    assert "nearest particle" in panel._said.text() and "extrapolation" not in panel._said.text()
    click(panel.canvas, 0.0, 0.6)  # between the two groups
    assert "extrapolation" in panel._said.text() and panel.canvas.marks[0][2]
    run("close #2")
    click(panel.canvas, 0.5, 0.0)
    assert panel.volume is not volume and not panel.volume.deleted


def test_components_are_places_too(session, panel, run):
    run("hetero latent #1 axes PC1,PC2")
    click(panel.canvas, 0.3, 0.1)
    np.testing.assert_allclose(session.models.list()[0].point_of(panel.volume).scores, [0.3, 0.1], atol=0.01)
    share = latents().var(axis=0).max() / latents().var(axis=0).sum()
    assert panel.canvas.titles[0] == f"PC1 ({100 * share:.0f} %)"


def test_columns_that_are_not_the_models_give_the_nearest_particle(session, panel, run, trained):
    run(f'hetero latent #1 tables "{trained.parent}/occupancy.csv" axes z1,block_0')
    z = latents()
    click(panel.canvas, float(z[7, 0]), 1.0)
    assert session.models.list()[0].point_of(panel.volume).nearest == 7


def test_clicks_during_a_decode_end_with_the_last(session, monkeypatch, panel):
    """Each is made while the worker is at work on the first; only the last is decoded after it."""
    click(panel.canvas, 0.5, 0.0)
    asked, more = [], [(-0.4, 0.0), (-0.3, 0.1), (0.4, -0.1)]
    worker = session._hetero_worker
    ask = worker.ask

    def ask_and_tell(verb, settings, progress):
        asked.append(settings["at"])
        return ask(verb, settings, progress)

    def click_meanwhile():
        while worker.busy and more:
            click(panel.canvas, *more.pop(0))

    monkeypatch.setattr(worker, "ask", ask_and_tell)
    monkeypatch.setattr(worker, "_wait", click_meanwhile)
    click(panel.canvas, 0.5, 0.1)
    assert [round(at["z1"], 1) for at in asked] == [0.5, 0.4]
    np.testing.assert_allclose(session.models.list()[0].point_of(panel.volume).z, [0.4, -0.1], atol=0.01)


def test_dragging_makes_the_map_follow_in_one_undo_step(session, run, panel):
    click(panel.canvas, -0.5, 0.0)
    depth = len(session.undo.undo_stack)
    mouse(panel.canvas, "press", -0.5, 0.0)
    seen = []
    for x in (-0.2, 0.1, 0.4):
        mouse(panel.canvas, "move", x, 0.0)
        seen.append(float(panel.volume.full_matrix()[16, 16, 23]))
    mouse(panel.canvas, "release", 0.5, 0.0)
    assert seen == sorted(seen) and seen[-1] - seen[0] > 0.5
    assert len(session.undo.undo_stack) == depth + 1


def test_a_lasso_selects_and_the_mean_map_shows_it(session, run, log, panel, tmp_path):
    for kind, x, y in (("press", 0.1, -0.9), ("move", 0.9, -0.9), ("move", 0.9, 0.9), ("move", 0.1, 0.9)):
        mouse(panel.canvas, kind, x, y, shift=True)
    before = panel.canvas.raster().copy()
    mouse(panel.canvas, "release", 0.1, 0.9)
    model = session.models.list()[0]
    assert (
        model.chosen.tolist() == np.flatnonzero(with_it()).tolist()
        and "150 of 300 particles selected" in panel._said.text()
    )
    assert (panel.canvas.raster() != before).any()
    panel._mean()
    (point,) = model.points.values()
    assert len(panel.canvas.marks) == 1
    np.testing.assert_allclose(point.z, latents()[with_it()].mean(axis=0), atol=1e-5)
    run("undo")
    assert not len(model.chosen)


def test_the_images_of_a_lasso_are_reconstructed(session, run, panel, trained, monkeypatch):
    """The particle file is asked for once."""
    from Qt.QtWidgets import QFileDialog

    asked = []
    star = str(trained.parent / "particles.star")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: asked.append(1) or (star, ""))
    run("hetero select #1 inside z1,z2 outline 0.1,-9,9,-9,9,9,0.1,9")
    model = session.models.list()[0]
    for _ in range(2):
        panel._reconstruct()
    assert asked == [1] and model.images == {"particles": star}
    groups = [m for m in session.models.list() if m.name == "reconstruction"]
    data = groups[1].child_models()[0].full_matrix().ravel()
    likeness = [np.corrcoef(data, expected([side, 0]).ravel())[0, 1] for side in (0.5, -0.5)]
    assert len(groups) == 2 and likeness[0] > 0.9 > likeness[1]
    assert any(point.name == "mean" for point in model.points.values())  # the decoded one beside it


def test_centers_of_clusters_and_paths_are_drawn(session, run, panel, settle, trained, tmp_path):
    panel._centers.click()
    assert len(panel.canvas.centres) == 20 and "cluster" in panel.run.places.names
    run("hetero latent #1 clusters 2 color cluster")
    assert sorted(round(x, 1) for x, _, _ in panel.canvas.centres) == [-0.5, 0.5]
    assert [text for *_, text in panel.canvas.centres] == ["0", "1"]
    volume = run("hetero decode #1 center 1 clusters 2")
    where = next((x, y) for x, y, text in panel.canvas.centres if text == "1")
    np.testing.assert_allclose(panel.run.point_of(volume).z, where, atol=1e-5)
    panel._centers.click()
    assert not panel.canvas.centres and panel.color == "density"
    series = run("hetero path #1 component 1 frames 5")
    (way,) = panel.canvas.ways
    z = np.array([panel.run.point_of(volume).z for volume in series.maps])
    np.testing.assert_allclose(way, z, atol=1e-5)
    assert len(panel.canvas.marks) == 2  # the decoded map, and the one of the path that is shown
    run(f"vseries play {series.atomspec} jumpTo 3")
    settle(2)
    np.testing.assert_allclose(panel.canvas.marks[1][:2], z[3], atol=1e-5)
    # no coordinates of the model: each map at its nearest particle
    run(f'hetero latent #1 tables "{trained.parent}/occupancy.csv" axes block_0,z2')
    near = [((latents() - one) ** 2).sum(axis=1).argmin() for one in z]
    np.testing.assert_allclose(np.array(panel.canvas.ways[0])[:, 1], latents()[near, 1], atol=1e-5)
    run("hetero latent #1 axes z1,z2")
    image = shot(panel, tmp_path / "path.png")
    assert (image.min(axis=-1) > 200).mean() > 0.002


def test_umap_and_clusters_come_with_an_analysis(session, run, log, panel, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    job = run("hetero analyze #1 clusters 3 components 0 umap false")
    assert job.result["sizes"] and "report.html" in log.getvalue()
    assert {"cluster", "mixture"} <= set(panel.run.places.names)
    run("hetero latent #1 color cluster")
    assert len(run('hetero select #1 where "cluster == 1"')) == job.result["sizes"][1]
    assert "shows its particles" in log.getvalue()


def test_the_picture(run, panel, trained, tmp_path):
    run(f'hetero latent #1 tables "{trained.parent}/occupancy.csv" axes z1,z2 color block_0')
    click(panel.canvas, 0.5, 0.0)
    image = shot(panel, tmp_path / "panel.png")
    red = (image[..., 0] > 200) & (image[..., 1] < 140) & (image[..., 2] < 150)
    green = (image[..., 1] > 110) & (image[..., 0] < 80) & (image[..., 2] < 90)
    for mask in (red, green):
        assert mask.mean() > 0.005
    assert np.argwhere(red)[:, 1].mean() + 80 < np.argwhere(green)[:, 1].mean()  # block_0 is 0 on the left
    run("hetero latent #1 color density")
    assert shot(panel, tmp_path / "density.png")[..., 2].max() > 120


def test_sessions_keep_the_panel(session, run, panel, tmp_path):
    click(panel.canvas, 0.5, 0.0)
    run("hetero latent #1 axes PC2,z1")
    run(f'save "{tmp_path}/a.cxs"')
    saved = panel.take_snapshot(session, 0)
    session.reset()
    assert not session.tools.list()
    run(f'open "{tmp_path}/a.cxs"')
    model, volume = [m for m in session.models.list() if len(m.id) == 1]
    # without a window ChimeraX leaves panels out of what it restores: this is what it calls with one
    tool = type(panel).restore_snapshot(session, saved | {"run": model, "volume": volume})
    assert tool.columns == ["PC2", "z1"] and tool.volume is volume and len(tool.canvas.marks) == 1
    assert import_module("chimerax.hetero").bundle_api.get_class("LatentTool") is type(panel)
    run("close #1")
    assert not session.tools.list()


def test_a_raster_counts_every_point_once_where_it_lies(session):
    from chimerax.hetero.tools import raster

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 10000)).astype(np.float32)
    extent = (-1.0, 2.0, -0.5, 1.5)
    cells = raster.cells_of(x, y, extent, (40, 60))
    counts = np.bincount(cells, minlength=2401)[:-1].reshape(40, 60)
    expected, *_ = np.histogram2d(y, x, bins=(40, 60), range=(extent[2:], extent[:2]))
    assert np.abs(counts - expected[::-1]).sum() <= 4  # points on an edge may fall to either side
    x[5] = np.nan
    assert raster.cells_of(x, y, extent, (40, 60))[5] == 2400


def test_sentences(session, run, sentence, trained, window):
    run(f'hetero open "{trained}"')
    assert "There is no column umap1; there are PC1, PC2, z1, z2." in sentence("hetero latent #1 axes PC1,umap1")
    assert not session.tools.list()
    assert "is not there" in sentence("hetero latent /nowhere")
    assert "nowhere.csv is not there" in sentence("hetero latent #1 tables /nowhere.csv")


def test_without_a_window_it_says_so(run, sentence, trained):
    assert "needs ChimeraX's window" in sentence(f'hetero latent "{trained}"')
