"""Latent spaces: the noun Run, whichever system trained it."""

from hetero.checkpoints import CHECKPOINT, read_checkpoint
from hetero.latent.files import (
    CONFIG,
    LATENTS,
    Latents,
    RunConfig,
    read_config,
    read_latents,
    write_config,
    write_latents,
)
from hetero.latent.own import Weights, open_own
from hetero.latent.points import point_table, read_points
from hetero.latent.run import Decoder, Run
from hetero.latent.view import View

__all__ = [
    "CHECKPOINT", "CONFIG", "LATENTS", "Decoder", "Latents", "Run", "RunConfig", "View", "Weights", "open_own",
    "point_table", "read_checkpoint", "read_config", "read_latents", "read_points", "write_config", "write_latents",
]  # fmt: skip
