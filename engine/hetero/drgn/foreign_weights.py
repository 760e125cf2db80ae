"""cryoDRGN's own weights as a network of ours. Nothing in the file is run."""

import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from hetero.drgn.decoder import CoordinateDecoder, is_whole
from hetero.drgn.shape import DecoderShape
from hetero.errors import HeteroError
from hetero.foreign import check_torch_archive

_LAYER = re.compile(r"(?P<of>(?:.*\.)?)main\.(?P<place>\d+)\.(?P<residual>linear\.)?(?P<what>weight|bias)")


class _Ignored:
    """Stands for every numpy array or number in a checkpoint: takes anything, keeps nothing."""

    def __init__(self, *arguments):
        pass

    def __setstate__(self, state):
        pass


_IGNORED_NAMES = ["numpy.ndarray", "numpy.dtype"] + [
    f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")
]


def load_checkpoint(path: Path | str) -> dict[str, Any]:
    """A ``weights.N.pkl``: tensors and plain values; the numpy arrays that ab-initio runs add are left out.

    The file is mapped, not read: the optimiser's two thirds of it cost nothing.

    Raises:
        HeteroError: not there, or anything else than such a file.
    """
    path = Path(path)
    check_torch_archive(path, "the weights of a cryoDRGN run")
    try:
        with torch.serialization.safe_globals([(_Ignored, name) for name in _IGNORED_NAMES]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch has no list of what a damaged file makes it raise
        raise HeteroError(f"{path} is not a file of network weights that can be read safely.") from error
    if not isinstance(checkpoint, dict) or not isinstance(state_of(checkpoint), dict):
        raise HeteroError(f"{path} holds no weights of a decoder; a cryoDRGN checkpoint was expected.")
    return checkpoint


def state_of(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor] | None:
    """The state dictionary that holds the decoder: the whole model, or an ab-initio run's hypervolume."""
    return checkpoint.get("hypervolume_state_dict", checkpoint.get("model_state_dict"))


def network_of(checkpoint: dict[str, Any], shape: DecoderShape, path: Path) -> CoordinateDecoder:
    """The decoder of a checkpoint.

    Args:
        checkpoint: from :func:`load_checkpoint`.
        shape: what the configuration says.
        path: of the weights, for sentences.

    Raises:
        HeteroError: the weights do not fit the configuration; says where.
    """
    state = {k: v for k, v in state_of(checkpoint).items() if isinstance(v, torch.Tensor)}
    layers = _layers(state, path)
    weights = [weight for weight, _ in layers]
    found = len(layers) - 2, len(weights[0])
    if found != (shape.layers, shape.width):
        raise _unfit(
            path,
            f"they hold {found[0]} residual layers of {found[1]} units; {shape.layers} of {shape.width} were expected",
        )
    drawn = next((v for k, v in state.items() if k.endswith("rand_freqs") and not k.startswith("encoder.")), None)
    if (drawn is not None) != (shape.encoding == "gaussian"):
        held = "random waves" if drawn is not None else "no random waves"
        raise _unfit(path, f"they hold {held}, and the encoding is {shape.encoding}")
    with torch.device("meta"):  # nothing is allocated for a shape that the weights do not have
        network = CoordinateDecoder(shape)
    if drawn is not None and drawn.shape != network.waves.shape:
        raise _unfit(path, f"their waves are {_by(drawn.shape)}; {_by(network.waves.shape)} was expected")
    features = network.place.in_features
    expected = [(shape.width, features + shape.zdim)] + [(shape.width, shape.width)] * shape.layers
    expected.append((network.last.out_features, shape.width))
    for number, (weight, wanted) in enumerate(zip(weights, expected, strict=True), start=1):
        if tuple(weight.shape) != wanted:
            raise _unfit(path, f"layer {number} of the decoder is {_by(weight.shape)}; {_by(wanted)} was expected")
    network = CoordinateDecoder(shape)
    if drawn is not None:
        network.waves.copy_(drawn * (shape.box // 2))
    with torch.no_grad():
        order = column_order(shape)
        network.place.weight.copy_(weights[0][:, :features][:, order])
        network.place.bias.copy_(layers[0][1])
        if network.latent is not None:
            network.latent.weight.copy_(weights[0][:, features:])
        for ours, (weight, bias) in zip([*network.residual, network.last], layers[1:], strict=True):
            ours.weight.copy_(weight)
            ours.bias.copy_(bias)
    return network


def _layers(state: dict[str, torch.Tensor], path: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight and bias of each layer of the decoder, in order.

    Every layer between the first and the last is a residual one. Where the first or last maps a space to itself it is
    residual too: the identity goes into its weight.
    """
    found: dict[str, dict[int, dict[str, torch.Tensor]]] = {}
    residual = set()
    for key, value in state.items():
        match = _LAYER.fullmatch(key)
        if match and not key.startswith("encoder."):
            place = int(match["place"])
            found.setdefault(match["of"], {}).setdefault(place, {})[match["what"]] = value
            if match["residual"]:
                residual.add((match["of"], place))
    if len(found) != 1:
        raise _unfit(path, f"they hold {len(found)} coordinate networks; one was expected")
    ((of, places),) = found.items()
    numbers = sorted(places)
    for number in numbers:
        whole = set(places[number]) == {"weight", "bias"} and places[number]["weight"].ndim == 2
        inner = number not in (numbers[0], numbers[-1])
        if not whole or len(numbers) < 2 or (inner and (of, number) not in residual):
            raise _unfit(path, f"layer {of}main.{number} is none of a residual network")
    layers = []
    for number in numbers:
        if not all(map(is_whole, places[number].values())):
            raise _unfit(path, f"layer {of}main.{number} claims more numbers than the file holds")
        weight, bias = (places[number][what].float() for what in ("weight", "bias"))
        if number in (numbers[0], numbers[-1]) and (of, number) in residual:
            weight = weight + torch.eye(*weight.shape)
        if bias.shape != weight.shape[:1]:
            raise _unfit(path, f"layer {of}main.{number} has {len(weight)} units and {bias.numel()} biases")
        layers.append((weight, bias))
    return layers


def column_order(shape: DecoderShape) -> torch.Tensor:
    """For each feature of ours, its column in cryoDRGN's first layer.

    Both have all sines, then all cosines for random waves; of waves along axes cryoDRGN has x's sines, x's cosines, y's
    sines, and so on.
    """
    if shape.encoding == "none":
        return torch.arange(3)
    if shape.encoding == "gaussian":
        return torch.arange(6 * shape.per_axis)
    n = shape.box // 2 if shape.encoding == "linear_lowf" else shape.per_axis
    theirs = torch.arange(6 * n).view(3, 2, n)  # axis, sine or cosine, wave
    return theirs.transpose(0, 1).reshape(-1)


def _by(shape) -> str:
    return " x ".join(str(n) for n in shape)


def _unfit(path: Path, why: str) -> HeteroError:
    return HeteroError(f"The weights in {path} do not fit the run's configuration: {why}.")
