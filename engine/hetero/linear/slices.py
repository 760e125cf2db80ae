"""Particle images as samples of a central slice, out to a Fourier radius: what the linear model is fitted to."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from hetero.particles import Particles

_BATCH_BYTES = 24 << 20  # of one batch's slices and what is computed from them; larger ones were no faster


@dataclass(frozen=True, eq=False)
class Disc:
    """Fourier pixels in half a plane, without its centre, nearest first.

    Attributes:
        places: ``(p, 2)`` int, x and y in cycles per box.
        ring: ``(p,)`` int, their distance from the centre, rounded.
    """

    places: np.ndarray
    ring: np.ndarray

    @property
    def radius(self) -> int:
        """Of the outermost pixel, rounded."""
        return int(self.ring[-1])

    def within(self, radius: int) -> "Disc":
        """The pixels up to ``radius``: the first ones of this disc."""
        inside = int(np.count_nonzero(_squared(self.places) <= radius**2))
        return Disc(self.places[:inside], self.ring[:inside])


def disc(radius: int) -> Disc:
    """Pixels up to ``radius`` cycles per box. Of two opposite ones, which hold the same value, one is there."""
    y, x = np.mgrid[-radius : radius + 1, 0 : radius + 1]
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    distance = _squared(places)
    places = places[((places[:, 0] > 0) | (places[:, 1] > 0)) & (distance <= radius**2)]
    places = places[np.argsort(_squared(places), kind="stable")]
    return Disc(places, np.round(np.sqrt(_squared(places))).astype(int))


def _squared(places: np.ndarray) -> np.ndarray:
    return (places**2).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Slices:
    """Samples of ``n`` images at the ``p`` pixels of a disc.

    A sample at negative x is the conjugate of the one opposite, and is kept as that: all lie at x >= 0 of the map.

    Attributes:
        values: ``(n, p, 2)`` float32, real and imaginary part, the particle centred, the CTF not undone.
        ctf: ``(n, p)`` float32.
        points: ``(n, p, 3)`` float32 x, y, z in the map's Fourier space, cycles per box.
    """

    values: np.ndarray
    ctf: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def within(self, pixels: int) -> "Slices":
        """The same at the first ``pixels`` of the disc alone."""
        return Slices(self.values[:, :pixels], self.ctf[:, :pixels], self.points[:, :pixels])

    def __getitem__(self, part) -> "Slices":
        return Slices(self.values[part], self.ctf[part], self.points[part])


def read_slices(particles: Particles, box: int, pixels: Disc) -> Iterator[tuple[slice, Slices]]:
    """Slices of all particles, a batch at a time, in order; the next batch is read while one is worked on.

    Args:
        particles: with poses and CTF, of one pixel size.
        box: voxels along each side of the maps; where it is smaller than the images', they are Fourier-cropped.
        pixels: within ``box / 2``.

    Memory: two batches.

    Raises:
        HeteroError: an image holds values that are not numbers.
    """
    size = batch_size(len(pixels.places), particles.box)
    parts = [slice(i, min(i + size, len(particles))) for i in range(0, len(particles), size)]
    with ThreadPoolExecutor(1) as pool:
        waiting: Future | None = None
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            ready = waiting.result() if waiting else _slices(particles, part, box, pixels)
            waiting = pool.submit(_slices, particles, following, box, pixels) if following else None
            yield part, ready


def batch_size(pixels: int, box: int = 0) -> int:
    """Images of a batch that bounds memory."""
    return max(1, _BATCH_BYTES // (240 * pixels + 16 * box**2))


def _slices(particles: Particles, part: slice, box: int, pixels: Disc) -> Slices:
    images, n = particles.stack[part], particles.box
    poses, apix = particles.poses[part], particles.apix
    x, y = pixels.places.T
    transform = scipy.fft.rfft2(images)[:, y, x]  # (b, p), phases from pixel 0
    # Phases from the particle, which lies at the middle minus its shift; values as those of images of `box` pixels.
    to_centre = n // 2 - poses.shifts / apix
    turn = 2 * np.pi / n * (to_centre[:, :1] * x + to_centre[:, 1:] * y)
    transform *= np.exp(1j * turn).astype(np.complex64) * np.float32((box / n) ** 2)
    ctf = particles.ctf[part].evaluate(x[None] / (n * apix), y[None] / (n * apix)).astype(np.float32)
    points, side = slice_points(poses.rotations, pixels)
    return Slices(np.stack([transform.real, transform.imag * side], axis=-1), ctf, points)


def slice_points(rotations: np.ndarray, pixels: Disc) -> tuple[np.ndarray, np.ndarray]:
    """``(n, p, 3)`` float32 places in the map's Fourier space, and ``(n, p)`` -1 where the opposite place was taken."""
    turned = rotations.astype(np.float32)
    x, y = pixels.places.T.astype(np.float32)
    points = x[:, None] * turned[:, None, 0] + y[:, None] * turned[:, None, 1]
    side = np.where(points[..., 0] < 0, np.float32(-1), np.float32(1))
    points *= side[..., None]
    return points, side


def whiten(slices: Slices, variance: np.ndarray, ring: np.ndarray) -> Slices:
    """Values and CTF over the noise's s.d., so that every real number has noise of s.d. 1.

    Args:
        variance: ``(rings,)`` of a complex sample's noise, by ring.
        ring: ``(p,)`` of the disc.
    """
    factor = np.sqrt(2 / variance[ring]).astype(np.float32)
    return replace(slices, values=slices.values * factor[:, None], ctf=slices.ctf * factor)
