"""What a model explains of the images, ring by ring: its scale, and what is left."""

from dataclasses import dataclass

import torch

from hetero.gmm.images import ParticleSpectra
from hetero.gmm.losses import correlate
from hetero.threads import in_slices

_BATCH = 256


@dataclass(frozen=True, eq=False)
class Calibration:
    """One scale and one variance for each ring, the same for all particles.

    Attributes:
        scale: ``(rings,)`` that projections are multiplied by; 0 where they do not agree with the images at all.
        variance: ``(rings,)`` of what is left of the images, in units of their noise.
    """

    scale: torch.Tensor
    variance: torch.Tensor


@torch.no_grad()
def calibrate(data: ParticleSpectra, project) -> Calibration:
    """Least squares over all particles.

    Args:
        data: the particles.
        project: ``project(items) -> (b, 2, p)``, projections without CTF.
    """
    members = data.rings.members()
    sums = torch.empty(-(-len(data) // _BATCH), 3, data.rings.count, dtype=torch.float64)

    def add(part: slice) -> None:
        items = torch.arange(part.start, part.stop)
        seen = project(items)
        if data.ctf is not None:
            seen = seen * data.ctf[items][:, None]
        found = correlate(seen, data.spectra[items], members)
        sums[part.start // _BATCH] = torch.stack([each.double().sum(0) for each in found])

    in_slices(add, len(data), _BATCH, data.spectra.device)
    cross, power, whole = sums.sum(0)
    scale = (cross / power).clamp_min(0)
    left = whole - scale * cross
    return Calibration(scale.float(), (left / (2 * len(data) * torch.as_tensor(data.rings.sizes))).float())
