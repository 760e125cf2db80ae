"""What the encoder is given: the gradient of each particle's loss over the neutral Gaussians, in the model's frame."""

import torch

from hetero.gmm.fused import make_projector
from hetero.gmm.images import ParticleSpectra
from hetero.gmm.scene import Cloud, losses_of_cloud
from hetero.progress import Progress, silent

_BATCH = 128


def gradient_features(
    data: ParticleSpectra,
    neutral: Cloud,
    moving: torch.Tensor,
    loss_of,
    scale: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    progress: Progress = silent,
) -> torch.Tensor:
    """Gradients over centres and masses at two resolutions: all rings, and the lower half of them.

    Each column has mean 0 and s.d. 1 over the particles, so that places and masses of strong and weak Gaussians count
    alike.

    Args:
        data: the particles.
        neutral: the model.
        moving: ``(m,)`` which Gaussians.
        loss_of: ``FRC`` or ``Likelihood``.
        scale: ``(p,)`` of the projections; see :meth:`ParticleSpectra.images`.
        weights: of the rings, ``(1 or n, rings)``; by signal if not given.

    Returns:
        ``(n, 8 m)`` float32. Memory: that.
    """
    weights = data.ring_weights() if weights is None else weights
    half = torch.arange(data.rings.count) < (data.rings.count + 1) // 2
    found = torch.empty(len(data), 8 * len(moving))
    projector, loss = make_projector(data.rings, len(neutral)), loss_of(data.rings)
    for start in range(0, len(data), _BATCH):
        items = torch.arange(start, min(start + _BATCH, len(data)))
        images = data.images(items, weights, scale)
        columns = []
        for bands in (torch.ones_like(half), half):
            here = images.weighted(images.weights * bands)
            columns += _gradients(projector, loss, neutral, moving, data, items, here)
        found[items] = torch.cat(columns, 1)
        progress(start, len(data), "gradients of the particles")
    found -= found.mean(0)
    return found.div_(found.std(0).clamp_min(1e-12))


def _gradients(projector, loss, neutral, moving, data, items, images) -> list[torch.Tensor]:
    centres = neutral.centres.expand(len(items), -1, -1).clone().requires_grad_()
    masses = neutral.masses.expand(len(items), -1).clone().requires_grad_()
    cloud = Cloud(centres, masses, neutral.sigmas)
    losses_of_cloud(projector, loss, cloud, data.rotations[items], data.shifts[items], images).sum().backward()
    return [centres.grad[:, moving].flatten(1), masses.grad[:, moving]]
