"""What takes long to read does not hold napari's screen."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool

from hetero.commands import latent_space
from hetero.errors import HeteroError
from napari_hetero import layers, opening, readers
from napari_hetero.widgets.latent import LatentWidget

from .scenes import docked


@pytest.fixture
def held(monkeypatch):
    """An event that reading a run waits for, after it has decoded its map; and the threads in which it was read."""
    quick, go, threads = latent_space.level_of, threading.Event(), []

    def level_of(volume):
        threads.append(threading.get_ident())
        assert go.wait(20)
        return quick(volume)

    monkeypatch.setattr(latent_space, "level_of", level_of)
    yield go, threads
    go.set()
    assert QThreadPool.globalInstance().waitForDone(20_000)


def test_a_run_that_is_dropped_is_read_in_a_thread(viewer, npe2pm, run_folder, held, qtbot):
    go, threads = held
    dock = docked(viewer, LatentWidget)
    with npe2pm.tmp_plugin(package="hetero-em"):
        viewer.open(str(run_folder), plugin="hetero-em")  # comes back while reading waits
    assert [layer.name for layer in viewer.layers] == ["opening run ..."] and dock.body.isHidden()
    qtbot.waitUntil(lambda: bool(threads), timeout=20_000)
    assert threads[0] != threading.get_ident()
    go.set()
    qtbot.waitUntil(lambda: dock.model is not None, timeout=20_000)
    assert [layers.tag(layer)["kind"] for layer in viewer.layers] == ["run", "drawn"]
    qtbot.waitUntil(lambda: not dock.plane.searcher.busy, timeout=20_000)


def test_deleting_the_placeholder_calls_it_off(viewer, run_folder, held, qtbot):
    go, threads = held
    layers.add(viewer, readers.get_reader(str(run_folder))(str(run_folder)))
    qtbot.waitUntil(lambda: bool(threads), timeout=20_000)
    viewer.layers.clear()
    go.set()
    assert QThreadPool.globalInstance().waitForDone(20_000)
    qtbot.wait(50)
    assert not viewer.layers


def test_a_run_that_cannot_be_read_is_said_and_leaves_nothing(viewer, run_folder, qtbot, monkeypatch):
    from napari.utils import notifications

    said = []
    monkeypatch.setattr(notifications, "show_warning", said.append)
    (run_folder / "latents.npz").write_bytes(b"x")
    layers.add(viewer, readers.read_later(str(run_folder)))
    qtbot.waitUntil(lambda: bool(said), timeout=20_000)
    assert "latents.npz" in said[0] and not viewer.layers


def test_closing_napari_while_it_is_read(make_napari_viewer, run_folder, held, qtbot):
    go, threads = held
    viewer = make_napari_viewer(show=True)
    layers.add(viewer, readers.read_later(str(run_folder)))
    qtbot.waitUntil(lambda: bool(threads), timeout=20_000)
    viewer.close()
    go.set()
    assert QThreadPool.globalInstance().waitForDone(20_000)


def test_without_a_screen_it_is_read_at_once(run_folder, monkeypatch):
    import napari

    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    [(_, keywords, kind)] = readers.read_later([str(run_folder)])
    assert kind == "image" and keywords["metadata"][layers.KEY]["kind"] == "run"
    with pytest.raises(HeteroError, match="as it is"):
        opening.later(lambda: (_ for _ in ()).throw(HeteroError("as it is")), "x")


def test_a_table_of_occupancies_opens_in_the_blocks_dock(viewer, ensemble_folder, blocks_folder, tmp_path, qtbot):
    from napari_hetero.widgets.blocks import BlocksWidget

    from .scenes import opened

    table = tmp_path / "who.csv"
    table.write_text("name,block_00,block_01\nvol_0,1.0,0.0\nvol_1,0.1,0.9\nvol_2,,0.5\nvol_3,0.2,0.8\n")
    assert readers.get_reader(str(table)) is readers.read
    dock = docked(viewer, BlocksWidget)
    opened(viewer, ensemble_folder, blocks_folder)
    centre = viewer.dims.point
    opened(viewer, table)
    panel = dock.occupancies_of_all
    assert panel.model.path == table and "of 3 volumes" in panel.words.text()
    layer = viewer.layers["who"]
    np.testing.assert_allclose(layer.data[1], [0.1, 0.9])
    assert not layer.visible and viewer.dims.point == centre
    assert "block_01" in dock.session.ensemble.columns
    viewer.layers.remove(layer)
    assert panel.model is not None
    qtbot.waitUntil(lambda: not panel.heat_map.maker.busy, timeout=20_000)


def test_other_tables_are_told_from_occupancies(tmp_path):
    for name, text in {
        "ensemble.csv": "name,level\na,0.02\n",
        "blocks.csv": "name,n_voxels,color\nblock_00,12,#aabbcc\n",
        "labels.csv": "particle,cluster\n0,1\n",
        "large.csv": "name,mass\na,1200\n",
        "words.csv": "name,colour\na,red\n",
        "empty.csv": "",
        "head.csv": "name,block_00\n",
    }.items():
        (tmp_path / name).write_text(text)
        assert readers.get_reader(str(tmp_path / name)) is None, name
    (tmp_path / "p.csv").write_text("particle,block_00\n17,0.25\n")
    assert readers.get_reader(str(tmp_path / "p.csv")) is readers.read
