"""Which voxel is occupied in which volume."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hetero.errors import HeteroError
from hetero.maps import Volume
from hetero.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class Patterns:
    """On/off patterns of the voxels that are occupied in some but not all volumes.

    Attributes:
        on: ``(n, m)`` uint8, 1 where voxel m is occupied in volume n.
        voxels: ``(m,)`` index of each voxel in the flattened ``(z, y, x)`` grid, rising.
        apix: ``(3,)`` Å per voxel, z, y, x.
        counts: ``(z, y, x)`` in how many volumes each voxel of the whole grid is occupied.
        mean: ``(z, y, x)`` float32 mean of the volumes.
        volumes: names of the n volumes.
        empty: names of volumes left out because no voxel of theirs is occupied.
    """

    on: np.ndarray
    voxels: np.ndarray
    counts: np.ndarray
    mean: np.ndarray
    apix: np.ndarray
    volumes: tuple[str, ...]
    empty: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the grid along z, y, x."""
        return self.counts.shape

    @property
    def totals(self) -> np.ndarray:
        """``(m,)`` number of volumes in which each voxel is occupied."""
        return self.on.sum(axis=0, dtype=np.int64)

    @property
    def positions(self) -> np.ndarray:
        """``(m, 3)`` Å from the grid's first voxel, z, y, x."""
        return np.stack(np.unravel_index(self.voxels, self.shape), axis=1) * self.apix

    def masks(self, blocks: list[np.ndarray]) -> np.ndarray:
        """``(K, z, y, x)`` bool masks from K arrays of column numbers."""
        masks = np.zeros((len(blocks), int(np.prod(self.shape))), dtype=bool)
        for mask, columns in zip(masks, blocks, strict=True):
            mask[self.voxels[columns]] = True
        return masks.reshape(len(blocks), *self.shape)


def binarise(volumes: Iterable[Volume], levels: np.ndarray, progress: Progress = silent) -> Patterns:
    """Binarise N volumes, each at its own level, and keep the voxels occupied in > 1 % of them and not in all.

    Args:
        volumes: N volumes on one grid; read one at a time, bits are kept (N x voxels / 8
            bytes), and a byte for each map and voxel that changes.
        levels: ``(N,)`` in each map's own values.

    Raises:
        HeteroError: fewer than two volumes have an occupied voxel, or no voxel changes between them.
    """
    levels = np.asarray(levels, dtype=float)
    packed, names, empty, grid = [], [], [], None
    for i, volume in enumerate(volumes):
        progress(i, len(levels), "binarising maps")
        on = (volume.data >= levels[i]).ravel()
        if grid is None:
            grid, counts, total = volume, np.zeros(on.size, dtype=np.int32), np.zeros(volume.shape)
        if not on.any():
            empty.append(volume.name)
            continue
        counts += on
        total += volume.data
        packed.append(np.packbits(on))
        names.append(volume.name)
    if len(names) < 2:
        raise HeteroError(
            f"Only {len(names)} of {len(levels)} maps have a voxel at or above the level; at least two are needed."
        )
    voxels = np.flatnonzero((counts > len(names) / 100) & (counts < len(names)))
    if voxels.size == 0:
        raise HeteroError(
            "No voxel is occupied in some of the maps and empty in others: at these levels all maps are alike."
        )
    on = np.empty((len(names), voxels.size), dtype=np.uint8)
    for row, bits in zip(on, packed, strict=True):
        row[:] = np.unpackbits(bits, count=counts.size)[voxels]
    mean = (total / len(names)).astype(np.float32)
    return Patterns(on, voxels, counts.reshape(grid.shape), mean, grid.apix, tuple(names), tuple(empty))
