"""Work in chunks: the order here, what a scheduler's absence says, and that an error comes through."""

import os
import signal
import time

import pytest

from hetero import parallel
from hetero.errors import HeteroError


def test_alone_it_is_a_loop():
    assert list(parallel.map_chunks(lambda c: c * 10, [3, 1, 2])) == [(3, 30), (1, 10), (2, 20)]


def test_workers_are_started_where_the_pace_of_the_first_chunks_makes_them_worth_it(monkeypatch):
    pytest.importorskip("distributed", reason="Dask's workers are an extra")

    def where(chunk):  # inside, so that it travels whole: workers cannot import the tests
        time.sleep(0.05 if chunk else 0.3)  # the first has more to do, and is not what is gone by
        return os.getpid()

    here = os.getpid()
    monkeypatch.setattr(parallel, "processors", lambda: 2)
    monkeypatch.setattr(parallel, "_WORTH", 3.0)
    assert parallel.local_workers(10**6, 10.0) == 1  # two cores have one process's threads
    monkeypatch.setattr(parallel, "_CORES", 2)
    assert {answer for _, answer in parallel.map_chunks(where, range(8), workers=None)} == {here}  # 0.3 s are left
    found = dict(parallel.map_chunks(where, range(80), workers=None))
    assert sorted(found) == list(range(80)) and found[0] == found[1] == here
    others = {found[chunk] for chunk in range(2, 80)}
    assert len(others) == 2 and here not in others


def test_workers_take_one_thread_each_and_keep_their_memory(monkeypatch):
    """Dask's MALLOC_TRIM_THRESHOLD_ costs a decoder half as much time again."""
    pytest.importorskip("distributed", reason="Dask's workers are an extra")
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        pytest.skip("it is set here")

    def look(chunk):
        return (os.environ.get("OMP_NUM_THREADS"), os.environ.get("MALLOC_TRIM_THRESHOLD_")), os.getpid()

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # a shell's own goes before
    found = [answer for _, answer in parallel.map_chunks(look, range(4), workers=2)]
    assert {said for said, _ in found} == {("1", None)} and os.getpid() not in {pid for _, pid in found}


def test_no_scheduler_is_one_sentence(monkeypatch):
    pytest.importorskip("distributed", reason="Dask's workers are an extra")
    monkeypatch.setattr(parallel, "_PATIENCE", 0.5)
    with pytest.raises(HeteroError, match="No Dask scheduler answers at tcp://127"):
        list(parallel.map_chunks(str, [1], scheduler="tcp://127.0.0.1:9"))


def test_a_cluster_in_this_process_answers_and_fails_as_we_do():
    distributed = pytest.importorskip("distributed", reason="Dask's workers are an extra")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        found = dict(parallel.map_chunks(str, range(20), scheduler=cluster.scheduler_address))
        assert found == {i: str(i) for i in range(20)}

        def refuse(chunk):
            raise HeteroError(f"chunk {chunk} is bad.")

        with pytest.raises(HeteroError, match="chunk 7 is bad"):
            list(parallel.map_chunks(refuse, [7], scheduler=cluster.scheduler_address))


def test_workers_that_are_killed_cost_no_answer(kill_worker):
    pytest.importorskip("distributed", reason="Dask's workers are an extra")

    def square(chunk):  # inside, so that it travels whole: workers cannot import the tests
        time.sleep(0.05)
        return chunk**2

    found, killed = {}, 0
    for chunk, answer in parallel.map_chunks(square, range(60), workers=2):
        assert chunk not in found
        found[chunk] = answer
        if len(found) in (3, 4, 20, 40):  # twice at once: nobody is left who has the function
            killed += kill_worker(len(found))
    assert found == {i: i**2 for i in range(60)} and killed >= 3


@pytest.mark.slow
def test_work_that_kills_every_worker_ends_with_a_sentence(monkeypatch):
    pytest.importorskip("distributed", reason="Dask's workers are an extra")
    monkeypatch.setattr(parallel, "_TRIES", 1)

    def die(chunk):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(HeteroError, match="they may need more memory"):
        list(parallel.map_chunks(die, [1, 2], workers=2))
