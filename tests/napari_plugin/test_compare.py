"""The Ensemble dock's order, pinned volume and contact sheet."""

import numpy as np
import pandas as pd
from imageio.v3 import imread
from qtpy.QtWidgets import QFileDialog

from hetero.maps import mean_volume, open_ensemble
from napari_hetero import meshes
from napari_hetero.ensemble_model import EnsembleModel
from napari_hetero.session import Session
from napari_hetero.widgets.ensemble import EnsembleWidget

from .scenes import LEVELS, density, docked, opened


def test_order_by_a_column_and_the_walk(ensemble_folder):
    model = EnsembleModel(open_ensemble(ensemble_folder))
    model.sort_by("level")  # 1, 0.02, 3, 40
    assert model.order.tolist() == [1, 0, 2, 3] and (model.index, model.rank) == (0, 1)
    model.walk(-1)
    assert model.name == "vol_1"
    model.walk(-1)
    assert model.name == "vol_1"
    model.walk(-1, around=True)
    assert model.name == "vol_3"
    names = pd.Index(["vol_3", "vol_2", "vol_1"], name="name")
    model.take_columns(pd.DataFrame({"block_00": [0.1, 0.5, 0.9]}, names))
    model.sort_by("block_00")
    assert model.order.tolist() == [3, 2, 1, 0]  # vol_0 has no number
    model.sort_by(None)
    assert model.order.tolist() == [0, 1, 2, 3]


def test_classes_are_shown_and_sorted_by_be_they_words_or_numbers(ensemble_folder):
    table = ensemble_folder / "ensemble.csv"
    table.write_text("name,level,class,note\nvol_0,1,open,x\nvol_1,1,closed,y\nvol_2,1,,z\nvol_3,1,closed,w\n")
    model = EnsembleModel(open_ensemble(ensemble_folder))
    assert model.sortable == ["level", "class"] and model.class_words == ", class open"
    model.sort_by("class")
    assert model.order.tolist() == [1, 3, 0, 2] and model.title_of(1) == "vol_1  class closed"
    model.go_to(2)
    assert model.class_words == ""
    table.write_text("name,class\nvol_0,2\nvol_1,1\nvol_2,\nvol_3,1\n")
    model = EnsembleModel(open_ensemble(ensemble_folder))
    model.sort_by("class")
    assert model.order.tolist() == [1, 3, 0, 2] and model.class_words == ", class 2"


def test_excess_is_in_units_of_each_maps_own_level(ensemble_folder):
    """The maps' levels differ by three orders of magnitude, their shapes by an arm."""
    model = EnsembleModel(open_ensemble(ensemble_folder))
    assert model.excess() is None
    model.pin_current()
    assert np.abs(model.excess()).max() == 0
    model.go_to(2)  # the same shape at three times the scale
    np.testing.assert_allclose(model.excess(), 0, atol=1e-5)
    model.go_to(1)
    expected = density(1) / LEVELS[1] - density(0) / LEVELS[0]
    np.testing.assert_allclose(model.excess(), expected, atol=1e-4)


def test_the_mean_is_the_mean(ensemble_folder):
    expected = np.mean([density(k) for k in range(4)], axis=0)
    np.testing.assert_allclose(mean_volume(open_ensemble(ensemble_folder)).data, expected, rtol=1e-5, atol=1e-6)


def test_what_is_new_is_blue_and_the_pinned_one_is_seen_through(model, ensemble_folder, blocks_folder):
    session = Session(model, "llvmpipe")
    opened(model, ensemble_folder, blocks_folder)
    session.ensemble.pin_current()
    session.ensemble.go_to(1)  # the arm at +z in place of that at +x
    surface, ghost = session.layers_of("drawn")
    rgb = surface.vertex_colors[:, :3]
    blue = rgb[:, 2] > 1.6 * rgb[:, 0]
    assert blue.any() and (surface.vertices[blue][:, 0] > 14).all() and not blue[surface.vertices[:, 0] < 12].any()
    assert ghost.opacity < 0.5 and ghost.name == "pinned: vol_0"
    assert ghost.vertices[:, 2].max() > 18  # the arm at +x
    session.ensemble.pin(None)
    assert len(session.layers_of("drawn")) == 1
    session.ensemble.pin_current()
    model.layers.remove(session.layers_of("drawn")[1])
    session.ensemble.go_to(2)
    assert len(session.layers_of("drawn")) == 2  # drawn anew
    session.ensemble.pin(None)


def test_excess_colors_end_in_blue_and_red():
    grey, blue, red = meshes.excess_colors([0, 5, -5])[:, :3]
    np.testing.assert_allclose(grey, meshes.BASE, atol=1e-6)
    assert blue[2] > 2 * blue[0] and red[0] > 2 * red[2]


def test_keys_order_pin_and_sheet_in_the_dock(viewer, ensemble_folder, tmp_path, monkeypatch, qtbot):
    opened(viewer, ensemble_folder)
    dock = docked(viewer, EnsembleWidget)
    panel = dock.compare
    panel.order.setCurrentText("level")
    panel.order.activated.emit(panel.order.currentIndex())
    assert (dock.position.text(), dock.slider.value()) == ("2 of 4", 1)
    dock.slider.setValue(3)
    assert dock.name.text() == "vol_3"
    panel.pin.click()
    assert panel.pin.text() == "Unpin" and "not in vol_3" in panel.legend.text()
    dock.slider.setValue(0)
    assert dock.name.text() == "vol_1" and "vol_3" in panel.legend.text()
    panel.pin.click()
    assert panel.pin.text() == "Pin" and panel.legend.isHidden()
    with qtbot.waitSignal(panel.mean.done, timeout=60_000):
        panel.mean.button.click()
    assert "not in the mean" in panel.legend.text() and len(dock.session.layers_of("drawn")) == 2
    panel.pin.click()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "sheet"), ""))
    panel.sheet.click()
    picture = imread(tmp_path / "sheet.png")
    assert picture.shape == (342, 1280, 3) and "4 volumes" in panel.words.text()
    for place in range(4):
        assert picture[22:, 320 * place : 320 * (place + 1)].std() > 5  # a volume in each
    assert dock.name.text() == "vol_1"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "gone" / "sheet"), ""))
    panel.sheet.click()
    assert "Cannot write" in panel.words.text()


def test_keys_walk_and_pin(viewer, ensemble_folder):
    from qtpy.QtGui import QShortcut

    opened(viewer, ensemble_folder)
    dock = docked(viewer, EnsembleWidget)
    keys = {short.key().toString(): short.activated for short in dock.findChildren(QShortcut)}
    for name in ("vol_1", "vol_2"):
        keys["Ctrl+Right"].emit()
        assert dock.name.text() == name
    keys["Ctrl+Left"].emit()
    keys["Ctrl+Up"].emit()
    assert dock.session.ensemble.pinned.name == "vol_1"
    viewer.layers.clear()
    for key in keys.values():
        key.emit()  # nothing is open: nothing happens
