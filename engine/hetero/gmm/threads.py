"""Images in threads, some in each: to share out every small sum, as torch does by itself, costs more than it saves."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch


def in_slices(
    work: Callable[[slice], None], n: int, step: int, device: torch.device, after: Callable[[slice], None] | None = None
) -> None:
    """``work(part)`` for all slices of n images, ``step`` of them in each; on a CPU in as many threads as torch uses.

    Args:
        work: writes what it finds into what the caller holds; gradients are not recorded. It may call this again, and
            is then alone in its thread.
        n, step: images, and those of a slice.
        device: of the images.
        after: called in this thread with each slice that is done, in order.
    """
    parts = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    work, threads = torch.no_grad()(work), torch.get_num_threads()
    alone = device.type != "cpu" or threads == 1 or len(parts) == 1
    done = map(work, parts) if alone else _pool(threads).map(work, parts)
    for part, _ in zip(parts, done, strict=True):
        if after:
            after(part)


@lru_cache(1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that torch shares nothing out in: its setting is each thread's own."""
    return ThreadPoolExecutor(threads, "images", lambda: torch.set_num_threads(1))
