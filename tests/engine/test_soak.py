"""Verbs in a row through one worker: nothing stays behind. The thousand of ``benchmarks/soak.py`` are sixty here."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory and open files are read from /proc")
def test_sixty_verbs_through_one_worker_leave_nothing_behind(tmp_path):
    pytest.importorskip("torch", reason="runs are decoded and levels predicted with torch")
    spec = importlib.util.spec_from_file_location("soak", BENCHMARK)
    soak = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(soak)
    table = soak.soak(tmp_path / "data", 60)
    assert (table["answer"] == "result").sum() == 45 and set(table["answer"]) == {"result", "input"}
    grown = soak.growth(table)
    assert grown["files"] <= 0 and grown["threads"] <= 0
    assert grown["megabytes"] < 15, grown  # the second twelve against the last: caches are warm by then
