"""Work in threads, a slice of it in each.

To share out every small sum, as torch does by itself, costs more than it saves; and where something else keeps one core
busy, all of torch's threads wait for the last one after each. Slices wait for nobody.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from threading import Barrier

import torch


def in_slices(
    work: Callable[[slice], None],
    n: int,
    step: int,
    device: torch.device,
    after: Callable[[slice], None] | None = None,
    most: int = 8,
) -> None:
    """``work(part)`` for all slices of n images or points, ``step`` in each.

    On a CPU in as many threads as torch uses. Neither gradients nor autocast reach them.

    Args:
        work: writes what it finds into what the caller holds. It may call this again: in one of the threads all stays
            there.
        n, step: all, and those of a slice.
        device: where they are.
        after: called in this thread with each slice that is done, in order; what it raises stops the rest.
        most: threads; what each has in hand takes memory.
    """
    parts = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    work, threads = torch.no_grad()(work), torch.get_num_threads()
    alone = device.type != "cpu" or threads == 1 or len(parts) == 1
    results = (work(part) for part in parts) if alone else _pool(min(threads, most)).map(work, parts)
    with closing(results):
        for part, _ in zip(parts, results, strict=True):
            if after:
                after(part)


@lru_cache(2)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that torch shares nothing out in."""
    pool, all_there, before = ThreadPoolExecutor(threads, "slices"), Barrier(threads), torch.get_num_threads()

    def begin(_):
        torch.get_num_threads()  # the first call in a thread takes the process's number over
        torch.set_num_threads(1)
        all_there.wait()

    list(pool.map(begin, range(threads)))
    torch.set_num_threads(before)  # what a thread sets for itself is also what later ones begin with
    return pool
