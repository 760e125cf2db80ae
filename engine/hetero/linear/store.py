"""Slices at a low radius, kept for the many passes of EM: in memory, or in a file where they are many."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hetero.linear.slices import Disc, Slices, batch_size, read_slices, slice_points
from hetero.particles import Particles
from hetero.progress import Progress

_IN_MEMORY = 1 << 30


class Store:
    """Slices of some particles: ``values``, ``ctf`` and ``rotations``, handed out batch by batch.

    Args:
        values: ``(n, p, 2)``; see :class:`~hetero.linear.slices.Slices`.
        ctf: ``(n, p)``.
        rotations: ``(n, 3, 3)``, from which the points are made anew each time: they are most of a slice's bytes.
        pixels: the first ``len(pixels.places)`` of the ``p`` are handed out.
    """

    def __init__(self, values: np.ndarray, ctf: np.ndarray, rotations: np.ndarray, pixels: Disc):
        self.values, self.ctf, self.rotations, self.pixels = values, ctf, rotations, pixels

    def __len__(self) -> int:
        return len(self.values)

    def within(self, radius: int) -> "Store":
        """The same slices, out to a smaller radius."""
        return Store(self.values, self.ctf, self.rotations, self.pixels.within(radius))

    def rows(self, part: slice) -> "Store":
        """The slices of some particles; nothing is copied."""
        return Store(self.values[part], self.ctf[part], self.rotations[part], self.pixels)

    def batches(self) -> Iterator[tuple[slice, Slices]]:
        """Slices, in order. Memory: one batch."""
        p = len(self.pixels.places)
        size = batch_size(p)
        for start in range(0, len(self), size):
            part = slice(start, min(start + size, len(self)))
            points, _ = slice_points(self.rotations[part], self.pixels)
            yield part, Slices(self.values[part, :p], self.ctf[part, :p], points)


def read_store(particles: Particles, box: int, pixels: Disc, folder: Path | None, progress: Progress) -> Store:
    """Read every image once.

    Args:
        folder: where a file is kept if the slices take more than a gigabyte; in memory where it is None.
    """
    n, p = len(particles), len(pixels.places)
    values, ctf = _array((n, p, 2), folder), _array((n, p), folder)
    for part, slices in read_slices(particles, box, pixels):
        values[part], ctf[part] = slices.values, slices.ctf
        progress(part.stop, n, "reading images")
    return Store(values, ctf, particles.poses.rotations, pixels)


def _array(shape: tuple[int, ...], folder: Path | None) -> np.ndarray:
    if folder is None or np.prod(shape, dtype=float) * 4 < _IN_MEMORY:
        return np.empty(shape, np.float32)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        return np.memmap(file, np.float32, "w+", shape=shape)
