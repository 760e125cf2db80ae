"""Particles: images with what is known of each."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.maps import MapWarning
from hetero.particles.ctf import CTF
from hetero.particles.poses import Poses
from hetero.particles.stack import ParticleStack, as_indices


class ParticleWarning(MapWarning):
    """Something about the particles had to be assumed or is ignored; the message says what."""


@dataclass(frozen=True, eq=False)
class Particles:
    """N images with their poses and CTFs, in the order of the file that lists them.

    Attributes:
        stack: the images.
        poses: ``None`` where the file has none.
        ctf: ``None`` where the file has none.
        path: the file that was opened.
        rows: ``(n,)`` place of each particle in that file, counted from 0: what an ``ind.pkl`` or a subset of the file
            is made of.
        total: particles that the file lists.
        half_set: ``(n,)`` 0 or 1, or ``None``: the halves of the refinement that the poses come from.

    Raises:
        HeteroError: counts that differ.
    """

    stack: ParticleStack
    poses: Poses | None
    ctf: CTF | None
    path: Path
    rows: np.ndarray
    total: int
    half_set: np.ndarray | None = None

    def __post_init__(self):
        for what, value in (("poses", self.poses), ("CTFs", self.ctf), ("half sets", self.half_set)):
            if value is not None and len(value) != len(self.stack):
                raise HeteroError(f"{self.path} has {len(self.stack):,} images and {len(value):,} {what}.")

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def box(self) -> int:
        """Pixels along each side of an image."""
        return self.stack.box

    @property
    def apix(self) -> float:
        """Å per pixel, the same for all.

        Raises:
            HeteroError: optics groups differ in their pixel size.
        """
        apix = self.stack.apix
        if apix.max() - apix.min() > 1e-4 * apix.min():
            raise HeteroError(
                f"The optics groups of {self.path} have pixel sizes from {apix.min():.4g} to {apix.max():.4g} Å; one "
                "was expected. hetero downsample brings them to one."
            )
        return float(apix[0])

    def require_poses(self) -> Poses:
        """The poses.

        Raises:
            HeteroError: there are none.
        """
        if self.poses is None:
            raise HeteroError(
                f"{self.path} has no poses; the particles of a 3-D refinement were expected, or a --poses file."
            )
        return self.poses

    def require_ctf(self) -> CTF:
        """The CTFs.

        Raises:
            HeteroError: there are none.
        """
        if self.ctf is None:
            raise HeteroError(f"{self.path} has no CTF parameters; give a file that has them, or a --ctf file.")
        return self.ctf

    def subset(self, indices) -> "Particles":
        """Some particles, in the order of ``indices`` (slice, integers or booleans among those here)."""
        chosen = as_indices(indices, len(self))
        return replace(
            self,
            stack=self.stack.subset(chosen),
            poses=None if self.poses is None else self.poses[chosen],
            ctf=None if self.ctf is None else self.ctf[chosen],
            rows=self.rows[chosen],
            half_set=None if self.half_set is None else self.half_set[chosen],
        )
