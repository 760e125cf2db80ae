"""What a training asks of whatever is trained."""

from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from hetero.progress import Progress, silent

Batch = dict[str, torch.Tensor]


class Task(Protocol):
    """What is trained.

    Attributes:
        model: on the team's device; ``model(batch)`` is a dictionary of scalars, ``loss`` among them, each a mean over
            the batch's items.
        optimisers: over its parameters.
        items: ``(n,)`` numbers of the items to learn from; held_out: ``(m,)`` of those to judge by.
        noise: random numbers that each item gets in each step.
        in_last_stage: whether the losses of this epoch and all later ones can be compared: only then is stopping early
            thought of.
    """

    model: nn.Module
    optimisers: list[torch.optim.Optimizer]
    items: np.ndarray
    held_out: np.ndarray
    noise: int
    in_last_stage: bool

    def begin_epoch(self, epoch: int, progress: Progress = silent) -> str:
        """Set rates and whatever changes with time; the name of the stage, within which losses can be compared.

        ``progress`` is told where that takes a while; if it raises to stop, the last checkpoint stays.
        """

    def load(self, items: np.ndarray, noise: np.ndarray | None, seed: int) -> Batch:
        """A batch in the computer's memory. Called from another thread while the batch before is learned.

        Args:
            items: ``(b,)``.
            noise: ``(b, noise)`` standard normal; None to judge.
            seed: for choices that the whole step shares.
        """

    def keep(self, state: dict[str, Any]) -> None:
        """Write a checkpoint: tensors and plain values. Called by the leading process alone."""

    def kept(self) -> dict[str, Any] | None:
        """The last checkpoint, on the CPU; None where there is none."""

    def end_epoch(self, epoch: int) -> None:
        """After an epoch and its checkpoint, in every process."""
