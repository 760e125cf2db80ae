"""Latent spaces: the noun Run, whichever system trained it."""

from hetero.latent.files import LATENTS, Latents, read_latents, write_latents
from hetero.latent.run import Decoder, Run
from hetero.latent.view import View

__all__ = ["LATENTS", "Decoder", "Latents", "Run", "View", "read_latents", "write_latents"]
