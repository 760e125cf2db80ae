"""Several volumes side by side: which ones, each at its own level, and one camera for all."""

import numpy as np
import pytest

from hetero.maps import Volume, write_map
from napari_hetero import meshes, view
from napari_hetero.session import Session
from napari_hetero.widgets.blocks import BlocksWidget
from napari_hetero.widgets.ensemble import EnsembleWidget

from .scenes import docked, opened


@pytest.fixture
def twenty(tmp_path):
    """Twenty balls, each smaller than the one before, levels 1 to 20."""
    (tmp_path / "many").mkdir()
    radius = np.sqrt(((np.indices((20, 22, 24)) - 10) ** 2).sum(axis=0))
    for k in range(20):
        ball = (k + 1) * np.clip(9.5 - k / 4 - radius, 0, 2)
        write_map(tmp_path / "many" / f"v{k:02d}.mrc", Volume(ball.astype(np.float32), 2.0, 5.0))
    rows = [f"v{k:02d},{k + 1},{-k}" for k in range(20)]
    (tmp_path / "many" / "ensemble.csv").write_text("\n".join(["name,level,size", *rows]) + "\n")
    return tmp_path / "many"


def shown(session) -> list[str]:
    return [layer.name for layer in session.layers_of("drawn") if layer.visible]


def test_evenly_spaced_and_page_by_page(model, twenty):
    session = Session(model, "llvmpipe")
    opened(model, twenty)
    session.set_grid(("evenly", 12))
    names = shown(session)
    assert len(names) == 12 and (names[0], names[-1]) == ("v00", "v19") and view.grid(model).enabled
    session.set_grid(("onwards", 6))
    assert shown(session) == [f"v{k:02d}" for k in range(6)]
    session.ensemble.go_to(7)
    assert shown(session) == [f"v{k:02d}" for k in range(6, 12)]
    session.ensemble.sort_by("size")
    assert shown(session) == [f"v{k:02d}  size {-k}" for k in range(7, 1, -1)]  # v07 begins the third page
    session.set_grid(None)
    assert shown(session) == ["many surface"] and not view.grid(model).enabled


def test_each_tile_is_at_its_own_level_and_where_its_map_is(model, twenty):
    session = Session(model, "llvmpipe")
    opened(model, twenty)
    session.set_grid(("evenly", 4))
    for layer in session.layers_of("drawn")[1:]:
        k = int(layer.name[1:])
        expected = meshes.surface_at(session.ensemble.volume_at(k).data, k + 1.0)[0]
        np.testing.assert_array_equal(layer.vertices, expected)
        assert tuple(layer.scale) == (2, 2, 2) and tuple(layer.translate) == (5, 5, 5)
        assert layer.name_overlay.visible
    before = session.layers_of("drawn")[1].vertices
    session.ensemble.set_scale(0.5)
    assert len(session.layers_of("drawn")[1].vertices) > len(before)


def test_only_what_changed_is_drawn_anew(model, twenty, monkeypatch):
    session = Session(model, "llvmpipe")
    opened(model, twenty)
    session.set_grid(("evenly", 12))
    meshed, quick = [], meshes.surface_at
    monkeypatch.setattr(meshes, "surface_at", lambda *given: (meshed.append(1), quick(*given))[1])
    session.ensemble.go_to(3)
    assert meshed == []
    session.ensemble.go_to(19)
    session.ensemble.set_level(12.0)
    assert len(meshed) == 1


def test_what_napari_had_comes_back_when_the_maps_go(model, twenty):
    view.grid(model).stride, view.grid(model).shape = 3, (2, 5)
    session = Session(model, "llvmpipe")
    opened(model, twenty)
    session.set_grid(("evenly", 9))
    assert (view.grid(model).stride, view.grid(model).enabled) == (1, True)
    tile = session.layers_of("drawn")[3]
    model.layers.remove(tile)
    session.ensemble.set_scale(1.1)
    assert len(shown(session)) == 9
    model.dims.ndisplay = 2
    assert shown(session) == [] and not view.grid(model).enabled
    model.dims.ndisplay = 3
    assert len(shown(session)) == 9 and view.grid(model).enabled
    model.layers.remove(session.maps_layer)
    session.tidy()
    assert not session.layers_of("drawn") and session.grid is None
    assert (view.grid(model).stride, view.grid(model).shape, view.grid(model).enabled) == (3, (2, 5), False)


def test_one_level_for_all(model, twenty):
    session = Session(model, "llvmpipe")
    opened(model, twenty)
    session.ensemble.go_to(4)
    session.ensemble.lock(True)
    assert session.ensemble.level(9).value == 5.0 and "locked" in str(session.ensemble.level())
    session.ensemble.set_level(2.0)
    assert session.ensemble.level(9).value == 2.0
    session.ensemble.lock(False)
    assert session.ensemble.level(9).value == 10.0


def corners(picture: np.ndarray, rows: int, columns: int) -> list[np.ndarray]:
    """Where each tile of a picture is bright: row and column within the tile, as shares of it."""
    found = []
    high, wide = picture.shape[0] / rows, picture.shape[1] / columns
    for row, column in np.ndindex(rows, columns):
        tile = picture[int(row * high) : int((row + 1) * high), int(column * wide) : int((column + 1) * wide)]
        bright = np.argwhere(tile[..., :3].max(axis=-1) > 60)
        assert len(bright) > 30, f"tile {row}, {column} is empty"
        found.append(bright.mean(axis=0) / tile.shape[:2])
    return found


def test_turning_one_turns_all(viewer, ensemble_folder, blocks_folder):
    """Even maps have an arm at +x, odd ones at +z: a quarter turn about y changes which are off the middle."""
    ensemble, blocks = docked(viewer, EnsembleWidget), docked(viewer, BlocksWidget)
    opened(viewer, ensemble_folder, blocks_folder)
    ensemble.compare.tiles.setValue(4)
    ensemble.compare.grid.click()
    view.scale_bar(viewer).visible = False
    for layer in ensemble.session.layers_of("drawn"):
        layer.name_overlay.visible = False
    sides = []
    for turned in (0, -90):
        view.camera(viewer).angles = (0, turned, 0)
        picture = viewer.screenshot(size=(500, 500), canvas_only=True, flash=False)
        sides.append([place[1] for place in corners(picture, 2, 2)])
    even, odd = np.array(sides)[:, [0, 2]], np.array(sides)[:, [1, 3]]
    for alike in (even, odd):
        np.testing.assert_allclose(alike[:, 0], alike[:, 1], atol=0.01)
    assert (even - odd)[0, 0] > 0.1 > -0.1 > (even - odd)[1, 0]
    assert not blocks.problem.text()
    ensemble.compare.grid.click()
    assert ensemble.session.grid is None and not view.grid(viewer).enabled
