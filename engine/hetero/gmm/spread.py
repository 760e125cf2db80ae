"""Gaussians to images by spreading them on a fine grid and an FFT: cost no longer grows as Gaussians x pixels.

A non-uniform transform of type 1 with the exponential-of-semicircle kernel ``exp(beta (sqrt(1 - (2 z / w)^2) - 1))``
(Barnett et al. 2019). Widths that differ are interpolated between a few: ``exp(-s k^2)`` is nearly a polynomial in s.
"""

import math
from functools import lru_cache

import numba
import numpy as np
import scipy.fft
import torch

from hetero.gmm.rings import Rings

_WIDTH = 6  # grid points that a Gaussian is spread on along each axis
_FINER = 1.25  # grid points for each that the last ring needs
_STEPS = 1024  # of the kernel's table between grid points
_ENVELOPE = 5e-4  # of the interpolated envelopes, at most wrong


class SpreadProjector:
    """As :class:`hetero.gmm.exact.ExactProjector`, within about 1 in 1,000 of the length of a projection; CPU only.

    Memory: a grid of ``1.25 x 2K`` squared and its transform for each image in hand, K the last ring.
    """

    images_at_once = 16

    def __init__(self, rings: Rings):
        self.rings = rings
        self.grid = scipy.fft.next_fast_len(math.ceil(_FINER * (2 * rings.last + 2)), real=True)
        kx, ky = rings.pixels.T
        self._place = torch.from_numpy((ky % self.grid) * (self.grid // 2 + 1) + kx)
        fall = _kernel_transform(np.arange(rings.last + 1) / self.grid)
        self._undo = 1 / (fall[np.abs(kx)] * fall[np.abs(ky)])
        self._k2 = (kx**2 + ky**2) / rings.extent**2

    def project(self, xy: torch.Tensor, masses: torch.Tensor, sigmas: torch.Tensor, widths: bool = True):
        """See :meth:`hetero.gmm.exact.ExactProjector.project`."""
        places = (xy.detach() * (self.grid / self.rings.extent)).contiguous().numpy()  # (b, g, 2)
        nodes, shares, slopes = self._envelopes(sigmas.detach(), widths)
        channels = (masses.detach()[:, None] * shares).contiguous()  # (b, m, g)
        b, m = channels.shape[:2]
        grids = np.zeros((b, m, self.grid, self.grid), dtype=places.dtype)
        tables = _tables(places.dtype.str)
        _spread(places, channels.numpy(), tables[0], grids)
        planes = torch.fft.rfft2(torch.from_numpy(grids)).flatten(2)  # (b, m, n (n/2 + 1))
        taken = torch.view_as_real(planes[:, :, self._place])  # (b, m, p, 2)
        factors = self._factors(nodes, xy.dtype)
        projections = torch.einsum("bmpc,mp->bcp", taken, factors)
        slopes = masses.detach()[:, None] * slopes if widths else None
        return projections.contiguous(), (places, channels, shares, slopes, factors)

    def adjoint(self, kept, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See :meth:`hetero.gmm.exact.ExactProjector.adjoint`."""
        places, channels, shares, slopes, factors = kept
        b, m = channels.shape[:2]
        n = self.grid
        spectrum = torch.einsum("bcp,mp->bmpc", gradient, factors).contiguous()
        planes = torch.zeros(b, m, n * (n // 2 + 1), dtype=gradient.dtype.to_complex())
        planes[:, :, self._place] = torch.view_as_complex(spectrum)
        planes = planes.view(b, m, n, n // 2 + 1)
        # irfft2 counts every pixel but those of kx = 0 twice, its opposite too; the gradient has one of each pair.
        planes[..., 1:] *= 0.5
        edge = planes[..., 0]
        planes[..., 0] = 0.5 * (edge + torch.roll(edge.flip(-1), 1, -1).conj())
        grids = torch.fft.irfft2(planes, s=(n, n), norm="forward").numpy()
        found = np.empty((b, m, 3, places.shape[1]), dtype=places.dtype)
        tables = _tables(places.dtype.str)
        _gather(places, grids, *tables, found)
        value, x, y = torch.from_numpy(found).unbind(2)  # (b, m, g)
        moved = torch.stack([(channels * x).sum(1), (channels * y).sum(1)], -1) * (n / self.rings.extent)
        return moved, (shares * value).sum(1), None if slopes is None else (slopes * value).sum(1)

    def _factors(self, nodes: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        """``(m, p)``: the kernel undone, and the envelope of each width."""
        fall = np.exp(-2 * math.pi**2 * nodes[:, None] * self._k2)
        return torch.as_tensor(self._undo * fall, dtype=dtype)

    def _envelopes(self, sigmas: torch.Tensor, slopes: bool) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        """Squared widths ``(m,)`` to interpolate between, and what each Gaussian has of them with the slope of that
        over its width, ``(..., m, g)`` (``(1, 1)`` where all are alike)."""
        squares = sigmas.double().numpy() ** 2
        low, high = float(squares.min()), float(squares.max())
        if low == high and not slopes:
            alone = torch.ones(1, 1, dtype=sigmas.dtype)
            return np.array([low]), alone, torch.zeros_like(alone)
        nodes = _nodes(low, high, 2 * math.pi**2 * float(self._k2.max()))
        shares, slopes = _lagrange(nodes, squares)  # (..., m), over the square
        slopes = slopes * 2 * np.sqrt(squares)[..., None]
        if sigmas.ndim == 0:
            shares, slopes = shares[None], slopes[None]
        return nodes, *(torch.as_tensor(np.swapaxes(t, -1, -2).copy(), dtype=sigmas.dtype) for t in (shares, slopes))


def _nodes(low: float, high: float, steepest: float) -> np.ndarray:
    """As few Chebyshev nodes as interpolate ``exp(-s k2)`` well enough for s from ``low`` to ``high``."""
    half = (high - low) / 2
    if half * steepest < 1e-7:
        # Slopes need a neighbour even where all widths are alike.
        half = 0.05 / steepest
    trial = np.linspace(low, high, 50)
    for m in range(2, 12):
        nodes = (low + high) / 2 + half * np.cos(np.pi * (np.arange(m) + 0.5) / m)
        shares = _lagrange(nodes, trial)[0]
        k2 = np.linspace(0, steepest, 50)
        wrong = np.abs(shares @ np.exp(-nodes[:, None] * k2) - np.exp(-trial[:, None] * k2)).max()
        if wrong < _ENVELOPE:
            break
    return nodes


def _lagrange(nodes: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lagrange's polynomials of ``nodes`` and their derivatives, ``(..., m)``."""
    values, slopes = [], []
    for i, node in enumerate(nodes):
        polynomial = np.poly1d([1.0])
        for other in np.delete(nodes, i):
            polynomial = polynomial * np.poly1d([1.0, -other]) / (node - other)
        values.append(polynomial(at))
        slopes.append(polynomial.deriv()(at) if len(nodes) > 1 else np.zeros_like(at))
    return np.stack(values, -1), np.stack(slopes, -1)


def _kernel(z: np.ndarray) -> np.ndarray:
    beta = 0.97 * math.pi * _WIDTH * (1 - 0.5 / _FINER)
    return np.exp(beta * (np.sqrt(np.maximum(1 - (2 * z / _WIDTH) ** 2, 0)) - 1))


def _kernel_transform(frequency: np.ndarray) -> np.ndarray:
    """Its Fourier transform at cycles per grid point."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    z = nodes * _WIDTH / 2
    return np.cos(2 * np.pi * frequency[:, None] * z) @ (weights * _kernel(z)) * _WIDTH / 2


@lru_cache
def _tables(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The kernel and its slope at a Gaussian's grid points, ``(steps + 2, width)``, for each offset of the first."""
    offset = np.arange(_STEPS + 2)[:, None] / _STEPS - _WIDTH / 2 + np.arange(_WIDTH)
    slope = (_kernel(offset + 1e-5) - _kernel(offset - 1e-5)) / 2e-5
    return _kernel(offset).astype(dtype), slope.astype(dtype)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _taps(place, n, table, index, values):
    """Grid points that a coordinate reaches, and the table's values there."""
    first = int(np.ceil(place - 0.5 * _WIDTH))
    step = (first - place + 0.5 * _WIDTH) * _STEPS
    row = int(step)
    share = step - row
    for t in range(_WIDTH):
        index[t] = (first + t) % n
        values[t] = table[row, t] + share * (table[row + 1, t] - table[row, t])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _spread(places, channels, table, grids):
    """Add Gaussians ``(b, g, 2)`` of masses ``(b, m, g)`` to ``(b, m, n, n)``."""
    m, n = grids.shape[1:3]
    ix, iy = np.empty(_WIDTH, np.int64), np.empty(_WIDTH, np.int64)
    x, y = np.empty(_WIDTH, table.dtype), np.empty(_WIDTH, table.dtype)
    for b in range(len(places)):
        for g in range(places.shape[1]):
            _taps(places[b, g, 0], n, table, ix, x)
            _taps(places[b, g, 1], n, table, iy, y)
            for c in range(m):
                grid = grids[b, c]
                for j in range(_WIDTH):
                    mass = channels[b, c, g] * y[j]
                    for i in range(_WIDTH):
                        grid[iy[j], ix[i]] += mass * x[i]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _gather(places, grids, table, slope, found):
    """Values of grids ``(b, m, n, n)`` at Gaussians and their slopes along x and y, ``(b, m, 3, g)``."""
    m, n = grids.shape[1:3]
    ix, iy = np.empty(_WIDTH, np.int64), np.empty(_WIDTH, np.int64)
    x, y = np.empty(_WIDTH, table.dtype), np.empty(_WIDTH, table.dtype)
    dx, dy = np.empty(_WIDTH, table.dtype), np.empty(_WIDTH, table.dtype)
    for b in range(len(places)):
        for g in range(places.shape[1]):
            _taps(places[b, g, 0], n, table, ix, x)
            _taps(places[b, g, 1], n, table, iy, y)
            _taps(places[b, g, 0], n, slope, ix, dx)
            _taps(places[b, g, 1], n, slope, iy, dy)
            for c in range(m):
                grid = grids[b, c]
                value, along_x, along_y = table.dtype.type(0), table.dtype.type(0), table.dtype.type(0)
                for j in range(_WIDTH):
                    here, moved = table.dtype.type(0), table.dtype.type(0)
                    for i in range(_WIDTH):
                        density = grid[iy[j], ix[i]]
                        here += density * x[i]
                        moved += density * dx[i]
                    value += here * y[j]
                    along_x -= moved * y[j]
                    along_y -= here * dy[j]
                found[b, c, 0, g], found[b, c, 1, g], found[b, c, 2, g] = value, along_x, along_y
