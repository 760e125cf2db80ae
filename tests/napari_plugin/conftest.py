"""Fixtures for real napari. Tests with a window need a display; pytest-xvfb starts one where Xvfb is installed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from hetero.maps import Volume, write_blocks, write_map
from hetero.maps.blocks import make_blocks

from .scenes import APIX, LEVELS, N_PARTICLES, ORIGIN, arms, density, run_latents, write_run

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(config, items):
    """Without a display Qt would end the whole run, so tests that need one are skipped here."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    if shutil.which("Xvfb") and config.pluginmanager.hasplugin("xvfb"):
        return
    skip = pytest.mark.skip(reason="no display: set DISPLAY, or install Xvfb (apt-get install xvfb) and pytest-xvfb")
    for item in items:
        if _HERE in item.path.parents and "qapp" in getattr(item, "fixturenames", ()):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _nobodys_preferences(plugin_settings):
    """No test reads or writes the settings of who runs it."""


@pytest.fixture
def viewer(make_napari_viewer):
    """A real viewer with a window; leaked widgets fail the test."""
    return make_napari_viewer(show=True, strict_qt="raise")


@pytest.fixture
def model():
    """A viewer without a window."""
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def ensemble_folder(tmp_path):
    """Four small maps whose levels differ by three orders of magnitude, with their levels in ensemble.csv."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for k in range(4):
        write_map(folder / f"vol_{k}.mrc", Volume(density(k), APIX, ORIGIN))
    rows = [f"vol_{k},{LEVELS[k]},{2 + k / 10}" for k in range(4)]
    (folder / "ensemble.csv").write_text("\n".join(["name,level,level_sd", *rows]) + "\n")
    return folder


@pytest.fixture
def unlevelled_folder(ensemble_folder):
    """The same maps without levels."""
    (ensemble_folder / "ensemble.csv").unlink()
    return ensemble_folder


@pytest.fixture
def blocks_folder(tmp_path):
    """Two blocks on the grid of the maps: the arms."""
    write_blocks(tmp_path / "arms", make_blocks(arms(), APIX, ORIGIN), {})
    return tmp_path / "arms"


@pytest.fixture
def other_grid_folder(tmp_path):
    """Blocks on another grid."""
    write_blocks(tmp_path / "strangers", make_blocks(np.ones((1, 8, 8, 8), bool), 3.0 * np.ones(3), np.zeros(3)), {})
    return tmp_path / "strangers"


@pytest.fixture
def run_folder(tmp_path):
    """A run of 600 particles in three groups, numbered 1000 ... 1599."""
    return write_run(tmp_path / "run", run_latents(), np.arange(1000, 1000 + N_PARTICLES))
