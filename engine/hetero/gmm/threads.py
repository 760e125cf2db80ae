"""Images in threads, some in each: to share out every small sum, as torch does by itself, costs more than it saves."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache

import torch

_MOST = 8  # threads: each has a slice in hand, and a batch has no more of them


def in_slices(
    work: Callable[[slice], None], n: int, step: int, device: torch.device, after: Callable[[slice], None] | None = None
) -> None:
    """``work(part)`` for all slices of n images, ``step`` in each.

    On a CPU in as many threads as torch uses, up to eight. Neither gradients nor autocast reach them.

    Args:
        work: writes what it finds into what the caller holds. It may call this again: in one of the threads all stays
            there.
        n, step: images, and those of a slice.
        device: of the images.
        after: called in this thread with each slice that is done, in order; what it raises stops the rest.
    """
    parts = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    work, threads = torch.no_grad()(work), torch.get_num_threads()
    alone = device.type != "cpu" or threads == 1 or len(parts) == 1
    results = (work(part) for part in parts) if alone else _pool(min(threads, _MOST)).map(work, parts)
    try:
        with closing(results):
            for part, _ in zip(parts, results, strict=True):
                if after:
                    after(part)
    finally:
        if not alone:  # what the pool's threads set for themselves is also what later threads begin with
            torch.set_num_threads(threads)


@lru_cache(1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that torch shares nothing out in."""
    return ThreadPoolExecutor(threads, "images", lambda: torch.set_num_threads(1))
