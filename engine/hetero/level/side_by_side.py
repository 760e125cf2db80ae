"""Work on numbered items in several processes, answered in order."""

from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

from threadpoolctl import threadpool_limits

_AHEAD = 4  # items a process: answers wait in memory for whoever asked


def in_order(work: Callable[[int], Any], count: int, processes: int) -> Iterator[Any]:
    """``work(0)``, ``work(1)`` ... ``work(count - 1)``: the same answers with any number of processes.

    Args:
        work: picklable where there is more than one process. Runs with one thread for numpy's products, so that sums
            are taken in one order.
        count, processes: numbers of both.
    """
    if processes == 1:
        for i in range(count):
            with threadpool_limits(1):
                answer = work(i)
            yield answer
        return
    with get_context("spawn").Pool(processes, _keep, (work,)) as pool:
        waiting: deque = deque()
        for i in range(count):
            waiting.append(pool.apply_async(_kept_work, (i,)))
            if len(waiting) > _AHEAD * processes:
                yield waiting.popleft().get()
        while waiting:
            yield waiting.popleft().get()


_kept: list[Callable[[int], Any]] = []


def _keep(work) -> None:
    """Runs once in each process: what the work needs travels once, not with every item."""
    threadpool_limits(1)
    _kept.append(work)


def _kept_work(i: int) -> Any:
    return _kept[0](i)
