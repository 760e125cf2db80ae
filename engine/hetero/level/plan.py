"""How a level network is trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes:
        maps: simulated maps, made once and kept in memory (0.6 MB each).
        epochs: passes over them.
        batch: maps a step.
        rate: highest learning rate of the one-cycle schedule.
        held_out: share of the structures that training never sees.
        seed: of the simulation, the split, the first weights and the order.
        threads: CPU threads of torch.
        max_box: largest simulated box.
        processes: that simulate side by side; the maps are the same with any number.
        bfloat16: multiply in bfloat16 (faster where the CPU has it); loss and weights stay in float32.
        statistics: whether the means and variances of the batch normalisation are learned too; a handful of maps would
            spoil them.
    """

    maps: int = 4000
    epochs: int = 3
    batch: int = 8
    rate: float = 4e-3
    held_out: float = 0.2
    seed: int = 0
    threads: int = 1
    max_box: int = 128
    processes: int = 1
    bfloat16: bool = False
    statistics: bool = True
