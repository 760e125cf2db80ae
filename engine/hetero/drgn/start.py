"""Latents of an earlier run of the same particles, as a start."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.latent import LATENTS, read_latents

_UNKNOWN = -3.0  # log-variance where the run gives none: a fifth of a standard deviation of the prior


@dataclass(frozen=True, eq=False)
class Start:
    """Latents to start from, in the units of a VAE's prior.

    Attributes:
        mean, log_variance: ``(n, zdim)`` float32.
        known: how many of the zdim numbers come from the run; the others are zero.
    """

    mean: np.ndarray
    log_variance: np.ndarray
    known: int


def read_start(folder: Path | str, rows: np.ndarray, zdim: int) -> Start:
    """Latents of particles from the ``latents.npz`` of a run, in the units of a VAE's prior.

    They are centred, turned to their principal axes where they have more numbers than are wanted, filled up with zeros
    where they have fewer, and divided by the largest axis' s.d.: its spread is then the prior's.

    Args:
        folder: of the run, of any system of ours.
        rows: ``(n,)`` rows of the particle file that are wanted; the copies of a symmetric run's particles may be
            named, in its order.
        zdim: numbers in a latent.

    Raises:
        HeteroError: no latents, latents that are not numbers, or none of some of the particles.
    """
    path = Path(folder) / LATENTS
    found = read_latents(path)
    place = _places(found.particle_index, rows)
    missing = found.particle_index[place] != rows if len(found.particle_index) else np.ones(len(rows), dtype=bool)
    if missing.any():
        raise HeteroError(
            f"{path} holds no latents of {np.count_nonzero(missing):,} of the {len(rows):,} particles; row "
            f"{rows[np.argmax(missing)]} of the particle file is the first."
        )
    mean = found.mean[place].astype(float)
    if mean.ndim != 2 or not mean.shape[1]:
        raise HeteroError(f"{path} holds latents of shape {found.mean.shape}; at least one number each was expected.")
    if not np.isfinite(mean).all():
        raise HeteroError(f"{path} holds latents that are not numbers (NaN or infinite).")
    known = found.log_variance is not None
    variance = np.exp(found.log_variance[place].astype(float)) if known else np.full(mean.shape, np.nan)
    mean -= mean.mean(axis=0)
    if mean.shape[1] > zdim:
        axes = np.linalg.svd(mean, full_matrices=False)[2][:zdim]
        mean, variance = mean @ axes.T, variance @ (axes**2).T
    scale = mean.std(axis=0).max()
    if not scale > 0:
        raise HeteroError(f"The latents in {path} are the same for all particles; nothing can start from them.")
    filled = np.zeros((len(rows), zdim))
    log_variance = np.zeros((len(rows), zdim))
    filled[:, : mean.shape[1]] = mean / scale
    log_variance[:, : mean.shape[1]] = np.log(variance / scale**2 + 1e-6) if known else _UNKNOWN
    return Start(filled.astype(np.float32), log_variance.astype(np.float32), mean.shape[1])


def _places(index: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where each row stands in a run's index; somewhere else where it does not."""
    if np.array_equal(index, rows):  # also with copies of each
        return np.arange(len(rows))
    if not len(index):
        return np.zeros(len(rows), dtype=int)
    order = np.argsort(index, kind="stable")
    return order[np.minimum(np.searchsorted(index, rows, sorter=order), len(order) - 1)]
