"""Fixtures for real napari. Tests with a window need a display; pytest-xvfb starts one where Xvfb is installed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from hetero.maps import Volume, write_blocks, write_map
from hetero.maps.blocks import make_blocks

_HERE = Path(__file__).parent
APIX, ORIGIN = np.array([2.0, 2.0, 2.0]), np.array([10.0, 20.0, 30.0])
LEVELS = (1.0, 0.02, 3.0, 40.0)
BOX = 24


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


def density(k: int) -> np.ndarray:
    """Map k ``(BOX,) * 3``: a ball in the middle, and one of two arms (at +x for even k, at +z for odd k), level
    LEVELS[k]."""
    z, y, x = np.indices((BOX,) * 3) - (BOX - 1) / 2
    ball = np.exp(-(z**2 + y**2 + x**2) / 20)
    arm = np.exp(-(z**2 + y**2 + (x - 8) ** 2) / 6) if k % 2 == 0 else np.exp(-((z - 8) ** 2 + y**2 + x**2) / 6)
    return (LEVELS[k] * 2 * (ball + arm)).astype(np.float32)


def arms() -> np.ndarray:
    """Masks ``(2, z, y, x)`` of the arm at +x and the arm at +z."""
    z, y, x = np.indices((BOX,) * 3) - (BOX - 1) / 2
    return np.array([z**2 + y**2 + (x - 8) ** 2 <= 9, (z - 8) ** 2 + y**2 + x**2 <= 9])


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


RUN_BOX, RUN_APIX = 24, 2.0
N_PARTICLES = 600


def run_latents() -> np.ndarray:
    """``(N_PARTICLES, 2)``: the first third has neither arm, the second that at +x (z1 = 1), the third that at +z."""
    corners = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    noise = 0.06 * np.random.default_rng(3).standard_normal((N_PARTICLES, 2))
    return (np.repeat(corners, N_PARTICLES // 3, axis=0) + noise).astype(np.float32)


def arm_map(x: float, z: float) -> np.ndarray:
    """A ball with so much of an arm at +x and at +z, level 1."""
    grid = np.indices((RUN_BOX,) * 3) - RUN_BOX // 2
    ball = np.exp(-(grid**2).sum(axis=0) / 20)
    at_x = np.exp(-(grid[0] ** 2 + grid[1] ** 2 + (grid[2] - 7) ** 2) / 6)
    at_z = np.exp(-((grid[0] - 7) ** 2 + grid[1] ** 2 + grid[2] ** 2) / 6)
    return (2 * (ball + x * at_x + z * at_z)).astype(np.float32)


def write_run(folder: Path, latents: np.ndarray, particle_index: np.ndarray, settings: dict | None = None) -> Path:
    """A linear run whose first latent is how much there is of the arm at +x, the second of that at +z."""
    import torch

    from hetero.latent import CHECKPOINT, Latents, RunConfig, write_config, write_latents
    from hetero.linear.files import FORMAT

    folder.mkdir(parents=True)
    mean = arm_map(0, 0)
    components = np.stack([arm_map(1, 0) - mean, arm_map(0, 1) - mean])
    write_config(folder / "config.json", RunConfig("linear", RUN_BOX, RUN_APIX, settings or {}))
    write_latents(folder / "latents.npz", Latents(latents, particle_index))
    torch.save(
        {"format": FORMAT, "mean": torch.from_numpy(mean), "components": torch.from_numpy(components)},
        folder / CHECKPOINT,
    )
    return folder


@pytest.fixture
def run_folder(tmp_path):
    """A run of 600 particles in three groups, numbered 1000 ... 1599."""
    return write_run(tmp_path / "run", run_latents(), np.arange(1000, 1000 + N_PARTICLES))
