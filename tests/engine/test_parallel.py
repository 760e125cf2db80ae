"""Work in chunks: the order here, what a scheduler's absence says, and that an error comes through."""

import pytest

from hetero import parallel
from hetero.errors import HeteroError


def test_alone_it_is_a_loop():
    assert list(parallel.map_chunks(lambda c: c * 10, [3, 1, 2])) == [(3, 30), (1, 10), (2, 20)]


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
