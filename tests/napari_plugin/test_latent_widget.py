"""The Latent dock in a real viewer: clicks, lassos, paths, and closing things under it."""

import threading
import time

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt, QThreadPool

from napari_hetero import layers, readers
from napari_hetero.latest import LatestWins
from napari_hetero.widgets.ensemble import EnsembleWidget
from napari_hetero.widgets.latent import LatentWidget

from .scenes import arm_map, docked, opened, run_latents, write_run


@pytest.fixture
def dock(viewer, run_folder):
    """The dock with the run open, in the plane of z1 and z2."""
    opened(viewer, run_folder)
    widget = docked(viewer, LatentWidget)
    viewer.window.resize(1300, 1000)
    widget.model.set_axes("z1", "z2")
    yield widget
    assert QThreadPool.globalInstance().waitForDone(60_000)


def settle(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.plane.decoder.busy and not dock.plane.searcher.busy, timeout=60_000)


def circle(x, y, radius=0.3):
    t = np.linspace(0, 2 * np.pi, 40)
    return np.column_stack([x + radius * np.cos(t), y + radius * np.sin(t)])


def on_screen(dock, x, y) -> QPoint:
    """Where a point of the plane is, in the plot's viewport."""
    from qtpy.QtCore import QPointF

    return dock.plane.plot.mapFromScene(dock.plane.plot.box.mapViewToScene(QPointF(x, y)))


def test_empty_dock_says_what_to_open(viewer):
    widget = docked(viewer, LatentWidget)
    assert "Open the folder of a trained run" in widget.empty.text() and widget.body.isHidden()


def test_a_folder_that_is_no_run_gets_one_sentence(viewer, tmp_path, qtbot):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "latents.npz").write_bytes(b"x")
    widget = docked(viewer, LatentWidget)
    with qtbot.waitSignal(widget.opener.finished, timeout=20_000) as caught:
        widget.open_path(tmp_path)
    assert "is not a run" in str(caught.args[1]) and not viewer.layers


def test_opening_a_run_does_not_hold_the_screen(viewer, run_folder, qtbot, monkeypatch):
    from hetero.commands import latent_space

    quick, may_go_on = latent_space.level_of, threading.Event()
    monkeypatch.setattr(latent_space, "level_of", lambda volume: (may_go_on.wait(20), quick(volume))[1])
    widget = docked(viewer, LatentWidget)
    widget.open_path(run_folder)
    assert not widget.opening.isHidden() and widget.opening.text() == "Opening run ..."
    with qtbot.waitSignal(widget.opener.finished, timeout=20_000):
        may_go_on.set()
    assert widget.opening.isHidden() and widget.choice.currentText() == "run"
    settle(widget, qtbot)


def test_a_homogeneous_run_shows_its_map_and_says_so(viewer, tmp_path):
    folder = write_run(tmp_path / "flat", run_latents(), np.arange(600))
    [(data, keywords, kind)] = readers.read(folder)
    space = keywords["metadata"][layers.KEY]["space"]
    object.__setattr__(space.run, "latents", np.zeros((0, 0), np.float32))
    layers.add(viewer, [(data, keywords, kind)])
    widget = docked(viewer, LatentWidget)
    assert "homogeneous" in widget.empty.text() and widget.body.isHidden()


def test_mouse_click_decodes_and_hover_names_the_particle(dock, qtbot):
    settle(dock, qtbot)
    place = on_screen(dock, 1.0, 0.0)
    qtbot.mouseMove(dock.plane.plot.viewport(), place)
    with qtbot.waitSignal(dock.plane.decoder.finished, timeout=10_000):
        qtbot.mouseClick(dock.plane.plot.viewport(), Qt.MouseButton.LeftButton, pos=place)
    np.testing.assert_allclose(dock.session.ensemble.volume.data, arm_map(1, 0), atol=0.05)
    assert "near particle 1" in dock.session.ensemble.name and dock.plane.problem.isHidden()
    dock.plane.plot.hovered.emit(*dock.model.plane.points[5].tolist())
    assert dock.plane.under.text() == "particle 1,005"


def test_far_clicks_are_marked(dock, qtbot):
    with qtbot.waitSignal(dock.plane.decoder.finished, timeout=20_000):
        dock.plane.plot.pointed.emit(0.6, 0.6)
    assert "extrapolation" in dock.plane.problem.text() and not dock.plane.problem.isHidden()
    dock.plane.snap.setChecked(True)
    with qtbot.waitSignal(dock.plane.decoder.finished, timeout=20_000):
        dock.plane.plot.pointed.emit(0.6, 0.6)
    assert dock.plane.problem.isHidden()


def test_fifty_quick_clicks_end_on_the_last_one(dock, qtbot, monkeypatch):
    settle(dock, qtbot)
    run, slow = dock.model.space.run, threading.Event()
    quick = run.decoder

    def decoder(z, box):
        slow.wait(0.05)
        return quick(z, box)

    object.__setattr__(run, "decoder", decoder)
    before = dock.plane.decoder.begun
    clicks = [(k / 49, 0.2 * np.sin(k)) for k in range(50)]
    for click in clicks:
        dock.plane.plot.pointed.emit(*click)
        qtbot.wait(5)
    settle(dock, qtbot)
    assert dock.plane.decoder.begun - before < 40
    np.testing.assert_allclose(dock.model.look.at, clicks[-1], atol=1e-5)
    np.testing.assert_allclose(dock.session.ensemble.volume.data, arm_map(*clicks[-1]), atol=1e-3)


def test_the_screen_is_never_blocked_by_a_decode(dock, qtbot):
    settle(dock, qtbot)
    quick, may_go_on, waited = dock.model.space.run.decoder, threading.Event(), []

    def decoder(z, box):
        waited.append(may_go_on.wait(20))
        return quick(z, box)

    object.__setattr__(dock.model.space.run, "decoder", decoder)
    dock.plane.plot.pointed.emit(1.0, 0.0)
    assert dock.plane.decoder.busy
    may_go_on.set()
    settle(dock, qtbot)
    assert waited and all(waited)


def test_an_error_in_a_decode_does_not_end_clicking(qtbot):
    from hetero.errors import HeteroError

    def work(what):
        if what == "bad":
            raise HeteroError("No.")
        return what

    runner, seen = LatestWins(work), []
    runner.finished.connect(lambda what, outcome: seen.append((what, str(outcome))))
    for what in ("bad", "good"):
        with qtbot.waitSignal(runner.finished, timeout=5000):
            runner.request(what)
    assert seen == [("bad", "No."), ("good", "good")]


def test_lasso_by_mouse_selects_and_counts(dock, qtbot):
    settle(dock, qtbot)
    qtbot.keyClick(dock.plane.plot, Qt.Key.Key_L)
    if not dock.plane.lasso.isChecked():  # a window without the focus gets no shortcuts
        dock.plane.lasso.click()
    port, corners = dock.plane.plot.viewport(), [(0.6, -0.18), (1.15, -0.18), (1.15, 0.4), (0.6, 0.4)]
    qtbot.mousePress(port, Qt.MouseButton.LeftButton, pos=on_screen(dock, *corners[0]))
    for corner in corners[1:]:
        drag(port, on_screen(dock, *corner))
    qtbot.mouseRelease(port, Qt.MouseButton.LeftButton, pos=on_screen(dock, *corners[-1]))
    expected = dock.model.plane.inside(np.array(corners)).sum()
    assert abs(dock.model.count("selection 1") - expected) <= 4 and expected > 150  # corners fall on whole pixels
    [words] = dock.selections.counts().values()
    assert words == f"{dock.model.count('selection 1')} ({dock.model.count('selection 1') / 6:.1f} %)"
    assert not dock.plane.lasso.isChecked()


def drag(port, pos):
    from qtpy.QtCore import QEvent, QPointF
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    event = QMouseEvent(
        QEvent.Type.MouseMove, QPointF(pos), QPointF(port.mapToGlobal(pos)), Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    time.sleep(0.03)  # pyqtgraph takes no more than a move each 1/120 s
    QApplication.sendEvent(port, event)


def test_sets_of_selections_by_buttons(dock, qtbot):
    dock.plane.plot.lassoed.emit(circle(1, 0))
    dock.plane.plot.lassoed.emit(np.array([[-0.3, -0.3], [1.4, -0.3], [1.4, 0.3], [-0.3, 0.3]]))
    panel = dock.selections
    panel.first.setCurrentText("selection 2")
    panel.second.setCurrentText("selection 1")
    panel.operation.setCurrentIndex(2)
    panel.combine.click()
    assert panel.counts() == {
        "selection 1": "200 (33.3 %)", "selection 2": "400 (66.7 %)", "selection 2 without selection 1": "200 (33.3 %)"
    }  # fmt: skip
    panel.first.setCurrentText("selection 1")
    panel.combine.click()
    assert "No particle is in" in dock.plane.problem.text()
    panel.table.selectRow(0)
    assert dock.model.current == "selection 1"
    panel.remove.click()
    assert "selection 1" not in panel.counts()


def test_save_needs_the_particle_file_for_star(dock, tmp_path, monkeypatch, qtbot):
    from qtpy.QtWidgets import QFileDialog

    dock.plane.plot.lassoed.emit(circle(1, 0))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a.star"), ""))
    dock.selections.save.button.click()
    assert "choose the run's particle file" in dock.selections.save.message.text()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a"), "Numbers (*.csv *.txt *.npy)"))
    with qtbot.waitSignal(dock.selections.save.done, timeout=20_000):
        dock.selections.save.button.click()
    assert (tmp_path / "a.csv").is_file() and "200 particles" in dock.selections.save.message.text()


def test_mean_map_of_a_selection_is_drawn(dock, qtbot):
    dock.plane.plot.lassoed.emit(circle(0, 1))
    with qtbot.waitSignal(dock.selections.mean.done, timeout=20_000):
        dock.selections.mean.button.click()
    assert dock.session.ensemble.name == "mean of 32 maps of selection 1"
    np.testing.assert_allclose(dock.session.ensemble.volume.data, arm_map(0, 1), atol=0.15)


def test_reconstruct_of_a_selection_opens_its_map(viewer, tmp_path, qtbot):
    from hetero.commands import simulate

    simulate.run(simulate.Settings(out=tmp_path / "p", particles=120, box=24, snr=5.0))
    z = np.repeat([[0.0, 0.0], [1.0, 0.0]], 60, axis=0) + 0.01 * np.random.default_rng(0).normal(size=(120, 2))
    folder = write_run(
        tmp_path / "run", z.astype(np.float32), np.arange(120), {"particles": str(tmp_path / "p" / "particles.star")}
    )
    opened(viewer, folder)
    dock = docked(viewer, LatentWidget)
    dock.model.set_axes("z1", "z2")
    dock.plane.plot.lassoed.emit(circle(1, 0))
    panel = dock.selections
    assert panel.file.text().endswith("particles.star")
    with qtbot.waitSignal(panel.reconstruct.done, timeout=150_000) as caught:
        panel.reconstruct.job.start(panel.rebuilding("selection 1", tmp_path / "rebuilt"))
    assert caught.args[0][0]["n"] == 60 and "map" in [layer.name for layer in viewer.layers]


def test_path_along_a_component_is_drawn_and_played(dock, run_folder, qtbot):
    panel = dock.paths
    panel.maps.setValue(5)
    with qtbot.waitSignal(panel.make.done, timeout=150_000):
        panel.make.button.click()
    assert (run_folder / "path_pc1" / "path.csv").is_file() and len(dock.session.ensemble.ensemble) == 5
    assert len(dock.plane.plot.line.getData()[0]) == 5
    marks = []
    for _ in range(5):
        marks.append((dock.plane.plot.marker.getData()[0][0], dock.plane.plot.marker.getData()[1][0]))
        panel.play.step()
    np.testing.assert_allclose(sorted(marks), sorted(dock.model.path_places().tolist()), atol=1e-3)
    assert "the run's centre" in str(dock.session.ensemble.level())
    panel.play.click()
    before = dock.session.ensemble.index
    qtbot.waitUntil(lambda: dock.session.ensemble.index != before, timeout=5000)
    panel.play.click()


def test_path_between_particles_asks_for_them(dock, qtbot):
    settle(dock, qtbot)
    panel = dock.paths
    panel.how.setCurrentIndex(1)
    panel.make.button.click()
    assert "click one, press Add particle" in panel.make.message.text()
    for point in ((1, 0), (0, 1)):
        with qtbot.waitSignal(dock.plane.decoder.finished, timeout=10_000):
            dock.plane.plot.pointed.emit(*point)
        panel.add.click()
    assert panel.anchors.text().startswith("through 1,") and len(dock.plane.plot.anchors.getData()[0]) == 2
    panel.maps.setValue(3)
    with qtbot.waitSignal(panel.make.done, timeout=150_000):
        panel.make.button.click()
    assert len(dock.session.ensemble.ensemble) == 4


def test_cancelled_analysis_leaves_nothing(dock, run_folder, qtbot):
    before = sorted(p.name for p in run_folder.iterdir())
    dock.analyze.button.click()
    qtbot.waitUntil(lambda: dock.analyze.job.ticket.report[2] != "starting", timeout=150_000)
    with qtbot.waitSignal(dock.analyze.job.finished, timeout=150_000):
        dock.analyze.cancel.click()
    assert dock.analyze.message.text() == "Cancelled; nothing was changed."
    assert sorted(p.name for p in run_folder.iterdir()) == before


def test_deleting_the_run_and_switching_runs_under_the_dock(dock, tmp_path, qtbot):
    viewer, first = dock.viewer, dock.session.run_layer
    other = write_run(tmp_path / "other", run_latents() * 2, np.arange(600))
    dock.plane.plot.lassoed.emit(circle(1, 0))
    layers.add(viewer, readers.read(other))
    assert dock.choice.currentText() == "other" and dock.selections.counts() == {}
    dock.session.use_run(first)
    assert list(dock.selections.counts()) == ["selection 1"]
    dock.plane.plot.pointed.emit(1.0, 0.0)
    viewer.layers.remove(first)
    settle(dock, qtbot)
    assert dock.choice.currentText() == "other"
    dock.plane.plot.pointed.emit(1.0, 0.0)
    viewer.layers.clear()
    settle(dock, qtbot)
    assert dock.body.isHidden() and "No run is open" in dock.empty.text()


def test_closing_the_dock_while_it_decodes(viewer, run_folder, qtbot):
    opened(viewer, run_folder)
    widget = docked(viewer, LatentWidget)
    space = widget.model.space
    quick = space.run.decoder
    object.__setattr__(space.run, "decoder", lambda z, box: (time.sleep(0.3), quick(z, box))[1])
    for k in range(5):
        widget.plane.plot.pointed.emit(k / 5, 0.0)
    widget.plane.plot.redraw()
    viewer.window.remove_dock_widget(widget)
    widget.close()
    widget.deleteLater()
    del widget
    qtbot.wait(100)
    assert QThreadPool.globalInstance().waitForDone(60_000)
    qtbot.wait(100)


def test_two_viewers_and_two_docks(make_napari_viewer, run_folder, qtbot):
    one, two = make_napari_viewer(show=True), make_napari_viewer(show=True)
    for viewer in (one, two):
        opened(viewer, run_folder)
    first, second, beside = docked(one, LatentWidget), docked(two, LatentWidget), docked(one, EnsembleWidget)
    first.plane.plot.lassoed.emit(circle(0, 0, 3))
    first.plane.plot.pointed.emit(0.0, 0.0)
    settle(first, qtbot)
    settle(second, qtbot)
    assert "near particle" in beside.name.text() and second.session.ensemble.name == "centre of the run"
    assert second.selections.counts() == {}
    assert QThreadPool.globalInstance().waitForDone(60_000)


def test_zooming_makes_a_finer_picture(dock, qtbot):
    dock.plane.plot.box.setRange(xRange=(0.9, 1.1), yRange=(-0.1, 0.1), padding=0)
    dock.plane.plot.redraw()
    rect = dock.plane.plot.image.mapRectToParent(dock.plane.plot.image.boundingRect())
    np.testing.assert_allclose([rect.left(), rect.right()], [0.9, 1.1], atol=1e-6)
    dock.plane.whole.click()
    rect = dock.plane.plot.image.mapRectToParent(dock.plane.plot.image.boundingRect())
    assert rect.left() < -0.1 and rect.right() > 1.1
