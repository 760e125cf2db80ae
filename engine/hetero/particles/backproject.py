"""Backprojection: a map straight from particle images, their poses and their CTFs.

Every image's transform, times its CTF, is added to the Fourier transform of the map where its slice lies; so is the
square of the CTF. Their quotient is the least-squares map; a number added to the denominator makes it Wiener's.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft

from hetero.maps.fsc import fourier_shells, shell_sums
from hetero.parallel import processors
from hetero.particles.particles import Particles
from hetero.progress import Progress, silent

_OVERSAMPLING = 2  # of the Fourier grid; trilinear shares on one as fine as the map's own cost 0.2 % of correlation
_BATCH_PIXELS = 1 << 20  # of images that a thread prepares at a time
_EDGE = 3.0  # voxels over which the map falls to zero at the sphere that touches its box


@dataclass(frozen=True, eq=False)
class FourierSums:
    """What particles add up to.

    Attributes:
        box: voxels along each side of the map.
        numerator: ``(m, m, m // 2 + 1)`` complex64, sums of CTF x image on a grid ``m`` of at least twice the box.
        density: the same shape, float32, sums of CTF^2.
    """

    box: int
    numerator: np.ndarray
    density: np.ndarray

    def __iadd__(self, other: "FourierSums") -> "FourierSums":
        np.add(self.numerator, other.numerator, out=self.numerator)
        np.add(self.density, other.density, out=self.density)
        return self

    @cached_property
    def _shells(self) -> tuple[np.ndarray, int]:
        # Shells of the map's own transform, on the finer grid.
        fine = len(self.density)
        shells, _ = fourier_shells((fine,) * 3, 1.0)
        shells = np.rint(shells * np.float32(self.box / fine)).astype(np.int16)
        return shells, self.box // 2 + 1

    def shell_density(self) -> np.ndarray:
        """``(box // 2 + 1,)`` the mean of ``density`` in each shell of the map's transform, from zero to Nyquist."""
        shells, count = self._shells
        width = len(self.density)
        sums = shell_sums(self.density, shells, count, width)
        return sums / np.maximum(shell_sums(np.ones_like(self.density), shells, count, width), 1)

    def to_map(self, noise: np.ndarray, factor: np.ndarray | None = None) -> np.ndarray:
        """``numerator / (density + noise) * factor`` as a map, corrected for the trilinear shares.

        Args:
            noise: ``(box // 2 + 1,)`` a number for each shell: the noise's variance over the signal's.
            factor: ``(box // 2 + 1,)`` by which each shell is multiplied.

        Returns:
            ``(box, box, box)`` float32; zero outside the sphere that touches the box. Memory: three times the sums.
        """
        shells, count = self._shells
        noise = np.append(np.maximum(noise, 1e-12), 1.0).astype(np.float32)
        factor = np.append(np.ones(count) if factor is None else factor, 0.0).astype(np.float32)
        where = np.minimum(shells, count)
        transform = self.numerator * (factor[where] / (self.density + noise[where]))
        fine = len(self.density)
        data = scipy.fft.irfftn(transform, s=(fine,) * 3, overwrite_x=True, workers=processors())
        place = np.arange(self.box) - self.box // 2
        data = data[np.ix_(place, place, place)]
        # The shares are a triangle's; its transform is what the map was multiplied by.
        bend = (np.sinc(place / fine) ** 2).astype(np.float32)
        data /= bend[:, None, None] * bend[:, None] * bend
        data *= soft_sphere(self.box)
        return data


def soft_sphere(box: int) -> np.ndarray:
    """``(box, box, box)`` float32: 1 inside the sphere that touches the box, a cosine edge 3 voxels wide, 0 outside."""
    place = (np.arange(box) - box // 2).astype(np.float32)
    radius = np.sqrt(place[:, None, None] ** 2 + place[:, None] ** 2 + place**2)
    ramp = np.clip((radius - (box / 2 - 1 - _EDGE)) / _EDGE, 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * ramp)).astype(np.float32)


def fine_box(box: int) -> int:
    """Voxels along each side of the Fourier grid for maps of ``box``: even, at least twice as many, quick to
    transform."""
    fine = _OVERSAMPLING * box
    while scipy.fft.next_fast_len(fine, real=True) != fine or fine % 2:
        fine += 1
    return fine


def backproject(
    particles: Particles,
    weights: np.ndarray | None = None,
    symmetry: np.ndarray | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> FourierSums:
    """Add particles up.

    Frequencies from Nyquist on are left out. Sums do not depend on ``threads``.

    Args:
        particles: with poses; without CTFs these count as 1.
        weights: ``(n,)`` how much each counts; those of 0 are not read. Without it all count alike.
        symmetry: ``(g, 3, 3)`` rotations of the map onto itself, the identity among them; none where not given.
        threads: processors to use; all where not given.
        progress: called with the images that are done.

    Returns:
        The sums. Memory: 100 bytes for each voxel of the map (1.6 GB for a box of 256), and 40 MB a thread.

    Raises:
        HeteroError: no poses, several pixel sizes, or an image that is not numbers.
    """
    from hetero.particles.insertion import insert_slices

    box, apix = particles.box, particles.apix
    particles.require_poses()
    used = np.arange(len(particles)) if weights is None else np.flatnonzero(weights)
    symmetry = np.eye(3)[None] if symmetry is None else np.asarray(symmetry)
    threads = threads or processors()
    pixels = _Pixels(box, apix)
    fine = fine_box(box)
    grid = np.zeros((fine, fine, fine // 2 + 2, 3), dtype=np.float32)
    places = [(k * (fine / box)).astype(np.float32) for k in (pixels.kx, pixels.ky)]
    with ThreadPoolExecutor(threads) as pool:

        def prepare(rows: np.ndarray):
            return pixels.values(particles.subset(rows), None if weights is None else weights[rows])

        done = 0
        for rows in _rounds(used, box, threads):
            for values, squares, rotations in list(pool.map(prepare, rows)):
                turned = np.einsum("bij,gjk->gbik", rotations, symmetry).astype(np.float32)
                for rotation in turned:
                    jobs = [
                        pool.submit(insert_slices, values, squares, *places, rotation, grid, part, threads)
                        for part in range(threads)
                    ]
                    for job in jobs:
                        job.result()
            done += sum(map(len, rows))
            progress(done, len(used), "backprojecting")
    return _sums(grid, box)


def _rounds(used: np.ndarray, box: int, threads: int) -> Iterator[list[np.ndarray]]:
    """A batch of rows for each thread, again and again."""
    size = max(1, _BATCH_PIXELS // box**2)
    batches = [used[start : start + size] for start in range(0, len(used), size)]
    for start in range(0, len(batches), threads):
        yield batches[start : start + threads]


def _sums(grid: np.ndarray, box: int) -> FourierSums:
    """The plane x = 0 is its own mirror image: it has got half of what belongs there."""
    numerator = np.empty((*grid.shape[:2], grid.shape[2] - 1), dtype=np.complex64)
    numerator.real, numerator.imag = grid[:, :, :-1, 0], grid[:, :, :-1, 1]
    density = grid[:, :, :-1, 2].copy()
    for values in (numerator, density):
        plane = values[:, :, 0]
        plane += np.roll(plane[::-1, ::-1], 1, axis=(0, 1)).conj()
    return FourierSums(box, numerator, density)


class _Pixels:
    """The pixels of half a transform, inside Nyquist's circle.

    Attributes:
        kx, ky: ``(p,)`` cycles per box.
    """

    def __init__(self, box: int, apix: float):
        self.box, self.apix = box, apix
        ky, kx = np.meshgrid(np.fft.fftfreq(box, 1 / box), np.arange(box // 2 + 1), indexing="ij")
        # Of kx = 0 one half is the other's mirror image.
        mine = (kx**2 + ky**2 < (box / 2) ** 2) & ((kx > 0) | (ky >= 0))
        self._flat = np.flatnonzero(mine)
        self.kx, self.ky = kx[mine], ky[mine]
        self._zero = int(np.flatnonzero((self.kx == 0) & (self.ky == 0))[0])

    def values(self, particles: Particles, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``(b, p)`` complex64 CTF x image, centred; ``(b, p)`` float32 CTF^2; ``(b, 3, 3)`` rotations."""
        box, n = self.box, len(particles)
        transform = scipy.fft.rfft2(particles.stack[:])
        place = particles.poses.shifts / self.apix - box // 2  # the centre goes to pixel (0, 0)
        cycles = np.fft.fftfreq(box), np.arange(box // 2 + 1) / box
        rows, columns = (
            np.exp(-2j * np.pi * f * place[:, i, None]).astype(np.complex64)
            for f, i in zip(cycles, (1, 0), strict=True)
        )
        transform *= rows[:, :, None]
        transform *= columns[:, None, :]
        values = transform.reshape(n, -1)[:, self._flat]
        squares = np.ones(values.shape, dtype=np.float32)
        if particles.ctf is not None:
            extent = box * self.apix
            ctf = particles.ctf.evaluate(self.kx[None] / extent, self.ky[None] / extent).astype(np.float32)
            values *= ctf
            squares = ctf * ctf
        if weights is not None:
            scale = np.asarray(weights, dtype=np.float32)[:, None]
            values *= scale
            squares *= scale
        # Zero is its own mirror image: it is counted twice.
        values[:, self._zero] *= 0.5
        squares[:, self._zero] *= 0.5
        return values, squares, particles.poses.rotations
