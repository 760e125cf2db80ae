"""Which Fourier pixels count, and in which ring each lies."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from hetero.errors import HeteroError


@dataclass(frozen=True)
class Rings:
    """Rings of rounded radius ``first`` ... ``last`` in the Fourier transform of a square image, half of the plane.

    A pixel is ``(kx, ky)`` cycles per box; its ring is ``round(sqrt(kx^2 + ky^2))``. Of each pair of opposite pixels
    one is kept (``kx > 0``, or ``kx = 0`` and ``ky > 0``). The published program keeps both where ``kx = 0``, so that
    this column counts twice: ``as_published``.

    Attributes:
        box: pixels along each side of the images.
        apix: Å per pixel.
        first, last: rings, 1 or more; the last below ``box / 2``.
        as_published: see above.
    """

    box: int
    apix: float
    first: int
    last: int
    as_published: bool = False

    @property
    def extent(self) -> float:
        """Å along each side of an image."""
        return self.box * self.apix

    @property
    def count(self) -> int:
        """Rings."""
        return self.last - self.first + 1

    @property
    def resolution(self) -> float:
        """Å at the last ring."""
        return self.extent / self.last

    @cached_property
    def pixels(self) -> np.ndarray:
        """``(p, 2)`` int64 kx, ky, ring after ring."""
        along = np.arange(-self.last - 1, self.last + 2)
        ky, kx = np.meshgrid(along, along[along >= 0], indexing="ij")
        ring = np.rint(np.hypot(kx, ky)).astype(int)
        kept = (ring >= self.first) & (ring <= self.last) & (np.abs(ky) <= self.last) & (kx <= self.last)
        if not self.as_published:
            kept &= (kx > 0) | (ky > 0)
        order = np.argsort(ring[kept], kind="stable")
        return np.stack([kx[kept], ky[kept]], axis=1)[order]

    @cached_property
    def ring(self) -> np.ndarray:
        """``(p,)`` the ring of each pixel, counted from 0 at ``first``."""
        return np.rint(np.hypot(*self.pixels.T)).astype(int) - self.first

    @cached_property
    def sizes(self) -> np.ndarray:
        """``(rings,)`` pixels in each."""
        return np.bincount(self.ring, minlength=self.count)

    def frequencies(self) -> tuple[np.ndarray, np.ndarray]:
        """``(p,)`` 1/Å along x and y."""
        return self.pixels[:, 0] / self.extent, self.pixels[:, 1] / self.extent

    def members(self, device="cpu", dtype=torch.float32) -> torch.Tensor:
        """``(p, rings)`` 1 where a pixel lies in a ring: sums over rings are a product with it."""
        key = (str(device), dtype)
        if key not in self._members:
            table = torch.zeros(len(self.ring), self.count, device=device, dtype=dtype)
            table[torch.arange(len(self.ring)), torch.from_numpy(self.ring)] = 1
            self._members[key] = table
        return self._members[key]

    @cached_property
    def _members(self) -> dict:
        return {}


def rings_between(box: int, apix: float, high: float, low: float = 500.0, as_published: bool = False) -> Rings:
    """The rings from ``low`` to ``high`` Å.

    Raises:
        HeteroError: a target beyond Nyquist's, or one so low that no ring is left.
    """
    extent = box * apix
    if not high >= 2 * apix * (1 - 1e-6):
        raise HeteroError(
            f"The target resolution is {high:g} Å; pixels of {apix:.4g} Å show {2 * apix:.4g} Å at best (Nyquist)."
        )
    first = max(1, math.ceil(extent / low - 1e-9))
    last = min(math.ceil(extent / high - 1e-9), (box - 1) // 2)
    if last < first + 1:
        raise HeteroError(
            f"Between {low:g} and {high:g} Å lie fewer than two Fourier rings of a box of {extent:.4g} Å; a finer "
            "target resolution was expected."
        )
    return Rings(box, apix, first, last, as_published)
