"""The coordinate network of cryoDRGN (Zhong et al. 2021): a place in Fourier space and a latent to a value."""

import torch
from torch import nn

from hetero.drgn.encoding import encode, waves
from hetero.drgn.shape import DecoderShape

ACTIVATE = {"relu": nn.functional.relu, "leaky_relu": nn.functional.leaky_relu}


class CoordinateDecoder(nn.Module):
    """``V(k, z)``: the Fourier (or Hartley) transform of the structure ``z`` at ``k``.

    ``Linear, act, [x + Linear(x), act] x layers, Linear``. The first layer is kept in two parts, for the encoded
    coordinate and for the latent: its input is never glued together, and the first part is the same for all structures.

    Args:
        shape: what is built.
        silent: begin with an answer of zero everywhere: what is to be added to maps that are known.
    """

    def __init__(self, shape: DecoderShape, silent: bool = False):
        super().__init__()
        self.shape = shape
        matrix = waves(shape.encoding, shape.box, shape.per_axis, shape.feature_sd)
        self.register_buffer("waves", matrix)
        features = 2 * len(matrix) or 3
        outputs = 2 if shape.domain == "fourier" else 1
        # One layer's initial weights, then split: the scale is that of a layer with both inputs.
        first = nn.Linear(features + shape.zdim, shape.width)
        self.place = nn.Linear(features, shape.width)
        self.latent = nn.Linear(shape.zdim, shape.width, bias=False) if shape.zdim else None
        with torch.no_grad():
            self.place.weight.copy_(first.weight[:, :features])
            self.place.bias.copy_(first.bias)
            if self.latent is not None:
                self.latent.weight.copy_(first.weight[:, features:])
        self.residual = nn.ModuleList(nn.Linear(shape.width, shape.width) for _ in range(shape.layers))
        self.last = nn.Linear(shape.width, outputs)
        if silent:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(self, coordinates: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """The network as it is, at any coordinate.

        Args:
            coordinates: ``(p, 3)``, shared by all, or ``(b, p, 3)``; x, y, z in cycles per voxel.
            z: ``(b, zdim)``.

        Returns:
            ``(b, p, 2)`` real and imaginary part (fourier), or ``(b, p, 1)`` (hartley).
        """
        act = ACTIVATE[self.shape.activation]
        x = self.place(encode(coordinates, self.waves))  # ((b,) p, width)
        if self.latent is not None:
            x = x + self.latent(z)[:, None]  # (b, p, width)
        elif x.ndim == 2:
            x = x.expand(len(z), -1, -1)
        x = act(x)
        for layer in self.residual:
            x = act(x + layer(x))
        return self.last(x)

    def hartley(self, coordinates: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """``(b, p)`` the Hartley transform (Re - Im) at any coordinate, with the symmetry of a real map.

        The fourier family learns one half of the space (:func:`in_stored_half`); ``V(k) = conj V(-k)`` gives the other.
        """
        if self.shape.domain == "hartley":
            return self(coordinates, z)[..., 0]
        stored = in_stored_half(coordinates)
        side = torch.where(stored, 1.0, -1.0).to(coordinates.dtype)
        value = self(coordinates * side[..., None], z)
        return value[..., 0] - side * value[..., 1]


def decoder_with(shape: DecoderShape, state: dict[str, torch.Tensor]) -> CoordinateDecoder:
    """A decoder of ``shape`` with the weights ``state``; nothing is allocated for a shape that they do not have.

    Raises:
        ValueError: they do not fit.
    """
    if not 0 <= shape.layers <= len(state):
        raise ValueError(f"{shape.layers} layers and {len(state)} tensors")
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in CoordinateDecoder(shape).state_dict().items()}
    if wanted != {name: value.shape for name, value in state.items()} or not all(map(is_whole, state.values())):
        raise ValueError("other shapes")
    network = CoordinateDecoder(shape)
    network.load_state_dict(state)
    return network


def is_whole(value: torch.Tensor) -> bool:
    """Whether a tensor's numbers are all there: a forged one may repeat a single number a million times."""
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def in_stored_half(coordinates: torch.Tensor) -> torch.Tensor:
    """Whether each ``(..., 3)`` coordinate x, y, z lies in the half that is learnt.

    ``z < 0``; on the plane ``z = 0``, ``y < 0``; on the line ``z = y = 0``, ``x <= 0``.
    """
    x, y, z = coordinates.unbind(-1)
    return (z < 0) | ((z == 0) & ((y < 0) | ((y == 0) & (x <= 0))))
