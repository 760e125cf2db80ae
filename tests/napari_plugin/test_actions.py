"""What napari's command palette, menus and theme do with us."""

import pytest
from napari._app_model import get_app_model  # tests alone: napari has no public name for its commands
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QPushButton, QSlider

from napari_hetero import sessions, view
from napari_hetero.widgets.blocks import BlocksWidget
from napari_hetero.widgets.ensemble import EnsembleWidget
from napari_hetero.widgets.jobs import JobsWidget
from napari_hetero.widgets.latent import LatentWidget
from napari_hetero.widgets.level import LevelWidget
from napari_hetero.widgets.motion import MotionWidget
from napari_hetero.widgets.two_runs import TwoRunsWidget

from .scenes import docked, opened


@pytest.fixture
def app(viewer, npe2pm):
    """napari's register of commands, as its palette and menus use it."""
    with npe2pm.tmp_plugin(package="hetero-em"):
        yield get_app_model()


def run(app, name):
    return app.commands.execute_command(f"hetero-em.{name}").result()


def test_commands_of_the_palette_act_on_the_viewer_on_top(app, viewer, ensemble_folder):
    opened(viewer, ensemble_folder)
    run(app, "next_volume")  # opens the dock
    session = sessions.find(viewer)
    assert session.ensemble.name == "vol_1"
    run(app, "next_volume")
    run(app, "previous_volume")
    run(app, "pin_volume")
    assert session.ensemble.pinned.name == "vol_1"
    run(app, "pin_volume")
    run(app, "one_level")
    assert session.ensemble.level(3).value == 0.02
    run(app, "one_level")
    run(app, "side_by_side")
    assert session.grid == ("evenly", 12) and view.grid(viewer).enabled
    run(app, "side_by_side")
    viewer.layers.clear()
    for name in ("next_volume", "pin_volume", "one_level", "side_by_side"):
        run(app, name)  # nothing is open: it says so, and nothing happens


def test_every_command_is_in_the_palette_and_what_needs_a_path_cannot_be_chosen_there(app, viewer):
    palette = {item.command.id: item.command for item in app.menus.get_menu(app.menus.COMMAND_PALETTE_ID)}
    ours = {name.split(".", 1)[1].split(":")[0] for name in palette if name.startswith("hetero-em")}
    assert {"next_volume", "previous_volume", "pin_volume", "side_by_side", "one_level"} <= ours
    for name in ("read", "write_map", "write_blocks"):
        assert not palette[f"hetero-em.{name}"].enablement.eval({})


def color_of(label) -> str:
    label.ensurePolished()
    return label.palette().color(label.foregroundRole()).name()


def test_words_follow_the_theme(viewer, ensemble_folder, other_grid_folder):
    opened(viewer, ensemble_folder, other_grid_folder)
    ensemble, blocks = docked(viewer, EnsembleWidget), docked(viewer, BlocksWidget)
    seen = {}
    for theme in ("dark", "light"):
        viewer.theme = theme
        seen[theme] = [color_of(label) for label in (ensemble.name, ensemble.hand, blocks.problem)]
    for dark, light in zip(seen["dark"], seen["light"], strict=True):
        assert int(dark[1:3], 16) > 120 and dark != light
    assert seen["light"][2] == "#8f4a00" and seen["dark"][2] == "#f0a35e"
    viewer.layers.clear()
    assert color_of(blocks.problem) == color_of(ensemble.empty)  # no problem any more


DOCKS = (EnsembleWidget, LatentWidget, TwoRunsWidget, BlocksWidget, MotionWidget, JobsWidget, LevelWidget)


@pytest.mark.parametrize("kind", DOCKS)
def test_whatever_can_be_pressed_or_set_says_what_it_is_for(viewer, kind, qtbot):
    dock = docked(viewer, kind)
    for family in (QPushButton, QCheckBox, QComboBox, QSlider, QAbstractSpinBox):
        mute = [found.objectName() or repr(found) for found in dock.findChildren(family) if not _says(found)]
        assert not mute, f"{family.__name__} without a word: {mute}"


def _says(widget) -> bool:
    """It has a tooltip, or what it is a part of has one."""
    return bool(widget.toolTip() or (widget.parentWidget() is not None and widget.parentWidget().toolTip()))
