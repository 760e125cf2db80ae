"""A moving model with its loss: what the training loop teaches."""

import math

import torch
from torch import nn

from hetero.gmm.calibration import Calibration, calibrate
from hetero.gmm.fused import make_projector
from hetero.gmm.images import ParticleSpectra
from hetero.gmm.losses import FRC, Images, Likelihood
from hetero.gmm.networks import DynamicModel
from hetero.gmm.presets import Preset
from hetero.gmm.rings import Rings
from hetero.gmm.scene import losses_of_cloud, project_cloud

_TURN, _SHIFT = math.radians(2), 1.0  # s.d. of poses' errors to begin with, radians and pixels


class DynamicLoss(nn.Module):
    """Loss of a batch of particles.

    Buffers ``scale`` and ``variance`` ``(rings,)`` are those of :mod:`hetero.gmm.calibration`; ``calibrated`` is the
    epoch that they are of. ``targets`` ``(n, zdim)`` are latents that were laid out, ``laid_out`` times by now: the
    decoder learns from them, and the encoder to find them. ``poses`` ``(n, 5)`` are turns and shifts on top of those
    that were given (:func:`hetero.gmm.images.moved_poses`), ``pose_sd`` their s.d. (radians, Å).

    Args:
        model: the networks.
        rings: which pixels are compared.
        preset: the loss and its regularisers.
        zdim: numbers of a latent that is laid out.
        n: particles.
    """

    def __init__(self, model: DynamicModel, rings: Rings, preset: Preset, zdim: int, n: int):
        super().__init__()
        self.model, self.rings, self.preset = model, rings, preset
        self.register_buffer("scale", torch.ones(rings.count))
        self.register_buffer("variance", torch.ones(rings.count))
        self.register_buffer("calibrated", torch.tensor(-1))
        self.register_buffer("targets", torch.zeros(n, zdim))
        self.register_buffer("laid_out", torch.tensor(0))
        self.register_buffer("poses", torch.zeros(n, 5))
        self.register_buffer("pose_sd", torch.tensor([_TURN, _SHIFT * rings.apix]))
        self._projector = make_projector(rings, len(model.neutral), str(model.centres.device.type))
        self._loss = Likelihood(rings) if preset.loss == "likelihood" else FRC(rings)
        self._ring = torch.from_numpy(rings.ring)

    @property
    def ring_scale(self) -> torch.Tensor:
        """``(p,)`` the scale of each pixel's ring."""
        return self.scale[self._ring.to(self.scale.device)]

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """``loss``, a mean over the batch: the likelihood's is 1 a pixel where only noise is left.

        Args:
            batch: ``features``, ``rotations``, ``shifts``, ``spectra``, ``weights`` (of the rings), ``ctf`` where there
                is one, ``items``, and ``noise`` ``(b, zdim)`` while learning.
        """
        z, off = self.model.encoder(batch["features"]), 0.0
        if self.training and self.laid_out:
            target = self.targets[batch["items"]]
            z, off = target, ((z - target) ** 2).mean()
        if "noise" in batch:
            z = z + (self.preset.steady if self.laid_out else self.preset.noise) * batch["noise"]
        cloud = self.model.decode(z)
        losses = losses_of_cloud(
            self._projector, self._loss, cloud, batch["rotations"], batch["shifts"], self._images(batch)
        )
        fit = losses.mean()
        if self.preset.loss == "likelihood":
            fit = fit / len(self.rings.ring)
        if not self.preset.even:
            return {"loss": fit + off, "fit": fit}
        uneven = (cloud.masses / cloud.masses.mean()).std() + (cloud.sigmas / cloud.sigmas.mean()).std(correction=0)
        return {"loss": fit + self.preset.even * uneven * 0.1 + off, "fit": fit}

    def _images(self, batch: dict[str, torch.Tensor]) -> Images:
        ctf = batch.get("ctf")
        if self.preset.loss == "frc":
            return Images(batch["spectra"], ctf, batch["weights"])
        scale = self.ring_scale[None]
        return Images(batch["spectra"], scale if ctf is None else ctf * scale, 1 / self.variance[None])

    @torch.no_grad()
    def calibration(self, data: ParticleSpectra, z: torch.Tensor | None) -> Calibration:
        """The scale and the variance of each ring; of the neutral model where no latents are given."""

        def project(items: torch.Tensor) -> torch.Tensor:
            cloud = self.model.neutral if z is None else self.model.decode(z[items])
            return project_cloud(self._projector, cloud, data.rotations[items], data.shifts[items])

        return calibrate(data, project)

    def calibrate(self, data: ParticleSpectra, z: torch.Tensor | None) -> None:
        """Take those for what follows."""
        found = self.calibration(data, z)
        self.scale.copy_(found.scale)
        self.variance.copy_(found.variance)
