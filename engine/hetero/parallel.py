"""One function over many chunks of work: here, in local processes, or on a Dask cluster."""

import importlib.util
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from hetero.errors import HeteroError, Interrupted

T = TypeVar("T")
_PATIENCE = 10  # seconds to wait for a scheduler
_TRIES = 10  # deaths of workers over one chunk that are taken for bad luck
_WORTH = 60.0  # seconds that chunks would take here: less is done about as soon as the processes are up
_CORES = 4  # fewer are kept busy by the threads of one process (benchmarks/RESULTS.md)
_LOOKED_AT = 2  # chunks that are done here first, to see how long they take
# Dask's own but for MALLOC_TRIM_THRESHOLD_: it has memory given back to the system after every product of matrices, and
# decoding takes half as long again (benchmarks/RESULTS.md).
_ENVIRONMENT = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
_AHEAD = 2  # chunks that wait at each worker: enough to keep it busy, few enough to bound the memory


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_workers(chunks: int, seconds: float) -> int:
    """How many local processes are worth it for so many chunks, each of so many seconds here: one for each core (but no
    more than chunks), where there are four cores or more, enough to do, and Dask is installed."""
    worth = processors() >= _CORES and chunks * seconds >= _WORTH
    return min(processors(), chunks) if worth and importlib.util.find_spec("distributed") is not None else 1


def map_chunks(
    function: Callable[[T], Any], chunks: Iterable[T], workers: int | None = 1, scheduler: str | None = None
) -> Iterator[tuple[T, Any]]:
    """Yield ``(chunk, function(chunk))`` as they are finished; in order only where one worker does all here.

    Memory: two chunks' answers for each worker.

    Args:
        function: can be pickled unless all is done here; sent once to each worker.
        chunks: small and hashable, e.g. numbers or tuples.
        workers: local processes; None for as many as are worth it, once two chunks are done here.
        scheduler: address of a Dask scheduler (``tcp://host:8786``); then its workers are used, and they need this
            package and see the same files.

    Raises:
        HeteroError: Dask is not installed, nobody answers at the address, or workers die over the same chunk again and
            again. (A worker that dies now and then costs the chunks that it had.)
    """
    if workers is None and scheduler is None:
        yield from _at_its_pace(function, list(chunks))
    elif scheduler is None and workers <= 1:
        for chunk in chunks:
            yield chunk, function(chunk)
    else:
        with _client(workers or 1, scheduler) as client:
            yield from _Crew(client, function).work(chunks)


def _at_its_pace(function: Callable[[T], Any], chunks: list[T]) -> Iterator[tuple[T, Any]]:
    """The first few here, and by workers what is left then, where that is much."""
    shortest = math.inf
    for chunk in chunks[:_LOOKED_AT]:
        began = time.perf_counter()
        answer = function(chunk)
        shortest = min(shortest, time.perf_counter() - began)  # the first has files to open, and modules
        yield chunk, answer
        del answer
    rest = chunks[_LOOKED_AT:]
    if rest:
        yield from map_chunks(function, rest, local_workers(len(rest), shortest))


class _Crew:
    """Workers of a cluster, any of which may die at any time: what it had is done again by others."""

    def __init__(self, client, function: Callable[[T], Any]):
        self.client, self.function = client, function
        self._tries: Counter[T] = Counter()
        self._waiting: dict[Any, T] = {}
        self._remote = None

    def work(self, chunks: Iterable[T]) -> Iterator[tuple[T, Any]]:
        """As :func:`map_chunks`."""
        from distributed import KilledWorker, as_completed
        from distributed.client import FutureCancelledError

        rest, running = iter(chunks), as_completed()
        for chunk in islice(rest, _AHEAD * max(1, self._count())):
            running.add(self._submit(chunk))
        for future in running:
            chunk = self._waiting.pop(future)
            try:
                answer = future.result()
            except (KilledWorker, FutureCancelledError) as error:  # the worker, or all that had the function, died
                running.add(self._again(chunk, error))
                continue
            yield chunk, answer
            del future, answer
            for more in islice(rest, 1):
                running.add(self._submit(more))

    def _submit(self, chunk: T):
        if self._remote is None or self._remote.status == "cancelled":
            self._remote = self._sent()
        future = self.client.submit(_call, self._remote, chunk, pure=False)
        self._waiting[future] = chunk
        return future

    def _sent(self):
        """The function, at every worker that there is."""
        for _ in range(_TRIES):
            try:
                self.client.wait_for_workers(1, timeout=60)
                return self.client.scatter(self.function, broadcast=True, hash=False)
            except (TimeoutError, OSError):  # all are being started again
                continue
        raise Interrupted("The workers die as soon as they are given work; they may need more memory.")

    def _again(self, chunk: T, error: Exception):
        self._tries[chunk] += 1
        if self._tries[chunk] > _TRIES:
            raise Interrupted(
                f"Workers died {_TRIES + 1} times over the same work ({chunk}); they may need more memory."
            ) from error
        return self._submit(chunk)

    def _count(self) -> int:
        return len(self.client.scheduler_info(n_workers=-1)["workers"])


def _call(function: Callable[[T], Any], chunk: T) -> Any:
    return function(chunk)


@contextmanager
def _client(workers: int, scheduler: str | None):
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise HeteroError(
            "More than one worker, or a scheduler, needs Dask: pip install 'hetero-em[cluster]'."
        ) from error
    if scheduler is None:
        with dask.config.set({"distributed.nanny.pre-spawn-environ": _ENVIRONMENT}):  # also of those started again
            try:
                cluster = LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)
            except (OSError, RuntimeError) as error:
                raise Interrupted(
                    "The local workers ended while they were started; the same command goes on."
                ) from error
            with cluster, Client(cluster) as client:
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
