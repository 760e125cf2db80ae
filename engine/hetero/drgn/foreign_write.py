"""A decoder of ours as cryoDRGN keeps the decoder of its ``train_dec``: ``config.yaml`` and ``weights.N.pkl``."""

from pathlib import Path
from typing import Any

import torch
import yaml

from hetero.checkpoints import save_tensors
from hetero.drgn.decoder import CoordinateDecoder
from hetero.drgn.foreign_weights import column_order
from hetero.files import atomic_path

_VERSION = "4.3.1"  # of cryoDRGN, whose files these are like


def cryodrgn_state(network: CoordinateDecoder) -> dict[str, torch.Tensor]:
    """The weights under cryoDRGN's names; :func:`hetero.drgn.foreign_weights.network_of` is the way back."""
    shape, state = network.shape, {}
    if shape.encoding == "gaussian":
        state["rand_freqs"] = network.waves / (shape.box // 2)
    place = torch.empty_like(network.place.weight)
    place[:, column_order(shape)] = network.place.weight
    first = place if network.latent is None else torch.cat([place, network.latent.weight], dim=1)
    layers = [(first, network.place.bias)]
    layers += [(layer.weight, layer.bias) for layer in (*network.residual, network.last)]
    for i, (weight, bias) in enumerate(layers):
        # A layer that maps a space to itself is a residual one there; ours are so only between the first and last.
        square = weight.shape[0] == weight.shape[1]
        added = square and i in (0, len(layers) - 1)
        name = f"decoder.main.{2 * i}." + ("linear." if square else "")
        state[name + "weight"] = weight - torch.eye(len(weight)) if added else weight
        state[name + "bias"] = bias
    return {name: value.detach().cpu().float().contiguous().clone() for name, value in state.items()}


def write_weights(path: Path | str, network: CoordinateDecoder, sd: float, mean: float, epoch: int) -> None:
    """Write a ``weights.N.pkl``; whole or not at all."""
    checkpoint = {"norm": [mean, sd], "epoch": epoch, "model_state_dict": cryodrgn_state(network)}
    checkpoint["optimizer_state_dict"] = {"state": {}, "param_groups": []}
    save_tensors(path, checkpoint)


def cryodrgn_config(network: CoordinateDecoder, sd: float, mean: float, **dataset: Any) -> dict[str, Any]:
    """The contents of ``config.yaml``. ``dataset``: ``particles``, ``poses``, ``ctf``, ``ind``: file names, or None."""
    shape = network.shape
    data = {"particles": None, "poses": None, "ctf": None, "ind": None} | dataset
    data |= {"norm": [float(mean), float(sd)], "invert_data": True, "window": True, "window_r": 0.85}
    data |= {"datadir": None, "do_pose_sgd": False}
    model = {
        "layers": shape.layers, "dim": shape.width, "zdim": shape.zdim, "pe_type": shape.encoding,
        "pe_dim": shape.per_axis, "feat_sigma": shape.feature_sd, "domain": shape.domain,
        "activation": shape.activation,
    }  # fmt: skip
    return {
        "cmd": ["cryodrgn", "train_dec"],
        "dataset_args": data,
        "lattice_args": {"D": shape.box + 1, "extent": 0.5, "ignore_DC": True},
        "model_args": model,
        "seed": 0,
        "version": _VERSION,
    }


def write_config(path: Path | str, config: dict[str, Any]) -> None:
    """Write ``config.yaml``; whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(config))
