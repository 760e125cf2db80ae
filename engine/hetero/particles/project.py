"""Projections of maps and of atoms: what the microscope would see without its CTF.

A projection is handed out as its transform on the grid of ``numpy.fft.rfft2``, with phases counted from the particle's
centre, so that a CTF and a shift are multiplications; :func:`images_from_transforms` makes the picture.
"""

from dataclasses import dataclass

import numpy as np

from hetero.errors import HeteroError

_OVERSAMPLING = 2


def images_from_transforms(transforms: np.ndarray, box: int) -> np.ndarray:
    """``(..., box, box // 2 + 1)`` with phases from the centre -> ``(..., box, box)`` with the centre at box // 2."""
    return np.fft.fftshift(np.fft.irfft2(transforms, s=(box, box)), axes=(-2, -1))


def transforms_from_images(images: np.ndarray) -> np.ndarray:
    """``(..., box, box)`` with the centre at box // 2 -> ``(..., box, box // 2 + 1)`` with phases from the centre."""
    return np.fft.rfft2(np.fft.ifftshift(images, axes=(-2, -1)))


def shift_phases(shifts: np.ndarray, box: int, apix: float) -> np.ndarray:
    """Factors that move pictures.

    Args:
        shifts: ``(..., 2)`` Å along x, y that the picture's content moves by.
        box: pixels.
        apix: Å per pixel.

    Returns:
        ``(..., box, box // 2 + 1)`` complex.
    """
    x, y = (np.asarray(shifts)[..., i, None] / apix for i in range(2))
    along_x = np.exp(-2j * np.pi * np.fft.rfftfreq(box) * x)
    along_y = np.exp(-2j * np.pi * np.fft.fftfreq(box) * y)
    return along_y[..., :, None] * along_x[..., None, :]


class MapProjector:
    """Central slices of one map.

    The map's transform is computed once, twice as fine as the map's own, and interpolated by cubic splines. Memory: 128
    bytes a voxel.

    Args:
        data: ``(z, y, x)``, cubic, centre of rotation at voxel ``box // 2``.

    Raises:
        HeteroError: the map is not cubic.
    """

    def __init__(self, data: np.ndarray):
        from scipy.ndimage import spline_filter

        if len(set(data.shape)) != 1:
            raise HeteroError(
                f"A map of {' x '.join(map(str, data.shape[::-1]))} voxels is projected; a cube was expected."
            )
        self.box = data.shape[0]
        fine = _OVERSAMPLING * self.box
        before = fine // 2 - self.box // 2
        padded = np.pad(np.asarray(data, dtype=float), [(before, fine - self.box - before)] * 3)
        transform = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(padded)))
        self._coefficients = spline_filter(transform, order=3, output=np.complex128, mode="grid-wrap")

    def transforms(self, rotations: np.ndarray) -> np.ndarray:
        """Slices of the map turned by ``rotations``.

        Args:
            rotations: ``(n, 3, 3)``, as in :class:`~hetero.particles.Poses`.

        Returns:
            ``(n, box, box // 2 + 1)`` complex; the picture is the sum of the map's voxels along the beam.
        """
        from scipy.ndimage import map_coordinates

        ky, kx = np.meshgrid(np.fft.fftfreq(self.box), np.fft.rfftfreq(self.box), indexing="ij")
        plane = np.stack([kx, ky, np.zeros_like(kx)]).reshape(3, -1)
        inside = np.hypot(kx, ky) <= 0.5  # corners would lie outside the map's own transform for some rotations
        slices = np.zeros((len(rotations), *kx.shape), dtype=complex)
        for rotation, out in zip(rotations, slices, strict=True):
            x, y, z = rotation.T @ plane
            fine = np.stack([z, y, x]) * (_OVERSAMPLING * self.box) + _OVERSAMPLING * self.box // 2
            values = map_coordinates(self._coefficients, fine, order=3, prefilter=False, mode="grid-wrap")
            out[...] = values.reshape(kx.shape) * inside
        return slices


@dataclass(frozen=True, eq=False)
class Points:
    """Gaussians in space: atoms blurred to a resolution, or a Gaussian model.

    Attributes:
        positions: ``(g, 3)`` Å along z, y, x from the centre of rotation.
        weights: ``(g,)`` integral of each.
        sigma: Å, one number for all (fast) or ``(g,)`` (slow, exact).

    Raises:
        HeteroError: lengths that differ, or a number that is not finite.
    """

    positions: np.ndarray
    weights: np.ndarray
    sigma: float | np.ndarray

    def __post_init__(self):
        positions, weights = np.asarray(self.positions, dtype=float), np.asarray(self.weights, dtype=float)
        sigma = np.asarray(self.sigma, dtype=float)
        if positions.ndim != 2 or positions.shape[1] != 3 or weights.shape != (len(positions),):
            raise HeteroError(
                f"Points have positions {positions.shape} and weights {weights.shape}; (g, 3) and (g,) were expected."
            )
        if sigma.shape not in ((), weights.shape) or not len(weights):
            raise HeteroError(
                f"{len(weights)} points have widths of shape {sigma.shape}; one number or (g,) was expected."
            )
        if not all(np.isfinite(x).all() for x in (positions, weights, sigma)) or (sigma < 0).any():
            raise HeteroError("Points have a position, weight or width that is not a finite number.")
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "sigma", float(sigma) if sigma.ndim == 0 else sigma)

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def radius(self) -> float:
        """Å from the centre of rotation to the farthest point."""
        return float(np.linalg.norm(self.positions, axis=1).max())

    def transform(self, rotation: np.ndarray, box: int, apix: float) -> np.ndarray:
        """Transform of the projection.

        With one width, points are spread over 4 x 4 pixels of a grid twice as fine (cubic B-splines) and the spreading
        is divided out: within 1 % of the exact sum at Nyquist, 0.05 % at half of it.

        Args:
            rotation: ``(3, 3)``, as in :class:`~hetero.particles.Poses`.
            box: pixels.
            apix: Å per pixel.

        Returns:
            ``(box, box // 2 + 1)`` complex; the picture is the sum along the beam of the voxels of :meth:`density`.
        """
        x, y = rotation[:2] @ self.positions[:, ::-1].T
        if np.ndim(self.sigma) == 0:
            fine = np.fft.rfft2(_spread(np.stack([y, x]) / apix, self.weights, box))
            return self._blurred(fine, (box, box), apix) / apix**3
        waves_y, waves_x = (
            _waves(y, self.sigma, np.fft.fftfreq(box, apix)),
            _waves(x, self.sigma, np.fft.rfftfreq(box, apix)),
        )
        return (waves_y * self.weights) @ waves_x.T / apix**3

    def density(self, box: int, apix: float) -> np.ndarray:
        """``(box, box, box)`` float32, band-limited to Nyquist; centre of rotation at voxel ``box // 2``.

        Memory: 64 to 128 bytes a voxel.
        """
        if np.ndim(self.sigma) == 0:
            fine = np.fft.rfftn(_spread(self.positions.T / apix, self.weights, box))
            transform = self._blurred(fine, (box,) * 3, apix)
        else:
            transform = np.zeros((box, box, box // 2 + 1), dtype=complex)
            for part in np.array_split(np.arange(len(self)), len(self) // 500 + 1):
                z, y, x = (
                    _waves(self.positions[part, i], self.sigma[part], frequencies)
                    for i, frequencies in enumerate([np.fft.fftfreq(box, apix)] * 2 + [np.fft.rfftfreq(box, apix)])
                )
                planes = (z * self.weights[part])[:, None] * y[None]  # (box, box, g)
                transform += (planes.reshape(-1, len(part)) @ x.T).reshape(transform.shape)
        values = np.fft.fftshift(np.fft.irfftn(transform, (box,) * 3, axes=(0, 1, 2))) / apix**3
        return values.astype(np.float32)

    def _blurred(self, fine: np.ndarray, shape: tuple[int, ...], apix: float) -> np.ndarray:
        """Low frequencies of a fine transform, the spreading divided out and the Gaussians' widths put in."""
        result = _crop(fine, shape[0])
        for axis, box in enumerate(shape):
            f = (np.fft.rfftfreq if axis == len(shape) - 1 else np.fft.fftfreq)(box)
            factor = np.exp(-2 * (np.pi * self.sigma * f / apix) ** 2) / np.sinc(f / _OVERSAMPLING) ** 4
            result = result * factor.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        return result


def _waves(positions: np.ndarray, sigmas: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """``(frequencies, g)`` transform along one axis of Gaussians of unit weight."""
    f = frequencies[:, None]
    return np.exp(-2 * (np.pi * f * sigmas) ** 2 - 2j * np.pi * f * positions)


def _spread(coordinates: np.ndarray, weights: np.ndarray, box: int) -> np.ndarray:
    """Points ``(d, g)``, in pixels from the origin, as a d-dimensional histogram of cubic B-splines, wrapped around.

    The grid is twice as fine as ``box`` pixels.
    """
    size = _OVERSAMPLING * box
    place, share = np.zeros((1, len(weights)), dtype=np.int64), np.asarray(weights)[None]
    for values in coordinates * _OVERSAMPLING:
        low = np.floor(values).astype(np.int64)
        t = values - low
        spline = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
        near = (low + np.arange(-1, 3)[:, None]) % size
        place = (place[:, None] * size + near[None]).reshape(-1, len(weights))
        share = (share[:, None] * spline[None]).reshape(-1, len(weights))
    dimensions = len(coordinates)
    counts = np.bincount(place.ravel(), weights=share.ravel(), minlength=size**dimensions)
    return counts.reshape((size,) * dimensions)


def _crop(transform: np.ndarray, box: int) -> np.ndarray:
    """The low frequencies of a real transform (last axis halved) that one of ``box`` pixels has."""
    half = box // 2
    result = transform[..., : half + 1]
    for axis in range(transform.ndim - 1):
        n = result.shape[axis]
        result = np.take(result, np.r_[0 : box - half, n - half : n], axis=axis)
    return result
