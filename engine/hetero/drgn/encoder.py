"""The encoder of cryoDRGN: an image to where it lies in latent space, and how surely."""

import torch
from torch import nn


class ImageEncoder(nn.Module):
    """``q(z | image)``: ``Linear, relu, [x + Linear(x), relu] x layers, Linear`` on an image's Hartley values.

    Args:
        pixels: of the half disc that it sees; it takes two values for each.
        zdim: numbers in a latent.
        width: units of a layer.
        layers: residual layers.
        silent: begin with an answer of zero to every image: what is to be added to latents that are known.
    """

    def __init__(self, pixels: int, zdim: int, width: int, layers: int, silent: bool = False):
        super().__init__()
        self.pixels = pixels
        self.first = nn.Linear(2 * pixels, width)
        self.residual = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.last = nn.Linear(width, 2 * zdim)
        if silent:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            images: ``(b, p, 2)`` real and imaginary parts, phases made right by the CTF's sign; p at least ``pixels``.

        Returns:
            mean and log-variance ``(b, zdim)``.
        """
        re, im = images[:, : self.pixels].unbind(-1)
        x = torch.relu(self.first(torch.cat([re - im, re + im], dim=1)))  # a pixel's Hartley value, its opposite's
        for layer in self.residual:
            x = torch.relu(x + layer(x))
        mean, log_variance = self.last(x).to(images.dtype).chunk(2, dim=1)
        return mean, log_variance


class LatentTable(nn.Module):
    """Latents as parameters, a row a particle: the auto-decoder. Only rows of a batch get a gradient (sparse).

    Args:
        mean, log_variance: ``(n, zdim)`` to begin with.
    """

    def __init__(self, mean: torch.Tensor, log_variance: torch.Tensor):
        super().__init__()
        rows = torch.cat([mean, log_variance], dim=1).float()
        self.rows = nn.Embedding.from_pretrained(rows, freeze=False, sparse=True)

    def forward(self, particles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance ``(b, zdim)`` of particles ``(b,)``."""
        mean, log_variance = self.rows(particles).chunk(2, dim=1)
        return mean, log_variance
