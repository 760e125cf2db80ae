"""Maps from a coordinate network: half of Fourier space, many latents at once."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch

from hetero.drgn.base import Base
from hetero.drgn.decoder import ACTIVATE, CoordinateDecoder, in_stored_half
from hetero.linear.decoder import LinearDecoder
from hetero.threads import in_slices

_POINTS = {"cpu": 2048, "cuda": 1 << 15}  # coordinates in hand: on a CPU a layer's values stay in its cache
_AT_ONCE = {"cpu": 8, "cuda": 16}  # latents that share the encoded coordinates
_KEPT_BYTES = 1 << 28  # first-layer values that are kept for the next call


class VolumeDecoder:
    """The decoder of a :class:`hetero.latent.Run`: see :class:`hetero.latent.Decoder`.

    ``V(x) = sum_k F(k) exp(2 pi i k x) / box^3`` over the Fourier voxels with ``|k| <= box / 2`` (fourier family), or
    the Hartley transform of all of them (hartley family), times the s.d. of the images it was trained on. The map's
    centre is voxel ``n // 2``.

    Memory: the map, 8 (CPU) or 16 (GPU) spectra, at most 256 MB of first-layer values, and the values of a layer at
    2,048 (each CPU core) or 32,768 x 16 (GPU) points.

    Args:
        network: is copied; moved to ``device``.
        sd: of the images' Hartley transforms, by which they were divided.
        mean: of the same, which was taken off.
        device: a GPU where there is one, if not given.
        base: maps that the network (fourier family) adds to: see :class:`hetero.drgn.base.Base`.
    """

    def __init__(
        self,
        network: CoordinateDecoder,
        sd: float = 1.0,
        mean: float = 0.0,
        device: str | None = None,
        base: Base | None = None,
    ):
        self.shape = network.shape
        self.sd, self.mean, self.base = sd, mean, base
        self._under = None if base is None else LinearDecoder(base.maps[0], base.maps[1:])
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._activate = ACTIVATE[network.shape.activation]

        def ready(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.detach().to(self.device, torch.float32).contiguous().clone()

        self._waves = ready(network.waves)
        self._place = ready(network.place.weight.T), ready(network.place.bias)
        self._latent = ready(network.latent.weight.T) if network.latent is not None else None
        unit = torch.eye(network.shape.width, device=network.place.weight.device)
        # x + Linear(x) is one product: the identity goes into the weights.
        layers = [(layer.weight.T + unit, layer.bias) for layer in network.residual]
        layers.append((network.last.weight.T, network.last.bias))
        self._layers = [(ready(weight), ready(bias)) for weight, bias in layers]
        self._kept: dict[int, dict[int, torch.Tensor]] = {}  # box: start of a slice: values

    def __call__(self, z: np.ndarray, box: int) -> Iterator[np.ndarray]:
        """Maps ``(box, box, box)`` of latents ``(b, zdim)``; ``box`` is even and at most the network's."""
        build = _map_of_fourier if self.shape.domain == "fourier" else _map_of_hartley
        at_once = _AT_ONCE[self.device.type]
        for start in range(0, len(z), at_once):
            part = z[start : start + at_once]
            spectra = self._spectra(torch.tensor(part), box)
            if self.base is not None:
                radius = np.linalg.norm(_lattice(box, self.shape.domain).points, axis=1)
                spectra *= torch.from_numpy(self.base.spread_at(radius) / np.float32(self.sd)).to(self.device)
            for row, spectrum in zip(part, spectra, strict=True):
                data = build(spectrum, box) * (self.sd / self.shape.box**3)
                # A constant over all Hartley voxels is a single voxel in the middle.
                data[(box // 2,) * 3] += self.mean * (box / self.shape.box) ** 3
                yield data.cpu().numpy() if self.base is None else data.cpu().numpy() + self._beneath(row, box)

    def _beneath(self, z: np.ndarray, box: int) -> np.ndarray:
        """The base's map ``(box, box, box)`` of a latent ``(zdim,)``."""
        return next(self._under(self.base.functions(torch.tensor(z[None], dtype=torch.float32)).numpy(), box))

    def _spectra(self, z: torch.Tensor, box: int) -> torch.Tensor:
        """``(b, outputs, p)`` values of the network at the lattice's points."""
        device, width = self.device, self.shape.width
        points = _lattice(box, self.shape.domain).points
        z = z.to(device)
        shift = z @ self._latent if self._latent is not None else torch.zeros(len(z), width, device=device)
        values = torch.empty(len(z), len(self._layers[-1][1]), len(points), device=device)
        if len(points) * width * 4 <= _KEPT_BYTES and box not in self._kept:
            self._kept = {box: {}}
        together = 1 if device.type == "cpu" else len(z)

        def fill(here: slice) -> None:
            with torch.inference_mode():
                first = self._first_layer(points, box, here)
                for start in range(0, len(z), together):
                    part = slice(start, start + together)
                    x = self._activate(first + shift[part, None]).flatten(0, 1)  # (b p, width)
                    for weight, bias in self._layers[:-1]:
                        x = self._activate(torch.addmm(bias, x, weight), inplace=True)
                    weight, bias = self._layers[-1]
                    x = torch.addmm(bias, x, weight)  # (b p, outputs)
                    values[part, :, here] = x.unflatten(0, (-1, len(first))).transpose(1, 2)

        in_slices(fill, len(points), _POINTS[device.type], device, most=torch.get_num_threads())
        return values

    def _first_layer(self, points: torch.Tensor, box: int, here: slice) -> torch.Tensor:
        """``(p, width)``: what the first layer makes of these coordinates, whatever the latent."""
        kept = self._kept.get(box)
        if kept is not None and here.start in kept:
            return kept[here.start]
        coordinates = points[here].to(self.device, torch.float32) / self.shape.box
        weight, bias = self._place
        if len(self._waves):
            angles = coordinates @ self._waves.T
            half = angles.shape[1]
            values = torch.addmm(bias, angles.sin(), weight[:half]).addmm_(angles.cos_(), weight[half:])
        else:
            values = torch.addmm(bias, coordinates, weight)
        if kept is not None:
            kept[here.start] = values
        return values


class _Lattice:
    """Where the network is asked, and where its answers go.

    Attributes:
        points: ``(p, 3)`` int16 x, y, z in cycles per box, all in the half of space that is learnt (fourier).
        target: ``(p,)`` flat index of each point in the array that is transformed.
        real, imaginary: ``(p,)`` signs: the map's centre in the middle of its box, and the conjugate where the point
            stands for its opposite.
    """

    def __init__(self, points, target, real, imaginary):
        self.points, self.target, self.real, self.imaginary = points, target, real, imaginary


@lru_cache(maxsize=4)
def _lattice(box: int, domain: str) -> _Lattice:
    along = torch.fft.fftfreq(box, 1 / box, dtype=torch.float64).round().to(torch.int16)  # 0 ... , -box/2 ... -1
    if domain == "hartley":
        points = torch.cartesian_prod(along, along, along).flip(1)
        target = torch.arange(len(points))
    else:
        # The half x >= 0 that an inverse transform to real values wants; its last plane is x = -box/2, as in `along`.
        grid = torch.cartesian_prod(along, along, along[: box // 2 + 1]).flip(1)
        inside = (grid.int() ** 2).sum(1) <= (box // 2) ** 2
        points, target = grid[inside], inside.nonzero()[:, 0]
    centre = 1.0 - 2.0 * (points.int().sum(1) % 2)
    if domain == "hartley":
        return _Lattice(points, target, centre, None)
    side = torch.where(in_stored_half(points), 1, -1).to(torch.int16)
    return _Lattice(points * side[:, None], target, centre, centre * side)


def _map_of_fourier(spectrum: torch.Tensor, box: int) -> torch.Tensor:
    """``(2, p)`` real and imaginary parts to the map ``(box, box, box)``."""
    lattice = _lattice(box, "fourier")
    target = lattice.target.to(spectrum.device)
    real = spectrum[0] * lattice.real.to(spectrum.device)
    imaginary = spectrum[1] * lattice.imaginary.to(spectrum.device)
    # The zero and the Nyquist voxels are their own opposites: all of their Hartley value is real.
    alone = ((lattice.points == -(box // 2)).any(1) | (lattice.points == 0).all(1)).to(spectrum.device)
    real = torch.where(alone, real - imaginary, real)
    half = torch.zeros(box * box * (box // 2 + 1), dtype=torch.complex64, device=spectrum.device)
    half[target] = torch.complex(real, imaginary)
    return torch.fft.irfftn(half.view(box, box, box // 2 + 1), s=(box,) * 3, norm="forward")


def _map_of_hartley(spectrum: torch.Tensor, box: int) -> torch.Tensor:
    """``(1, p)`` Hartley values to the map ``(box, box, box)``."""
    values = (spectrum[0] * _lattice(box, "hartley").real.to(spectrum.device)).view(box, box, box)
    transform = torch.fft.fftn(values)
    return transform.real - transform.imag
