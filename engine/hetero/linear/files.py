"""A linear model on disk: a run's ``config.json`` and ``latents.npz``, ``checkpoint.pt`` (tensors alone), tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hetero.checkpoints import save_tensors
from hetero.earlier import note
from hetero.errors import HeteroError
from hetero.files import FolderKind
from hetero.latent import (
    CHECKPOINT,
    CONFIG,
    LATENTS,
    Latents,
    Run,
    RunConfig,
    Weights,
    open_own,
    read_checkpoint,
    read_config,
    write_config,
    write_latents,
)
from hetero.linear.decoder import LinearDecoder
from hetero.linear.fit import LinearModel

SYSTEM = "linear"
LOG, COMPONENTS, PARTICLES = "log.csv", "components.csv", "particles.csv"
FOLDER = FolderKind(CHECKPOINT, (CONFIG, LATENTS, CHECKPOINT, LOG, COMPONENTS, PARTICLES))
FORMAT = "hetero linear model 1"
_KEPT = ("mean", "components", "sd", "noise", "fsc")


def write_linear(folder: Path, model: LinearModel, rows: np.ndarray, apix: float, settings: dict[str, Any]) -> None:
    """Write all files of a run into ``folder``.

    Args:
        rows: ``(n,)`` of the particles in their file, counted from 0.
        apix: Å per voxel.
        settings: plain JSON.
    """
    import torch

    write_config(folder / CONFIG, RunConfig(SYSTEM, len(model.mean), apix, settings))
    write_latents(folder / LATENTS, Latents(model.latents, rows, model.log_variance))
    pd.DataFrame(model.log).to_csv(folder / LOG, index=False)
    component_table(model, apix).to_csv(folder / COMPONENTS, index=False)
    of_particles = {
        "particle": rows, "misfit": model.misfit.round(4), "contrast": model.contrast.round(4),
        "junk": model.junk.astype(int),
    }  # fmt: skip
    pd.DataFrame(of_particles).to_csv(folder / PARTICLES, index=False)
    note(folder / PARTICLES)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(getattr(model, name))) for name in _KEPT}
    save_tensors(folder / CHECKPOINT, {"format": FORMAT, **tensors})


def component_table(model: LinearModel, apix: float) -> pd.DataFrame:
    """A row a component: ``component`` from 1, ``share`` of the variance of maps, ``gain_0``, ``gain_1`` (nats by which
    it raises the log likelihood of an image of the half that it was not fitted to), their standard errors, whether it
    is ``above_noise``, and ``resolution`` (Å, where the halves' FSC falls below 0.143; empty where it never holds).
    """
    variance = model.sd**2
    box = len(model.mean)
    resolutions = []
    for curve in model.fsc[1:]:
        last = int(np.argmax(np.append(curve[1:], -1) < 0.143))
        resolutions.append(round(box * apix / last, 2) if last else np.nan)
    return pd.DataFrame(
        {
            "component": np.arange(1, len(variance) + 1),
            "share": (variance / variance.sum()).round(4),
            "gain_0": model.gain[0].round(4),
            "gain_1": model.gain[1].round(4),
            "gain_error_0": model.gain_error[0].round(4),
            "gain_error_1": model.gain_error[1].round(4),
            "above_noise": model.real.astype(int),
            "resolution": resolutions,
        }
    )


def open_linear(folder: Path | str) -> Run:
    """Open a run of ``hetero train-linear``.

    Raises:
        HeteroError: see :func:`hetero.latent.open_own`.
    """
    return open_own(folder, _weights)


def _weights(path: Path) -> Weights:
    mean, components = _read_maps(path)
    return Weights(LinearDecoder(mean, components), len(mean), len(components))


def _read_maps(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import torch

    found = read_checkpoint(path, FORMAT, "linear model", "train-linear")
    maps = [found.get(name) for name in ("mean", "components")]
    if not all(isinstance(one, torch.Tensor) and one.is_floating_point() for one in maps):
        raise HeteroError(f"{path} lacks the mean map or the components; the file is damaged.")
    mean, components = (one.to(torch.float32).numpy() for one in maps)
    if mean.shape != (len(mean),) * 3 or components.shape[1:] != mean.shape:
        raise HeteroError(
            f"{path} has a mean map of shape {mean.shape} and components of {components.shape}, which do not fit."
        )
    if not (np.isfinite(mean).all() and np.isfinite(components).all()):
        raise HeteroError(f"{path} holds values that are not numbers (NaN); the file is damaged.")
    return mean, components


def read_noise(folder: Path) -> np.ndarray | None:
    """``(box / 2,)`` variance of a complex Fourier sample of the noise, by ring, as a linear run found it; None where
    the folder is no linear run."""
    import torch

    config = read_config(folder)
    if config is None or config.system != SYSTEM:
        return None
    noise = read_checkpoint(folder / CHECKPOINT, FORMAT, "linear model", "train-linear").get("noise")
    return noise.numpy() if isinstance(noise, torch.Tensor) and bool((noise > 0).all()) else None
