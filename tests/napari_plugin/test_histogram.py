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
    panel = widget.histogram
    assert "Open a table" in panel.empty.text() and panel.plot.isHidden()
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
    assert "was expected first" in panel.empty.text() and panel.plot.isHidden()
