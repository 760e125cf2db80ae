"""The two inner loops: samples from a grid, and samples onto a grid."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, fastmath=True)
def _lines(point, fine, nodes, weights):
    """The four pairs of neighbours along x: each one's first node and its share across x. Returns the share along x."""
    px, py, pz = point
    x, y, z = int(np.floor(px)), int(np.floor(py)), int(np.floor(pz))
    fy, fz = py - y, pz - z
    for k in range(2):
        for j in range(2):
            nodes[2 * k + j] = ((z + k) % fine * fine + (y + j) % fine) * (fine // 2 + 1) + x
            weights[2 * k + j] = (fz if k else 1 - fz) * (fy if j else 1 - fy)
    return px - x


@numba.njit(nogil=True, cache=True, fastmath=True)
def _gather(points, fine, table, out):
    nodes, weights = np.empty(4, np.int64), np.empty(4, np.float32)
    for i in range(len(points)):
        fx = _lines(points[i], fine, nodes, weights)
        for c in range(table.shape[1]):
            out[i, c] = 0
        for k in range(4):
            node, weight = nodes[k], weights[k]
            for c in range(table.shape[1]):
                out[i, c] += weight * ((1 - fx) * table[node, c] + fx * table[node + 1, c])


@numba.njit(nogil=True, cache=True, fastmath=True)
def _scatter(points, fine, values, table):
    nodes, weights = np.empty(4, np.int64), np.empty(4, np.float32)
    for i in range(len(points)):
        fx = _lines(points[i], fine, nodes, weights)
        for k in range(4):
            node, weight = nodes[k], weights[k]
            for c in range(table.shape[1]):
                table[node, c] += weight * (1 - fx) * values[i, c]
                table[node + 1, c] += weight * fx * values[i, c]


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
