"""A run's folder while it is trained into: one process alone, and a checkpoint that is damaged."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from hetero.checkpoints import CHECKPOINT, PREVIOUS, newest_whole, read_checkpoint, write_checkpoint
from hetero.errors import HeteroError
from hetero.locks import LOCK, hold
from hetero.maps import MapWarning

HOLDER = """
    import sys, time
    from hetero.locks import hold
    with hold(sys.argv[1]):
        print("held", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder ``run``."""
    pytest.importorskip("fcntl", reason="folders are held by Unix's locks")
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_process_is_told_who_is_there(holder, tmp_path):
    with (
        pytest.raises(HeteroError, match=f"run is in use: process {holder.pid} on .* works on it"),
        hold(tmp_path / "run"),
    ):
        pytest.fail("held twice")
    assert holder.poll() is None


def test_a_lock_of_a_dead_process_is_no_obstacle(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / LOCK).read_text().startswith(f"process {holder.pid} on")
    with hold(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK).read_text().startswith(f"process {os.getpid()} on")


def test_a_link_in_the_lock_s_place_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / LOCK).symlink_to("precious")
    with pytest.raises(HeteroError, match="Cannot write"), hold(tmp_path):
        pytest.fail("held")
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_training_begins_in_a_folder_that_only_was_held(tmp_path):
    from hetero.commands.training_folder import check_training_folder
    from hetero.latent import RunConfig

    with hold(tmp_path):
        pass
    check_training_folder(tmp_path, RunConfig("drgn", 16, 2.0, {}), (), ())


def test_a_verb_says_so_before_it_works(holder, tmp_path):
    from hetero.commands.training_folder import check_training_folder
    from hetero.latent import RunConfig, write_config

    config = RunConfig("drgn", 16, 2.0, {})
    write_config(tmp_path / "run" / "config.json", config)
    with pytest.raises(HeteroError, match="is in use"):
        check_training_folder(tmp_path / "run", config, (), ())


def save(path, number):
    import torch

    write_checkpoint(path, {"format": "x", "values": torch.full((1000,), float(number)), "number": number})


def number_of(path):
    return read_checkpoint(path, "x", "numbers", "train-x")["number"]


@pytest.mark.parametrize(
    "damage", ["a flipped byte of a number", "a flipped byte of the head", "half of it", "empty", "gone", "zeros"]
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    pytest.importorskip("torch", reason="checkpoints are torch's")
    path = tmp_path / CHECKPOINT
    assert newest_whole(path, number_of) is None
    for number in (1, 2, 3):
        save(path, number)
    assert newest_whole(path, number_of) == 3 and number_of(tmp_path / PREVIOUS) == 2
    raw = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "a flipped byte of a number":
        raw[raw.find(np.full(1000, 3, "<f4").tobytes()) + 7] ^= 4
    elif damage == "a flipped byte of the head":
        raw[raw.find(b"values") + 2] ^= 1
    elif damage == "zeros":
        raw[len(raw) // 4 :] = b"\0" * (len(raw) - len(raw) // 4)
    else:
        del raw[len(raw) // 2 if damage == "half of it" else 0 :]
    if damage != "gone":
        path.write_bytes(raw)
    with pytest.warns(MapWarning, match="the one before"):
        assert newest_whole(path, number_of) == 2
    save(path, 3)  # going on does not make the damaged one the one before
    assert number_of(path) == 3 and number_of(tmp_path / PREVIOUS) == 2


def test_two_damaged_checkpoints_are_a_sentence(tmp_path):
    pytest.importorskip("torch", reason="checkpoints are torch's")
    for number in (1, 2):
        save(tmp_path / CHECKPOINT, number)
    for name in (CHECKPOINT, PREVIOUS):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:500])
    with pytest.raises(HeteroError, match=r"checkpoint\.pt"):
        newest_whole(tmp_path / CHECKPOINT, number_of)
