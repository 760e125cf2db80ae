"""What napari writes through us: maps, and blocks edited as labels, on the right grid."""

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from hetero.errors import HeteroError
from hetero.maps import read_blocks, read_map, write_blocks
from hetero.maps.blocks import make_blocks
from napari_hetero import layers, readers
from napari_hetero.widgets.blocks import BlocksWidget
from napari_hetero.writers import write_edited_blocks, write_map_layer

from .scenes import docked, opened

APIX, ORIGIN = np.array([2.0, 3.0, 2.5]), np.array([-30.0, 12.0, 40.0])


@pytest.fixture
def overlapping(tmp_path):
    """A large block and a small one within it, on a grid with an origin and voxels that are no cubes."""
    masks = np.zeros((2, 8, 9, 10), bool)
    masks[0, 1:7, 1:7, 1:7] = True
    masks[1, 3:5, 3:5, 3:5] = True
    write_blocks(tmp_path / "two", make_blocks(masks, APIX, ORIGIN, ["body", "heart"]), {})
    return tmp_path / "two"


def write(layer, path):
    data, keywords, _ = layer.as_layer_data_tuple()
    return write_edited_blocks(str(path), data, keywords)


def test_blocks_that_were_not_edited_come_back_as_they_were(overlapping, tmp_path):
    [layer_tuple] = readers.read(overlapping)
    [out] = write(Layer.create(*layer_tuple), tmp_path / "again")
    before, after = read_blocks(overlapping), read_blocks(out)
    np.testing.assert_array_equal(after.masks, before.masks)  # where they overlap, too
    np.testing.assert_allclose(after.apix, APIX)
    np.testing.assert_allclose(after.origin, ORIGIN)
    assert (after.names, after.colors) == (before.names, before.colors)


def test_brush_and_eraser_change_the_voxels_painted_and_no_others(overlapping, tmp_path):
    layer = Layer.create(*readers.read(overlapping)[0])
    layer.data[0, 0, 0] = 1  # painted
    layer.data[1, 1, 1] = 0  # erased
    layer.data[7, 8, 9] = 3  # a new block
    [out] = write(layer, tmp_path / "edited")
    before, after = read_blocks(overlapping), read_blocks(out)
    assert after.names == ("block_02", "body", "heart")
    body, heart, new = (after.masks[after.names.index(name)] for name in ("body", "heart", "block_02"))
    assert np.argwhere(body != before.masks[0]).tolist() == [[0, 0, 0], [1, 1, 1]] and body[0, 0, 0]
    np.testing.assert_array_equal(heart, before.masks[1])
    assert np.argwhere(new).tolist() == [[7, 8, 9]]


def test_labels_of_anyone_become_blocks(tmp_path):
    layer = Labels(np.eye(4, dtype=int)[None].repeat(4, 0) * 2, scale=(0.2, 0.2, 0.2), units=("nm",) * 3, name="mine")
    [out] = write(layer, tmp_path / "mine")
    blocks = read_blocks(out)
    assert blocks.names == ("block_01",) and blocks.masks.sum() == 16
    np.testing.assert_allclose(blocks.apix, 2.0)  # Å


@pytest.mark.parametrize(
    ("data", "sentence"), [(np.zeros((4, 4, 4), int), "has no label"), (np.ones((4, 4), int), "has 2 axes")]
)
def test_what_is_no_blocks_gets_a_sentence_and_writes_nothing(tmp_path, data, sentence):
    with pytest.raises(HeteroError, match=sentence):
        write(Labels(data), tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_ours_is_left_alone(overlapping, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.doc").write_text("x")
    with pytest.raises(HeteroError):
        write(Layer.create(*readers.read(overlapping)[0]), tmp_path / "theirs")
    assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["thesis.doc"]


def test_turned_layers_are_refused(tmp_path):
    layer = Image(np.zeros((3, 3, 3)), rotate=30, name="turned")
    data, keywords, _ = layer.as_layer_data_tuple()
    with pytest.raises(HeteroError, match="rotated"):
        write_map_layer(str(tmp_path / "a.mrc"), data, keywords)
    with pytest.raises(HeteroError, match="4 axes"):
        write_map_layer(str(tmp_path / "a.mrc"), np.zeros((2, 3, 3, 3)), keywords)


def test_napari_saves_through_the_manifest(make_napari_viewer, npe2pm, ensemble_folder, overlapping, tmp_path):
    with npe2pm.tmp_plugin(package="hetero-em"):
        viewer = make_napari_viewer()
        opened(viewer, ensemble_folder / "vol_2.mrc", overlapping)
        image, labels = viewer.layers
        assert image.save(str(tmp_path / "a.mrc"), plugin="hetero-em") == [str(tmp_path / "a.mrc")]
        assert labels.save(str(tmp_path / "b.blocks"), plugin="hetero-em") == [str(tmp_path / "b.blocks")]
    before, after = read_map(ensemble_folder / "vol_2.mrc"), read_map(tmp_path / "a.mrc")
    np.testing.assert_array_equal(after.data, before.data)
    np.testing.assert_allclose([*after.apix, *after.origin], [*before.apix, *before.origin])
    np.testing.assert_array_equal(read_blocks(tmp_path / "b.blocks").masks, read_blocks(overlapping).masks)


def test_saved_blocks_are_laid_over_the_map_at_once(viewer, ensemble_folder, blocks_folder, tmp_path, monkeypatch):
    from qtpy.QtWidgets import QFileDialog

    opened(viewer, ensemble_folder, blocks_folder)
    dock = docked(viewer, BlocksWidget)
    layer = dock.session.blocks_layer
    viewer.dims.ndisplay = 2
    layer.fill((int(layer.data.shape[0] // 2), 0, 0), 3)  # the whole plane outside the arms
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "edited"), ""))
    dock.save.click()
    assert "Kept in" in dock.saved.text() and dock.table.rowCount() == 3
    assert dock.session.blocks.folder.name == "edited" and layers.tag(dock.session.blocks_layer)["kind"] == "blocks"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "maps"), ""))
    dock.save.click()
    assert "already holds other files" in dock.saved.text()
    assert (ensemble_folder / "vol_0.mrc").is_file()
