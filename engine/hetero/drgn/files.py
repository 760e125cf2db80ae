"""A coordinate network of ours on disk: ``checkpoint.pt``, tensors and plain values alone."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from hetero.checkpoints import write_checkpoint
from hetero.drgn.base import Base
from hetero.drgn.decoder import CoordinateDecoder, decoder_with
from hetero.drgn.shape import DecoderShape
from hetero.drgn.volumes import VolumeDecoder
from hetero.errors import HeteroError
from hetero.latent import Run, Weights, open_own, read_checkpoint

FORMAT = "hetero drgn decoder 1"


def save_checkpoint(
    path: Path | str,
    network: CoordinateDecoder,
    sd: float,
    mean: float = 0.0,
    epoch: int | None = None,
    base: Base | None = None,
    **more: Any,
) -> None:
    """Write a decoder and whatever else goes on training from here; whole or not at all.

    Args:
        path: usually ``checkpoint.pt`` in the run's folder.
        network: the decoder.
        sd, mean: of the images' Hartley transforms, as :class:`hetero.drgn.volumes.VolumeDecoder` takes them.
        epoch: how far it was trained, counted from 1.
        base: maps that the decoder adds to.
        more: tensors, numbers, text, and lists and dictionaries of these, e.g. the encoder's and optimiser's state.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    ours = {"format": FORMAT, "shape": network.shape.as_dict(), "state": state, "sd": sd, "mean": mean, "epoch": epoch}
    if base is not None:
        ours["base"] = base.tensors()
    write_checkpoint(path, more | ours)


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
    """Open a run of ``hetero train-vae``.

    Raises:
        HeteroError: see :func:`hetero.latent.open_own`.
    """
    return open_own(folder, _weights)


def _weights(path: Path) -> Weights:
    network, found = load_checkpoint(path)
    decoder = VolumeDecoder(network, found["sd"], found["mean"], base=base_in(found, path))
    return Weights(decoder, network.shape.box, network.shape.zdim, found["epoch"])


def base_in(found: dict[str, Any], path: Path) -> Base | None:
    """The maps that the network of a checkpoint adds to; None where there are none.

    Raises:
        HeteroError: they are damaged.
    """
    values = found.get("base")
    if values is None:
        return None
    names = [f.name for f in fields(Base)]
    parts = [values.get(name) for name in names] if isinstance(values, dict) else [None]
    if not all(isinstance(part, torch.Tensor) and bool(part.isfinite().all()) for part in parts):
        raise HeteroError(f"{path} lacks the maps that its network adds to; the file is damaged.")
    return Base(*(part.float().numpy() for part in parts))
