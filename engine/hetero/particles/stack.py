"""N particle images in one or many files, read when they are asked for."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.particles.mrcs import StackFile, read_stack_header


@dataclass(frozen=True, eq=False)
class ParticleStack:
    """N images ``(n, box, box)``. None is in memory; ``stack[i]`` or ``stack[indices]`` reads as float32.

    Images come out with the particle bright (CONVENTIONS.md).

    Attributes:
        files: the stacks that the images lie in.
        file: ``(n,)`` which of ``files`` each image lies in.
        index: ``(n,)`` int64, its place there, counted from 0.
        apix: ``(n,)`` Å per pixel of each image: optics groups may differ.
        sign: ``(n,)`` +1, or -1 where the particle is dark on disk.

    Raises:
        HeteroError: files with different boxes, an image beyond its file's end, or a pixel size that is not positive.
    """

    files: tuple[StackFile, ...]
    file: np.ndarray
    index: np.ndarray
    apix: np.ndarray
    sign: np.ndarray

    def __post_init__(self):
        if not self.files or not len(self.index):
            raise HeteroError("The particle set is empty; at least one image was expected.")
        n = len(self.index)
        arrays = {
            "file": np.array(self.file, dtype=np.int32),
            "index": np.array(self.index, dtype=np.int64),
            "apix": np.broadcast_to(np.asarray(self.apix, dtype=float), (n,)),
            "sign": np.broadcast_to(np.asarray(self.sign, dtype=np.int8), (n,)),
        }
        for name, value in arrays.items():
            if value.shape != (n,):
                raise HeteroError(f"The stack's {name} has shape {value.shape}; ({n},) was expected.")
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        first = self.files[0]
        for other in self.files:
            if other.shape[1:] != first.shape[1:]:
                raise HeteroError(
                    f"{other.path} holds images of {other.shape[1]} pixels, {first.path} of {first.shape[1]}; one box "
                    "for all particles was expected."
                )
        length = np.array([len(f) for f in self.files], dtype=np.int64)[self.file]
        wrong = (self.index < 0) | (self.index >= length)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise HeteroError(
                f"Particle {i + 1:,} is image {self.index[i] + 1:,} of {self.files[self.file[i]].path}, which has "
                f"{length[i]:,}."
            )
        wrong = ~(np.isfinite(self.apix) & (self.apix > 0))
        if wrong.any():
            i = int(np.argmax(wrong))
            raise HeteroError(f"Particle {i + 1:,} has pixel size {self.apix[i]:g}; a positive number was expected.")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def box(self) -> int:
        """Pixels along each side of an image."""
        return self.files[0].shape[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(n, box, box)``."""
        return (len(self), self.box, self.box)

    def __getitem__(self, indices) -> np.ndarray:
        """Read images: ``(box, box)`` for an integer, ``(k, box, box)`` for a slice, integers or booleans; float32.

        Raises:
            HeteroError: an image holds values that are not numbers; names it.
        """
        if isinstance(indices, (int, np.integer)):
            return self[[indices]][0]
        chosen = as_indices(indices, len(self))
        images = np.empty((len(chosen), self.box, self.box), dtype=np.float32)
        order = np.lexsort((self.index[chosen], self.file[chosen]))
        used, start = np.unique(self.file[chosen][order], return_index=True)
        for file, part in zip(used, np.split(order, start[1:]), strict=True):
            images[part] = self.files[file].read(self.index[chosen[part]])
        finite = np.isfinite(images).all(axis=(1, 2))
        if not finite.all():
            raise HeteroError(f"Image {self.name(chosen[np.argmin(finite)])} holds values that are not numbers (NaN).")
        if (self.sign[chosen] < 0).any():
            images *= self.sign[chosen, None, None]
        return images

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def name(self, i: int) -> str:
        """``000001@file``: the i-th image in RELION's words."""
        return f"{self.index[i] + 1:06d}@{self.files[self.file[i]].path}"

    def batches(self, size: int) -> Iterator[tuple[slice, np.ndarray]]:
        """``(slice, images)`` of ``size`` images at a time, in order. Memory: one batch."""
        for start in range(0, len(self), size):
            part = slice(start, min(start + size, len(self)))
            yield part, self[part]

    def subset(self, indices) -> "ParticleStack":
        """The stack of some images, in the order of ``indices``; nothing is read."""
        arrays = {name: getattr(self, name)[indices] for name in ("file", "index", "apix", "sign")}
        return replace(self, **arrays)

    def inverted(self) -> "ParticleStack":
        """The same images with their contrast turned over: for particles that are dark on disk."""
        return replace(self, sign=-self.sign)


def open_files(paths: Sequence[Path]) -> tuple[StackFile, ...]:
    """Headers of many stacks, read side by side: thousands of micrographs on a slow disk take seconds, not minutes."""
    with ThreadPoolExecutor(min(16, len(paths) or 1)) as pool:
        return tuple(pool.map(read_stack_header, paths))


def as_indices(indices, n: int, what: str = "particles") -> np.ndarray:
    """A choice of particles as ``(k,)`` int64, whether it comes as a slice, integers (negative ones count from the end)
    or ``n`` booleans.

    Raises:
        HeteroError: an index beyond the end, or anything that is no choice among ``n``.
    """
    if isinstance(indices, slice):
        return np.arange(*indices.indices(n))
    chosen = np.asarray(indices)
    if chosen.dtype == bool:
        if chosen.shape != (n,):
            raise HeteroError(f"A selection of shape {chosen.shape} does not fit {n:,} {what}.")
        return np.flatnonzero(chosen)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise HeteroError(
            f"A selection of shape {chosen.shape} and type {chosen.dtype} was given; whole numbers were expected."
        )
    chosen = chosen.astype(np.int64)
    wrong = (chosen < -n) | (chosen >= n)
    if wrong.any():
        raise HeteroError(f"Index {chosen[np.argmax(wrong)]:,} is asked for (counted from 0); there are {n:,} {what}.")
    return np.where(chosen < 0, chosen + n, chosen)


def check_images(stack: ParticleStack, count: int = 64) -> None:
    """Look at ``count`` images spread over the stack before long work starts.

    Raises:
        HeteroError: one of them holds NaN; names it.
    """
    for i in np.unique(np.linspace(0, len(stack) - 1, min(count, len(stack))).astype(int)):
        stack[i]
