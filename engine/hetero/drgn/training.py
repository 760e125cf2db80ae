"""What the training loop asks of cryoDRGN: batches, stages, checkpoints, and the latents of all particles."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hetero.checkpoints import newest_whole
from hetero.drgn.autoencoder import Autoencoder
from hetero.drgn.base import Base, BaseSlices
from hetero.drgn.decoder import CoordinateDecoder
from hetero.drgn.encoder import ImageEncoder, LatentTable
from hetero.drgn.files import load_checkpoint, save_checkpoint
from hetero.drgn.focus import Focus
from hetero.drgn.images import PreparedImages
from hetero.drgn.poses import PoseTable, Refinement, refined
from hetero.drgn.presets import Preset
from hetero.drgn.shape import DecoderShape
from hetero.drgn.start import Start
from hetero.latent import CHECKPOINT, LATENTS, Latents, write_latents
from hetero.particles.refined_poses import write_refined_poses
from hetero.progress import Progress, silent
from hetero.training.plan import stage_of
from hetero.training.team import Team

_AT_ONCE = 256  # particles whose latents are worked out together
_POSE_BETAS = (0.7, 0.9)  # a pose is seen once an epoch: averages over a thousand steps would never settle
_TABLE_RATE = 5e-2  # of latents that are parameters, Adam's: each is seen once an epoch, so it moves in strides


@dataclass(frozen=True)
class Model:
    """What is built.

    Attributes:
        zdim: numbers in a latent; 0 for a homogeneous model.
        epochs: of the whole training.
        preset: every other number.
        table: latents are parameters; there is no encoder.
        beta: weight of the KL term; without it 1 / zdim.
        beta_epochs: in which it grows to that from 0, a step an epoch.
        seed: of the weights that training begins with.
        focus: the loss and the encoder look at pictures inside this mask.
        poses: how they are refined; None where they are kept.
        start: latents of the same particles to start from.
        base: maps that the network adds to.
    """

    zdim: int
    epochs: int
    preset: Preset
    table: bool = False
    beta: float | None = None
    beta_epochs: int = 0
    seed: int = 0
    focus: Focus | None = None
    poses: Refinement | None = None
    start: Start | None = None
    base: Base | None = None


class DrgnTask:
    """A :class:`hetero.training.task.Task`. Its items are images: every copy of a particle is one.

    Args:
        folder: where checkpoint and latents go.
        images: what is learned from.
        model: what is built.
        team: who trains it.
    """

    def __init__(self, folder: Path, images: PreparedImages, model: Model, team: Team):
        self.folder, self.images, self.settings, self.team, self.start = folder, images, model, team, model.start
        self._base = None if model.base is None else BaseSlices(model.base, images.disc)
        self.noise = model.zdim
        self.in_last_stage = False
        self.model = self._build().to(team.device)
        self.optimisers = self._optimisers()
        n = len(images) // images.copies
        order = np.random.default_rng([model.seed, 1]).permutation(n)
        away = 0 if model.table else round(model.preset.held_out * n)
        self.held_out, self.items = self._copies(order[:away]), self._copies(order[away:])
        self.particles = images.particles.subset(slice(None, None, images.copies))
        self._rotations = images.particles.require_poses().rotations.astype(np.float32)

    def _copies(self, particles: np.ndarray) -> np.ndarray:
        """Every image of some particles."""
        count = self.images.copies
        return (np.sort(particles)[:, None] * count + np.arange(count)).ravel()

    def _build(self) -> Autoencoder:
        wanted, preset, disc = self.settings, self.settings.preset, self.images.disc
        shape = DecoderShape(
            disc.box, wanted.zdim, preset.width, preset.layers, preset.encoding, disc.box // 2, preset.feature_sd
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(wanted.seed)
            decoder, encoder = CoordinateDecoder(shape, wanted.base is not None), None
            if wanted.zdim and wanted.table:
                encoder = LatentTable(*self._first_table())
            elif wanted.zdim:
                seen = disc.count(max(1.0, preset.sees * disc.radius))
                encoder = ImageEncoder(
                    seen, wanted.zdim, preset.encoder_width, preset.encoder_layers, self.start is not None
                )
            poses = PoseTable(len(self.images) // self.images.copies, disc.box) if wanted.poses else None
        return Autoencoder(decoder, encoder, disc, preset.matched, poses, wanted.base, self.images.sd)

    def _first_table(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self.start is not None:
            return torch.from_numpy(self.start.mean), torch.from_numpy(self.start.log_variance)
        mean = 0.1 * torch.randn(len(self.images), self.settings.zdim)
        return mean, torch.full_like(mean, -3.0)

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        model, wanted = self.model, self.settings
        latents = list(model.encoder.parameters()) if isinstance(model.encoder, LatentTable) else []
        poses = [] if model.poses is None else list(model.poses.parameters())
        tables = {id(p) for p in (*latents, *poses)}
        others = [p for p in model.parameters() if id(p) not in tables]
        optimisers: list[torch.optim.Optimizer] = [torch.optim.Adam(others, lr=wanted.preset.rate, fused=True)]
        if latents:
            optimisers.append(torch.optim.SparseAdam(latents, lr=_TABLE_RATE))
        if poses:
            optimisers.append(torch.optim.SparseAdam(poses, lr=wanted.poses.rate, betas=_POSE_BETAS))
        return optimisers

    def begin_epoch(self, epoch: int, progress: Progress = silent) -> str:
        """Radius and beta; names the radius."""
        del progress  # that takes no time
        wanted, preset, disc = self.settings, self.settings.preset, self.images.disc
        stage = stage_of(epoch, wanted.epochs, tuple(share for share, _ in preset.stages))
        radius = max(2, round(preset.stages[stage][1] * disc.radius))
        model = self.model
        model.points = disc.count(radius)
        beta = wanted.beta if wanted.beta is not None else 1 / max(1, wanted.zdim)
        model.beta = beta * min(1.0, epoch / (wanted.beta_epochs + 1))
        model.refining = wanted.poses is not None and epoch > wanted.poses.wait
        self.in_last_stage = stage == len(preset.stages) - 1 and model.beta == beta
        return f"radius {radius} of {disc.box // 2}"

    def load(self, items: np.ndarray, noise: np.ndarray | None, seed: int) -> dict[str, torch.Tensor]:
        """A batch: :class:`hetero.drgn.autoencoder.Autoencoder` says what is in it."""
        del seed
        batch = self._seen(items, max(self.model.points, self._encoder_pixels()))
        if self._base is not None:
            slices = self._base(self._rotations[items], self.model.points) / np.float32(self.images.sd)
            batch["base"] = torch.from_numpy(slices)
        if noise is not None:
            batch["noise"] = torch.from_numpy(noise)
        return batch

    def _encoder_pixels(self) -> int:
        return self.model.encoder.pixels if isinstance(self.model.encoder, ImageEncoder) else 1

    def _seen(self, items: np.ndarray, count: int) -> dict[str, torch.Tensor]:
        values = np.ascontiguousarray(self.images.read(items, count))
        batch = {
            "image": torch.from_numpy(values.view(np.float32).reshape(len(items), count, 2)),
            "transfer": torch.from_numpy(self.images.transfer(items, count)),
            "rotation": torch.from_numpy(self._rotations[items]),
            "particle": torch.from_numpy(np.asarray(items, dtype=np.int64)),
        }
        if self.settings.focus is not None:
            batch["mask"] = torch.from_numpy(self.settings.focus(self._rotations[items]))
        if self.settings.poses is not None:
            batch["pose"] = batch["particle"] // self.images.copies
        if self.start is not None:
            batch["start"] = torch.from_numpy(self.start.mean[items])
            batch["start_log_variance"] = torch.from_numpy(self.start.log_variance[items])
        return batch

    def keep(self, state: dict[str, Any]) -> None:
        """``checkpoint.pt``: the decoder as a run's, and the rest of the state to go on from."""
        at = state["at"]
        epoch = at["epoch"] - 1
        save_checkpoint(
            self.folder / CHECKPOINT, self.model.decoder, self.images.sd, epoch=epoch, base=self.settings.base,
            training=state, system="drgn",
        )  # fmt: skip

    def kept(self) -> dict[str, Any] | None:
        """The state of ``checkpoint.pt``, where there is one."""
        return newest_whole(self.folder / CHECKPOINT, lambda path: load_checkpoint(path)[1]["training"])

    def end_epoch(self, epoch: int) -> None:
        """Write the latents as they now are, and the poses where they are refined."""
        latents = self.latents()
        if self.team.leads:
            write_latents(self.folder / LATENTS, latents)
        if self.model.poses is not None:
            write_refined_poses(self.folder, self.particles, refined(self.particles, self.model.poses))

    @torch.no_grad()
    def latents(self) -> Latents:
        """Posteriors of all particles, held-out ones too. Every process of the team works out its share."""
        n, zdim, team = len(self.images), self.settings.zdim, self.team
        found = np.zeros((2, n, zdim))
        self.model.eval()
        starts = range(team.rank * _AT_ONCE, n if zdim else 0, team.size * _AT_ONCE)
        for start in starts:
            items = np.arange(start, min(start + _AT_ONCE, n))
            batch = {k: v.to(team.device) for k, v in self._seen(items, self._encoder_pixels()).items()}
            for values, mine in zip(found, self.model.infer(batch), strict=True):
                values[items] = mine.cpu().numpy()
        mean, log_variance = team.sum(found)
        return Latents(mean, self.images.particles.rows, log_variance)
