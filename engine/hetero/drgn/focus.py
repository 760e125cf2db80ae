"""A mask in space, and pictures inside it: what a training with a focus looks at."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from hetero.drgn.half_disc import HalfDisc
from hetero.errors import HeteroError
from hetero.maps import read_map
from hetero.particles.project import MapProjector


class Focus:
    """A soft mask of the map, as the pictures of particles see it.

    A line of sight through ``t`` voxels of the mask counts ``1 - exp(-t)``: all where it is more than a few voxels
    deep, nothing where it is passed by, and no threshold between.

    Args:
        mask: ``(box, box, box)``, 0 to 1.
    """

    def __init__(self, mask: np.ndarray):
        self.box = len(mask)
        self._projector = MapProjector(mask)

    def __call__(self, rotations: np.ndarray) -> np.ndarray:
        """``(b, box, box)`` float32 weights for orientations ``(b, 3, 3)``; the middle at pixel (0, 0)."""
        depth = np.fft.irfft2(self._projector.transforms(rotations), s=(self.box, self.box))
        return -np.expm1(-np.maximum(depth, 0)).astype(np.float32)


def read_focus(path: Path | str, box: int, apix: float) -> Focus:
    """The focus of a mask on disk.

    Raises:
        HeteroError: no such map, another box or pixel size than the particles', values beyond 0 to 1, or nothing in it.
    """
    mask = read_map(path)
    if mask.data.shape != (box,) * 3 or not np.allclose(mask.apix, apix, rtol=0.01):
        shape = " x ".join(map(str, mask.data.shape[::-1]))
        raise HeteroError(
            f"The mask {path} has {shape} voxels of {mask.apix[0]:.4g} Å; the particles' own grid was expected, {box} "
            f"voxels of {apix:.4g} Å along each side."
        )
    if not -0.01 < mask.data.min() <= mask.data.max() < 1.01:
        raise HeteroError(
            f"The mask {path} has values from {mask.data.min():.4g} to {mask.data.max():.4g}; 0 to 1 was expected."
        )
    if not mask.data.max() > 0.5:
        raise HeteroError(f"The mask {path} is empty: none of its voxels is above 0.5.")
    return Focus(mask.data.clip(0, 1))


class Window(nn.Module):
    """Half discs of a transform to pictures and back, for masks that are multiplied in space.

    Args:
        disc: the pixels of the half discs; fewer of them, counted from the first, may be given.
    """

    def __init__(self, disc: HalfDisc):
        super().__init__()
        self.box = disc.box
        x, y = disc.points.T
        # The inverse transform takes both halves of the line x = 0 as they are given; only one is in the disc.
        twice = np.where((x == 0) & (np.abs(y) < disc.box // 2), 2.0, 1.0)
        self.register_buffer("places", torch.from_numpy(disc.places), persistent=False)
        self.register_buffer("twice", torch.from_numpy(twice).float(), persistent=False)

    def pictures(self, values: torch.Tensor) -> torch.Tensor:
        """``(b, p, 2)`` real and imaginary parts of the first pixels -> ``(b, box, box)``."""
        count, box = values.shape[1], self.box
        values = torch.view_as_complex((values * self.twice[:count, None].to(values.dtype)).contiguous())
        grid = values.new_zeros(len(values), box * (box // 2 + 1))
        grid = grid.index_copy(1, self.places[:count], values)
        return torch.fft.irfft2(grid.view(-1, box, box // 2 + 1), s=(box, box))

    def power(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Sum of ``|values|^2`` ``(b, p, 2)`` as far as their pictures lie in the masks ``(b, box, box)``."""
        return ((self.pictures(values) * mask) ** 2).sum() * (self.box**2 / 2)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """``(b, p, 2)`` with their pictures multiplied by masks ``(b, box, box)``."""
        transform = torch.fft.rfft2(self.pictures(values) * mask).flatten(1)
        return torch.view_as_real(transform[:, self.places[: values.shape[1]]])
