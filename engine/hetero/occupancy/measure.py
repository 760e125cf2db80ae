"""Numbers of one map under masks."""

import numpy as np


def occupied_share(data: np.ndarray, level: float, masks: np.ndarray) -> np.ndarray:
    """Share of each mask's voxels that are occupied, as SIREn measures blocks.

    Args:
        data: ``(z, y, x)`` map.
        level: in the map's own values; occupied is ``data >= level``.
        masks: ``(K, z, y, x)``; bool, or weights of a soft mask.

    Returns:
        ``(K,)`` in [0, 1]; NaN for an empty mask.
    """
    on = np.asarray(data) >= level
    total = masks.sum(axis=(1, 2, 3), dtype=np.float64)
    inside = np.array([mask[on].sum(dtype=np.float64) for mask in masks])
    return np.divide(inside, total, out=np.full(len(total), np.nan), where=total > 0)


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
