"""What a training is asked to do, whatever is trained; without torch."""

from dataclasses import dataclass
from typing import Literal

from hetero.errors import HeteroError

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Plan:
    """How long and in which steps.

    Attributes:
        epochs: passes over the items.
        batch: items a step of the optimiser, over all processes.
        accumulate: parts that a process takes its share of a batch in, for less memory; the step is the same.
        precision: of products; weights are float32 always.
        seed: same seed, same weights, on one kind of machine.
        patience: stop after so many epochs of one stage without a better held-out loss; 0 for never.
        minutes: of work that a crash may cost: a checkpoint is written at the end of an epoch, and within it so often.
        rows: rows of the log for each epoch.

    Raises:
        HeteroError: a number that makes no sense.
    """

    epochs: int
    batch: int
    accumulate: int = 1
    precision: Precision = "float32"
    seed: int = 0
    patience: int = 0
    minutes: float = 5.0
    rows: int = 10

    def __post_init__(self):
        for name, least in (("epochs", 1), ("batch", 1), ("accumulate", 1), ("seed", 0), ("patience", 0), ("rows", 1)):
            value = getattr(self, name)
            if value < least:
                raise HeteroError(f"The number '{name}' of a training is {value}; {least} or more was expected.")


def stage_of(epoch: int, epochs: int, shares: tuple[float, ...]) -> int:
    """In which of several stages an epoch lies.

    Args:
        epoch: counted from 1.
        epochs: of the whole training; later epochs lie in the last stage.
        shares: of the epochs, of each stage; the last epoch is always of the last stage.
    """
    if epoch >= epochs:
        return len(shares) - 1
    ends, total = [], 0.0
    for share in shares:
        total += share / sum(shares)
        ends.append(round(total * epochs))
    return next((i for i, end in enumerate(ends) if epoch <= end), len(shares) - 1)
