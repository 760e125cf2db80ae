"""The pixels of a real image's transform that are learned from: half of a disc, the centre left out."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hetero.errors import HeteroError


@dataclass(frozen=True)
class HalfDisc:
    """Half of the Fourier pixels within a radius, sorted by radius; the other half are their conjugates.

    A mean of ``|difference|^2`` over these is the mean of the squared difference of Hartley transforms over all pixels
    of the disc: each pair holds ``(Re - Im)^2 + (Re + Im)^2``.

    Attributes:
        box: pixels along each side of the image, even.
        radius: in pixels of the transform, ``box / 2`` at most.

    Raises:
        HeteroError: an odd box, or a radius below one pixel or beyond Nyquist.
    """

    box: int
    radius: float

    def __post_init__(self):
        if self.box % 2 or not 1 <= self.radius <= self.box // 2:
            raise HeteroError(
                f"A disc of radius {self.radius:g} was asked for in a box of {self.box} pixels; an even box and a "
                "radius from 1 to half of it were expected."
            )

    @cached_property
    def points(self) -> np.ndarray:
        """``(p, 2)`` int64 x, y of each pixel in cycles per box; x from 0, y as ``numpy.fft.fftfreq`` has it."""
        y, x = np.meshgrid(np.fft.fftfreq(self.box, 1 / self.box), np.arange(self.box // 2 + 1), indexing="ij")
        radius = np.hypot(x, y)
        wanted = (radius <= self.radius) & (radius > 0)
        wanted &= (x > 0) | (y > 0) | (y == -(self.box // 2))  # on the axis x = 0 a pixel and its conjugate both lie
        order = np.argsort(radius[wanted], kind="stable")
        return np.stack([x[wanted], y[wanted]], axis=1)[order].round().astype(np.int64)

    @cached_property
    def places(self) -> np.ndarray:
        """``(p,)`` flat index of each pixel in ``numpy.fft.rfft2``'s grid."""
        x, y = self.points.T
        return (y % self.box) * (self.box // 2 + 1) + x

    def __len__(self) -> int:
        return len(self.points)

    def count(self, radius: float) -> int:
        """How many of the first pixels lie within a radius."""
        return int(np.searchsorted(np.hypot(*self.points.T), radius + 1e-9, side="right"))
