"""Numbers of one map under masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetero.errors import HeteroError


@dataclass(frozen=True, eq=False)
class MaskVoxels:
    """The voxels of K masks, one list after the other: what is needed to measure many maps fast.

    Attributes:
        names: of the masks.
        shape: voxels of their grid along z, y, x.
        index: ``(m,)`` flat voxel numbers of all masks.
        weight: ``(m,)`` float64, each voxel's value in its mask.
        start: ``(K,)`` where each mask begins in ``index``.
        total: ``(K,)`` sum of each mask.
    """

    names: tuple[str, ...]
    shape: tuple[int, int, int]
    index: np.ndarray
    weight: np.ndarray
    start: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str], masks: np.ndarray) -> "MaskVoxels":
        """From masks ``(K, z, y, x)``: bool, or weights of soft masks."""
        lists = [np.flatnonzero(mask) for mask in masks]
        weight = [mask.reshape(-1)[i].astype(np.float64) for mask, i in zip(masks, lists, strict=True)]
        sizes = np.array([len(i) for i in lists], dtype=np.int64)
        return cls(
            tuple(names),
            tuple(masks.shape[1:]),
            np.concatenate([*lists, np.zeros(0, np.int64)]).astype(np.int64),
            np.concatenate([*weight, np.zeros(0)]),
            np.cumsum(sizes) - sizes,
            np.array([w.sum() for w in weight]),
        )

    def share_at_level(self, data: np.ndarray, level: float) -> np.ndarray:
        """:meth:`occupied_share`, or NaN throughout for a map without any voxel at the level.

        That a level leaves nothing of a map says that the level is wrong, not that every block is absent.
        """
        share = self.occupied_share(data, level)
        known = share[np.isfinite(share)]
        return np.full_like(share, np.nan) if not known.any() and not (data >= level).any() else share

    def occupied_share(self, data: np.ndarray, level: float) -> np.ndarray:
        """:func:`occupied_share` of one map, touching the masks' own voxels only.

        Raises:
            HeteroError: a map of another shape.
        """
        if data.shape != self.shape:
            raise HeteroError(f"The map spans {data.shape} voxels and the masks {self.shape}; one grid was expected.")
        on = np.where(data.reshape(-1)[self.index] >= level, self.weight, 0.0)
        inside = np.array([on[a:b].sum() for a, b in zip(self.start, [*self.start[1:], len(on)], strict=True)])
        return np.divide(inside, self.total, out=np.full(len(self.names), np.nan), where=self.total > 0)


def occupied_share(data: np.ndarray, level: float, masks: np.ndarray) -> np.ndarray:
    """Share of each mask's voxels that are occupied, as SIREn measures blocks.

    Args:
        data: ``(z, y, x)`` map.
        level: in the map's own values; occupied is ``data >= level``.
        masks: ``(K, z, y, x)``; bool, or weights of a soft mask.

    Returns:
        ``(K,)`` in [0, 1]; NaN for an empty mask.
    """
    return MaskVoxels.of([str(i) for i in range(len(masks))], masks).occupied_share(np.asarray(data), level)


def reference_normalised(data: np.ndarray, masks: np.ndarray, reference_sums: np.ndarray) -> np.ndarray:
    """MAVEn's occupancy: ``sum(mask * map) / sum(reference map)`` of each subunit, over the whole box.

    Args:
        data: ``(z, y, x)`` map, values as they are.
        masks: ``(K, z, y, x)``, multiplied as they are.
        reference_sums: ``(K,)`` sum of each subunit's reference map.

    Returns:
        ``(K,)``; 1 for a map like the reference, unbounded otherwise (the map's scale is not the reference's).
    """
    # float32, one sum over the box, as published: where a mask's values cancel to nearly 0, a float64 sum of the same
    # product differs from the published number by 1e-4 of it.
    inside = [float(np.sum(np.multiply(mask, data, dtype=np.float32))) for mask in masks]
    return np.array(inside) / reference_sums
