"""Positional encodings: the waves that a coordinate is measured by before a network sees it.

A coordinate ``k`` is a Fourier voxel's position in cycles per voxel, -0.5 to 0.5, in the order x, y, z. Every encoding
is ``[sin(W k), cos(W k)]`` for a matrix ``W`` ``(m, 3)`` of waves; the kinds differ in ``W`` alone, and ``none`` is
``k`` itself.
"""

import math

import torch


def waves(kind: str, box: int, per_axis: int, sd: float = 0.5) -> torch.Tensor:
    """The matrix ``(m, 3)`` of an encoding, radians per (cycle per voxel).

    Zhong et al. 2021, Methods: wavelengths in geometric progression from the Nyquist limit up (``geom_ft``); the others
    end sooner or later at either side. ``gaussian`` draws ``3 per_axis`` directions and lengths at random.

    Args:
        kind: one of :data:`hetero.drgn.shape.ENCODINGS`.
        box: voxels along each side.
        per_axis: waves along each axis; ``linear_lowf`` always has ``box / 2``, ``none`` has none.
        sd: of ``gaussian``'s waves, in units of ``box / 2``.
    """
    if kind == "none":
        return torch.zeros(0, 3)
    if kind == "gaussian":
        return torch.randn(3 * per_axis, 3) * (sd * (box // 2))
    lengths = _lengths(kind, box, per_axis)
    return torch.kron(torch.eye(3), lengths[:, None])  # x's waves first, then y's, then z's


def _lengths(kind: str, box: int, per_axis: int) -> torch.Tensor:
    half = box // 2
    if kind == "linear_lowf":
        return torch.arange(1.0, half + 1)
    first, last = {
        "geom_ft": (box * math.pi, 2 * math.pi),
        "geom_full": (box * math.pi, 1.0),
        "geom_lowf": (half, 1.0),
        "geom_nohighf": (half, 2 * math.pi),
    }[kind]
    step = torch.arange(per_axis, dtype=torch.float64) / max(per_axis - 1, 1)
    return (first * (last / first) ** step).float()


def encode(coordinates: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """``(..., 3)`` coordinates to ``(..., 2 m)`` features, sines first; the coordinates themselves where ``m`` is 0."""
    if not len(matrix):
        return coordinates
    # Never in half precision: an angle of many turns would lose its fraction.
    with torch.autocast(coordinates.device.type, enabled=False):
        angles = coordinates @ matrix.T
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
