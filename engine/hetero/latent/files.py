"""A run of ours on disk, apart from its weights: ``config.json``, and arrays alone in ``latents.npz``."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import hetero
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.foreign import read_npz

CONFIG = "config.json"
LATENTS = "latents.npz"
FORMAT = "hetero run 1"


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
    with atomic_path(path, keep=True) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_latents(path: Path | str) -> Latents:
    """Read ``latents.npz``; pickled objects in it are refused.

    Raises:
        HeteroError: not there, not such a file, or without ``z_mean`` or ``particle_index``.
    """
    path = Path(path)
    found = read_npz(path, ("z_mean", "z_logvar", "particle_index"), "a run's file of latents (.npz)")
    missing = {"z_mean", "particle_index"} - set(found)
    if missing:
        raise HeteroError(f"{path} holds no {' and no '.join(sorted(missing))}; a run's latents were expected.")
    for name, values in found.items():
        if values.dtype.kind not in ("iu" if name == "particle_index" else "f"):
            raise HeteroError(f"{path} holds {name} as {values.dtype}; numbers were expected.")
    return Latents(found["z_mean"], found["particle_index"], found.get("z_logvar"))


@dataclass(frozen=True)
class RunConfig:
    """``config.json``: what rebuilds a run, besides its weights and latents.

    Attributes:
        system: whose reader opens it, e.g. ``"drgn"``.
        box: voxels along each side of its maps.
        apix: Å per voxel.
        settings: everything it was trained with, plain JSON.
        versions: of Hetero and its libraries.
    """

    system: str
    box: int
    apix: float
    settings: dict[str, Any]
    versions: dict[str, str] = field(default_factory=lambda: {"hetero": hetero.__version__, "numpy": np.__version__})


def write_config(path: Path | str, config: RunConfig) -> None:
    """Write ``config.json``; whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT} | asdict(config), indent=1, default=str) + "\n")


def read_config(folder: Path | str) -> RunConfig | None:
    """The ``config.json`` of a run of ours; None where the folder has none, or one of something else.

    Raises:
        HeteroError: it is a run's, and damaged.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise HeteroError(f"{path} cannot be read as JSON.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        return None
    kinds = {"system": str, "box": int, "apix": (int, float), "settings": dict, "versions": dict}
    for name, kind in kinds.items():
        if not isinstance(values.get(name), kind) or isinstance(values[name], bool):
            raise HeteroError(f"{path} gives {name} as {str(values.get(name))[:40]!r}; the file is damaged.")
    if values["box"] < 2 or not 0 < values["apix"] < 1e6:
        raise HeteroError(f"{path} gives a box of {values['box']} voxels of {values['apix']:g} Å; the file is damaged.")
    return RunConfig(**{name: values[name] for name in kinds})
