"""The worker: the protocol of docs/architecture.md, spoken to a real process."""

import contextlib
import sys

import numpy as np
import pytest

import hetero
from hetero.maps import Volume, write_map


@pytest.fixture
def maps(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        write_map(tmp_path / f"vol_{i}.mrc", Volume(rng.standard_normal((12, 12, 12)), 2.0))
    return tmp_path


def test_hello(worker):
    assert worker.hello["hello"] == "hetero" and worker.hello["protocol"] == 1
    assert worker.hello["version"] == hetero.__version__ and worker.hello["python"] == sys.executable


def test_requests_are_answered_in_order(worker, maps):
    worker.send({"id": "a", "verb": "info", "settings": {"path": str(maps)}})
    worker.send({"id": "b", "verb": "level", "settings": {"maps": [str(maps)], "method": "percentile"}})
    first, second = worker.answer(), worker.answer()
    assert (first["id"], first["result"]["n"]) == ("a", 4)
    assert (second["id"], [m["name"] for m in second["result"]["maps"]]) == ("b", ["vol_0", "vol_1", "vol_2", "vol_3"])
    assert second["warnings"] == []


def test_bad_requests_are_answered_and_the_worker_lives(worker, maps):
    for request, words in (
        ("garbage", "A request is one line"),
        ("[1, 2]", "A request is one line"),
        ({"cancel": [1]}, "A request is one line"),
        ({"id": [1], "verb": "info", "settings": {}}, "A request is one line"),
        ({"id": 1, "verb": "info", "settings": []}, "A request is one line"),
        ({"id": 2, "verb": "delete", "settings": {}}, "There is no verb 'delete'"),
        ({"id": 3, "verb": "info", "settings": {"path": "/gone"}}, "is not there"),
        ({"id": 4, "verb": "info", "settings": {"paht": "/gone"}}, "has no setting paht"),
    ):
        worker.send(request)
        error = worker.answer()["error"]
        assert error["kind"] == "input" and words in error["message"] and error["message"].endswith(".")
    assert worker.ask(5, "info", path=str(maps))["result"]["kind"] == "ensemble"


def test_assumptions_arrive_as_warnings(worker, tmp_path):
    import mrcfile

    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(np.random.default_rng(0).standard_normal((8, 8, 8)).astype(np.float32))
    answer = worker.ask(1, "info", path=str(tmp_path / "a.mrc"))
    assert answer["warnings"] == ["a.mrc: the header gives voxel size 0 x 0 x 0; 1 Å is assumed."]


def test_cancel_stops_the_request_not_the_worker(worker, tmp_path, maps):
    worker.send({"id": 7, "verb": "simulate", "settings": {"out": str(tmp_path / "s"), "volumes": 100000, "box": 32}})
    while worker.read()["progress"]["message"] != "simulating maps":
        pass
    worker.send({"cancel": 7})
    assert worker.answer() == {"id": 7, "error": {"kind": "cancelled", "message": "Cancelled.", "detail": None}}
    assert not (tmp_path / "s").exists() and not list(tmp_path.glob(".partial-*"))
    assert worker.ask(8, "info", path=str(maps))["id"] == 8


def test_it_ends_with_its_viewer(worker):
    worker.process.stdin.close()
    assert worker.process.wait(timeout=20) == 0
    assert worker.process.stderr.read() == ""


def test_a_line_without_end_ends_the_worker_not_the_machine(worker):
    with contextlib.suppress(BrokenPipeError):  # it may hang up before all is written
        worker.process.stdin.write("x" * (1 << 25))
        worker.process.stdin.close()
    assert worker.process.wait(timeout=20) == 0


def test_progress_comes_as_seldom_as_was_asked(worker, maps):
    settings = {"maps": [str(maps)], "method": "percentile"}
    worker.send({"id": 1, "verb": "level", "settings": settings, "every": 1000})
    lines = [worker.read(), worker.read()]
    assert "progress" in lines[0] and "result" in lines[1]  # one word at the start, no more
    worker.send({"id": 2, "verb": "level", "settings": settings, "every": "now"})
    assert "'every' is how many seconds" in worker.answer()["error"]["message"]
