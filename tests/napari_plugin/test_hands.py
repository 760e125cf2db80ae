"""A helix turns right in every dock that makes a view, alone, as napari opens it for a user, and in grid and sheet."""

import numpy as np
import pytest
from imageio.v3 import imread
from qtpy.QtCore import QThreadPool

from hetero.maps import Volume, write_blocks, write_map
from hetero.maps.blocks import make_blocks
from napari_hetero import view
from napari_hetero.contact_sheet import SIDE, write_contact_sheet
from napari_hetero.widgets.blocks import BlocksWidget
from napari_hetero.widgets.ensemble import EnsembleWidget
from napari_hetero.widgets.jobs import JobsWidget
from napari_hetero.widgets.latent import LatentWidget
from napari_hetero.widgets.level import LevelWidget
from napari_hetero.widgets.motion import MotionWidget
from napari_hetero.widgets.two_runs import TwoRunsWidget

from .scenes import N_PARTICLES, RUN_APIX, docked, opened, run_latents, write_run
from .test_pictures import NAPARIS_OWN, picture_of, right_handed_helix, sense_of_turn

DOCKS = (EnsembleWidget, LatentWidget, TwoRunsWidget, BlocksWidget, MotionWidget, JobsWidget, LevelWidget)


@pytest.fixture
def helix(tmp_path):
    """Folders of two maps of a helix, of its wire as a block (red), and of a run that gives the same map."""
    data, wire = right_handed_helix()
    (tmp_path / "maps").mkdir()
    for name in "ab":
        write_map(tmp_path / "maps" / f"{name}.mrc", Volume(data, RUN_APIX))
    (tmp_path / "maps" / "ensemble.csv").write_text("name,level\na,3\nb,3\n")
    write_blocks(tmp_path / "wire", make_blocks([wire], RUN_APIX, 0.0), {})
    return tmp_path


def as_seen(viewer) -> np.ndarray:
    view.scale_bar(viewer).visible = False
    viewer.fit_to_view()
    return picture_of(viewer)


@pytest.mark.parametrize("kind", DOCKS)
def test_each_dock_alone_stands_the_view_upright(viewer, helix, kind, qtbot):
    view.camera(viewer).orientation = NAPARIS_OWN  # as napari itself has it
    dock = docked(viewer, kind)
    opened(viewer, helix / "maps", helix / "wire")
    assert sense_of_turn(as_seen(viewer)) > 0.3
    assert dock.session.problem == dock.session.misfit == ""


@pytest.mark.parametrize("kind", [LatentWidget, TwoRunsWidget])
def test_a_decoded_map_turns_right(viewer, helix, kind, qtbot):
    data, _ = right_handed_helix()
    for name in ("one", "two"):
        write_run(helix / name, run_latents(), np.arange(N_PARTICLES), mean=data)
    dock = docked(viewer, kind)
    opened(viewer, helix / "one", helix / "two")
    plane = dock.plane if kind is LatentWidget else dock.sides[1].plane
    with qtbot.waitSignal(plane.decoder.finished, timeout=20_000):
        plane.plot.pointed.emit(0.0, 0.0)
    model = dock.session.ensemble
    opened(viewer, helix / "wire")
    model.set_level(3.0)
    assert "near particle" in model.name and dock.session.misfit == ""
    assert sense_of_turn(as_seen(viewer)) > 0.3
    assert QThreadPool.globalInstance().waitForDone(20_000)


def test_tiles_of_the_grid_and_of_the_sheet_turn_right(viewer, helix):
    dock = docked(viewer, EnsembleWidget)
    opened(viewer, helix / "maps", helix / "wire")
    view.scale_bar(viewer).visible = False
    dock.session.set_grid(("evenly", 2))
    picture = viewer.screenshot(size=(300, 600), canvas_only=True, flash=False).astype(int)
    for half in (picture[:, :300], picture[:, 300:]):
        assert sense_of_turn(half) > 0.3
    viewer.fit_to_view()
    write_contact_sheet(helix / "sheet.png", dock.session)
    assert dock.session.grid == ("evenly", 2)
    sheet = imread(helix / "sheet.png").astype(int)
    for place in (0, 1):
        assert sense_of_turn(sheet[-SIDE:, place * SIDE : (place + 1) * SIDE]) > 0.3
