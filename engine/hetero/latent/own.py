"""Runs of ours, whichever system trained them: what their folders have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hetero.checkpoints import CHECKPOINT, newest_whole
from hetero.errors import HeteroError
from hetero.latent.files import LATENTS, read_config, read_latents
from hetero.latent.run import Decoder, Run


@dataclass(frozen=True)
class Weights:
    """What a ``checkpoint.pt`` gives.

    Attributes:
        decoder: maps from latents.
        box: voxels along each side of its maps.
        zdim: numbers in a latent.
        epoch: how far it was trained; None where the system does not count.
    """

    decoder: Decoder
    box: int
    zdim: int
    epoch: int | None = None


def open_own(folder: Path | str, load: Callable[[Path], Weights]) -> Run:
    """Open a run of ours: ``config.json``, ``checkpoint.pt`` and ``latents.npz``. Nothing in its files is run.

    Args:
        folder: of the run.
        load: the system's reader of ``checkpoint.pt``.

    Warns:
        MapWarning: the checkpoint is damaged, and the one before was opened.

    Raises:
        HeteroError: a file that is missing or damaged, or files that do not belong together.
    """
    folder = Path(folder)
    config = read_config(folder)
    if config is None:
        raise HeteroError(f"{folder} holds no config.json of a run.")
    path = folder / CHECKPOINT
    weights = newest_whole(path, load) or load(path)
    latents = read_latents(folder / LATENTS)
    if weights.box != config.box or latents.mean.ndim != 2 or latents.mean.shape[1] != weights.zdim:
        raise HeteroError(
            f"The weights in {folder / CHECKPOINT} do not fit the run: a box of {weights.box} and latents of "
            f"{weights.zdim} numbers, where config.json has a box of {config.box} and {LATENTS} has latents of "
            f"shape {latents.mean.shape}."
        )
    return Run(
        folder=folder,
        system=config.system,
        settings=config.settings,
        latents=latents.mean,
        particle_index=latents.particle_index,
        apix=config.apix,
        box=config.box,
        decoder=weights.decoder,
        log_variance=latents.log_variance,
        epoch=weights.epoch,
    )
