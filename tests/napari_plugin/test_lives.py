"""Docks come and go, layers are deleted under them, work is called off at any moment: no traceback, no leaked thread,
no leaked widget (strict mode), and other viewers are not disturbed."""

import gc
import time

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool

from napari_hetero import background, layers, readers, sessions
from napari_hetero.background import list_jobs
from napari_hetero.widgets import motion_way
from napari_hetero.widgets.blocks import BlocksWidget
from napari_hetero.widgets.ensemble import EnsembleWidget
from napari_hetero.widgets.jobs import JobsWidget
from napari_hetero.widgets.latent import LatentWidget
from napari_hetero.widgets.level import LevelWidget
from napari_hetero.widgets.motion import MotionWidget
from napari_hetero.widgets.two_runs import TwoRunsWidget

from .scenes import N_PARTICLES, docked, opened, run_latents, write_gmm_run, write_run

pytest.importorskip("torch", reason="weights are written with torch")

# dock -> what is open under it, of `everything`
DOCKS = {
    EnsembleWidget: ("maps", "blocks"), LatentWidget: ("run", "maps"), TwoRunsWidget: ("run", "other"),
    BlocksWidget: ("maps", "blocks", "table"), MotionWidget: ("moving",), JobsWidget: (), LevelWidget: ("maps",),
}  # fmt: skip
NEWER = (TwoRunsWidget, BlocksWidget, MotionWidget, JobsWidget)


@pytest.fixture(autouse=True)
def _own_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "jobs_folder", lambda: tmp_path / "jobs")
    yield
    for job in list_jobs():
        if (process := job._process()) is not None:
            process.kill()
            process.wait(30)
        job.state()
    assert QThreadPool.globalInstance().waitForDone(60_000)


@pytest.fixture
def everything(tmp_path, ensemble_folder, blocks_folder, run_folder):
    """Folders and files of every kind that is read, by name."""
    other = write_run(tmp_path / "other", -run_latents(), np.arange(1000, 1000 + N_PARTICLES))
    table = tmp_path / "who.csv"
    table.write_text("name,block_00,block_01\nvol_0,1.0,0.0\nvol_1,0.1,0.9\nvol_2,0.9,0.2\nvol_3,0.2,0.8\n")
    moving = write_gmm_run(tmp_path / "moving")
    return {
        "run": run_folder, "other": other, "moving": moving, "maps": ensemble_folder, "blocks": blocks_folder,
        "table": table,
    }  # fmt: skip


def open_for(viewer, kind, everything) -> None:
    opened(viewer, *(everything[name] for name in DOCKS[kind]))


def settle(qtbot, seconds=0.05):
    assert QThreadPool.globalInstance().waitForDone(60_000)
    qtbot.wait(int(1000 * seconds))


def stir(dock) -> None:
    """Begin whatever a dock can be made to begin by one press."""
    if isinstance(dock, LatentWidget) and dock.model is not None:
        dock.plane.plot.pointed.emit(0.3, 0.1)
        dock.plane.plot.box.setRange(xRange=(0, 1), yRange=(0, 1))
    if isinstance(dock, TwoRunsWidget) and dock.link is not None:
        for side in dock.sides:
            side.plane.plot.pointed.emit(0.3, 0.1)
    if isinstance(dock, MotionWidget) and dock.way.layer is not None:
        dock.way.make.button.click()
    if isinstance(dock, EnsembleWidget) and dock.session.ensemble is not None:
        dock.play.click()
        dock.compare.mean.button.click()
        dock.compare.grid.click()
    if isinstance(dock, BlocksWidget):
        dock.occupancies_of_all.measure.button.click()
    if isinstance(dock, LevelWidget):
        dock.run.button.click()


def undock(dock, viewer) -> None:
    viewer.window.remove_dock_widget(dock)
    dock.close()
    dock.deleteLater()


@pytest.mark.parametrize("kind", DOCKS)
def test_closing_a_dock_in_the_middle_of_its_work(viewer, everything, kind, qtbot):
    dock = docked(viewer, kind)
    open_for(viewer, kind, everything)
    held = dock.session
    stir(dock)
    undock(dock, viewer)
    qtbot.waitUntil(lambda: sessions.find(viewer) is not held, timeout=10_000)
    settle(qtbot)
    viewer.layers.clear()


@pytest.mark.parametrize("kind", DOCKS)
def test_closing_napari_in_the_middle_of_it(make_napari_viewer, everything, kind, qtbot):
    viewer = make_napari_viewer(show=True, strict_qt="raise")
    dock = docked(viewer, kind)
    open_for(viewer, kind, everything)
    stir(dock)
    qtbot.wait(1)
    viewer.close()
    settle(qtbot)


@pytest.mark.parametrize("kind", DOCKS)
def test_deleting_layer_by_layer_under_a_dock(viewer, everything, kind, qtbot):
    dock = docked(viewer, kind)
    open_for(viewer, kind, everything)
    stir(dock)
    for layer in list(viewer.layers)[::-1]:
        if layer in viewer.layers:
            viewer.layers.remove(layer)
        qtbot.wait(1)
    settle(qtbot)
    qtbot.waitUntil(lambda: not viewer.layers, timeout=5000)
    viewer.layers.clear()
    open_for(viewer, kind, everything)  # and all can be opened again
    assert dock.session.problem == "" and (dock.session.ensemble is not None or kind is JobsWidget)
    settle(qtbot)
    viewer.layers.clear()


@pytest.mark.parametrize("kind", NEWER)
def test_a_second_viewer_and_its_end_do_not_disturb_the_first(make_napari_viewer, everything, kind, qtbot):
    one, two = make_napari_viewer(show=True), make_napari_viewer(show=True)
    first, second = docked(one, kind), docked(two, kind)
    for viewer in (one, two):
        open_for(viewer, kind, everything)
    stir(second)
    settle(qtbot)
    assert first.session is not second.session
    names = [layer.name for layer in one.layers]
    two.close()
    settle(qtbot)
    assert [layer.name for layer in one.layers] == names and first.session.problem == ""
    stir(first)
    settle(qtbot)


def test_occupancies_keep_when_maps_and_blocks_go(viewer, everything, qtbot):
    dock = docked(viewer, BlocksWidget)
    open_for(viewer, BlocksWidget, everything)
    panel = dock.occupancies_of_all
    qtbot.waitUntil(lambda: panel.heat_map.found is not None, timeout=20_000)
    panel.heat_map.show_row(2)
    assert dock.session.ensemble.name == panel.heat_map.found.names[2]
    viewer.layers.remove(dock.session.blocks_layer)
    panel.joint.plot.pointed.emit(1.0, 0.0)
    assert dock.session.ensemble.name == "vol_0"
    viewer.layers.remove(dock.session.maps_layer)
    panel.heat_map.show_row(1)
    assert "is not among the maps that are open" in panel.heat_map.under.text()
    panel.joint.plot.pointed.emit(0.0, 1.0)
    panel.plot.cut.setValue(0.95)
    assert "1 of 4" in panel.words.text()
    opened(viewer, everything["maps"])
    panel.joint.plot.pointed.emit(0.1, 0.9)
    assert dock.session.ensemble.name == "vol_1"


def test_a_heat_map_that_is_made_when_its_dock_is_gone(viewer, everything, qtbot, monkeypatch):
    from napari_hetero.widgets import heat_map

    quick = heat_map.heat_map
    monkeypatch.setattr(heat_map, "heat_map", lambda table: (time.sleep(0.3), quick(table))[1])
    dock = docked(viewer, BlocksWidget)
    open_for(viewer, BlocksWidget, everything)
    qtbot.wait(20)
    assert dock.occupancies_of_all.heat_map.maker.busy
    undock(dock, viewer)
    settle(qtbot)


MOMENTS = {
    "at once": lambda job, qtbot: None,
    "while the worker starts": lambda job, qtbot: qtbot.wait(300),
    "among the maps": lambda job, qtbot: qtbot.waitUntil(lambda: job.ticket.report[0] > 0, timeout=100_000),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_motion_that_is_kept_can_be_called_off_at_any_moment(viewer, tmp_path, qtbot, monkeypatch, moment):
    monkeypatch.setattr(motion_way, "STEPS", 1000)  # so many that no machine is through with them first
    folder = write_gmm_run(tmp_path / "moving")
    opened(viewer, folder)
    dock = docked(viewer, MotionWidget)
    with qtbot.waitSignal(dock.way.moved, timeout=30_000):
        dock.way.make.button.click()
    before = sorted(path.name for path in folder.iterdir())
    dock.way.keep.button.click()
    MOMENTS[moment](dock.way.keep.job, qtbot)
    with qtbot.waitSignal(dock.way.keep.job.finished, timeout=100_000):
        dock.way.keep.cancel.click()
    assert dock.way.keep.message.text() == "Cancelled; nothing was changed."
    assert sorted(path.name for path in folder.iterdir()) == before
    settle(qtbot)


def test_a_job_is_stopped_at_once_after_its_start_and_the_dock_closed(viewer, ensemble_folder, tmp_path, qtbot):
    dock = docked(viewer, JobsWidget)
    dock.verb.setCurrentIndex(dock.verb.findData("blocks"))
    dock._on_verb()
    dock.form.put({"folder": str(ensemble_folder), "out": str(tmp_path / "found")})
    dock.start.click()
    dock.cancel.click()
    job = dock.chosen()
    assert job.state() == background.STOPPED
    dock.again.click()
    assert len(list_jobs()) == 2
    undock(dock, viewer)
    qtbot.waitUntil(lambda: list_jobs()[0].state() in (background.DONE, background.FAILED), timeout=120_000)
    assert not list(tmp_path.rglob(".partial*"))  # the second job went on by itself, the first left nothing


def test_two_runs_of_which_one_is_exchanged_while_both_decode(viewer, everything, tmp_path, qtbot):
    dock = docked(viewer, TwoRunsWidget)
    open_for(viewer, TwoRunsWidget, everything)
    stir(dock)
    third = write_run(tmp_path / "third", run_latents() * 2, np.arange(1000, 1000 + N_PARTICLES))
    layers.add(viewer, readers.read(third))
    left = dock.sides[0]
    left.choice.setCurrentIndex(left.choice.findText("third"))
    left.choice.activated.emit(left.choice.currentIndex())
    viewer.layers.remove(viewer.layers["run"])
    settle(qtbot)
    assert left.plane.model is dock.session.latent_of(viewer.layers["third"]) and dock.link.shared == N_PARTICLES
    viewer.layers.clear()
    settle(qtbot)
    assert "Open two runs" in dock.empty.text()


def test_a_widget_that_is_garbage_stops_its_run(qtbot):
    """Python's garbage collector may empty what only the widget knows before Qt deletes the widget: it must not be
    called then, which would end the process."""
    from napari_hetero.widgets.parts import JobRow

    def work(progress):
        while True:
            progress(0, 0, "at it")
            time.sleep(0.01)

    row = JobRow("Work", "", lambda: work)
    row.start()
    ticket, row.itself = row.job.ticket, row
    del row
    gc.collect()
    assert ticket.cancelled
