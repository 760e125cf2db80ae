"""The panels of blocks and of series, in Qt without a screen: their window is a stand-in, all else is real."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from scenes import COLORS, halves, write_blocks, write_ensemble, write_mrc

pytestmark = pytest.mark.usefixtures("engine", "window")


def start(session, name):
    """The panel, as ChimeraX's menu opens it, after a frame."""
    api = import_module("chimerax.hetero").bundle_api
    return api.start_tool(session, None, SimpleNamespace(name=name))


@pytest.fixture
def commands(session, monkeypatch):
    """The commands that were run, as the log has them."""
    from chimerax.core.commands import run as run_command

    said = []
    panel = import_module("chimerax.hetero.tools.panel")

    def run_and_keep(session, words, **options):
        said.append(words)
        return run_command(session, words, **options)

    monkeypatch.setattr(panel, "run_command", run_and_keep)
    return said


@pytest.fixture
def scene(run, tmp_path):
    """Sixteen maps, of which the even ones hold the left, the odd ones the right half of a ball; and the two halves."""
    left, right = halves()
    folder = tmp_path / "ensemble"
    folder.mkdir()
    for i in range(16):
        write_mrc(folder / f"vol_{i:02d}.mrc", (right if i % 2 else left).astype(np.float32))
    (folder / "ensemble.csv").write_text("name,level\n" + "".join(f"vol_{i:02d},0.5\n" for i in range(16)))
    run(f'hetero open "{folder}"')
    run(f'hetero blocks "{write_blocks(tmp_path / "blocks", halves())}"')


def texts(tool):
    """The list as one reads it."""
    lines = [tool.list.topLevelItem(i) for i in range(tool.list.topLevelItemCount())]
    return [[line.text(column) for column in range(5)] for line in lines]


def tick(tool, line, on):
    from Qt.QtCore import Qt

    tool.list.topLevelItem(line).setCheckState(0, Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)


def test_blocks_are_listed_and_ticks_show_and_hide_them(session, run, scene, settle, commands):
    tool = start(session, "Hetero Blocks")
    assert [line[0] for line in texts(tool)] == ["block 0", "block 1"]
    assert [tool.list.topLevelItem(i).background(1).color().name() for i in (0, 1)] == list(COLORS)
    assert all(float(line[2]) > 0 for line in texts(tool)) and texts(tool)[0][3:] == ["", ""]
    tick(tool, 0, False)
    (blocks,) = [m for m in session.models.list() if type(m).__name__ == "BlocksModel"]
    assert [s.display for s in blocks.surfaces] == [False, True]
    tick(tool, 0, True)
    assert commands == ["hetero blocks hide 0 blocks #2", "hetero blocks show 0 blocks #2"]
    assert all(s.display for s in blocks.surfaces)
    tool.list.topLevelItem(1).setSelected(True)
    tool.show_only_selected()
    assert [s.display for s in blocks.surfaces] == [False, True]
    run("undo")
    settle(2)
    from Qt.QtCore import Qt

    assert tool.list.topLevelItem(0).checkState(0) == Qt.CheckState.Checked
    assert start(session, "Hetero Blocks") is tool


def test_occupancy_in_the_map_shown_and_populations(session, run, scene, settle):
    tool = start(session, "Hetero Blocks")
    run("hetero occupancy #1 blocks #2")
    settle(2)
    assert [line[3] for line in texts(tool)] == ["100 %", "0 %"]
    run("vseries play #1 jumpTo 3")
    settle(2)
    assert [line[3] for line in texts(tool)] == ["0 %", "100 %"] and "vol_03" in tool._said.text()
    run("hetero populations")
    settle(2)
    assert all(line[4].startswith("50 % (") for line in texts(tool))
    run("close #2")
    settle(2)
    assert texts(tool) == [] and "No blocks are open" in tool._said.text()


def test_the_slider_shows_maps_with_name_class_and_level(session, run, scene, settle, commands):
    tool = start(session, "Hetero Series")
    assert tool.slider.maximum() == 15 and tool._said.text() == "vol_00 (1 of 16), level 0.5"
    tool.slider.setValue(5)
    series = tool.series
    assert series.maps[5].display and not series.maps[0].display and tool.volume is series.maps[5]
    assert commands == ["vseries play #1 jumpTo 5"]
    run("hetero occupancy #1 blocks #2")
    run("hetero classes number 2")
    run("vseries play #1 jumpTo 6")
    settle(2)
    assert tool.slider.value() == 6 and tool._said.text().startswith("vol_06 (7 of 16), class ")
    run("volume #1.7 level 0.25")
    run("hide #1.7 models; show #1.7 models")
    settle(2)
    assert "level 0.25" in tool._said.text()


def test_play_and_stop(session, run, scene, settle, commands):
    tool = start(session, "Hetero Series")
    tool.play.setChecked(True)
    settle(6)
    assert tool.series.last_shown_time > 0
    tool.play.setChecked(False)
    there = tool.series.last_shown_time
    settle(4)
    assert tool.series.last_shown_time == there
    assert commands == ["vseries play #1 loop true", "vseries stop #1"]


def test_another_series_can_be_chosen(session, run, scene, settle, tmp_path):
    run(f'hetero open "{write_ensemble(tmp_path / "other", levels=[0.3, 0.7, 1.5])}"')
    tool = start(session, "Hetero Series")
    settle(2)
    tool._which.setCurrentIndex(1)
    tool.slider.setValue(2)
    assert tool._said.text() == "vol_2 (3 of 3), level 1.5"
    run("close #1")
    settle(2)
    assert tool._said.text() == "vol_2 (3 of 3), level 1.5"


def test_panels_without_anything_say_so(session):
    assert "No series is open" in start(session, "Hetero Series")._said.text()
    assert "No blocks are open" in start(session, "Hetero Blocks")._said.text()


def test_the_picture(session, run, scene, tmp_path):
    """The swatches are seen."""
    from PIL import Image

    run("hetero occupancy #1 blocks #2")
    run("hetero populations")
    tool = start(session, "Hetero Blocks")
    tool.tool_window.ui_area.resize(520, 240)
    tool.tool_window.ui_area.grab().save(str(tmp_path / "blocks.png"))
    image = np.asarray(Image.open(tmp_path / "blocks.png").convert("RGB")).astype(int)
    for color in COLORS:
        assert (np.abs(image - list(bytes.fromhex(color[1:]))).max(axis=-1) < 4).mean() > 0.002
