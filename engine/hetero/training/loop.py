"""The loop: epochs, steps, checkpoints, the held-out loss, and why it stopped."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hetero.locks import hold
from hetero.progress import Progress, silent
from hetero.training.log import TrainingLog
from hetero.training.plan import Plan
from hetero.training.task import Batch, Task
from hetero.training.team import Team


@dataclass
class Outcome:
    """How a training ended.

    Attributes:
        epoch: the last one that is in the weights.
        reason: why it stopped, one sentence.
        seconds, cpu_seconds: of training, also in earlier parts that it went on from.
    """

    epoch: int
    reason: str
    seconds: float
    cpu_seconds: float


@dataclass
class _Position:
    """Where the training is; all of it goes into the checkpoint."""

    epoch: int = 1
    step: int = 0  # steps of this epoch that are done
    stage: str = ""
    best: float = math.inf
    since: int = 0  # epochs since the best
    stopped: str = ""


@dataclass
class _Clock:
    """Wall and CPU seconds, with those of earlier parts."""

    earlier: tuple[float, float]
    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    def __call__(self) -> tuple[float, float]:
        return (
            self.earlier[0] + time.perf_counter() - self.wall,
            self.earlier[1] + time.process_time() - self.cpu,
        )


def train(task: Task, plan: Plan, team: Team, log: Path | str, progress: Progress = silent) -> Outcome:
    """Train until the epochs are done, the held-out loss no longer falls, or the loss is no number any more.

    Goes on from the last checkpoint where there is one: with the same plan the result is then bit for bit that of a
    training that was never stopped (on a CPU; on a GPU up to the order of its sums). Orders and random numbers are
    made from the seed, the epoch and the step alone, so that neither the number of processes nor ``accumulate`` changes
    what is learned, but for rounding.

    Args:
        log: the ``log.csv``.

    Raises:
        HeteroError: another process trains into the folder of ``log``.
        Cancelled: by ``progress``; the last checkpoint stays.
    """
    with hold(Path(log).parent) if team.leads else nullcontext():
        return _Training(task, plan, team, log, progress).run()


class _Training:
    def __init__(self, task: Task, plan: Plan, team: Team, log: Path | str, progress: Progress):
        self.task, self.plan, self.team = task, plan, team
        self.progress = progress if team.leads else silent
        scaled = plan.precision == "float16" and team.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=scaled)
        self.at = _Position()
        state = task.kept()
        if state is not None:
            self._restore(state)
        self.model = team.wrap(task.model)
        done = (self.at.epoch, self.at.step) if self.at.step else (self.at.epoch - 1, self._steps())
        self.log = TrainingLog(log, done) if team.leads else None
        self.clock = _Clock(self.log.seconds if self.log else (0.0, 0.0))
        self.saved, self.due = time.monotonic(), False
        if state is None:
            self._save()

    def run(self) -> Outcome:
        plan, at, told = self.plan, self.at, False
        while not at.stopped and at.epoch <= plan.epochs:
            self._enter_stage(self.task.begin_epoch(at.epoch, self.progress))
            if not self._epoch():
                self._back_to_last_checkpoint()
                break
            at.epoch, at.step = at.epoch + 1, 0
            if plan.patience and self.task.in_last_stage and at.since >= plan.patience:
                at.stopped = (
                    f"the held-out loss did not fall below {at.best:.6g} in {at.since} epochs, after epoch "
                    f"{at.epoch - 1 - at.since}"
                )
            self._save()
            self.task.end_epoch(at.epoch - 1)
            told = True
        if not told or self.at is not at:  # a run that was finished, or went back: its last epoch's files may be older
            self.task.end_epoch(self.at.epoch - 1)
        at = self.at
        reason = at.stopped or f"all {plan.epochs} epochs are done"
        return Outcome(at.epoch - 1, reason, *self.clock())

    def _enter_stage(self, stage: str) -> None:
        if stage != self.at.stage:
            self.at.stage, self.at.best, self.at.since = stage, math.inf, 0

    def _steps(self) -> int:
        return math.ceil(len(self.task.items) / self.plan.batch)

    def _epoch(self) -> bool:
        """One epoch, or what is left of it; False where the loss was no number."""
        steps, at = self._steps(), self.at
        ends = {round((i + 1) * steps / self.plan.rows) for i in range(self.plan.rows)} | {steps}
        total, since = {}, 0
        self.task.model.train()
        for number, parts in _ahead(self._load_step, range(at.step, steps)):
            self.progress(
                (at.epoch - 1) * steps + number,
                self.plan.epochs * steps,
                f"training, epoch {at.epoch} of {self.plan.epochs} ({at.stage})",
            )
            for name, value in self._step(parts).items():
                total[name] = total.get(name, 0.0) + value
            at.step, since = number + 1, since + 1
            if at.step not in ends:
                continue
            means = self._means(total, since)
            if not all(map(math.isfinite, means.values())):
                at.stopped = f"the loss became NaN in epoch {at.epoch}, step {at.step}"
                return False
            self._row(means, at.step == steps)
            total, since = {}, 0
            if at.step < steps and self.due:
                self._save()
        return True

    def _load_step(self, number: int) -> tuple[int, list[tuple[float, Batch]]]:
        """This process's parts of a step, each with its share of the batch."""
        plan, team, at = self.plan, self.team, self.at
        order = np.random.default_rng([plan.seed, at.epoch]).permutation(self.task.items)
        items = order[number * plan.batch : (number + 1) * plan.batch]
        rng = np.random.default_rng([plan.seed, at.epoch, number])
        seed, noise = int(rng.integers(2**31)), rng.standard_normal((len(items), self.task.noise), dtype=np.float32)
        parts = np.array_split(np.arange(len(items)), team.size * plan.accumulate)
        mine = parts[team.rank * plan.accumulate : (team.rank + 1) * plan.accumulate]
        # The last batch may be smaller than the team: who gets nothing takes an item without weight.
        loaded = []
        for part in mine if len(mine[0]) else [np.arange(1)]:
            if len(part):
                weight = len(part) * team.size / len(items) if len(mine[0]) else 0.0
                loaded.append((weight, self.task.load(items[part], noise[part], seed)))
        return number, loaded

    def _step(self, parts: list[tuple[float, Batch]]) -> dict[str, torch.Tensor]:
        """One step of the optimisers; the losses, weighted means over this process's parts."""
        found: dict[str, torch.Tensor] = {}
        for optimiser in self.task.optimisers:
            optimiser.zero_grad(set_to_none=True)
        for i, (weight, batch) in enumerate(parts):
            last = i == len(parts) - 1
            with nullcontext() if last or self.team.size == 1 else self.model.no_sync():
                with self._autocast():
                    losses = self.model(self._to_device(batch))
                self.scaler.scale(losses["loss"] * weight).backward()
            for name, value in losses.items():
                found[name] = found.get(name, 0.0) + value.detach().double() * weight
        for optimiser in self.task.optimisers:
            self.scaler.step(optimiser)
        self.scaler.update()
        return found

    def _autocast(self):
        on = self.plan.precision != "float32"
        kind = torch.float16 if self.plan.precision == "float16" else torch.bfloat16
        return torch.autocast(self.team.device.type, kind, enabled=True) if on else nullcontext()

    def _to_device(self, batch: Batch) -> Batch:
        return {name: value.to(self.team.device, non_blocking=True) for name, value in batch.items()}

    def _means(self, total: dict[str, torch.Tensor], steps: int) -> dict[str, float]:
        late = self.team.leads and time.monotonic() - self.saved > 60 * self.plan.minutes
        *values, late = self.team.sum(np.array([*(float(v) for v in total.values()), late]))
        self.due = late > 0  # the leader's clock counts, and all hear of it at the same step
        return {name: float(value) / (steps * self.team.size) for name, value in zip(total, values, strict=True)}

    def _row(self, means: dict[str, float], whole: bool) -> None:
        at = self.at
        held_out = self._judge() if whole and len(self.task.held_out) else None
        if held_out is not None:
            at.best, at.since = (held_out, 0) if held_out < at.best else (at.best, at.since + 1)
        if self.log is not None:
            wall, cpu = self.clock()
            first = {"epoch": at.epoch, "step": at.step, "stage": at.stage}
            last = {"held_out": held_out, "seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}
            self.log.add(first | {name: float(f"{value:.8g}") for name, value in means.items()} | last)

    @torch.no_grad()
    def _judge(self) -> float:
        """Mean loss of the held-out items, without random numbers."""
        model, size = self.task.model, max(1, self.plan.batch // self.team.size)
        mine = self.task.held_out[self.team.rank :: self.team.size]
        model.eval()
        total = 0.0
        parts = [mine[i : i + size] for i in range(0, len(mine), size)]
        for items, batch in _ahead(lambda items: (items, self.task.load(items, None, 0)), parts):
            with self._autocast():
                total += float(model(self._to_device(batch))["loss"]) * len(items)
        model.train()
        return float(self.team.sum(np.array([total]))[0]) / len(self.task.held_out)

    def _save(self) -> None:
        self.saved = time.monotonic()
        if self.team.leads:
            model = {name: value.detach().cpu().clone() for name, value in self.task.model.state_dict().items()}
            optimisers = [optimiser.state_dict() for optimiser in self.task.optimisers]
            rest = {"scaler": self.scaler.state_dict(), "at": dict(vars(self.at))}
            self.task.keep({"model": model, "optimisers": optimisers} | rest)
        self.team.wait()

    def _restore(self, state: dict[str, Any]) -> None:
        self.task.model.load_state_dict(state["model"])
        for optimiser, values in zip(self.task.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(values)
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.at = _Position(**state["at"])

    def _back_to_last_checkpoint(self) -> None:
        why = self.at.stopped
        self._restore(self.task.kept())
        at = self.at
        here = f"epoch {at.epoch}, step {at.step}" if at.step else f"epoch {at.epoch - 1}"
        if at.epoch == 1 and not at.step:
            here = "the start"
        # Not saved: where the images were to blame, the same command goes on once they are mended.
        at.stopped = f"{why}; the weights of {here} were kept"


def _ahead(function: Callable, values: Iterable) -> Iterator:
    """``map(function, values)``, the next value worked out while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for value in values:
            following = pool.submit(function, value)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
