"""The inner loops of backprojection, compiled. Imported where they are needed: numba takes half a second to load."""

import math

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath=True)
def insert_slices(values, weights, kx, ky, rotations, grid, part, parts):
    """Add slices to a Fourier grid: each value to the eight voxels around its place, by trilinear shares.

    The grid holds the half x >= 0 of a real map's transform; a point of the other half goes in as its conjugate. Only
    z-planes with ``plane % parts == part`` are touched, so calls with different ``part`` may run side by side, and the
    sums do not depend on ``parts``.

    Args:
        values: ``(b, p)`` complex64.
        weights: ``(b, p)`` float32.
        kx, ky: ``(p,)`` float32 place of each pixel in its image's transform, in voxels of the grid.
        rotations: ``(b, 3, 3)`` float32, as in :class:`~hetero.particles.Poses`.
        grid: ``(m, m, m // 2 + 2, 3)`` float32 sums: real part, imaginary part, weight. Is added to.
        part, parts: which planes.
    """
    m = grid.shape[0]
    one = np.float32(1)
    for i in range(values.shape[0]):
        r = rotations[i]
        for j in range(values.shape[1]):
            # A pixel k lies at R^T k in the map's frame.
            x = r[0, 0] * kx[j] + r[1, 0] * ky[j]
            y = r[0, 1] * kx[j] + r[1, 1] * ky[j]
            z = r[0, 2] * kx[j] + r[1, 2] * ky[j]
            real, imaginary, weight = values[i, j].real, values[i, j].imag, weights[i, j]
            if x < 0:
                x, y, z, imaginary = -x, -y, -z, -imaginary
            z0, y0, x0 = math.floor(z), math.floor(y), int(x)
            upper, right, far = np.float32(z - z0), np.float32(y - y0), np.float32(x - x0)
            for dz in range(2):
                iz = z0 + dz
                if iz < 0:
                    iz += m
                if parts > 1 and iz % parts != part:
                    continue
                share_z = upper if dz else one - upper
                for dy in range(2):
                    iy = y0 + dy
                    if iy < 0:
                        iy += m
                    share = share_z * (right if dy else one - right)
                    a, b = share * (one - far), share * far
                    near, next_ = grid[iz, iy, x0], grid[iz, iy, x0 + 1]
                    near[0] += a * real
                    near[1] += a * imaginary
                    near[2] += a * weight
                    next_[0] += b * real
                    next_[1] += b * imaginary
                    next_[2] += b * weight
