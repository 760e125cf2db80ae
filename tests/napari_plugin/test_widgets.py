"""The docks in a real viewer."""

import time

import numpy as np
import pytest

from hetero.commands import level as level_command
from hetero.commands import occupancy
from napari_hetero import sessions
from napari_hetero.widgets.blocks import BlocksWidget
from napari_hetero.widgets.ensemble import EnsembleWidget
from napari_hetero.widgets.level import LevelWidget

from .scenes import docked, opened


@pytest.fixture
def slow_percentile(monkeypatch):
    """The percentile rule at 0.5 s a map; the maps read so far."""
    quick, read = level_command.read_map, []

    def slow(path):
        read.append(path)
        time.sleep(0.5)
        return quick(path)

    monkeypatch.setattr(level_command, "read_map", slow)
    return read


@pytest.fixture
def level_dock(viewer, ensemble_folder):
    opened(viewer, ensemble_folder)
    widget = docked(viewer, LevelWidget)
    widget.method.setCurrentIndex(1)
    return widget


def test_empty_docks_say_what_to_open(viewer):
    ensemble, blocks, level = (docked(viewer, kind) for kind in (EnsembleWidget, BlocksWidget, LevelWidget))
    assert "Open a folder of maps" in ensemble.empty.text() and ensemble.body.isHidden()
    assert "No blocks are open" in blocks.problem.text()
    assert "No maps are open" in level.empty.text() and not level.run.button.isEnabled()


def test_slider_changes_volume_level_and_viewer(viewer, ensemble_folder):
    widget = docked(viewer, EnsembleWidget)
    opened(viewer, ensemble_folder)
    assert (widget.name.text(), widget.position.text(), widget.level.text()) == ("vol_0", "1 of 4", "1")
    widget.slider.setValue(3)
    assert (widget.name.text(), widget.level.text()) == ("vol_3", "40")
    assert round(viewer.dims.point[0]) == 3
    assert widget.source.text() == "40 (2.3 s.d.), from ensemble.csv"
    viewer.dims.set_point(0, 1)
    assert (widget.name.text(), widget.level.text(), widget.slider.value()) == ("vol_1", "0.02", 1)


def test_typed_level_and_reset(viewer, ensemble_folder, qtbot):
    opened(viewer, ensemble_folder)
    widget = docked(viewer, EnsembleWidget)
    before = len(widget.session.layers_of("drawn")[0].vertices)
    widget.level.selectAll()
    qtbot.keyClicks(widget.level, "0.3")
    widget.level.editingFinished.emit()
    assert "set by you" in widget.source.text()
    assert len(widget.session.layers_of("drawn")[0].vertices) > before
    widget.back.click()
    assert widget.level.text() == "1"
    widget.scale.setValue(1.5)
    assert widget.level.text() == "1.5"


def test_predict_in_the_ensemble_dock_keeps_levels(viewer, unlevelled_folder, qtbot):
    opened(viewer, unlevelled_folder)
    widget = docked(viewer, EnsembleWidget)
    assert "provisional" in widget.source.text() and not widget.predict.isHidden()
    with qtbot.waitSignal(widget.predict.done, timeout=60_000):
        widget.predict.button.click()
    assert "predicted" in widget.source.text() and widget.predict.isHidden()
    assert (unlevelled_folder / "ensemble.csv").is_file()


def test_occupancies_beside_the_names_are_the_engines(viewer, ensemble_folder, blocks_folder):
    opened(viewer, ensemble_folder, blocks_folder)
    widget = docked(viewer, BlocksWidget)
    for k in (0, 1):
        viewer.dims.set_point(0, k)
        model = widget.session.ensemble
        expected = occupancy.measure(model.volume.data, model.level().value, widget.session.blocks.blocks.masks)
        assert widget.occupancies() == [f"{100 * share:.0f} %" for share in expected]
        assert widget.table.item(0, 0).text() == "block_00"


def test_ticks(viewer, ensemble_folder, blocks_folder):
    from qtpy.QtCore import Qt

    opened(viewer, ensemble_folder, blocks_folder)
    widget = docked(viewer, BlocksWidget)
    widget.none.click()
    assert not widget.session.blocks.shown.any()
    widget.table.item(1, 0).setCheckState(Qt.CheckState.Checked)
    np.testing.assert_array_equal(widget.session.blocks.shown, [False, True])
    widget.all.click()
    assert all(widget.table.item(row, 0).checkState() == Qt.CheckState.Checked for row in range(2))


def test_blocks_of_another_grid_get_one_sentence(viewer, ensemble_folder, other_grid_folder):
    opened(viewer, ensemble_folder, other_grid_folder)
    widget = docked(viewer, BlocksWidget)
    assert "strangers lies on another grid" in widget.problem.text() and not widget.problem.isHidden()
    assert widget.occupancies() == ["-"]


def test_find_blocks_opens_what_it_found(viewer, tmp_path, qtbot):
    from hetero.commands import simulate

    simulate.run(simulate.Settings(out=tmp_path / "few", volumes=40, box=32))
    opened(viewer, tmp_path / "few")
    widget = docked(viewer, BlocksWidget)
    with qtbot.waitSignal(widget.find.job.finished, timeout=120_000) as caught:
        widget.find.button.click()
    answer, _ = caught.args[0]
    assert answer["kind"] == "blocks"
    assert (tmp_path / "few_blocks" / "blocks.csv").is_file()
    assert widget.table.rowCount() == answer["n"]


def test_finding_no_blocks_is_said(viewer, ensemble_folder, qtbot):
    opened(viewer, ensemble_folder)
    widget = docked(viewer, BlocksWidget)
    with qtbot.waitSignal(widget.find.job.finished, timeout=60_000):
        widget.find.button.click()
    assert "No blocks were found" in widget.find.message.text()
    assert widget.session.blocks is None


def test_levels_of_an_ensemble_are_shown_and_kept(level_dock, ensemble_folder, qtbot):
    with qtbot.waitSignal(level_dock.run.done, timeout=30_000) as caught:
        level_dock.run.button.click()
    assert level_dock.table.rowCount() == 4
    assert level_dock.table.item(3, 0).text() == "vol_3"
    assert f"Kept in {ensemble_folder / 'ensemble.csv'}" in level_dock.run.message.text()
    expected = level_command.run(level_command.Settings(maps=(ensemble_folder,), method="percentile"))["maps"]
    assert [row["level"] for row in caught.args[0]["maps"]] == [row["level"] for row in expected]
    assert level_dock.session.ensemble.level().value == expected[0]["level"]
    assert level_dock.run.button.isEnabled() and level_dock.run.cancel.isHidden()


def test_cancel_stops_after_the_map_at_work_and_writes_nothing(level_dock, ensemble_folder, slow_percentile, qtbot):
    files = {p.name: p.read_bytes() for p in ensemble_folder.iterdir()}
    level_dock.run.button.click()
    qtbot.waitUntil(lambda: "of 4" in level_dock.run.message.text(), timeout=5000)
    assert not level_dock.run.button.isEnabled() and not level_dock.run.bar.isHidden()
    before = len(slow_percentile)
    with qtbot.waitSignal(level_dock.run.job.finished, timeout=5000):
        level_dock.run.cancel.click()
    assert len(slow_percentile) <= before + 1 < 4
    assert level_dock.run.button.isEnabled()
    assert level_dock.run.message.text() == "Cancelled; nothing was changed."
    assert {p.name: p.read_bytes() for p in ensemble_folder.iterdir()} == files
    assert level_dock.table.rowCount() == 0


def test_folder_that_vanished_gives_one_sentence(level_dock, ensemble_folder, qtbot):
    for path in ensemble_folder.iterdir():
        path.unlink()
    with qtbot.waitSignal(level_dock.run.job.finished, timeout=10_000):
        level_dock.run.button.click()
    assert "holds no maps" in level_dock.run.message.text()
    assert level_dock.run.button.isEnabled()


def test_a_bug_in_a_command_is_said_and_reaches_napari(level_dock, monkeypatch, qtbot):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(level_command, "run", broken)
    with qtbot.capture_exceptions() as caught, qtbot.waitSignal(level_dock.run.job.finished, timeout=10_000):
        level_dock.run.button.click()
    qtbot.waitUntil(lambda: bool(caught), timeout=2000)
    assert caught[0][0] is ZeroDivisionError
    assert "a bug" in level_dock.run.message.text() and level_dock.run.button.isEnabled()


def test_level_of_a_selected_map_layer_contours_it(level_dock, ensemble_folder, qtbot):
    opened(level_dock.viewer, ensemble_folder / "vol_3.mrc")
    layer = level_dock.viewer.layers["vol_3"]
    level_dock.viewer.layers.selection.active = layer
    last = level_dock.target.count() - 1
    assert level_dock.target.itemText(last) == "selected layer: vol_3"
    level_dock.target.setCurrentIndex(last)
    with qtbot.waitSignal(level_dock.run.done, timeout=10_000) as caught:
        level_dock.run.button.click()
    assert layer.rendering == "iso" and layer.iso_threshold == pytest.approx(
        caught.args[0]["maps"][0]["level"], rel=1e-5
    )


def test_deleting_layers_under_the_docks(viewer, ensemble_folder, blocks_folder, qtbot):
    opened(viewer, ensemble_folder, blocks_folder)
    ensemble, blocks, _ = (docked(viewer, kind) for kind in (EnsembleWidget, BlocksWidget, LevelWidget))
    viewer.layers.remove(ensemble.session.maps_layer)
    qtbot.waitUntil(lambda: not ensemble.session.layers_of("drawn"), timeout=2000)
    assert ensemble.body.isHidden() and "No maps are open" in ensemble.empty.text()
    assert blocks.occupancies() == ["-", "-"]
    viewer.layers.clear()
    assert blocks.table.rowCount() == 0


def test_two_viewers_do_not_disturb_each_other(make_napari_viewer, ensemble_folder, blocks_folder):
    one, two = make_napari_viewer(show=True), make_napari_viewer(show=True)
    opened(one, ensemble_folder, blocks_folder)
    opened(two, ensemble_folder)
    first, second = docked(one, EnsembleWidget), docked(two, EnsembleWidget)
    blocks = docked(one, BlocksWidget)
    first.slider.setValue(2)
    assert (first.name.text(), second.name.text()) == ("vol_2", "vol_0")
    assert blocks.session is first.session is not second.session
    assert second.session.blocks is None


def test_closing_the_docks_ends_the_session_and_a_running_job(viewer, ensemble_folder, slow_percentile, qtbot):
    from qtpy.QtCore import QThreadPool

    opened(viewer, ensemble_folder)
    widget = docked(viewer, LevelWidget)
    widget.method.setCurrentIndex(1)
    held, files = widget.session, (ensemble_folder / "ensemble.csv").read_bytes()
    widget.run.button.click()
    ticket = widget.run.job.ticket
    viewer.window.remove_dock_widget(widget)
    widget.close()
    widget.deleteLater()
    qtbot.waitUntil(lambda: ticket.cancelled, timeout=2000)
    assert held not in [entry[0] for entry in sessions._open.values()]
    assert QThreadPool.globalInstance().waitForDone(3000)
    assert (ensemble_folder / "ensemble.csv").read_bytes() == files
    viewer.dims.set_point(0, 3)
    assert held.ensemble.index == 0


def test_docks_open_by_the_manifest(make_napari_viewer_proxy, npe2pm, ensemble_folder, blocks_folder):
    """Through napari's public-only proxy, as napari hands viewers to plugins: private access would be an error here."""
    with npe2pm.tmp_plugin(package="hetero-em"):
        viewer = make_napari_viewer_proxy(show=True)
        widgets = [
            viewer.window.add_plugin_dock_widget("hetero-em", name)[1]
            for name in ("Ensemble", "Blocks", "Level", "Latent", "Two runs", "Motion", "Jobs")
        ]
        viewer.open(str(ensemble_folder), plugin="hetero-em")
        viewer.open(str(blocks_folder), plugin="hetero-em")
    assert len({widget.session for widget in widgets}) == 1
    widgets[0].slider.setValue(1)
    assert widgets[0].name.text() == "vol_1" and widgets[1].table.rowCount() == 2
    widgets[0].compare.grid.click()
    widgets[0].compare.pin.click()
    viewer.theme = "light"
    widgets[0].compare.grid.click()
    assert widgets[0].session.problem == widgets[0].session.misfit == ""
