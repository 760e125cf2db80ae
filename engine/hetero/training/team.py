"""Where a training runs: the device, and the other processes that take part in it (``torchrun``)."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed, nn

from hetero.errors import HeteroError

_GO_ON = "the same command, with any number of processes, goes on from the last checkpoint."


@dataclass(frozen=True)
class Team:
    """One process among those that train one model together.

    Attributes:
        device: where this process computes.
        rank: which one it is; number 0 writes files and reports.
        size: how many there are.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, with gradients averaged over the team after each backward pass."""
        if self.size == 1:
            return module
        places = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=places)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Float64 numbers, added up over the team."""
        values = np.asarray(values, dtype=np.float64)
        if self.size == 1:
            return values
        on_device = torch.from_numpy(values.copy()).to(self.device)
        distributed.all_reduce(on_device)
        return on_device.cpu().numpy()


@contextlib.contextmanager
def join_team(device: str | None = None) -> Iterator[Team]:
    """The team that ``torchrun`` started this process in, or a team of one.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``; the best there is, if not given.

    Raises:
        HeteroError: no such device here; or another process of the team has ended.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = _device(device, local)
    if size == 1:
        yield Team(chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    rank = distributed.get_rank()
    with _told_to_end():  # to the very end: torchrun tells the others as soon as one is lost
        try:
            yield Team(chosen, rank, size)
            _part()
        except RuntimeError as error:
            if not _has_lost_another(error):
                raise
            lost = f"Process {rank} of {size} lost another of them, so the training ended; {_GO_ON}"
            raise HeteroError(lost) from error
        finally:
            distributed.destroy_process_group()


def _part() -> None:
    """Wait for the others once more, when all is done: nothing is lost with one that has already gone."""
    # gloo's threads outlive the group where a model was wrapped. One that still frees the last sum's numbers while
    # Python ends would abort the process; a barrier leaves it nothing of Python's to free.
    try:
        distributed.barrier()
    except RuntimeError as error:
        if not _has_lost_another(error):
            raise


@contextlib.contextmanager
def _told_to_end() -> Iterator[None]:
    """SIGTERM, by which ``torchrun`` and schedulers of clusters end a process, becomes a sentence.

    A process that leaves with an error is not told again: it ends, and a signal before its sentence is written would
    only silence it.
    """

    def end(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise HeteroError(f"The training was told to end, by signal {number}; {_GO_ON}")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except BaseException:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
    signal.signal(signal.SIGTERM, before)


def _has_lost_another(error: RuntimeError) -> bool:
    """Whether the other side of a connection is gone, in the words of gloo, NCCL and torch's store."""
    words = ("closed by peer", "reset by peer", "broken pipe", "remote process exited", "connection was likely closed")
    return isinstance(error, distributed.DistError) or any(word in str(error).lower() for word in words)


def _device(name: str | None, local: int) -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    kind = name or next(kind for kind, available in there.items() if available)
    if not there.get(kind, False):
        here = ", ".join(kind for kind, available in there.items() if available)
        raise HeteroError(f"The device is '{kind}'; this machine has {here}.")
    if kind != "cuda":
        return torch.device(kind)
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def best_precision(device: torch.device) -> str:
    """``bfloat16`` where the device multiplies it faster than float32, else ``float32``."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        return "bfloat16" if _cpu_has_bfloat16() else "float32"
    return "float32"


def _cpu_has_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
