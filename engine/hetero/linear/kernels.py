"""The two inner loops: samples from a grid, and samples onto a grid."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, fastmath=True)
def _gather(points, fine, table, out):
    half = fine // 2 + 1
    channels = table.shape[1]
    for i in range(len(points)):
        px, py, pz = points[i]
        x, y, z = int(np.floor(px)), int(np.floor(py)), int(np.floor(pz))
        fx, fy, fz = px - x, py - y, pz - z
        for c in range(channels):
            out[i, c] = 0
        for k in range(2):
            wz = fz if k else 1 - fz
            row_z = (z + k) % fine
            for j in range(2):
                wy = wz * (fy if j else 1 - fy)
                node = (row_z * fine + (y + j) % fine) * half + x
                for c in range(channels):
                    out[i, c] += wy * ((1 - fx) * table[node, c] + fx * table[node + 1, c])


@numba.njit(nogil=True, cache=True, fastmath=True)
def _scatter(points, fine, values, table):
    half = fine // 2 + 1
    channels = table.shape[1]
    for i in range(len(points)):
        px, py, pz = points[i]
        x, y, z = int(np.floor(px)), int(np.floor(py)), int(np.floor(pz))
        fx, fy, fz = px - x, py - y, pz - z
        for k in range(2):
            wz = fz if k else 1 - fz
            row_z = (z + k) % fine
            for j in range(2):
                wy = wz * (fy if j else 1 - fy)
                node = (row_z * fine + (y + j) % fine) * half + x
                for c in range(channels):
                    table[node, c] += wy * (1 - fx) * values[i, c]
                    table[node + 1, c] += wy * fx * values[i, c]


def gather(points: np.ndarray, fine: int, table: np.ndarray) -> np.ndarray:
    """Trilinear samples.

    Args:
        points: ``(m, 3)`` float32 x, y, z in nodes; ``0 <= x < fine / 2``.
        fine: nodes along z and y, which wrap around; ``fine / 2 + 1`` along x.
        table: ``(nodes, c)`` float32.

    Returns:
        ``(m, c)`` float32.
    """
    out = np.empty((len(points), table.shape[1]), np.float32)
    _gather(points, fine, table, out)
    return out


def scatter(points: np.ndarray, fine: int, values: np.ndarray, table: np.ndarray) -> None:
    """Add ``values`` ``(m, c)`` onto ``table`` ``(nodes, c)``: the transpose of :func:`gather`."""
    _scatter(points, fine, values, table)
