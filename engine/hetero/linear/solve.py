"""The M-step: normal equations of all maps at once, and their solution."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from hetero.linear.grid import Grid
from hetero.linear.slices import Slices


@dataclass(eq=False)
class Equations:
    """Normal equations for ``c`` maps, filled image by image: the slope exactly, the curvature nearly.

    The curvature ``sum_i E[z z'] x P' C^2 P`` is kept as a ``c x c`` matrix at every node of the grid. That is exact
    for density that is close together and fades (sinc^2 of the distance over twice the box) for what is far apart; as
    the slope is exact, steps made with it end where exact ones do.

    Attributes:
        grid: of the maps.
        slope: ``(nodes, 2, c)``.
        curvature: ``(nodes, c (c + 1) / 2)``, the upper triangle by rows.
    """

    grid: Grid
    slope: np.ndarray
    curvature: np.ndarray

    @classmethod
    def empty(cls, grid: Grid, maps: int) -> "Equations":
        """Zeros for ``maps`` maps."""
        pairs = maps * (maps + 1) // 2
        return cls(grid, np.zeros((grid.nodes, 2, maps), np.float32), np.zeros((grid.nodes, pairs), np.float32))

    def add(self, slices: Slices, residual: np.ndarray, moments: np.ndarray) -> None:
        """Add images.

        Args:
            slices: whitened.
            residual: ``(n, 2p, c)`` expectations of ``z (y - z' samples)``.
            moments: ``(n, c, c)`` expectations of ``z z'``.
        """
        n, p = slices.ctf.shape
        first, second = np.triu_indices(moments.shape[1])
        pull = residual.reshape(n, p, 2, -1) * slices.ctf[..., None, None]
        self.grid.scatter(slices.points, pull, self.slope)
        weights = np.square(slices.ctf)[..., None] * moments[:, None, first, second]
        self.grid.scatter(slices.points, weights, self.curvature)

    def __add__(self, other: "Equations") -> "Equations":
        return Equations(self.grid, self.slope + other.slope, self.curvature + other.curvature)

    def with_prior(self, power: np.ndarray) -> "Equations":
        """The same with a Gaussian prior of mean zero on the maps, independent from voxel to voxel in Fourier space.

        Args:
            power: ``(c, shells)`` mean squared amplitude, by shell, of each map's transform; what is beyond the last of
                them has that one's.
        """
        grid = self.grid
        z, y = (
            np.abs(np.fft.fftfreq(grid.fine, 1 / grid.fine))[:, None, None],
            np.abs(np.fft.fftfreq(grid.fine, 1 / grid.fine))[:, None],
        )
        x = np.arange(grid.fine // 2 + 1)
        radius = (np.sqrt(z**2 + y**2 + x**2) * (grid.box / grid.fine)).ravel()
        # Nodes for each voxel of the box; of two opposite ones, only that with x > 0 is here.
        share = (grid.box / grid.fine) ** 3 * np.broadcast_to(np.where(x > 0, 2, 1), grid.shape).ravel()
        curvature = self.curvature.copy()
        diagonal = np.flatnonzero(np.equal(*np.triu_indices(len(power))))
        for pair, row in zip(diagonal, power, strict=True):
            curvature[:, pair] += share / np.interp(radius, np.arange(power.shape[1]), row)
        return Equations(grid, self.slope, curvature)

    def step(self, maps: np.ndarray, ridge: float = 1e-3, iterations: int = 8) -> np.ndarray:
        """The change of ``maps`` ``(c, box, box, box)`` that lowers the cost most, by conjugate gradients.

        Args:
            maps: at which the residuals were taken.
            ridge: a prior of zero on every voxel, as a share of the mean precision that the data give.
            iterations: at most; each one lowers the cost further.
        """
        grid = self.grid
        seen = self.curvature[:, 0]
        scale = np.float32(ridge * float(seen[seen > 0].mean()) * grid.fine**3)
        return self._solved(grid.adjoint(self.slope) - scale * maps, scale, iterations)

    def again(self, which: int, maps: np.ndarray, power: np.ndarray, iterations: int) -> np.ndarray:
        """One map ``(box, box, box)`` anew, where the others stay as they are, under a prior of its own.

        Args:
            which: of the maps.
            maps: all of them, ``(c, box, box, box)``.
            power: ``(shells,)``, as in :meth:`with_prior`, which need not have been called.
            iterations: at most.
        """
        grid, pull, own = self.grid, np.zeros((1, self.grid.nodes), np.complex64), 0
        for pair, two in enumerate(zip(*np.triu_indices(len(maps)), strict=True)):
            if two == (which, which):
                own = pair
            elif which in two:
                other = two[0] + two[1] - which
                pull += self.curvature[:, pair] * grid.spectra(maps[other : other + 1])
        alone = Equations(grid, self.slope[:, :, which : which + 1], self.curvature[:, own : own + 1])
        slope = grid.adjoint(alone.slope) - grid.maps(pull)
        return alone.with_prior(power[None])._solved(slope, np.float32(0), iterations)[0]

    def _solved(self, slope: np.ndarray, ridge: np.float32, iterations: int) -> np.ndarray:
        """Maps whose curvature, with a ridge, is the slope ``(c, box, box, box)``."""
        grid = self.grid
        curvature = np.ascontiguousarray(self.curvature.T)
        precondition = _Preconditioner(grid, curvature, ridge, len(slope))

        def bend(x: np.ndarray) -> np.ndarray:
            spectra = _mix(curvature, grid.spectra(x))
            return (grid.maps(spectra) + ridge * x) * grid.support

        return _conjugate_gradients(bend, precondition, slope * grid.support, iterations)


def _mix(curvature: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """At every node, the symmetric matrix times the maps' values there; ``(pairs, nodes)`` and ``(c, nodes)``."""
    c = len(spectra)
    result = np.zeros_like(spectra)
    for pair, (i, j) in enumerate(zip(*np.triu_indices(c), strict=True)):
        result[i] += curvature[pair] * spectra[j]
        if i != j:
            result[j] += curvature[pair] * spectra[i]
    return result


class _Preconditioner:
    """Divides by each map's own curvature at each frequency, on the grid of the box itself."""

    def __init__(self, grid: Grid, curvature: np.ndarray, ridge: float, maps: int):
        diagonal = np.flatnonzero(np.equal(*np.triu_indices(maps)))
        own = curvature[diagonal].reshape(maps, *grid.shape)[:, ::2, ::2, ::2]
        self._factor = 1 / (own * np.float32(grid.fine**3) + np.float32(10 * ridge))
        self._support, self._box = grid.support, grid.box

    def __call__(self, x: np.ndarray) -> np.ndarray:
        spectra = scipy.fft.rfftn(x, axes=(1, 2, 3)) * self._factor
        return scipy.fft.irfftn(spectra, s=[self._box] * 3, axes=(1, 2, 3)) * self._support


def _conjugate_gradients(bend, precondition, slope: np.ndarray, iterations: int, tolerance: float = 1e-3):
    x = np.zeros_like(slope)
    residual = slope.copy()
    ahead = precondition(residual)
    direction, size = ahead, float(np.vdot(residual, ahead))
    stop = tolerance**2 * size
    for _ in range(iterations):
        if size <= stop:
            break
        bent = bend(direction)
        length = np.float32(size / float(np.vdot(direction, bent)))
        x += length * direction
        residual -= length * bent
        ahead = precondition(residual)
        size, old = float(np.vdot(residual, ahead)), size
        direction = ahead + np.float32(size / old) * direction
    return x
