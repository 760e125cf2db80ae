"""Gaussians in tensors, and what a particle sees of them."""

from dataclasses import dataclass

import numpy as np
import torch

from hetero.gmm.fused import losses_of_gaussians
from hetero.gmm.losses import Images
from hetero.gmm.model import GaussianModel
from hetero.threads import in_slices


@dataclass(frozen=True, eq=False)
class Cloud:
    """Gaussians of one or several particles, around the point that particles turn about.

    Attributes:
        centres: ``(g, 3)`` or ``(b, g, 3)`` Å along x, y, z.
        masses: ``(g,)`` or ``(b, g)``.
        sigmas: ``()``, ``(g,)`` or ``(b, g)`` Å.
    """

    centres: torch.Tensor
    masses: torch.Tensor
    sigmas: torch.Tensor

    def __len__(self) -> int:
        return self.masses.shape[-1]


def cloud_of(model: GaussianModel) -> Cloud:
    """A model's Gaussians in float32; one width where all are alike."""
    centres = (model.centres - model.middle)[:, ::-1].copy()
    sigmas = model.sigmas if np.ptp(model.sigmas) > 1e-6 * model.sigmas.max() else model.sigmas[0]
    return Cloud(*(torch.tensor(t, dtype=torch.float32) for t in (centres, model.masses, sigmas)))


def model_of(cloud: Cloud, like: GaussianModel) -> GaussianModel:
    """The noun, in the map of another model."""
    centres = cloud.centres.detach().double().cpu().numpy()[:, ::-1] + like.middle
    sigmas = np.broadcast_to(cloud.sigmas.detach().double().cpu().numpy(), (len(centres),))
    unit = GaussianModel(centres, 1.0, sigmas, like.box, like.apix, like.origin, like.name)
    return unit.with_masses(cloud.masses.detach().double().cpu().numpy())


def seen_from(cloud: Cloud, rotations: torch.Tensor, shifts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Places ``(b, g, 2)`` Å in the images of particles, and masses ``(b, g)``."""
    xy = cloud.centres @ rotations[:, :2].transpose(1, 2) + shifts[:, None]
    return xy, cloud.masses.expand(len(rotations), -1)


def losses_of_cloud(
    projector, loss, cloud: Cloud, rotations: torch.Tensor, shifts: torch.Tensor, images: Images
) -> torch.Tensor:
    """``(b,)`` losses of particles, differentiable with respect to the cloud."""
    xy, masses = seen_from(cloud, rotations, shifts)
    return losses_of_gaussians(projector, loss, xy, masses, cloud.sigmas, images)


@torch.no_grad()
def project_cloud(projector, cloud: Cloud, rotations: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """``(b, 2, p)`` projections, without gradient."""
    xy, masses = seen_from(cloud, rotations, shifts)
    found = xy.new_empty(len(xy), 2, len(projector.rings.pixels))

    def project(part: slice) -> None:
        sigmas = cloud.sigmas[part] if cloud.sigmas.ndim == 2 else cloud.sigmas
        found[part] = projector.project(xy[part], masses[part], sigmas, False)[0]

    in_slices(project, len(xy), projector.images_at_once, xy.device)
    return found
