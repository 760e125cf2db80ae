"""The latents of a run on disk: ``latents.npz``, arrays only."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.files import atomic_path

LATENTS = "latents.npz"


@dataclass(frozen=True, eq=False)
class Latents:
    """Where the particles of a run lie in its latent space.

    Attributes:
        mean: ``(n, zdim)``.
        particle_index: ``(n,)`` rows of the particle file, counted from 0.
        log_variance: ``(n, zdim)`` of the posteriors; None where there is none.
    """

    mean: np.ndarray
    particle_index: np.ndarray
    log_variance: np.ndarray | None = None


def write_latents(path: Path | str, latents: Latents) -> None:
    """Write ``z_mean``, ``particle_index`` and, where known, ``z_logvar``; whole or not at all."""
    arrays = {
        "z_mean": np.asarray(latents.mean, dtype=np.float32),
        "particle_index": np.asarray(latents.particle_index, dtype=np.int64),
    }
    if latents.log_variance is not None:
        arrays["z_logvar"] = np.asarray(latents.log_variance, dtype=np.float32)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_latents(path: Path | str) -> Latents:
    """Read ``latents.npz``; pickled objects in it are refused.

    Raises:
        HeteroError: not there, not such a file, or without ``z_mean`` or ``particle_index``.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("z_mean", "z_logvar", "particle_index") if name in arrays}
    except FileNotFoundError:
        raise HeteroError(f"{path} is not there; the latents of a run were expected.") from None
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise HeteroError(f"{path} cannot be read as a file of latents (.npz).") from error
    missing = {"z_mean", "particle_index"} - set(found)
    if missing:
        raise HeteroError(f"{path} holds no {' and no '.join(sorted(missing))}; a run's latents were expected.")
    for name, values in found.items():
        if values.dtype.kind not in ("iu" if name == "particle_index" else "f"):
            raise HeteroError(f"{path} holds {name} as {values.dtype}; numbers were expected.")
    return Latents(found["z_mean"], found["particle_index"], found.get("z_logvar"))
