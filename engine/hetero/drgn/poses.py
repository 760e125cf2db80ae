"""Poses that are learned: small turns and shifts of each particle, on top of those that were given."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from hetero.particles import Particles, Poses


@dataclass(frozen=True)
class Refinement:
    """How poses are refined.

    Attributes:
        rate: of learning, pixels: how far a step moves the picture, or turns it at a quarter of the box.
        wait: epochs in which they are kept: a model that knows little yet would only spoil them.
    """

    rate: float = 0.1
    wait: int = 0


class PoseTable(nn.Module):
    """Turns and shifts as parameters, a row a particle, at first none. Only rows of a batch get a gradient (sparse).

    A row is a rotation vector and a shift, in pixels both: a turn is measured by how far it moves a point at a quarter
    of the box from the middle. So one rate of learning serves both.
    """

    def __init__(self, particles: int, box: int):
        super().__init__()
        self.arm = box / 4
        self.rows = nn.Embedding.from_pretrained(torch.zeros(particles, 5), freeze=False, sparse=True)

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turns ``(b, 3, 3)`` in the microscope's frame, multiplied from the left; shifts ``(b, 2)`` in pixels."""
        values = self.rows(rows)
        x, y, z = (values[:, :3] / self.arm).unbind(1)
        none = torch.zeros_like(x)
        skew = torch.stack([none, -z, y, z, none, -x, -y, x, none], dim=1).view(-1, 3, 3)
        return torch.linalg.matrix_exp(skew), values[:, 3:]


def moved(values: torch.Tensor, places: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Transforms of pictures that are moved.

    Args:
        values: ``(b, p, 2)`` real and imaginary parts.
        places: ``(p, 2)`` x, y of the pixels, cycles per pixel.
        shift: ``(b, 2)`` pixels along x, y.
    """
    with torch.autocast(values.device.type, enabled=False):
        angle = -2 * torch.pi * shift.to(places.dtype) @ places.T  # (b, p)
        cosine, sine = angle.cos(), angle.sin()
    re, im = values.unbind(-1)
    return torch.stack([re * cosine - im * sine, re * sine + im * cosine], dim=-1)


@torch.no_grad()
def refined(particles: Particles, table: PoseTable) -> Poses:
    """The poses as they now are."""
    exact = deepcopy(table).double().cpu()
    turn, shift = exact(torch.arange(len(exact.rows.weight)))
    given = particles.require_poses()
    return Poses(turn.numpy() @ given.rotations, given.shifts + shift.numpy() * particles.stack.apix[:, None])
