"""A coordinate network of ours on disk: ``checkpoint.pt``, tensors and plain values alone."""

from pathlib import Path
from typing import Any

import torch

from hetero.drgn.decoder import CoordinateDecoder, decoder_with
from hetero.drgn.shape import DecoderShape
from hetero.drgn.volumes import VolumeDecoder
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.latent import LATENTS, Run, read_checkpoint, read_config, read_latents, set_aside

CHECKPOINT = "checkpoint.pt"
FORMAT = "hetero drgn decoder 1"


def save_checkpoint(
    path: Path | str, network: CoordinateDecoder, sd: float, mean: float = 0.0, epoch: int | None = None, **more: Any
) -> None:
    """Write a decoder and whatever else goes on training from here; whole or not at all.

    Args:
        path: usually ``checkpoint.pt`` in the run's folder.
        network: the decoder.
        sd, mean: of the images' Hartley transforms, as :class:`hetero.drgn.volumes.VolumeDecoder` takes them.
        epoch: how far it was trained, counted from 1.
        more: tensors, numbers, text, and lists and dictionaries of these, e.g. the encoder's and optimiser's state.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    ours = {"format": FORMAT, "shape": network.shape.as_dict(), "state": state, "sd": sd, "mean": mean, "epoch": epoch}
    set_aside(path)
    with atomic_path(path) as temporary:
        torch.save(more | ours, temporary)


def load_checkpoint(path: Path | str) -> tuple[CoordinateDecoder, dict[str, Any]]:
    """The decoder of a ``checkpoint.pt``, on the CPU, and all that the file holds. Nothing in it is run.

    Raises:
        HeteroError: not there, or not such a file.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path, FORMAT, "decoder of ours", "train-vae")
    try:
        network = decoder_with(DecoderShape(**checkpoint["shape"]), checkpoint["state"])
    except (RuntimeError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise HeteroError(f"The weights in {path} do not fit the shape it gives.") from error
    return network, checkpoint


def open_drgn(folder: Path | str) -> Run:
    """Open a run of ours: ``config.json``, ``checkpoint.pt`` and ``latents.npz``.

    Raises:
        HeteroError: a file that is missing or damaged, or weights that do not fit the configuration.
    """
    folder = Path(folder)
    config = read_config(folder)
    if config is None:
        raise HeteroError(f"{folder} holds no config.json of a run.")
    network, checkpoint = load_checkpoint(folder / CHECKPOINT)
    latents = read_latents(folder / LATENTS)
    if network.shape.box != config.box or latents.mean.ndim != 2 or latents.mean.shape[1] != network.shape.zdim:
        raise HeteroError(
            f"The weights in {folder / CHECKPOINT} do not fit the run: a box of {network.shape.box} and latents of "
            f"{network.shape.zdim} numbers, where config.json has a box of {config.box} and {LATENTS} has latents of "
            f"shape {latents.mean.shape}."
        )
    return Run(
        folder=folder,
        system=config.system,
        settings=config.settings,
        latents=latents.mean,
        particle_index=latents.particle_index,
        apix=config.apix,
        box=config.box,
        decoder=VolumeDecoder(network, checkpoint["sd"], checkpoint["mean"]),
        log_variance=latents.log_variance,
        epoch=checkpoint["epoch"],
    )
