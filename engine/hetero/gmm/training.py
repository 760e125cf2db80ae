"""What the training loop asks of moving Gaussians: batches, rates, checkpoints, and the latents of all particles."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hetero.checkpoints import newest_whole
from hetero.files import atomic_path
from hetero.gmm.dynamic import DynamicLoss
from hetero.gmm.features import feature_count, gradient_features
from hetero.gmm.files import load_checkpoint, save_checkpoint
from hetero.gmm.images import ParticleSpectra
from hetero.gmm.layout import laid_out
from hetero.gmm.losses import FRC, Likelihood
from hetero.gmm.model import GaussianModel
from hetero.gmm.networks import DynamicModel, NetworkShape, Varying
from hetero.gmm.posterior import Posterior, covariance_of, refine_latents
from hetero.gmm.presets import Preset
from hetero.gmm.scene import cloud_of
from hetero.latent import CHECKPOINT, LATENTS, Latents, write_latents
from hetero.particles import Poses
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
        pose_wait: epochs in which poses are kept, before they are refined in every second one; None for never.
    """

    zdim: int
    vary: tuple[Varying, ...]
    moving: np.ndarray
    held_out: float
    pose_wait: int | None = None


class GmmTask:
    """A :class:`hetero.training.task.Task`; on the CPU.

    Args:
        folder: where checkpoint and latents go.
        data: what is learned from.
        rows: ``(n,)`` of the particles in their file; each counts for all its copies.
        neutral: the model that moves.
        wanted: what is built.
        preset: and how.
        plan: of the training.
        progress: of the work before the first step.
    """

    @property
    def in_last_stage(self) -> bool:
        """Whether losses can be compared from now on."""
        return int(self.model.laid_out) == len(self._stages) - 1

    def __init__(
        self, folder: Path, data: ParticleSpectra, rows: np.ndarray, neutral: GaussianModel, wanted: Wanted,
        preset: Preset, plan: Plan, progress: Progress = silent,
    ):  # fmt: skip
        self.folder, self.frame, self.preset, self.plan, self.wanted = folder, neutral, preset, plan, wanted
        self.given = self.data = data
        self.rows, self.pose_wait = np.repeat(rows, data.copies), wanted.pose_wait
        self.weights = data.ring_weights() if preset.weights == "signal" else torch.ones(1, data.rings.count)
        self.model = DynamicLoss(self._network(0), data.rings, preset, wanted.zdim, len(data))
        self._poses = self.model.poses.clone()
        self.features = self._features(progress)
        if preset.loss == "likelihood":
            self.model.calibrate(data, None)
            self.model.calibrated.fill_(0)
        self.optimisers = [self._optimiser()]
        order = np.random.default_rng([plan.seed, 1]).permutation(len(rows))
        away = round(wanted.held_out * len(rows))
        copies = np.arange(len(data)).reshape(len(rows), data.copies)
        self.held_out, self.items = (copies[np.sort(part)].ravel() for part in (order[:away], order[away:]))

    def _network(self, stage: int) -> DynamicModel:
        """New networks of a stage."""
        preset, moving, frame = self.preset, torch.from_numpy(self.wanted.moving), self.frame
        spare = preset.spare if not stage and len(self._stages) > 1 else 0
        shape = NetworkShape(
            self.wanted.zdim + spare, preset.width, preset.layers, preset.dropout, preset.batch_norm,
            feature_count(len(self.given), int(moving.sum())), preset.reach * frame.box * frame.apix, preset.whiten,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.plan.seed + stage)
            return DynamicModel(shape, cloud_of(frame), moving, self.wanted.vary)

    def _begin_stage(self, stage: int) -> None:
        self.model.model = self._network(stage)
        self.optimisers = [self._optimiser()]

    @property
    def noise(self) -> int:
        """Random numbers for each item: one for each of its latent's."""
        return self.model.model.shape.zdim

    def _features(self, progress: Progress = silent) -> torch.Tensor:
        """The neutral model's own calibration weighs the encoder's gradients, whatever comes later."""
        loss, network = self.model, self.model.model
        if self.preset.loss == "frc":
            kind, scale, weights = FRC, None, self.weights
        else:
            found = loss.calibration(self.data, None)
            kind, scale, weights = Likelihood, found.scale[torch.from_numpy(loss.rings.ring)], 1 / found.variance[None]
        return gradient_features(self.data, network.neutral, network.moving, kind, scale, weights, progress)

    def _follow_poses(self) -> None:
        """Particles and gradients at the poses as the checkpoint or the last refinement has them."""
        if not torch.equal(self._poses, self.model.poses):
            self._poses = self.model.poses.clone()
            self.data = self.given.posed(self._poses)
            self.features = self._features()

    def _refined(self, z: torch.Tensor, steps: int, progress: Progress = silent) -> Posterior:
        """Latents by their likelihood; poses too where they are refined, which are then taken."""
        loss = self.model
        loss.calibrate(self.data, z)
        if self.pose_wait is None:
            return refine_latents(loss, self.data, z, steps, progress=progress)
        found = refine_latents(loss, self.given, z, max(1, steps), poses=True, progress=progress)
        loss.poses.copy_(found.poses)
        loss.pose_sd.copy_(found.pose_sd)
        self._follow_poses()
        return found if steps else replace(found, mean=z)

    def _optimiser(self) -> torch.optim.Optimizer:
        preset = self.preset
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=preset.rate, weight_decay=preset.decay, foreach=True)
        optimiser.param_groups[0]["taken"] = 0
        optimiser.register_step_pre_hook(self._set_rate)
        return optimiser

    def _set_rate(self, optimiser, arguments, keywords) -> None:
        """One cycle a stage: up to the preset's rate and down again, in cosines; counted in the checkpoint."""
        group = optimiser.param_groups[0]
        steps = self._stages[int(self.model.laid_out)] * -(-len(self.items) // self.plan.batch)
        share = min(1.0, group["taken"] / max(1, steps - 1))
        group["taken"] += 1
        if self.preset.one_cycle:
            phase = share / _WARM if share < _WARM else (1 - share) / (1 - _WARM)
            low = 0.04 if share < _WARM else 4e-6
            group["lr"] = self.preset.rate * (low + (1 - low) * 0.5 * (1 - math.cos(math.pi * phase)))

    @property
    def _stages(self) -> list[int]:
        """Epochs before latents are laid out, and after each time that they are."""
        epochs, preset = self.plan.epochs, self.preset
        last = min(max(1, round(preset.laid_out * epochs)), epochs - 1) if preset.laid_out else 0
        times = min(preset.layings, last)
        return [epochs - last, *(last // times + (i < last % times) for i in range(times))]

    def _lay_out(self, progress: Progress) -> None:
        """New coordinates for all particles, and networks that start anew with them."""
        loss = self.model
        z = self._refined(self.encoded(), self.preset.refine, progress).mean
        found = laid_out(loss.model, z, self.data.rings.extent, self.wanted.zdim, self.plan.seed)
        loss.targets.copy_(found)
        loss.laid_out += 1
        self._begin_stage(int(loss.laid_out))
        if self.preset.whiten:
            loss.model.encoder[-1].spread.copy_(torch.linalg.cholesky(covariance_of(found)))

    def begin_epoch(self, epoch: int, progress: Progress = silent) -> str:
        """The scale and the variance of each ring, from the model as it now is; once an epoch, also where resumed."""
        loss, due = self.model, int((np.cumsum(self._stages[:-1]) < epoch).sum())
        loss.eval()
        self._follow_poses()
        if loss.laid_out < due:
            self._lay_out(progress)
        elif self.preset.loss == "likelihood" and epoch > 1 and int(loss.calibrated) != epoch:
            wait = self.pose_wait
            if wait is not None and epoch > wait and (epoch - wait) % 2:
                self._refined(self.encoded(), 1, progress)
            else:
                loss.calibrate(self.data, self.encoded())
        loss.calibrated.fill_(epoch)
        return ("free", "laid out", "laid out again")[min(due, 2)]

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
        """The state of ``checkpoint.pt``, where there is one; the networks are of its stage from now on."""
        state = newest_whole(self.folder / CHECKPOINT, lambda path: load_checkpoint(path)[2]["training"])
        if state is None:
            return None
        if state["model"]["laid_out"] and not self.model.laid_out:
            self._begin_stage(int(state["model"]["laid_out"]))
        return state

    def end_epoch(self, epoch: int) -> None:
        """Write the latents as the encoder now gives them."""
        self._follow_poses()
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
        self._follow_poses()
        posterior = self._refined(self.encoded(), self.preset.refine, progress)
        variance = posterior.covariance.diagonal(dim1=1, dim2=2).clamp_min(1e-12)
        write_latents(self.folder / LATENTS, Latents(posterior.mean.numpy(), self.rows, variance.log().numpy()))
        table = pd.DataFrame({"particle": self.rows, "detectability": posterior.detectability.numpy().round(4)})
        with atomic_path(self.folder / DETECTABILITY, keep=True) as temporary:
            table.to_csv(temporary, index=False)
        return posterior


def refined(given: Poses, poses: np.ndarray) -> Poses:
    """Poses after turns and places ``(n, 5)`` of :func:`hetero.gmm.images.moved_poses`."""
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_rotvec(poses[:, :3].astype(float)).as_matrix()
    return Poses(turns @ given.rotations, given.shifts - poses[:, 3:])
