"""Maps and their Fourier samples at any place: an interpolation, and exactly its adjoint."""

from functools import cached_property

import numpy as np
import scipy.fft

from hetero.linear.kernels import gather, scatter

_PAD = 2


class Grid:
    """Maps of ``box`` voxels, their transforms on a grid twice as fine, and trilinear interpolation there.

    The interpolation is exact up to its own blur in Fourier space, which is a known envelope on the map (sinc^2 along
    each axis) that is divided out beforehand; with twice the box, what is left is under 3 % of a sample for a particle
    of 0.6 of the box. Half the space (x >= 0) is kept, flat: ``(P * P * (P / 2 + 1))`` nodes.

    Args:
        box: even.
        support: ``(box, box, box)`` bool, where density may be; the ball that the box holds if not given.
    """

    def __init__(self, box: int, support: np.ndarray | None = None):
        self.box, self.fine = box, _PAD * box
        self.support = self.ball if support is None else support
        self.shape = (self.fine, self.fine, self.fine // 2 + 1)
        self.nodes = int(np.prod(self.shape))

    @cached_property
    def ball(self) -> np.ndarray:
        """``(box, box, box)`` bool: the ball that the box holds."""
        along = np.arange(self.box) - self.box // 2
        return (along[:, None, None] ** 2 + along[:, None] ** 2 + along**2) < (self.box / 2) ** 2

    @cached_property
    def _envelope(self) -> np.ndarray:
        along = np.sinc((np.arange(self.box) - self.box // 2) / self.fine).astype(np.float32) ** 2
        return along[:, None, None] * along[:, None] * along

    def gather(self, points: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """Samples of transforms.

        Args:
            points: ``(..., 3)`` float32 x, y, z in cycles per box, ``0 <= x < box / 2``.
            parts: ``(nodes, ...)`` float32.

        Returns:
            ``(..., ...)``: the shapes of both, one after the other.
        """
        table = parts.reshape(self.nodes, -1)
        samples = gather((points * np.float32(_PAD)).reshape(-1, 3), self.fine, table)
        return samples.reshape(points.shape[:-1] + parts.shape[1:])

    def scatter(self, points: np.ndarray, samples: np.ndarray, parts: np.ndarray) -> None:
        """Add samples to ``parts`` ``(nodes, ...)``: the transpose of :meth:`gather`."""
        table = parts.reshape(self.nodes, -1)
        flat = samples.reshape(-1, table.shape[1])
        scatter((points * np.float32(_PAD)).reshape(-1, 3), self.fine, flat, table)

    def transform(self, maps: np.ndarray) -> np.ndarray:
        """``(c, box, box, box)`` -> ``(nodes, 2, c)`` float32: real and imaginary parts, the envelope divided out."""
        spectra = self.spectra(maps / self._envelope)
        parts = np.empty((self.nodes, 2, len(maps)), np.float32)
        parts[:, 0], parts[:, 1] = spectra.real.T, spectra.imag.T
        return parts

    def adjoint(self, parts: np.ndarray) -> np.ndarray:
        """``(nodes, 2, c)`` -> ``(c, box, box, box)``: the transpose of :meth:`transform`."""
        spectra = np.empty((parts.shape[2], self.nodes), np.complex64)
        spectra.real, spectra.imag = parts[:, 0].T, parts[:, 1].T
        return self.maps(spectra) / self._envelope

    def spectra(self, maps: np.ndarray) -> np.ndarray:
        """``(c, box, box, box)`` -> ``(c, nodes)`` complex64; phases from voxel ``box // 2``."""
        padded = np.zeros((len(maps), *[self.fine] * 3), np.float32)
        h, f = self.box // 2, self.fine
        for zi, zo in ((slice(0, h), slice(f - h, f)), (slice(h, None), slice(0, h))):
            for yi, yo in ((slice(0, h), slice(f - h, f)), (slice(h, None), slice(0, h))):
                padded[:, zo, yo, f - h :] = maps[:, zi, yi, :h]
                padded[:, zo, yo, :h] = maps[:, zi, yi, h:]
        return scipy.fft.rfftn(padded, axes=(1, 2, 3), overwrite_x=True).reshape(len(maps), -1)

    def maps(self, spectra: np.ndarray) -> np.ndarray:
        """``(c, nodes)`` -> ``(c, box, box, box)``: the transpose of :meth:`spectra`, overwriting its argument."""
        full = spectra.reshape(-1, *self.shape)
        # irfftn counts every node with x > 0 twice, for its opposite; the transpose counts it once.
        full[..., 1:] *= np.float32(0.5)
        real = scipy.fft.irfftn(full, s=[self.fine] * 3, axes=(1, 2, 3), norm="forward", overwrite_x=True)
        h, f = self.box // 2, self.fine
        along = np.r_[f - h : f, 0:h]
        return real[:, along[:, None, None], along[:, None], along]
