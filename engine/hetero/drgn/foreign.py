"""A run that cryoDRGN itself trained, opened as a :class:`hetero.latent.Run`."""

from pathlib import Path

import numpy as np

from hetero.drgn.foreign_files import (
    ForeignConfig,
    find_named,
    numbered_weights,
    read_config,
    read_latents,
)
from hetero.drgn.foreign_weights import load_checkpoint, network_of
from hetero.drgn.volumes import VolumeDecoder
from hetero.errors import HeteroError
from hetero.latent import Run
from hetero.particles import read_indices
from hetero.particles.cryodrgn import read_ctf


def open_cryodrgn(folder: Path | str, epoch: int | None = None, apix: float | None = None) -> Run:
    """Open a folder of ``config.yaml``, ``weights.N.pkl`` and ``z.N.pkl`` of any cryoDRGN since 0.3.

    Args:
        folder: cryoDRGN's output.
        epoch: N of the file names (old runs count from 0, new ones from 1); the newest where not given.
        apix: Å per voxel; where not given, from the ``ctf.pkl`` that the run was trained with, if it is still there.

    Raises:
        HeteroError: a file that is missing, damaged or hostile, weights or latents that do not fit the configuration,
            or an epoch that is not there.
    """
    folder = Path(folder)
    config = read_config(folder)
    weights = _weights(folder, epoch)
    checkpoint = load_checkpoint(weights)
    network = network_of(checkpoint, config.shape, weights)
    zdim = config.shape.zdim
    mean, log_variance = np.zeros((0, 0)), None
    if zdim:
        mean, log_variance = read_latents(weights.with_name("z" + weights.name.removeprefix("weights")), zdim)
    index, notes = _particle_index(folder, config, len(mean))
    if apix is None:
        apix, more = _pixel_size(folder, config)
        notes += more
    return Run(
        folder=folder,
        system="cryodrgn",
        settings=config.settings,
        latents=mean,
        particle_index=index,
        apix=apix,
        box=config.shape.box,
        decoder=VolumeDecoder(network, config.sd, config.mean),
        log_variance=log_variance,
        epoch=_number(weights, checkpoint),
        notes=notes,
    )


def _weights(folder: Path, epoch: int | None) -> Path:
    numbered, final = numbered_weights(folder), folder / "weights.pkl"
    if epoch is not None:
        if epoch in numbered:
            return numbered[epoch]
        if final.is_file() and load_checkpoint(final).get("epoch") == epoch:
            return final
        there = ", ".join(str(n) for n in sorted(numbered)) or "the final one"
        raise HeteroError(f"{folder} has no weights of epoch {epoch}; there is {there}.")
    if not numbered and not final.is_file():
        raise HeteroError(f"{folder} holds no weights.pkl or weights.N.pkl; the folder of a cryoDRGN run was expected.")
    newest = max(numbered, default=-1)
    # A run that was continued leaves its old weights.pkl until it ends.
    if not numbered or (final.is_file() and (load_checkpoint(final).get("epoch") or 0) >= newest):
        return final
    return numbered[newest]


def _number(weights: Path, checkpoint: dict) -> int | None:
    parts = weights.name.split(".")
    recorded = checkpoint.get("epoch")
    return int(parts[1]) if len(parts) == 3 else recorded if isinstance(recorded, int) else None


def _particle_index(folder: Path, config: ForeignConfig, n: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows of the particle file: the order of the latents, unless the run was given a selection (``--ind``)."""
    if config.ind is None or not n:
        return np.arange(n), ()
    path = find_named(folder, config.ind)
    if path is None:
        note = f"the run was trained on the particles of {config.ind}, which is not there; they are counted from 0."
        return np.arange(n), (note,)
    index = read_indices(path, np.iinfo(np.int64).max)
    if len(index) != n:
        note = f"{path} names {len(index):,} particles and the run has {n:,}; they are counted from 0."
        return np.arange(n), (note,)
    return index, ()


def _pixel_size(folder: Path, config: ForeignConfig) -> tuple[float, tuple[str, ...]]:
    path = None if config.ctf is None else find_named(folder, config.ctf)
    if path is not None:
        _, extent = read_ctf(path)
        return float(extent[0] / config.shape.box), ()
    why = "it was trained without CTF" if config.ctf is None else f"{config.ctf} is not there"
    return 1.0, (f"the run does not say its voxel size ({why}); 1 Å is assumed.",)
