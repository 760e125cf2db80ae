"""Projection, comparison and gradient in one step: only the loss and the Gaussians' own gradients are ever kept."""

import torch

from hetero.gmm.exact import ExactProjector
from hetero.gmm.losses import Images
from hetero.gmm.rings import Rings
from hetero.threads import in_slices


def losses_of_gaussians(
    projector, loss, xy: torch.Tensor, masses: torch.Tensor, sigmas: torch.Tensor, images: Images
) -> torch.Tensor:
    """``(b,)`` losses of images; differentiable once with respect to Gaussians.

    Args:
        projector: an :class:`hetero.gmm.exact.ExactProjector` or :class:`hetero.gmm.spread.SpreadProjector`.
        loss: :class:`hetero.gmm.losses.FRC` or ``Likelihood``.
        xy: ``(b, g, 2)`` Å from the image's middle.
        masses: ``(b, g)``.
        sigmas: ``(b, g)``, ``(g,)`` or ``()``, Å.
        images: b of them.

    Memory: four numbers a Gaussian and image, and what the projector needs for the few images in hand, in each
    thread.
    """
    return _Fused.apply(projector, loss, images, xy, masses, sigmas)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, projector, loss, images, xy, masses, sigmas):
        losses = xy.new_empty(len(xy))
        wanted = ctx.needs_input_grad[3:]
        found = (torch.empty_like(xy), torch.empty_like(masses), torch.empty_like(masses) if wanted[2] else None)

        def project(part: slice) -> None:
            widths = sigmas[part] if sigmas.ndim == 2 else sigmas
            projections, kept = projector.project(xy[part], masses[part], widths, wanted[2])
            losses[part], gradient = loss(projections, images[part])
            if any(wanted):
                for whole, piece in zip(found, projector.adjoint(kept, gradient), strict=True):
                    if whole is not None:
                        whole[part] = piece

        in_slices(project, len(xy), projector.images_at_once, xy.device)
        ctx.found, ctx.width_shape = found, sigmas.shape
        return losses

    @staticmethod
    def backward(ctx, above):
        xy, mass, width = ctx.found
        if width is not None:
            width = width * above[:, None]
            width = width if len(ctx.width_shape) == 2 else width.sum(0) if ctx.width_shape else width.sum()
        return None, None, None, xy * above[:, None, None], mass * above[:, None], width


def make_projector(rings: Rings, gaussians: int, device: str = "cpu"):
    """The faster projector for so many Gaussians on this device: products where tables are small or there is a GPU,
    else spreading (1 in 1,000 of a projection's length wrong)."""
    if device == "cpu" and gaussians * rings.last > _WORTH_SPREADING:
        from hetero.gmm.spread import SpreadProjector

        return SpreadProjector(rings)
    return ExactProjector(rings)


_WORTH_SPREADING = 2000  # Gaussians x rings; measured by benchmarks/gmm_projector.py
