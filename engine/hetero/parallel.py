"""One function over many chunks of work: here, in local processes, or on a Dask cluster."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from hetero.errors import HeteroError

T = TypeVar("T")
_PATIENCE = 10  # seconds to wait for a scheduler
_AHEAD = 2  # chunks that wait at each worker: enough to keep it busy, few enough to bound the memory


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_chunks(
    function: Callable[[T], Any], chunks: Iterable[T], workers: int = 1, scheduler: str | None = None
) -> Iterator[tuple[T, Any]]:
    """Yield ``(chunk, function(chunk))`` as they are finished; in order only where one worker does all here.

    Memory: two chunks' answers for each worker.

    Args:
        function: can be pickled unless all is done here; sent once to each worker.
        chunks: small and hashable, e.g. numbers or tuples.
        workers: local processes.
        scheduler: address of a Dask scheduler (``tcp://host:8786``); then its workers are used, and they need this
            package and see the same files.

    Raises:
        HeteroError: Dask is not installed, or nobody answers at the address.
    """
    if workers <= 1 and scheduler is None:
        for chunk in chunks:
            yield chunk, function(chunk)
        return
    with _client(workers, scheduler) as client:
        from distributed import as_completed

        remote = client.scatter(function, broadcast=True)
        rest = iter(chunks)
        slots = _AHEAD * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        waiting = {client.submit(_call, remote, chunk, pure=False): chunk for chunk in islice(rest, slots)}
        running = as_completed(list(waiting))
        for future in running:
            chunk = waiting.pop(future)
            yield chunk, future.result()
            del future
            for more in islice(rest, 1):
                submitted = client.submit(_call, remote, more, pure=False)
                waiting[submitted] = more
                running.add(submitted)


def _call(function: Callable[[T], Any], chunk: T) -> Any:
    return function(chunk)


@contextmanager
def _client(workers: int, scheduler: str | None):
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise HeteroError(
            "More than one worker, or a scheduler, needs Dask: pip install 'hetero-em[cluster]'."
        ) from error
    if scheduler is None:
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise HeteroError(f"No Dask scheduler answers at {scheduler}; tcp://host:port was expected.") from error
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise HeteroError(f"The Dask scheduler at {scheduler} has no workers.")
        yield client
