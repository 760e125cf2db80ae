"""The plain form of what the fast paths compute: every Gaussian on every pixel, one ring after the other."""

import math

import numpy as np
import torch

from hetero.gmm.rings import Rings


def project_directly(xy: torch.Tensor, masses: torch.Tensor, sigmas: torch.Tensor, rings: Rings) -> torch.Tensor:
    """Fourier transforms of images of Gaussians.

    ``P(k) = sum_j m_j exp(-2 pi^2 s_j^2 |k|^2) exp(-2 pi i k.x_j)``, k in 1/Å.

    Args:
        xy: ``(b, g, 2)`` Å from the image's middle.
        masses: ``(b, g)`` integrals.
        sigmas: ``(b, g)``, ``(g,)`` or one, Å.
        rings: which pixels.

    Returns:
        ``(b, p)`` complex. Memory: several times ``b g p`` complex numbers.
    """
    k = torch.as_tensor(rings.pixels / rings.extent, dtype=xy.dtype, device=xy.device)  # (p, 2)
    phase = -2 * math.pi * xy @ k.T  # (b, g, p)
    fall = torch.exp(-2 * math.pi**2 * torch.as_tensor(sigmas)[..., None] ** 2 * (k**2).sum(1))
    return (masses[..., None] * fall * torch.exp(1j * phase)).sum(1)


def frc_directly(projections: torch.Tensor, images: torch.Tensor, rings: Rings) -> torch.Tensor:
    """Fourier ring correlation (Chen & Ludtke 2021, eq. 3) of complex ``(b, p)``: ``(b, rings)``."""
    found = []
    for r in range(rings.count):
        mine = torch.as_tensor(np.flatnonzero(rings.ring == r), device=projections.device)
        p, i = projections[:, mine], images[:, mine]
        cross = (p * i.conj()).real.sum(1)
        found.append(cross / torch.sqrt((p.abs() ** 2).sum(1) * (i.abs() ** 2).sum(1)))
    return torch.stack(found, 1)
