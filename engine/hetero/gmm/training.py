"""What the training loop asks of moving Gaussians: batches, rates, checkpoints, and the latents of all particles."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hetero.files import atomic_path
from hetero.gmm.dynamic import DynamicLoss
from hetero.gmm.features import gradient_features
from hetero.gmm.files import load_checkpoint, save_checkpoint
from hetero.gmm.images import ParticleSpectra
from hetero.gmm.layout import laid_out
from hetero.gmm.losses import FRC, Likelihood
from hetero.gmm.model import GaussianModel
from hetero.gmm.networks import DynamicModel, NetworkShape, Varying
from hetero.gmm.posterior import Posterior, refine_latents
from hetero.gmm.presets import Preset
from hetero.gmm.scene import cloud_of
from hetero.latent import CHECKPOINT, LATENTS, Latents, write_latents
from hetero.progress import Progress, silent
from hetero.training.plan import Plan

_AT_ONCE = 1024
_WARM = 0.3  # of the steps, in which the rate rises
DETECTABILITY = "detectability.csv"


@dataclass(frozen=True)
class Wanted:
    """What is built, besides the preset.

    Attributes:
        zdim: numbers in a latent.
        vary: what of the Gaussians.
        moving: ``(g,)`` booleans: which of them.
        held_out: share of the particles that are only judged by.
    """

    zdim: int
    vary: tuple[Varying, ...]
    moving: np.ndarray
    held_out: float


class GmmTask:
    """A :class:`hetero.training.task.Task`; on the CPU.

    Args:
        folder: where checkpoint and latents go.
        data: what is learned from.
        rows: ``(n,)`` of the particles in their file.
        neutral: the model that moves.
        wanted: what is built.
        preset: and how.
        plan: of the training.
        progress: of the work before the first step.
    """

    @property
    def in_last_stage(self) -> bool:
        """Whether losses can be compared from now on."""
        return bool(self.model.laid_out) or not self.preset.laid_out

    def __init__(
        self, folder: Path, data: ParticleSpectra, rows: np.ndarray, neutral: GaussianModel, wanted: Wanted,
        preset: Preset, plan: Plan, progress: Progress = silent,
    ):  # fmt: skip
        self.folder, self.data, self.rows, self.frame, self.preset = folder, data, rows, neutral, preset
        self.noise, self.plan = wanted.zdim, plan
        self.weights = data.ring_weights() if preset.weights == "signal" else torch.ones(1, data.rings.count)
        self.model = self._build(neutral, wanted, plan.seed)
        self.features = self._features(progress)
        self.optimisers = [self._optimiser()]
        order = np.random.default_rng([plan.seed, 1]).permutation(len(data))
        away = round(wanted.held_out * len(data))
        self.held_out, self.items = np.sort(order[:away]), np.sort(order[away:])

    def _build(self, neutral: GaussianModel, wanted: Wanted, seed: int) -> DynamicLoss:
        preset, moving = self.preset, torch.from_numpy(wanted.moving)
        self._moving = moving
        shape = NetworkShape(
            wanted.zdim, preset.width, preset.layers, preset.dropout, preset.batch_norm, 8 * int(moving.sum()),
            preset.reach * neutral.box * neutral.apix,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = DynamicModel(shape, cloud_of(neutral), moving, wanted.vary)
        return DynamicLoss(network, self.data.rings, preset, len(self.data))

    def _features(self, progress: Progress) -> torch.Tensor:
        """The neutral model's own calibration weighs the encoder's gradients, whatever comes later."""
        loss, network = self.model, self.model.model
        if self.preset.loss == "frc":
            kind, scale, weights = FRC, None, self.weights
        else:
            loss.calibrate(self.data, None)
            loss.calibrated.fill_(0)
            kind, scale, weights = Likelihood, loss.ring_scale, 1 / loss.variance[None]
        return gradient_features(self.data, network.neutral, network.moving, kind, scale, weights, progress)

    def _optimiser(self) -> torch.optim.Optimizer:
        preset = self.preset
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=preset.rate, weight_decay=preset.decay, foreach=True)
        optimiser.param_groups[0]["taken"] = 0
        optimiser.register_step_pre_hook(self._set_rate)
        return optimiser

    def _set_rate(self, optimiser, arguments, keywords) -> None:
        """One cycle a stage: up to the preset's rate and down again, in cosines; counted in the checkpoint."""
        group, second = optimiser.param_groups[0], bool(self.model.laid_out)
        epochs = self.plan.epochs - self._first_stage if second else self._first_stage
        steps = epochs * -(-len(self.items) // self.plan.batch)
        share = min(1.0, group["taken"] / max(1, steps - 1))
        group["taken"] += 1
        if self.preset.one_cycle:
            phase = share / _WARM if share < _WARM else (1 - share) / (1 - _WARM)
            low = 0.04 if share < _WARM else 4e-6
            group["lr"] = self.preset.rate * (low + (1 - low) * 0.5 * (1 - math.cos(math.pi * phase)))

    @property
    def _first_stage(self) -> int:
        """Epochs before latents are laid out."""
        epochs, share = self.plan.epochs, self.preset.laid_out
        return max(1, epochs - max(1, round(share * epochs))) if share and epochs > 1 else epochs

    def _lay_out(self) -> None:
        """New coordinates for all particles, and networks that start anew with them."""
        loss, network = self.model, self.model.model
        loss.eval()
        z = self.encoded()
        loss.calibrate(self.data, z)
        z = refine_latents(loss, self.data, z, self.preset.refine).mean
        loss.targets.copy_(laid_out(network, z, self.data.rings.extent, self.plan.seed))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.plan.seed + 1)
            fresh = DynamicModel(network.shape, network.neutral, self._moving, network.vary)
        network.load_state_dict(fresh.state_dict())
        for optimiser in self.optimisers:
            optimiser.state.clear()
            optimiser.param_groups[0]["taken"] = 0
        loss.laid_out.fill_(True)

    def begin_epoch(self, epoch: int) -> str:
        """The scale and the variance of each ring, from the model as it now is; once an epoch, also where resumed."""
        loss, second = self.model, epoch > self._first_stage
        starts = second and not loss.laid_out
        if starts:
            self._lay_out()
        elif self.preset.loss == "likelihood" and epoch > 1 and int(loss.calibrated) != epoch:
            loss.calibrate(self.data, self.encoded())
        loss.calibrated.fill_(epoch)
        return "laid out" if second else "free"

    def load(self, items: np.ndarray, noise: np.ndarray | None, seed: int) -> dict[str, torch.Tensor]:
        """A batch: :class:`hetero.gmm.dynamic.DynamicLoss` says what is in it."""
        del seed
        chosen, data = torch.from_numpy(items), self.data
        batch = {
            "items": chosen,
            "features": self.features[chosen],
            "rotations": data.rotations[chosen],
            "shifts": data.shifts[chosen],
            "spectra": data.spectra[chosen],
            "weights": self.weights if len(self.weights) == 1 else self.weights[chosen],
        }
        if data.ctf is not None:
            batch["ctf"] = data.ctf[chosen]
        if noise is not None:
            batch["noise"] = torch.from_numpy(noise)
        return batch

    def keep(self, state: dict[str, Any]) -> None:
        """``checkpoint.pt``: the moving model as a run's, and the rest of the state to go on from."""
        network, at = self.model.model, state["at"]
        save_checkpoint(self.folder / CHECKPOINT, network, self.frame, at["epoch"] - 1, training=state)

    def kept(self) -> dict[str, Any] | None:
        """The state of ``checkpoint.pt``, where there is one."""
        path = self.folder / CHECKPOINT
        return load_checkpoint(path)[2]["training"] if path.is_file() else None

    def end_epoch(self, epoch: int) -> None:
        """Write the latents as the encoder now gives them."""
        write_latents(self.folder / LATENTS, Latents(self.encoded().numpy(), self.rows))

    @torch.no_grad()
    def encoded(self) -> torch.Tensor:
        """``(n, zdim)`` latents of all particles, held-out ones too: the encoder's, or as they were laid out."""
        if self.model.laid_out:
            return self.model.targets.clone()
        was = self.model.training
        self.model.eval()
        encoder = self.model.model.encoder
        found = torch.cat([encoder(part) for part in self.features.split(_AT_ONCE)])
        self.model.train(was)
        return found

    def finish(self, progress: Progress = silent) -> Posterior:
        """Refine every particle's latent, and write latents and ``detectability.csv``."""
        self.model.eval()
        z = self.encoded()
        self.model.calibrate(self.data, z)
        posterior = refine_latents(self.model, self.data, z, self.preset.refine, progress)
        variance = posterior.covariance.diagonal(dim1=1, dim2=2).clamp_min(1e-12)
        write_latents(self.folder / LATENTS, Latents(posterior.mean.numpy(), self.rows, variance.log().numpy()))
        table = pd.DataFrame({"particle": self.rows, "detectability": posterior.detectability.numpy().round(4)})
        with atomic_path(self.folder / DETECTABILITY) as temporary:
            table.to_csv(temporary, index=False)
        return posterior
