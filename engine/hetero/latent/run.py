"""A trained model, whichever system trained it: latents of its particles, and maps from latents."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from hetero.errors import HeteroError
from hetero.latent.view import View
from hetero.maps import Volume


class Decoder(Protocol):
    """What a system gives to its :class:`Run`."""

    def __call__(self, z: np.ndarray, box: int) -> Iterator[np.ndarray]:
        """Maps of ``z`` ``(b, zdim)`` float32, in order, each ``(box, box, box)`` float32.

        ``box`` is at most the run's own; a smaller one is the same map, cropped in Fourier space, on the same scale of
        values. Nothing but the map in hand and a few batches of points is kept.
        """


@dataclass(frozen=True, eq=False)
class Run:
    """A trained model.

    Attributes:
        folder: where it lies.
        system: who trained it, e.g. ``"cryodrgn"``.
        settings: what it was trained with, plain values, in that system's own words.
        latents: ``(n, zdim)`` float32, a particle a row; read-only. ``zdim`` is 0 for a homogeneous model.
        particle_index: ``(n,)`` int64: the row of each particle in the particle file that was given, counted from 0.
        apix: Å per voxel of the maps at ``box``.
        box: voxels along each side of the maps it was trained for.
        decoder: maps from latents.
        log_variance: ``(n, zdim)`` of the latents' posteriors; None where the system has none.
        epoch: which one was opened, as the system counts; None where it does not.
        notes: what had to be assumed, one sentence each.

    Raises:
        HeteroError: arrays that do not fit each other, or latents that are not numbers.
    """

    folder: Path
    system: str
    settings: MappingProxyType | dict[str, Any]
    latents: np.ndarray
    particle_index: np.ndarray
    apix: float
    box: int
    decoder: Decoder
    log_variance: np.ndarray | None = None
    epoch: int | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self):
        latents = _frozen(self.latents, np.float32)
        index = _frozen(self.particle_index, np.int64)
        if latents.ndim != 2:
            raise HeteroError(f"{self.folder} has latents of shape {latents.shape}; (particles, zdim) was expected.")
        if index.shape != (len(latents),):
            raise HeteroError(
                f"{self.folder} has latents of {len(latents):,} particles and {index.size:,} particle indices."
            )
        bad = np.flatnonzero(~np.isfinite(latents).all(axis=1))
        if len(bad):
            raise HeteroError(
                f"{self.folder} has latents that are not numbers (NaN or infinite) for {len(bad):,} of "
                f"{len(latents):,} particles; row {bad[0]} is the first."
            )
        if self.log_variance is not None:
            variance = _frozen(self.log_variance, np.float32)
            if variance.shape != latents.shape:
                raise HeteroError(
                    f"{self.folder} has latents of shape {latents.shape} and log-variances of {variance.shape}."
                )
            object.__setattr__(self, "log_variance", variance)
        object.__setattr__(self, "folder", Path(self.folder))
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))
        object.__setattr__(self, "latents", latents)
        object.__setattr__(self, "particle_index", index)

    @property
    def zdim(self) -> int:
        """Numbers in a latent; 0 for a homogeneous model."""
        return self.latents.shape[1]

    @property
    def has_copies(self) -> bool:
        """Whether a particle has several latents: one for each orientation that symmetry gives it."""
        return len(np.unique(self.particle_index)) < len(self)

    def __len__(self) -> int:
        return len(self.latents)

    def decode(self, z: np.ndarray, view: View | None = None) -> Iterator[Volume]:
        """Maps of latents, one at a time, called ``vol_000`` ... in the order of ``z``.

        Args:
            z: ``(b, zdim)``, or ``(zdim,)`` for one.
            view: sampling, filter, hand, contrast and cropping; the maps as they were trained where not given.

        Raises:
            HeteroError: latents of another dimension or that are not numbers, or a view that makes no sense here.
        """
        z = np.atleast_2d(np.asarray(z, dtype=np.float32))
        if z.ndim != 2 or z.shape[1] != self.zdim:
            raise HeteroError(f"A latent of {z.shape[-1]} numbers was given; {self.folder} has latents of {self.zdim}.")
        if not np.isfinite(z).all():
            raise HeteroError("A latent holds NaN or infinity; finite numbers were expected.")
        view = view or View()
        view.check(self.box, self.apix)
        return self._maps(z, view)

    def _maps(self, z: np.ndarray, view: View) -> Iterator[Volume]:
        digits = max(3, len(str(len(z) - 1)))
        box = min(view.box or self.box, self.box)
        for i, data in enumerate(self.decoder(z, box)):
            yield view.apply(data, self.apix * self.box / box, f"vol_{i:0{digits}d}")


def _frozen(values: np.ndarray, dtype: type) -> np.ndarray:
    """A read-only view; the caller's array stays writable."""
    frozen = np.asarray(values, dtype=dtype).view()
    frozen.flags.writeable = False
    return frozen
