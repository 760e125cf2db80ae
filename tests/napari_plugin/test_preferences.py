"""Settings on napari's own Preferences page: kept, followed at once, and bad ones said."""

import sys

import numpy as np
import pytest

from hetero.errors import HeteroError
from hetero.maps import Volume, write_map
from napari_hetero import preferences
from napari_hetero.map_cache import MAPS, MapCache
from napari_hetero.process import in_process
from napari_hetero.session import Session
from napari_hetero.widgets.blocks import BlocksWidget
from napari_hetero.widgets.ensemble import EnsembleWidget

from .scenes import docked, opened


@pytest.fixture
def ours(plugin_settings, npe2pm):
    """Our settings, as napari keeps them for an installed plugin."""
    with npe2pm.tmp_plugin(package="hetero-em"):
        yield preferences.preferences()


def test_without_napari_knowing_us_the_manifests_defaults_hold():
    found = preferences.preferences()
    assert (found.maps.cache, found.maps.rendering, found.maps.level) == (512, "auto", "each its own")
    assert (found.blocks.colors, found.work.python) == (preferences.OWN_COLORS, "")
    assert preferences.worker_python() == sys.executable


def test_napari_keeps_them_in_a_file(ours):
    ours.maps.cache = 100
    assert "cache: 100" in ours.config_path.read_text() and ours.config_path.name == "hetero-em.yaml"
    with pytest.raises(ValueError, match="greater than or equal to 16"):
        ours.maps.cache = 3
    assert preferences.preferences().maps.cache == 100


def test_a_session_follows_them_at_once(ours, model, ensemble_folder, blocks_folder):
    ours.maps.rendering = "iso"
    session = Session(model, "llvmpipe")
    opened(model, ensemble_folder, blocks_folder)
    assert session.how == "iso"
    ours.maps.rendering = "mesh"
    assert session.how == "mesh"
    assert session.blocks.blocks.colors == ("#ee6677", "#228833")
    ours.blocks.colors = "Okabe-Ito"
    assert session.blocks.blocks.colors == ("#e69f00", "#56b4e9")
    np.testing.assert_allclose(session.blocks_layer.get_color(1)[:3], np.array([0xE6, 0x9F, 0]) / 255, atol=1e-3)
    ours.blocks.colors = "viridis"
    assert len(set(session.blocks.blocks.colors)) == 2
    ours.blocks.colors = preferences.OWN_COLORS
    assert session.blocks.blocks.colors == ("#ee6677", "#228833")
    ours.maps.level = preferences.ONE_LEVEL
    assert [session.ensemble.level(k).value for k in range(4)] == [1.0] * 4
    ours.maps.cache = 77
    assert MAPS.megabytes == 77
    session.disconnect()
    ours.maps.rendering = "iso"
    assert session.rendering == "mesh"


def test_the_docks_show_what_was_set(ours, viewer, ensemble_folder, blocks_folder):
    opened(viewer, ensemble_folder, blocks_folder)
    ensemble, blocks = docked(viewer, EnsembleWidget), docked(viewer, BlocksWidget)
    ours.maps.level = preferences.ONE_LEVEL
    assert ensemble.lock.isChecked() and "one level for all" in ensemble.source.text()
    ours.maps.rendering = "mesh"
    assert ensemble.rendering.currentData() == "mesh"
    before = blocks.table.item(0, 0).icon().pixmap(8, 8).toImage().pixelColor(4, 4).name()
    ours.blocks.colors = "Dark2"
    after = blocks.table.item(0, 0).icon().pixmap(8, 8).toImage().pixelColor(4, 4).name()
    assert (before, after) == ("#ee6677", "#1b9e77")


def test_the_engines_python_is_the_one_set(ours, tmp_path):
    ours.work.python = str(tmp_path / "no" / "python")
    with pytest.raises(HeteroError, match=r"is not there; it was set .* in napari's Preferences"):
        in_process("info", {"path": str(tmp_path)})
    write_map(tmp_path / "a.mrc", Volume(np.ones((4, 4, 4)), 1.0))
    said = tmp_path / "python"
    said.write_text(f'#!/bin/sh\ntouch "{tmp_path / "ran"}"\nexec "{sys.executable}" "$@"\n')
    said.chmod(0o755)
    ours.work.python = str(said)
    assert in_process("info", {"path": str(tmp_path / "a.mrc")}) and (tmp_path / "ran").is_file()


def test_the_cache_holds_so_much_and_reads_again_what_was_written_anew(tmp_path):
    cache, read = MapCache(megabytes=1), []
    volumes = [Volume(np.zeros((64, 64, 32)), 1.0) for _ in range(5)]  # half a megabyte each

    def get(k):
        return cache.get(tmp_path / str(k), lambda: (read.append(k), volumes[k])[1])

    for k in (0, 1, 0, 2, 0, 1):
        assert get(k) is volumes[k]
    assert read == [0, 1, 2, 1] and len(cache) == 2 and cache.size == 1 << 20
    (tmp_path / "1").write_text("new")
    get(1)
    assert read[-2:] == [1, 1]


def test_walking_through_an_ensemble_keeps_no_more_than_the_cache(ours, model, tmp_path):
    (tmp_path / "maps").mkdir()
    data = np.random.default_rng(0).random((64, 64, 64), np.float32)
    for k in range(40):
        write_map(tmp_path / "maps" / f"{k}.mrc", Volume(data, 1.0))
    ours.maps.cache = 16
    session = Session(model, "llvmpipe")
    opened(model, tmp_path / "maps")
    for k in range(40):
        session.ensemble.volume_at(k)
    model.dims.ndisplay = 2
    for k in range(40):
        model.dims.set_point(0, k)
    assert 15 << 20 <= MAPS.size <= 16 << 20
