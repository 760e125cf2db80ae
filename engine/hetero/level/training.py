"""Training the networks of ours.

This module imports torch.
"""

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import hetero
from hetero.checkpoints import save_tensors
from hetero.errors import HeteroError
from hetero.level.correction import FEATURES, LARGEST
from hetero.level.evaluate import KnownLevel, found_levels
from hetero.level.examples import Examples
from hetero.level.kept import KeptTraining
from hetero.level.networks import FORMAT, CorrectionNetwork, EnvelopeNetwork, LevelNetwork, PublishedLevelNetwork
from hetero.level.normalise import LevelScale, normalise_level
from hetero.level.plan import TrainingPlan
from hetero.progress import Progress, silent

_THRESHOLDS = 96  # candidates for the level inside the loss
_RATIOS = np.linspace(-LARGEST, LARGEST, 41)
_CORRECTION_BATCH, _CORRECTION_EPOCHS, _CORRECTION_STEPS = 64, 100, 600  # the last is the least number
_SEEN_NOISE = 0.2  # s.d., of what is seen: among few thousand maps a network would learn each of them
_FEWEST_JUDGES = 10  # maps: fewer do not tell whether a correction is any good
_PARTS = np.linspace(0, 0.7, 8)  # never all of it: the maps are simulated, and people's are not quite like them
_USUAL = 0.99  # of the maps that a correction learns from are not unusual
_DICE_WIDTH = 0.01  # wider than in prediction, so that the gradient reaches more of the map


def agreeing_level(values: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Differentiable twin of :func:`hetero.level.thresholds.agreeing_threshold`, on a coarse grid of thresholds.

    Args:
        values: ``(b, v)`` map values from 0 to 1 (others are clamped).
        inside: ``(b, v)`` probabilities of being inside; the gradient flows through these.

    Returns:
        ``(b,)`` levels.
    """
    index = (values.clamp(0, 1) * _THRESHOLDS).long()
    empty = inside.new_zeros(len(values), _THRESHOLDS + 1)
    above = (values > 0).to(inside.dtype)
    counts = empty.scatter_add(1, index, above).flip(1).cumsum(1).flip(1)
    agreeing = empty.scatter_add(1, index, inside * above).flip(1).cumsum(1).flip(1)
    dice = 2 * agreeing / (counts + inside.sum(1, keepdim=True) + 1)
    share = torch.softmax(dice / _DICE_WIDTH, dim=1)
    return share @ torch.linspace(0, 1, _THRESHOLDS + 1, dtype=inside.dtype, device=inside.device)


def soft_count_loss(values: torch.Tensor, predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Eq. 4 of Kinman et al.: mean over voxels of ``(sigmoid(10 (v - p)) - sigmoid(10 (v - t)))^2``, normalised units.

    Args:
        values: ``(b, v)``; predicted, true: ``(b,)`` levels.
    """
    difference = torch.sigmoid(10 * (values - predicted[:, None])) - torch.sigmoid(10 * (values - true[:, None]))
    return (difference**2).mean()


def envelope_loss(
    log_odds: torch.Tensor, spread: torch.Tensor, features: torch.Tensor, envelope: torch.Tensor
) -> torch.Tensor:
    """What training makes small.

    Wrong voxels (cross-entropy, Dice), a wrong level (soft count, absolute error), a wrong volume, and surprise about
    its error.

    Args:
        log_odds, envelope: ``(b, n, n, n)``; spread: ``(b,)``; features: ``(b, 3, n, n, n)``.
    """
    inside = torch.sigmoid(log_odds).flatten(1)
    truth, means = envelope.flatten(1), features[:, 0].flatten(1)
    cross_entropy = F.binary_cross_entropy_with_logits(log_odds, envelope)
    dice = 1 - (2 * (inside * truth).sum(1) + 1) / (inside.sum(1) + truth.sum(1) + 1)
    values = means / means.amax(1, keepdim=True).clamp_min(1e-6)
    predicted, true = agreeing_level(values, inside), agreeing_level(values, truth)
    # Levels from 0 to 1 become normalised levels, from -1 to 1, as the paper's loss expects.
    counts = soft_count_loss(2 * values - 1, 2 * predicted - 1, 2 * true - 1)
    volume = (torch.log(inside.sum(1) + 1) - torch.log(truth.sum(1) + 1)).abs()
    surprise = volume.detach() * torch.exp(-spread) + spread  # Laplace: least where exp(spread) is the mean error
    level = (predicted - true).abs().mean()
    return 2 * cross_entropy + dice.mean() + 10 * counts + 2 * level + 0.3 * volume.mean() + 0.05 * surprise.mean()


def train_network(
    examples: Examples,
    plan: TrainingPlan,
    progress: Progress = silent,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    start: LevelNetwork | None = None,
    kept: KeptTraining | None = None,
) -> LevelNetwork:
    """Train on framed maps, from random weights or from those of ``start``, which stays as it is.

    ``report(epoch, mean loss)`` is called after each epoch with the loss of the envelope. What ``kept`` holds of the
    same training is gone on from, bit for bit.

    Raises:
        HeteroError: fewer maps than one batch.
    """
    maps = len(examples.fine)
    if maps < plan.batch:
        raise HeteroError(f"{maps} maps are fewer than one batch of {plan.batch}; give more maps.")
    torch.set_num_threads(plan.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kept = KeptTraining() if kept is None else kept
    network = _first_network(plan, start, device)
    parts = [
        _Part(network.finder, examples.coarse, examples.coarse_envelopes),
        _Part(network.envelope, examples.fine, examples.fine_envelopes),
    ]
    steps = maps // plan.batch
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps * plan.epochs)
    if "network" in kept.state:
        network.load_state_dict(kept.state["network"])
        optimiser.load_state_dict(kept.state["optimiser"])
        schedule.load_state_dict(kept.state["schedule"])
    done: list[list[float]] = [list(epoch) for epoch in kept.state.get("losses", [])]
    rng = np.random.default_rng([plan.seed, 2])

    def keep():
        state = {"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
        kept.save_network(network, **state, losses=done)

    for epoch in range(plan.epochs):
        order = rng.permutation(maps)
        if epoch == len(done):
            done.append([])
        losses = done[epoch]
        for step in range(len(losses), steps):
            progress(epoch * steps + step, steps * plan.epochs, f"training, epoch {epoch + 1} of {plan.epochs}")
            chosen = torch.from_numpy(order[step * plan.batch : (step + 1) * plan.batch])
            optimiser.zero_grad()
            for part in parts:  # the two networks share no weight, so their gradients do not mix
                loss = part.learn(chosen, device, plan.bfloat16)
            optimiser.step()
            schedule.step()
            losses.append(loss)
            if kept.due or step == steps - 1:
                keep()
        report(epoch, math.fsum(losses) / len(losses))
    return network.cpu().eval()


def _first_network(plan: TrainingPlan, start: LevelNetwork | None, device: str) -> LevelNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = copy.deepcopy(start) if start else LevelNetwork()
    network = network.to(device).to(memory_format=torch.channels_last_3d).train()
    if not plan.statistics:
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.eval()
    return network


def trained_network(kept: KeptTraining) -> LevelNetwork:
    """The network that ``kept`` holds, as :func:`train_network` answers with it."""
    network = LevelNetwork().to(memory_format=torch.channels_last_3d)
    network.load_state_dict(kept.state["network"])
    return network.eval()


def train_correction(
    network: LevelNetwork, maps: Iterable[KnownLevel], seed: int, progress: Progress = silent
) -> float:
    """Fit ``network.correction`` to what the rest of the network finds in maps with known levels.

    The loss is the mean absolute error of the normalised level. How much of the correction counts is found on a fifth
    of the molecules, by a first fit that has not seen them: what makes their errors smallest.

    Returns:
        that share; 0 where there are too few molecules to tell, or none of it helps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.correction = CorrectionNetwork()
    fits = _Fits.of(network, maps, progress)
    groups = np.unique(fits.groups)
    away = np.random.default_rng([seed, 8]).permutation(groups)[: len(groups) // 5]
    judging = torch.from_numpy(np.isin(fits.groups, away))
    if len(away) == 0 or judging.sum() < _FEWEST_JUDGES:
        return 0.0
    judges = torch.nonzero(judging)[:, 0]
    first = _fitted_correction(fits, torch.nonzero(~judging)[:, 0], seed, progress)
    with torch.inference_mode():
        said = first(fits.seen[judges])
        errors = [float(fits.errors(judges, share * said).mean()) for share in _PARTS]
    best = float(_PARTS[int(np.argmin(errors))])
    if best > 0:
        network.correction = _fitted_correction(fits, torch.arange(len(fits.seen)), seed, progress)
        network.correction.share.fill_(best)
    return best


def _fitted_correction(fits: "_Fits", rows: torch.Tensor, seed: int, progress: Progress) -> CorrectionNetwork:
    """A correction learned from some of the maps, all of which counts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        correction = CorrectionNetwork()
        seen = fits.seen[rows]
        correction.centre.copy_(seen.mean(0))
        correction.width.copy_(seen.std(0) + 1e-6)
        standard = ((seen - correction.centre) / correction.width).double()
        inverse = torch.linalg.inv(torch.cov(standard.T) + 0.01 * torch.eye(FEATURES, dtype=torch.float64))
        correction.inverse.copy_(inverse)
        correction.usual.copy_(torch.quantile(torch.einsum("bi,ij,bj->b", standard, inverse, standard), _USUAL))
        correction.share.fill_(1.0)
        optimiser = torch.optim.AdamW(correction.parameters(), lr=2e-3, weight_decay=1e-2)
        steps = max(_CORRECTION_STEPS, _CORRECTION_EPOCHS * len(rows) // _CORRECTION_BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
        for step in range(steps):
            if step % 100 == 0:
                progress(step, steps, "learning to correct")
            chosen = rows[torch.randint(len(rows), (len(correction.members), _CORRECTION_BATCH))]
            noise = _SEEN_NOISE * correction.width * torch.randn(*chosen.shape, FEATURES)
            said = correction.of_each_member(fits.seen[chosen] + noise)
            errors = fits.errors(chosen.flatten(), said.flatten()).reshape(chosen.shape)
            optimiser.zero_grad()
            errors.mean(dim=1).sum().backward()  # each member learns as it would alone
            optimiser.step()
            schedule.step()
    return correction.eval()


@dataclass(frozen=True)
class _Fits:
    """What the network finds in maps of known levels.

    Attributes:
        seen: ``(n, FEATURES)``.
        levels: ``(n, len(_RATIOS))`` normalised levels after a correction by each of ``_RATIOS``.
        true: ``(n,)`` normalised levels.
        groups: ``(n,)`` names of the molecules.
    """

    seen: torch.Tensor
    levels: torch.Tensor
    true: torch.Tensor
    groups: np.ndarray

    @classmethod
    def of(cls, network: LevelNetwork, maps: Iterable[KnownLevel], progress: Progress) -> "_Fits":
        rows, groups = [], []
        for known, answer in found_levels(network, maps, progress, "looking at fits"):
            levels = normalise_level(answer.fit.other(_RATIOS), LevelScale.of(known.volume.data))
            rows.append((answer.seen, levels, known.normalised))
            groups.append(known.molecule)
        parts = zip(*rows, strict=True) if rows else np.zeros((3, 0))
        return cls(*(torch.tensor(np.array(part), dtype=torch.float32) for part in parts), np.array(groups, dtype=str))

    def errors(self, chosen: torch.Tensor, correction: torch.Tensor) -> torch.Tensor:
        """``(b,)`` absolute errors of the normalised level; between the tabled corrections it is linear."""
        place = (correction - _RATIOS[0]) / (_RATIOS[1] - _RATIOS[0])
        before = place.detach().long().clamp(0, len(_RATIOS) - 2)
        share = place - before
        low, high = (self.levels[chosen].gather(1, before[:, None] + step)[:, 0] for step in (0, 1))
        return (low + share * (high - low) - self.true[chosen]).abs()


@dataclass(frozen=True)
class _Part:
    network: EnvelopeNetwork
    features: torch.Tensor
    envelopes: torch.Tensor

    def learn(self, chosen: torch.Tensor, device: str, bfloat16: bool) -> float:
        """The loss on some maps; its gradient, clipped, is in the network's weights."""
        features = self.features[chosen].to(device).float()
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            log_odds, spread = self.network(features)
        truth = self.envelopes[chosen].to(device).float()
        loss = envelope_loss(log_odds.float(), spread.float(), features, truth)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        return loss.item()


def save_network(path: Path | str, network: LevelNetwork | PublishedLevelNetwork, metadata: dict) -> None:
    """Write weights that ``torch.load(weights_only=True)`` reads, whole or not at all.

    The published network is written in the published layout (``model_state_dict``).
    """
    state = {name: value.detach().contiguous().cpu() for name, value in network.state_dict().items()}
    versions = {"hetero": hetero.__version__, "torch": str(torch.__version__), "numpy": np.__version__}
    ours = isinstance(network, LevelNetwork)
    weights = {"format": FORMAT, "state": state} if ours else {"model_state_dict": state}
    save_tensors(path, {**weights, "metadata": {**metadata, "versions": versions}})
