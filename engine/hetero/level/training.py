"""Training the envelope networks.

This module imports torch.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import hetero
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.level.examples import Examples
from hetero.level.networks import FORMAT, EnvelopeNetwork, LevelNetwork, PublishedLevelNetwork
from hetero.level.plan import TrainingPlan
from hetero.progress import Progress, silent

_THRESHOLDS = 96  # candidates for the level inside the loss
_DICE_WIDTH = 0.01  # wider than in prediction, so that the gradient reaches more of the map


def agreeing_level(values: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Differentiable twin of :func:`hetero.level.framing.agreeing_threshold`, on a coarse grid of thresholds.

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
) -> LevelNetwork:
    """Train on framed maps, from random weights or from those of ``start``, which stays as it is.

    ``report(epoch, mean loss)`` is called after each epoch with the loss of the envelope.

    Raises:
        HeteroError: fewer maps than one batch.
    """
    maps = len(examples.fine)
    if maps < plan.batch:
        raise HeteroError(f"{maps} maps are fewer than one batch of {plan.batch}; give more maps.")
    torch.set_num_threads(plan.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = copy.deepcopy(start) if start else LevelNetwork()
    network = network.to(device).to(memory_format=torch.channels_last_3d).train()
    if not plan.statistics:
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.eval()
    parts = [
        _Part(network.finder, examples.coarse, examples.coarse_envelopes),
        _Part(network.envelope, examples.fine, examples.fine_envelopes),
    ]
    steps = maps // plan.batch
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps * plan.epochs)
    rng = np.random.default_rng([plan.seed, 2])
    for epoch in range(plan.epochs):
        order, losses = rng.permutation(maps), []
        for step in range(steps):
            progress(epoch * steps + step, steps * plan.epochs, f"training, epoch {epoch + 1} of {plan.epochs}")
            chosen = torch.from_numpy(order[step * plan.batch : (step + 1) * plan.batch])
            optimiser.zero_grad()
            for part in parts:  # the two networks share no weight, so their gradients do not mix
                features = part.features[chosen].to(device).float()
                with torch.autocast(device, torch.bfloat16, enabled=plan.bfloat16):
                    log_odds, spread = part.network(features)
                truth = part.envelopes[chosen].to(device).float()
                loss = envelope_loss(log_odds.float(), spread.float(), features, truth)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(part.network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        report(epoch, math.fsum(losses) / len(losses))
    return network.cpu().eval()


@dataclass(frozen=True)
class _Part:
    network: EnvelopeNetwork
    features: torch.Tensor
    envelopes: torch.Tensor


def save_network(path: Path | str, network: LevelNetwork | PublishedLevelNetwork, metadata: dict) -> None:
    """Write weights that ``torch.load(weights_only=True)`` reads, whole or not at all.

    The published network is written in the published layout (``model_state_dict``).
    """
    state = {name: value.detach().contiguous().cpu() for name, value in network.state_dict().items()}
    versions = {"hetero": hetero.__version__, "torch": str(torch.__version__), "numpy": np.__version__}
    ours = isinstance(network, LevelNetwork)
    weights = {"format": FORMAT, "state": state} if ours else {"model_state_dict": state}
    with atomic_path(path) as temporary:
        torch.save({**weights, "metadata": {**metadata, "versions": versions}}, temporary)
