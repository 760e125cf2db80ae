"""How well a projection fits an image, with its gradient with respect to the projection worked out by hand.

Spectra are real pairs ``(b, 2, p)``: real and imaginary part of the pixels of :class:`hetero.gmm.rings.Rings`.
"""

from dataclasses import dataclass, replace

import torch

from hetero.gmm.rings import Rings


@dataclass(frozen=True, eq=False)
class Images:
    """What projections are compared with.

    Attributes:
        spectra: ``(b, 2, p)`` of the images.
        transfer: ``(b, p)`` or ``(1, p)`` that a projection is multiplied by (CTF, scale of each ring); None for 1.
        weights: ``(b, rings)`` or ``(1, rings)``.
    """

    spectra: torch.Tensor
    transfer: torch.Tensor | None
    weights: torch.Tensor

    def __len__(self) -> int:
        return len(self.spectra)

    def __getitem__(self, part) -> "Images":
        def of(values):
            return values if values is None or len(values) == 1 else values[part]

        return Images(self.spectra[part], of(self.transfer), of(self.weights))

    def weighted(self, weights: torch.Tensor) -> "Images":
        """The same images with other weights."""
        return replace(self, weights=weights)


class FRC:
    """Minus the mean Fourier ring correlation, weighted: ``-sum_r w_r FRC_r / sum_r w_r`` of each image."""

    def __init__(self, rings: Rings):
        self.rings = rings

    def __call__(self, projections: torch.Tensor, images: Images) -> tuple[torch.Tensor, torch.Tensor]:
        """``(b,)`` losses and ``(b, 2, p)`` gradients with respect to ``projections``."""
        members = self.rings.members(projections.device, projections.dtype)
        seen = projections if images.transfer is None else projections * images.transfer[:, None]
        cross, power, data = correlate(seen, images.spectra, members)
        weights = images.weights / images.weights.sum(1, keepdim=True)
        norm = torch.rsqrt(power * data)
        loss = -(weights * cross * norm).sum(1)
        # d FRC / dP = (I - P cross / power) / sqrt(power data), and each ring's factors go back to its pixels
        toward = (weights * norm) @ members.T
        away = (weights * norm * cross / power) @ members.T
        gradient = seen * away[:, None] - images.spectra * toward[:, None]
        return loss, gradient if images.transfer is None else gradient * images.transfer[:, None]


class Likelihood:
    """Half the squared distance between image and projection, both whitened, over the pixels: Gaussian noise's."""

    def __init__(self, rings: Rings):
        self.rings = rings

    def __call__(self, projections: torch.Tensor, images: Images) -> tuple[torch.Tensor, torch.Tensor]:
        """``(b,)`` losses and ``(b, 2, p)`` gradients with respect to ``projections``."""
        weights = images.weights @ self.rings.members(projections.device, projections.dtype).T
        difference = projections if images.transfer is None else projections * images.transfer[:, None]
        difference = difference - images.spectra
        gradient = difference * weights[:, None]
        loss = 0.5 * (difference * gradient).sum((1, 2))
        return loss, gradient if images.transfer is None else gradient * images.transfer[:, None]


def correlate(projections: torch.Tensor, images: torch.Tensor, members: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Ring sums ``(b, rings)`` of ``P.I``, ``P.P`` and ``I.I``; powers are never zero."""
    tiny = torch.finfo(projections.dtype).tiny ** 0.5
    cross = (projections * images).sum(1) @ members
    power = (projections * projections).sum(1) @ members
    data = (images * images).sum(1) @ members
    return cross, power.clamp_min(tiny), data.clamp_min(tiny)


def frc(projections: torch.Tensor, images: torch.Tensor, rings: Rings) -> torch.Tensor:
    """``(b, rings)`` Fourier ring correlations of ``(b, 2, p)``."""
    cross, power, data = correlate(projections, images, rings.members(projections.device, projections.dtype))
    return cross * torch.rsqrt(power * data)
