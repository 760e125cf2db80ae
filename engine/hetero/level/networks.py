"""The two level networks, and reading their weights safely.

This module imports torch; ``hetero.level`` does not import it until a network is needed.
"""

import copy
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from hetero.earlier import is_whole_archive
from hetero.errors import HeteroError
from hetero.foreign import check_torch_archive
from hetero.level.correction import FEATURES, LARGEST
from hetero.level.framing import CHANNELS

_KIND = "hetero envelope network"
FORMAT = f"{_KIND} 4"
_SLAB_VALUES = 1 << 18  # a layer takes about so many at a time: with what is made of them they fit a cache
_MEMBERS = 5  # small networks in the correction: their mean depends less on the seed than each of them


class PublishedLevelNetwork(nn.Module):
    """The 3D-CNN of SIREn (Kinman et al. 2025): a 64^3 map in normalised units to its normalised level.

    2,300,545 parameters, 55 G multiply-adds a map; the names of its parameters are those of the published checkpoints.
    """

    box = 64

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv3d(1, 32, 7), nn.BatchNorm3d(32), nn.ReLU(),                          # 58^3
            nn.Conv3d(32, 64, 5), nn.BatchNorm3d(64), nn.ReLU(), nn.MaxPool3d(2),        # 54^3, 27^3
            nn.Conv3d(64, 128, 5), nn.BatchNorm3d(128), nn.ReLU(), nn.MaxPool3d(2),      # 23^3, 11^3
            nn.Conv3d(128, 256, 3), nn.BatchNorm3d(256), nn.ReLU(), nn.MaxPool3d(2),     # 9^3, 4^3
            nn.Conv3d(256, 384, 1), nn.ReLU(), nn.AvgPool3d(3, stride=2), nn.Dropout(0.3),  # 1^3
        )  # fmt: skip
        self.mlp = nn.Sequential(nn.Linear(384, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """``(b, 64, 64, 64)`` normalised maps to ``(b,)`` normalised levels."""
        return self.mlp(self.conv(maps[:, None]).flatten(1))[:, 0]


class SymmetricConv3d(nn.Module):
    """A 3^3 convolution whose kernel is the same along all axes and directions.

    Its 27 weights are four: centre, faces, edges, corners. A network of such layers gives the same answer for a map and
    its mirror images and axis permutations, without trying them all.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 4) * (2 / (27 * inputs)) ** 0.5)
        step = torch.tensor([1, 0, 1])
        self.register_buffer("distance", step[:, None, None] + step[:, None] + step, persistent=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """``(b, inputs, z, y, x)`` to ``(b, outputs, z, y, x)``; zeros lie beyond the box."""
        # For training alone: autocast does not reach the products in there, and for prediction layers are folded.
        if values.device.type == "cpu" and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
            return _ByDistance.apply(values.movedim(1, -1), self.weight).movedim(-1, 1)
        return F.conv3d(values, self.weight[:, :, self.distance], padding=1)


class PointwiseConv3d(nn.Conv3d):
    """A 1^3 convolution as a product of matrices: on a CPU torch's own leaves the channels' layout, and is slower."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """``(b, inputs, z, y, x)`` to ``(b, outputs, z, y, x)``, the channels of a point side by side."""
        return F.linear(values.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)


class EnvelopeNetwork(nn.Module):
    """A small U-net: where in a framed map is the molecule, and how sure is that?

    Fully convolutional, symmetric under flips and axis permutations.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]):
        super().__init__()
        self.stem = _layer(channels, widths[0])
        self.down = nn.ModuleList(nn.Sequential(_layer(a, b), _layer(b, b)) for a, b in pairwise(widths))
        self.overview = nn.Sequential(nn.Linear(2 * widths[-1], widths[-1]), nn.ReLU())
        self.inform = nn.Linear(widths[-1], widths[-1])
        self.spread = nn.Linear(widths[-1], 1)
        self.narrow = nn.ModuleList(PointwiseConv3d(b, a) for a, b in pairwise(widths))
        self.merge = nn.ModuleList(_layer(a, a) for a in widths[:-1])
        self.head = PointwiseConv3d(widths[0], 1)
        nn.init.constant_(self.head.bias, -3.0)  # most of a box is solvent

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(b, 3, n, n, n)`` features to log-odds of being inside and an uncertainty.

        Returns:
            ``(b, n, n, n)`` log-odds; ``(b,)`` log of the expected error of log enclosed volume.
        """
        levels = [self.stem(features)]
        for down in self.down:
            levels.append(down(_resized(levels[-1], 0.5)))
        values = levels.pop()
        whole = self.overview(torch.cat([values.mean(dim=(2, 3, 4)), values.amax(dim=(2, 3, 4))], dim=1))
        values = values + self.inform(whole)[:, :, None, None, None]
        for narrow, merge in zip(reversed(self.narrow), reversed(self.merge), strict=True):
            values = merge(levels.pop() + _resized(narrow(values), 2))
        return self.head(values)[:, 0], self.spread(whole)[:, 0]


class CorrectionNetwork(nn.Module):
    """What :func:`hetero.level.correction.describe_fit` saw, to the log of the true volume over the enclosed one.

    The mean of a few small networks, each of which has learned from draws of its own. Says 0 until it is trained, and
    of what is unlike all that it has learned from.

    Attributes:
        centre, width: ``(FEATURES,)`` mean and s.d. of what was seen in training.
        inverse: ``(FEATURES, FEATURES)`` inverse covariance of what was seen, in units of ``width``.
        usual: squared distance (Mahalanobis) within which nearly all of it lay; at twice that nothing is corrected.
        share: how much of what the members say counts.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("centre", torch.zeros(FEATURES))
        self.register_buffer("width", torch.ones(FEATURES))
        self.register_buffer("inverse", torch.eye(FEATURES))
        self.register_buffer("usual", torch.tensor(1.0))
        self.register_buffer("share", torch.tensor(0.0))
        self.members = nn.ModuleList(
            nn.Sequential(nn.Linear(FEATURES, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
            for _ in range(_MEMBERS)
        )

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """``(b, FEATURES)`` to ``(b,)``, at most ``LARGEST``."""
        return self.of_each_member(numbers.expand(len(self.members), *numbers.shape)).mean(dim=0)

    def of_each_member(self, numbers: torch.Tensor) -> torch.Tensor:
        """What each of the ``m`` members says of numbers of its own: ``(m, b, FEATURES)`` to ``(m, b)``."""
        standard = (numbers - self.centre) / self.width
        distance = torch.einsum("mbi,ij,mbj->mb", standard, self.inverse, standard)
        trust = (2 - distance / self.usual).clamp(0, 1) * self.share
        said = [layers(part)[:, 0] for layers, part in zip(self.members, standard.clamp(-4, 4), strict=True)]
        return trust * LARGEST * torch.tanh(torch.stack(said) / LARGEST)


class LevelNetwork(nn.Module):
    """Ours: a network that finds the molecule in a coarse cube, and one that draws its envelope in a cube around it.

    2.2 G multiply-adds a map. The contour level follows from the envelope as the level whose enclosed region fits
    it (:func:`hetero.level.framing.best_level`), so it comes in the units of the map it is asked for; then it is moved
    by what the third network says of such a fit.

    Attributes:
        volume_error: multiplies the network's own uncertainty so that 68 % of errors of log volume lie within; measured
            after training.
    """

    def __init__(self):
        super().__init__()
        self.finder = EnvelopeNetwork(CHANNELS, (12, 24, 48))
        self.envelope = EnvelopeNetwork(CHANNELS, (16, 40, 96, 160))
        self.correction = CorrectionNetwork()
        self.register_buffer("volume_error", torch.ones(()))


def _resized(values: torch.Tensor, factor: float) -> torch.Tensor:
    """By linear interpolation; halved these are the means of 2^3, and on a CPU 20 times as fast as ``avg_pool3d``."""
    return F.interpolate(values, scale_factor=factor, mode="trilinear", align_corners=False)


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(SymmetricConv3d(inputs, outputs), nn.BatchNorm3d(outputs), nn.ReLU())


def folded(network: nn.Module) -> nn.Module:
    """A network for prediction alone: kernels written out, and the normalisations behind them folded into them.

    Its answers are those of the network, but for rounding. The published network comes back as it is.
    """
    if not isinstance(network, LevelNetwork):
        return network
    network = copy.deepcopy(network).eval()
    for part in [*network.finder.modules(), *network.envelope.modules()]:
        for name, child in part.named_children():
            if isinstance(child, nn.Sequential) and isinstance(child[0], SymmetricConv3d):
                setattr(part, name, _FoldedLayer(child[0], child[1]))
    return network.to(memory_format=torch.channels_last_3d)


class _FoldedLayer(nn.Module):
    """A symmetric convolution, the normalisation that follows it and the cut at zero, for prediction alone.

    On a CPU a point's neighbours are added up by their distance before anything is multiplied: 4 products for 27.
    """

    def __init__(self, symmetric: SymmetricConv3d, norm: nn.BatchNorm3d):
        super().__init__()
        self.weight, self.bias = nn.utils.fuse_conv_bn_weights(
            symmetric.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        self.register_buffer("distance", symmetric.distance)
        self.requires_grad_(False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """``(b, inputs, z, y, x)`` to ``(b, outputs, z, y, x)``; zeros lie beyond the box."""
        if values.device.type != "cpu":
            return F.conv3d(values, self.weight[:, :, self.distance], self.bias, padding=1).relu_()
        return _by_distance(values.movedim(1, -1), self.weight.permute(2, 1, 0), self.bias).movedim(-1, 1)


class _ByDistance(torch.autograd.Function):
    """A symmetric convolution and its gradient in less time than torch's, on a CPU.

    ``(b, z, y, x, inputs)`` and ``(outputs, inputs, 4)`` to ``(b, z, y, x, outputs)``. The kernel is its own mirror
    image, so the gradient of the values is the same convolution with inputs and outputs exchanged.
    """

    @staticmethod
    def forward(ctx, values, weight):
        ctx.save_for_backward(values, weight)
        return _by_distance(values, weight.permute(2, 1, 0))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        values, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        back = _by_distance(gradient, weight.permute(2, 0, 1)) if ctx.needs_input_grad[0] else None
        found = weight.new_zeros(weight.shape[2], *weight.shape[:2])
        for part, around in _with_neighbours(values):
            above = gradient[part].flatten(0, 3).T
            for one, sums in zip(found, _sums_by_distance(around), strict=True):
                one.addmm_(above, sums.flatten(0, 3))
        return back, found.permute(1, 2, 0)


def _by_distance(values: torch.Tensor, factors: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``(b, z, y, x, inputs)`` and ``(4, inputs, outputs)`` to ``(b, z, y, x, outputs)``; with a bias cut at zero."""
    factors = factors.contiguous()
    found = values.new_empty(*values.shape[:-1], factors.shape[-1])
    for place, around in _with_neighbours(values):
        part = found[place].view(-1, found.shape[-1])
        part.zero_()
        for sums, factor in zip(_sums_by_distance(around), factors, strict=True):
            part.addmm_(sums.flatten(0, 3), factor)
        if bias is not None:
            part.add_(bias).relu_()
    return found


def _with_neighbours(values: torch.Tensor) -> Iterator[tuple[tuple[slice, slice], torch.Tensor]]:
    """Parts of ``(b, z, y, x, c)`` that fit a cache: the slices of maps and planes of each, and its values with one
    point more on each side, zeros beyond the box."""
    padded = F.pad(values, (0, 0, 1, 1, 1, 1, 1, 1))
    planes = max(1, _SLAB_VALUES // padded[0, 0].numel())
    maps = max(1, planes // values.shape[1])
    for first, start in product(range(0, len(values), maps), range(0, values.shape[1], planes)):
        part = slice(first, first + maps), slice(start, start + planes)
        yield part, padded[first : first + maps, start : start + planes + 2]


def _sums_by_distance(values: torch.Tensor) -> Iterator[torch.Tensor]:
    """Of ``(b, z + 2, y + 2, x + 2, c)`` each inner point's values, then the sums of those across its faces, edges and
    corners: four times ``(b, z, y, x, c)``, each to be used before the next is asked for."""
    own, beside = values[:, 1:-1], values[:, :-2] + values[:, 2:]
    yield own[:, :, 1:-1, 1:-1]
    faces = own[:, :, :-2] + own[:, :, 2:]  # of the square around a point, across x
    faces += beside[:, :, 1:-1]
    corners = beside[:, :, :-2] + beside[:, :, 2:]
    own = own[:, :, 1:-1]
    sums = own[:, :, :, :-2] + own[:, :, :, 2:]
    sums += faces[:, :, :, 1:-1]
    yield sums
    torch.add(faces[:, :, :, :-2], faces[:, :, :, 2:], out=sums)
    sums += corners[:, :, :, 1:-1]
    yield sums
    yield torch.add(corners[:, :, :, :-2], corners[:, :, :, 2:], out=sums)


def load_network(path: Path | str) -> nn.Module:
    """Read the weights of either network, ready for prediction on the CPU.

    Nothing in the file is executed: besides tensors and plain values only the class ``MSELoss``, which the published
    checkpoints carry, is accepted.

    Args:
        path: weights written by ``hetero train-level``, or a published SIREn checkpoint (``model_state_dict``).

    Raises:
        HeteroError: not there, or not one of the two.
    """
    path = Path(path)
    check_torch_archive(path, "a file of network weights")
    try:
        with torch.serialization.safe_globals([torch.nn.modules.loss.MSELoss]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no list of what a damaged file makes it raise
        raise HeteroError(f"{path} is not a file of network weights that can be read safely.") from error
    if not isinstance(checkpoint, dict):
        raise HeteroError(f"{path} holds a {type(checkpoint).__name__}; a checkpoint of a level network was expected.")
    named = str(checkpoint.get("format"))
    if named.startswith(_KIND) and named != FORMAT:
        raise HeteroError(f"{path} holds weights of another version of hetero; train them again with this one.")
    ours = named == FORMAT
    if ours and not is_whole_archive(path):  # torch does not look, and a wrong number in it would be believed
        raise HeteroError(f"{path} is damaged: what it holds is not what was written (its checksums differ).")
    network = LevelNetwork() if ours else PublishedLevelNetwork()
    state = checkpoint.get("state") if ours else checkpoint.get("model_state_dict")
    if not isinstance(state, dict):
        raise HeteroError(f"{path} holds neither weights of ours nor a SIREn checkpoint with 'model_state_dict'.")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise HeteroError(f"The weights in {path} do not fit the {type(network).__name__}.") from error
    return network.eval()
