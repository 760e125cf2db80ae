"""Two runs of the same particles: selections follow each other by the particles' numbers."""

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool

from hetero.commands.latent_space import open_space
from napari_hetero.latent_model import LatentModel
from napari_hetero.linked import Link
from napari_hetero.widgets.latent import LatentWidget
from napari_hetero.widgets.two_runs import TwoRunsWidget

from .scenes import N_PARTICLES, docked, opened, run_latents, write_run

HALF = np.arange(1000, 1000 + N_PARTICLES, 2)


@pytest.fixture
def other_folder(tmp_path, run_folder):
    """A second run, of every other particle of the first, upside down and in another order."""
    latents = run_latents()[::2][::-1]
    return write_run(tmp_path / "other", -latents, HALF[::-1])


def circle(x, y, radius=0.3):
    t = np.linspace(0, 2 * np.pi, 40)
    return np.column_stack([x + radius * np.cos(t), y + radius * np.sin(t)])


def chosen_numbers(model, name):
    return set(model.space.run.particle_index[model.selections[name]].tolist())


def test_the_same_particles_are_selected_in_both(run_folder, other_folder):
    first, second = (LatentModel(open_space(folder)) for folder in (run_folder, other_folder))
    for model in (first, second):
        model.set_axes("z1", "z2")
    first.lasso(circle(1, 0))
    link = Link(first, second)
    assert link.shared == 300 and "300 of 600 and 300" in link.words()
    assert second.count("selection 1") == 100 and second.current == "selection 1"
    assert chosen_numbers(second, "selection 1") == chosen_numbers(first, "selection 1") & set(HALF.tolist())
    second.lasso(circle(0, -1))
    assert first.count("selection 2") == 100 and first.current == "selection 2"
    assert first.count("selection 1") == 100  # what the second knows of it, from now on
    first.rename("selection 2", "with the arm")
    assert "with the arm" in second.selections and "selection 2" not in second.selections
    second.remove("with the arm")
    assert list(first.selections) == ["selection 1"]
    link.end()
    first.remove("selection 1")
    assert list(second.selections) == ["selection 1"]


def test_runs_without_a_common_particle_say_so(run_folder, tmp_path):
    far = write_run(tmp_path / "far", run_latents(), np.arange(5000, 5000 + N_PARTICLES))
    link = Link(LatentModel(open_space(run_folder)), LatentModel(open_space(far)))
    assert link.shared == 0 and "no particle in common" in link.words()


def test_side_by_side_in_the_dock(viewer, run_folder, other_folder, qtbot):
    dock = docked(viewer, TwoRunsWidget)
    assert "Open two runs" in dock.empty.text() and dock.sides[0].isHidden()
    opened(viewer, run_folder)
    assert dock.sides[0].isHidden()
    opened(viewer, other_folder)
    left, right = dock.sides
    assert (left.choice.currentText(), right.choice.currentText()) == ("run", "other") and dock.empty.isHidden()
    for side in dock.sides:
        side.plane.model.set_axes("z1", "z2")
    left.plane.plot.lassoed.emit(circle(1, 0))
    assert left.count.text() == "selection 1: 200 particles (33.3 %)"
    assert right.count.text() == "selection 1: 100 particles (33.3 %)"
    right.plane.plot.lassoed.emit(circle(0, -1))
    assert dock.selection.currentText() == "selection 2" and "selection 2: 100" in left.count.text()
    with qtbot.waitSignal(right.plane.decoder.finished, timeout=20_000):
        right.plane.plot.pointed.emit(-1.0, 0.0)
    assert dock.session.run_layer.name == "other" and "near particle" in dock.session.ensemble.name
    latent = docked(viewer, LatentWidget)  # the same selections, to be saved there
    assert list(latent.selections.counts()) == ["selection 1", "selection 2"]
    viewer.layers.remove(viewer.layers["other"])
    assert left.isHidden() and "Open two runs" in dock.empty.text()
    left_model = dock.session.latent_of(viewer.layers["run"])
    left_model.remove("selection 1")
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not any(p.searcher.busy for p in (left.plane, right.plane, latent.plane)), timeout=30_000)
    assert QThreadPool.globalInstance().waitForDone(20_000)


def test_closing_the_dock_ends_the_link(viewer, run_folder, other_folder, qtbot):
    latent = docked(viewer, LatentWidget)
    dock = docked(viewer, TwoRunsWidget)
    opened(viewer, run_folder, other_folder)
    models = [side.plane.model for side in dock.sides]
    viewer.window.remove_dock_widget(dock)
    dock.close()
    dock.deleteLater()
    qtbot.wait(50)
    models[0].set_axes("z1", "z2")
    models[0].lasso(circle(1, 0))
    assert not models[1].selections and latent.model in models
    assert QThreadPool.globalInstance().waitForDone(20_000)
