"""Small maps, runs and viewers whose truth is known, for the tests of this room."""

from pathlib import Path

import numpy as np

from napari_hetero import layers, readers

APIX, ORIGIN = np.array([2.0, 2.0, 2.0]), np.array([10.0, 20.0, 30.0])
LEVELS = (1.0, 0.02, 3.0, 40.0)
BOX = 24
RUN_BOX, RUN_APIX = 24, 2.0
N_PARTICLES = 600
NO_CARD = "llvmpipe"


def opened(viewer, *folders):
    """Open folders, and go to the first volume: napari centres its sliders."""
    for folder in folders:
        layers.add(viewer, readers.read(folder))
    if viewer.dims.ndim == 4:
        viewer.dims.set_point(0, 0)


def docked(viewer, kind, name=None):
    """A dock of the plugin in a viewer, on a machine without a graphics card."""
    widget = kind(viewer, NO_CARD)
    viewer.window.add_dock_widget(widget, name=name or kind.__name__, area="right")
    return widget


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


def write_run(
    folder: Path, latents: np.ndarray, particle_index: np.ndarray, settings: dict | None = None, mean=None
) -> Path:
    """A linear run whose first latent is how much there is of the arm at +x, the second of that at +z; or one whose map
    is always ``mean``."""
    import torch

    from hetero.latent import CHECKPOINT, Latents, RunConfig, write_config, write_latents
    from hetero.linear.files import FORMAT

    folder.mkdir(parents=True)
    if mean is None:
        mean = arm_map(0, 0)
        components = np.stack([arm_map(1, 0) - mean, arm_map(0, 1) - mean])
    else:
        components = np.zeros((2, *mean.shape), np.float32)
    write_config(folder / "config.json", RunConfig("linear", len(mean), RUN_APIX, settings or {}))
    write_latents(folder / "latents.npz", Latents(latents, particle_index))
    torch.save(
        {"format": FORMAT, "mean": torch.from_numpy(mean), "components": torch.from_numpy(components)},
        folder / CHECKPOINT,
    )
    return folder


SPOTS = np.array([[36.0, 24.0, 24.0], [24.0, 36.0, 24.0], [24.0, 24.0, 36.0]])  # Å, z, y, x, in a box of 48 Å


def write_gmm_run(folder: Path) -> Path:
    """Three Gaussians; z1 moves the third by as many Å along x, z2 the first along z; the second stays."""
    import torch

    from hetero.gmm import GaussianModel
    from hetero.gmm.files import save_checkpoint
    from hetero.gmm.networks import DynamicModel, NetworkShape
    from hetero.gmm.scene import Cloud
    from hetero.latent import CHECKPOINT, Latents, RunConfig, write_config, write_latents

    frame = GaussianModel(SPOTS, 1.0, 3.0, RUN_BOX, RUN_APIX)
    around = torch.tensor((SPOTS - frame.middle)[:, ::-1].copy(), dtype=torch.float32)
    neutral = Cloud(around, torch.tensor(frame.masses, dtype=torch.float32), torch.tensor(3.0))
    network = DynamicModel(NetworkShape(2, 2, 0, 0.0, False, 0, 1.0), neutral, torch.ones(3, dtype=bool), ("position",))
    with torch.no_grad():
        network.decoder[0].weight.zero_()
        network.decoder[0].weight[6, 0] = network.decoder[0].weight[2, 1] = 1.0  # x of the third, z of the first
    folder.mkdir(parents=True)
    write_config(folder / "config.json", RunConfig("gmm", RUN_BOX, RUN_APIX, {}))
    z = np.random.default_rng(2).normal(0, (4.0, 1.0), (N_PARTICLES, 2)).astype(np.float32)
    write_latents(folder / "latents.npz", Latents(z, np.arange(N_PARTICLES)))
    save_checkpoint(folder / CHECKPOINT, network, frame, 1)
    return folder
