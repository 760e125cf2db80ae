"""The histogram of the Blocks dock: occupancies of volumes and particles, the cut, the populations."""

import numpy as np
import pandas as pd
import pytest

from hetero.commands import populations
from hetero.errors import HeteroError
from napari_hetero.occupancy_model import OccupancyModel
from napari_hetero.widgets.blocks import BlocksWidget

from .scenes import docked, opened


def two_groups(n: int = 400) -> pd.DataFrame:
    """Particles of which 30 % have block_00 (0.9) and none of the others has (0.1); block_01 is one group."""
    rng = np.random.default_rng(0)
    has = np.arange(n) % 10 < 3
    first = np.where(has, 0.9, 0.1) + 0.05 * rng.standard_normal(n)
    return pd.DataFrame(
        {"block_00": first, "block_01": 0.5 + 0.03 * rng.standard_normal(n)}, pd.RangeIndex(n, name="particle")
    )


@pytest.fixture
def table(tmp_path):
    two_groups().to_csv(tmp_path / "particles.csv")
    return tmp_path / "particles.csv"


def test_cut_counts_and_the_fit_is_the_commands(table, tmp_path):
    model = OccupancyModel(table)
    assert model.units == "particles" and model.above() == 120
    counts, edges = model.histogram()
    assert counts.sum() == 400 and (edges[0], edges[-1]) <= (0, 1.2)
    model.set_cut(0.05)
    assert model.above() == int((two_groups()["block_00"] >= 0.05).sum())
    answer = model.populations(lambda *_: None)
    model.take_fits(answer)
    expected = populations.run(populations.Settings(table=table, out=tmp_path / "again.csv"))["blocks"]
    assert model.fits["block_00"] == expected[0]
    assert model.cut == expected[0]["cut"] and "Two populations: 30" in model.words()
    model.look_at("block_01")
    assert "One population" in model.words()


def test_particles_above_the_cut_are_saved_by_rule(table, tmp_path):
    model = OccupancyModel(table)
    answer = model.save_above(tmp_path / "have.csv", None, lambda *_: None)
    assert answer["selected"] == 120
    assert np.loadtxt(tmp_path / "have.csv", skiprows=1, dtype=int)[:4].tolist() == [0, 1, 2, 10]


def test_a_table_that_is_none_gets_one_sentence(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(HeteroError, match="'name' or 'particle' was expected first"):
        OccupancyModel(tmp_path / "x.csv")


def test_histogram_in_the_dock(viewer, ensemble_folder, blocks_folder, table, tmp_path, qtbot):
    opened(viewer, ensemble_folder, blocks_folder)
    widget = docked(viewer, BlocksWidget)
    panel = widget.occupancies_of_all
    assert "Open a table" in panel.empty.text() and panel.tabs.isHidden()
    with qtbot.waitSignal(panel.measure.done, timeout=60_000):
        panel.measure.button.click()
    assert panel.model.units == "volumes" and panel.model.above() == 2  # the arm is in every other map
    assert panel.plot.now.value() == pytest.approx(widget.session.blocks.occupancy[0])
    assert panel.save.isHidden()
    assert panel.take_table(table) == "" and not panel.save.isHidden()
    panel.plot.cut.setValue(0.95)
    assert panel.words.text().startswith(f"{int((two_groups()['block_00'] >= 0.95).sum())} of 400 particles")
    with qtbot.waitSignal(panel.fit.done, timeout=60_000):
        panel.fit.button.click()
    assert "Two populations" in panel.words.text() and 0.2 < panel.plot.cut.value() < 0.8
    panel.block.setCurrentIndex(1)
    panel.block.activated.emit(1)
    assert "One population" in panel.words.text()
    (tmp_path / "bad.csv").write_text("a\n1\n")
    assert "was expected first" in panel.take_table(tmp_path / "bad.csv")
    assert "was expected first" in panel.empty.text() and panel.tabs.isHidden()


def volumes_table(path):
    """Occupancies of the four maps: even ones have block_00, odd ones block_01."""
    rows = [f"vol_{k},{0.9 - 0.8 * (k % 2) + 0.01 * k},{0.1 + 0.8 * (k % 2)}" for k in range(4)]
    path.write_text("\n".join(["name,block_00,block_01", *rows]) + "\n")
    return path


@pytest.fixture
def panel(viewer, ensemble_folder, blocks_folder, tmp_path, qtbot):
    """Maps, blocks and a table of the maps in the dock."""
    opened(viewer, ensemble_folder, blocks_folder)
    widget = docked(viewer, BlocksWidget)
    found = widget.occupancies_of_all
    with qtbot.waitSignal(found.heat_map.maker.finished, timeout=30_000):
        found.take_table(volumes_table(tmp_path / "volumes.csv"))
    return found


def click(plot, view, x, y, qtbot):
    from qtpy.QtCore import QPointF, Qt

    place = plot.mapFromScene(view.mapViewToScene(QPointF(x, y)))
    qtbot.mouseMove(plot.viewport(), place)
    qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_click_on_a_row_of_the_heat_map_shows_that_volume(panel, qtbot):
    panel.tabs.setCurrentWidget(panel.heat_map)
    qtbot.wait(50)
    heat_map, session = panel.heat_map, panel.dock.session
    names = heat_map.found.names
    assert {*names[:2]} in ({"vol_0", "vol_2"}, {"vol_1", "vol_3"}) and set(heat_map.found.labels) == {1, 2}
    for row in (3, 1, 0, 2):
        click(heat_map.plot, heat_map.plot.view, 0.5, row + 0.5, qtbot)
        assert session.ensemble.name == names[row]
        assert heat_map.plot.here.value() == row + 0.5
        assert heat_map.under.text().startswith(f"{names[row]}, class {heat_map.found.labels[row]}")
    session.ensemble.go_to(0)
    assert heat_map.plot.here.value() == names.index("vol_0") + 0.5
    panel.dock.viewer.layers.remove(session.maps_layer)
    click(heat_map.plot, heat_map.plot.view, 0.5, 0.5, qtbot)
    assert "is not among the maps" in heat_map.under.text()


def test_a_table_of_particles_has_no_heat_map_and_says_so(panel, table, qtbot):
    with qtbot.waitSignal(panel.heat_map.maker.finished, timeout=30_000):
        panel.take_table(table)
    assert "a row for each particle" in panel.heat_map.problem.text() and panel.heat_map.plot.isHidden()


def test_two_blocks_are_counted_by_their_cuts_and_clicked(panel, table, qtbot):
    joint = panel.joint
    assert joint.words.text() == "Both: 0. Only block_00: 2. Only block_01: 2. Neither: 0."
    panel.tabs.setCurrentWidget(joint)
    qtbot.wait(50)
    click(joint.plot, joint.plot.box, 0.93, 0.11, qtbot)
    assert panel.dock.session.ensemble.name == "vol_2"
    np.testing.assert_allclose(np.ravel(joint.plot.marker.getData()), [0.92, 0.1], atol=1e-5)
    panel.take_table(table)
    panel.plot.cut.setValue(0.95)
    counts = two_groups()
    both = int(((counts["block_00"] >= 0.95) & (counts["block_01"] >= panel.model.cut_of("block_01"))).sum())
    assert joint.words.text().startswith(f"Both: {both}.")
    with qtbot.waitSignal(panel.fit.done, timeout=60_000):
        panel.fit.button.click()
    joint.blocks[1].setCurrentIndex(0)
    joint.blocks[1].activated.emit(0)
    assert joint.words.text().startswith("Both: 120. Only block_00: 0. Only block_00: 0.")


def test_names_under_the_heat_map_have_room():
    from napari_hetero.widgets.heat_map import _short

    assert _short(["a", "b"]) == ["a", "b"]
    assert _short([f"block_{k:02d}" for k in range(10)]) == [f"{k:02d}" for k in range(10)]
    assert _short([f"the large subunit {k}" * 2 for k in range(9)]) == [""] * 9
