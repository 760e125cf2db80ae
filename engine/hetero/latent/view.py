"""How decoded maps come out."""

from dataclasses import dataclass

import numpy as np

from hetero.errors import HeteroError
from hetero.maps import Volume, low_pass, resample_fourier

LARGEST_BOX = 2048


@dataclass(frozen=True)
class View:
    """What is done to a decoded map, in this order.

    Attributes:
        box: voxels along each side over the same extent, an even number; fewer crop the Fourier transform, more pad it
            with zeros.
        low_pass: Å; finer detail is removed.
        flip: mirror the map in the plane of the particles' centre (voxel ``box // 2``) normal to z: the other hand.
        invert: change the sign of the values.
        crop: voxels along each side that are kept, around the centre; ``origin`` follows.
    """

    box: int | None = None
    low_pass: float | None = None
    flip: bool = False
    invert: bool = False
    crop: int | None = None

    def check(self, box: int, apix: float) -> None:
        """Refuse a view that makes no sense for maps of ``box`` voxels of ``apix`` Å.

        Raises:
            HeteroError: says which number, and what was expected.
        """
        sampled = box if self.box is None else self.box
        if self.box is not None and (self.box % 2 or not 2 <= self.box <= LARGEST_BOX):
            raise HeteroError(
                f"A box of {self.box} voxels was asked for; an even number from 2 to {LARGEST_BOX} was expected."
            )
        if self.crop is not None and not 1 <= self.crop <= sampled:
            raise HeteroError(f"A crop to {self.crop} voxels was asked for; 1 to the box of {sampled} was expected.")
        if self.low_pass is not None and not 2 * apix <= self.low_pass <= box * apix:
            raise HeteroError(
                f"A low-pass of {self.low_pass:g} Å was asked for; {2 * apix:.4g} Å (two voxels) to {box * apix:.4g} Å "
                "(the box) was expected."
            )

    def apply(self, data: np.ndarray, apix: float, name: str) -> Volume:
        """The volume of a decoded map ``(n, n, n)`` of ``apix`` Å per voxel, centred on voxel ``n // 2``."""
        if self.box is not None and self.box > len(data):
            apix *= len(data) / self.box
            data = resample_fourier(data, (self.box,) * 3)
        if self.low_pass is not None and self.low_pass > 2 * apix:
            data = low_pass(data, apix, self.low_pass)
        if self.flip:
            data = data[::-1] if len(data) % 2 else np.roll(data[::-1], 1, axis=0)
        if self.invert:
            data = -data
        start = 0
        if self.crop is not None:
            start = len(data) // 2 - self.crop // 2
            data = data[(slice(start, start + self.crop),) * 3]
        return Volume(np.ascontiguousarray(data), apix, start * apix, name)
