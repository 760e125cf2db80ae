"""A map in memory."""

from dataclasses import dataclass, field

import numpy as np

from hetero.errors import HeteroError

DALTON_PER_A3 = 0.81
"""Mass of protein in a volume; Å^3 times this is Da."""


@dataclass(frozen=True, eq=False)
class Volume:
    """One density map.

    Attributes:
        data: ``(z, y, x)`` float32.
        apix: ``(3,)`` Å per voxel along z, y, x; a single number is used for all three.
        origin: ``(3,)`` Å, centre of voxel ``(0, 0, 0)``, along z, y, x.
        name: what tables and screens call it.

    Raises:
        HeteroError: ``data`` is not three-dimensional or is empty, or a voxel size is not positive.
    """

    data: np.ndarray
    apix: np.ndarray = field(default_factory=lambda: np.ones(3))
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    name: str = ""

    def __post_init__(self):
        data = np.asarray(self.data, dtype=np.float32)
        if data.ndim != 3 or data.size == 0:
            raise HeteroError(f"{self.name or 'A map'} has shape {data.shape}; three axes (z, y, x) were expected.")
        apix = np.broadcast_to(np.asarray(self.apix, dtype=float), (3,)).copy()
        if not (np.isfinite(apix).all() and (apix > 0).all()):
            raise HeteroError(f"{self.name or 'A map'} has voxel size {apix.tolist()}; positive numbers were expected.")
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "apix", apix)
        object.__setattr__(self, "origin", np.broadcast_to(np.asarray(self.origin, dtype=float), (3,)).copy())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        return self.data.shape

    @property
    def voxel_volume(self) -> float:
        """Å^3 of one voxel."""
        return float(np.prod(self.apix))

    def enclosed_volume(self, level: float) -> float:
        """Å^3 of the voxels at or above ``level``."""
        return float(np.count_nonzero(self.data >= level) * self.voxel_volume)


def grid_text(grid) -> str:
    """A thing's ``shape``, ``apix`` and ``origin`` for a sentence: ``64 x 64 x 64 voxels of 6.55 Å, origin 0, 0, 0 Å``.

    Numbers run x, y, z, as on other screens.
    """
    box = " x ".join(str(n) for n in grid.shape[::-1])
    apix = grid.apix[::-1]
    size = f"{apix[0]:.4g}" if np.allclose(apix, apix[0], rtol=1e-3) else " x ".join(f"{a:.4g}" for a in apix)
    return f"{box} voxels of {size} Å, origin {', '.join(f'{o:.4g}' for o in grid.origin[::-1])} Å"


def same_grid(a, b, tolerance: float = 0.01) -> bool:
    """Whether two things with ``shape``, ``apix``, ``origin`` lie on one grid, to ``tolerance`` of the box's length."""
    shape = np.asarray(a.shape)
    if tuple(shape) != tuple(b.shape):
        return False
    drift = np.abs(a.apix - b.apix) * shape + np.abs(a.origin - b.origin)
    return bool((drift <= tolerance * shape * a.apix).all())
