"""Particle images as training reads them: windowed, transformed and centred once, pixels sorted by radius."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.fft

from hetero.drgn.half_disc import HalfDisc
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.particles import Particles, Poses
from hetero.progress import Progress, silent

CACHE = "images.c64"
_WINDOW_END = 0.99  # as cryoDRGN's: the window is zero from there on
_AT_ONCE = 32 << 20  # bytes of images that are transformed together
_SAMPLE = 1000  # images that the scale is measured on


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """Transforms of N images, their particles in the middle, divided by their s.d.

    Attributes:
        particles: what they were made from.
        disc: the pixels that are kept.
        sd: of the images' Hartley transforms, by which values were divided.
        read: ``read(indices, count)`` -> ``(b, count)`` complex64, the first ``count`` pixels of some images.
        copies: of each particle, side by side (:func:`expand`).
    """

    particles: Particles
    disc: HalfDisc
    sd: float
    read: Callable[[np.ndarray, int], np.ndarray]
    copies: int = 1

    def __len__(self) -> int:
        return len(self.particles)

    def transfer(self, indices: np.ndarray, count: int) -> np.ndarray:
        """``(b, count)`` float32: the CTF of some images at the first pixels; ones where there is none."""
        if self.particles.ctf is None:
            return np.ones((len(indices), count), dtype=np.float32)
        apix = self.particles.stack.apix[indices, None]
        x, y = (self.disc.points[:count, i] / self.disc.box / apix for i in range(2))
        return self.particles.ctf[indices].evaluate(x, y).astype(np.float32)


def prepare_images(
    particles: Particles,
    window: float = 0.85,
    memory: float = 1.0,
    cache: Path | None = None,
    progress: Progress = silent,
) -> PreparedImages:
    """Transform all images once, and keep them in memory where they fit, else in a file.

    Args:
        particles: with poses.
        window: radius at which a circular window around the middle of the box begins to fall, linearly, to 0 at 0.99;
            a share of half the box. 1 for none.
        memory: GB that transforms may take; beyond that they are kept in ``cache``.
        cache: the file; without it images beyond the memory are transformed whenever they are read.

    Raises:
        HeteroError: an odd box, an image that holds NaN (named), or all images are blank.
    """
    disc = HalfDisc(particles.box, particles.box / 2)
    sd = _spread(particles)
    preparing = _Preparing(particles, disc, sd, window)
    row = 8 * len(disc)
    if len(particles) * row <= memory * 1e9:
        kept = np.empty((len(particles), len(disc)), dtype=np.complex64)
        for part, values in preparing.all(progress):
            kept[part] = values
        return PreparedImages(particles, disc, sd, lambda indices, count: kept[indices, :count])
    if cache is None:
        return PreparedImages(particles, disc, sd, lambda indices, count: preparing(indices)[:, :count])
    return PreparedImages(particles, disc, sd, _kept_in_file(preparing, Path(cache), row, progress))


def _kept_in_file(preparing: "_Preparing", path: Path, row: int, progress: Progress):
    """A reader of the file, which is made unless it is there, whole and of the same images."""
    particles = preparing.particles
    made_of = {
        "path": str(particles.path.resolve()), "n": len(particles), "box": particles.box, "window": preparing.window,
        "sd": preparing.sd, "rows": [int(particles.rows[0]), int(particles.rows[-1]), int(particles.rows.sum())],
        "shifts": float(np.abs(particles.require_poses().shifts).sum()),
    }  # fmt: skip
    note = path.with_suffix(".json")
    whole = path.is_file() and path.stat().st_size == len(particles) * row and note.is_file()
    if not (whole and json.loads(note.read_text()) == made_of):
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            for _, values in preparing.all(progress):
                file.write(values.tobytes())
        with atomic_path(note) as temporary:
            temporary.write_text(json.dumps(made_of))

    def read(indices: np.ndarray, count: int) -> np.ndarray:
        values = np.empty((len(indices), count), dtype=np.complex64)
        # Seeks, not a memory map: random rows of a map read around each, and count as memory of this process.
        with open(path, "rb", buffering=0) as file:
            for i in np.argsort(indices):
                file.seek(int(indices[i]) * row)
                values[i] = np.frombuffer(file.read(8 * count), dtype=np.complex64)
        return values

    return read


def expand(images: PreparedImages, group: np.ndarray) -> PreparedImages:
    """Each particle in every orientation in which a symmetric body looks the same; the images are held once.

    Args:
        images: of n particles.
        group: ``(g, 3, 3)`` rotations of the map (:func:`hetero.particles.symmetry.symmetry_rotations`).

    Returns:
        ``n g`` images, the g copies of a particle side by side: its rotation times each of the group, its CTF, its
        shift, its row of the particle file.
    """
    count = len(group)
    given = images.particles.require_poses()
    copies = images.particles.subset(np.repeat(np.arange(len(images)), count))
    rotations = (given.rotations[:, None] @ group).reshape(-1, 3, 3)
    copies = replace(copies, poses=Poses(rotations, copies.poses.shifts))
    return PreparedImages(
        copies, images.disc, images.sd, lambda indices, n: images.read(np.asarray(indices) // count, n), count
    )


def remove_cache(path: Path) -> None:
    """Delete the file that :func:`prepare_images` kept transforms in, if there is one."""
    for file in (path, path.with_suffix(".json")):
        file.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class _Preparing:
    """Images to transforms."""

    particles: Particles
    disc: HalfDisc
    sd: float
    window: float

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """``(b, p)`` complex64."""
        images = self.particles.stack[indices]
        if self.window < 1:
            images *= linear_window(self.disc.box, self.window)
        transforms = scipy.fft.rfft2(scipy.fft.ifftshift(images, axes=(1, 2)))
        values = transforms.reshape(len(images), -1)[:, self.disc.places]
        shifts = self.particles.require_poses().shifts[indices] / self.particles.stack.apix[indices, None]
        phases = np.exp(-2j * np.pi / self.disc.box * (shifts @ self.disc.points.T))
        return (values * (phases / self.sd)).astype(np.complex64)

    def all(self, progress: Progress):
        """``(slice, values)`` in order."""
        n, size = len(self.particles), max(1, _AT_ONCE // (4 * self.disc.box**2))
        for start in range(0, n, size):
            progress(start, n, "transforming images")
            part = slice(start, min(start + size, n))
            yield part, self(np.arange(part.start, part.stop))


def linear_window(box: int, begin: float) -> np.ndarray:
    """``(box, box)`` float32: 1 within ``begin`` of half the box, linearly to 0 at 0.99 of it, as cryoDRGN's."""
    line = (np.arange(box) - box // 2) / (box / 2)
    radius = np.hypot(line[:, None], line)
    return np.clip((_WINDOW_END - radius) / max(_WINDOW_END - begin, 1e-6), 0, 1).astype(np.float32)


def _spread(particles: Particles) -> float:
    """S.d. of the Hartley transforms of images spread over the set, before any window, as cryoDRGN measures it."""
    n = len(particles)
    chosen = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(int))
    total = square = count = 0.0
    for part in np.array_split(chosen, -(-len(chosen) // 100)):
        transform = scipy.fft.fft2(scipy.fft.ifftshift(particles.stack[part], axes=(1, 2)))
        values = (transform.real - transform.imag).astype(np.float64)
        total, square, count = total + values.sum(), square + (values**2).sum(), count + values.size
    sd = float(np.sqrt(max(square / count - (total / count) ** 2, 0.0)))
    if not sd > 0:
        raise HeteroError(f"All images of {particles.path} that were looked at are blank; images were expected.")
    return sd
