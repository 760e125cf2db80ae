"""A run of moving Gaussians on disk: ``checkpoint.pt``, tensors and plain values alone."""

from pathlib import Path
from typing import Any

import torch

from hetero.checkpoints import write_checkpoint
from hetero.errors import HeteroError
from hetero.gmm.decoder import GaussianDecoder
from hetero.gmm.model import GaussianModel
from hetero.gmm.networks import DynamicModel, NetworkShape
from hetero.gmm.scene import Cloud, model_of
from hetero.latent import Run, Weights, open_own, read_checkpoint

FORMAT = "hetero gmm 1"


def save_checkpoint(path: Path | str, network: DynamicModel, frame: GaussianModel, epoch: int, **more: Any) -> None:
    """Write networks and neutral model, whole or not at all.

    Args:
        path: usually ``checkpoint.pt`` in the run's folder.
        network: the networks; the neutral model is in their buffers.
        frame: a model in the map that they lie in.
        epoch: how far they were trained, counted from 1.
        more: tensors and plain values.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    moving = torch.zeros(len(network.masses), dtype=torch.bool)
    moving[network.moving.cpu()] = True
    ours = {
        "format": FORMAT, "shape": network.shape.as_dict(), "vary": list(network.vary), "moving": moving,
        "state": state, "grid": {"box": frame.box, "apix": frame.apix, "origin": frame.origin.tolist()},
        "epoch": epoch,
    }  # fmt: skip
    write_checkpoint(path, more | ours)


def load_checkpoint(path: Path | str) -> tuple[DynamicModel, GaussianModel, dict[str, Any]]:
    """Networks on the CPU, the neutral model, and all that the file holds. Nothing in it is run.

    Raises:
        HeteroError: not there, or not such a file.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path, FORMAT, "moving Gaussians", "train-gmm")
    try:
        state, grid = checkpoint["state"], checkpoint["grid"]
        neutral = Cloud(*(state[name] for name in ("centres", "masses", "sigmas")))
        network = DynamicModel(
            NetworkShape(**checkpoint["shape"]), neutral, checkpoint["moving"], tuple(checkpoint["vary"])
        )
        network.load_state_dict(state)
        frame = GaussianModel([[0.0] * 3], 1.0, 1.0, grid["box"], grid["apix"], grid["origin"], "neutral")
    except (RuntimeError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise HeteroError(f"The weights in {path} do not fit the shape it gives.") from error
    return network, model_of(neutral, frame), checkpoint


def open_gmm(folder: Path | str) -> Run:
    """Open a run of ``hetero train-gmm``; its ``decoder.models(z)`` gives Gaussians.

    Raises:
        HeteroError: see :func:`hetero.latent.open_own`.
    """
    return open_own(folder, _weights)


def _weights(path: Path) -> Weights:
    network, neutral, found = load_checkpoint(path)
    return Weights(GaussianDecoder(network, neutral), neutral.box, network.shape.zdim, found["epoch"])
