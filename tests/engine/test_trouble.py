"""What happens to long work: full disks, read-only folders, files that vanish, kills. One sentence, nothing lost."""

import importlib.util
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.errors import HeteroError, Interrupted
from hetero.files import FolderKind, atomic_folder
from hetero.latent import read_latents
from hetero.locks import hold_result
from hetero.maps import MapWarning, Volume, read_map, write_map
from hetero.particles import CTF, Poses, read_stack_header, write_ctf, write_poses, write_stack
from hetero.particles.growing import grow_stack
from hetero.particles.simulate import random_poses
from hetero.parts import Parts, keep_parts

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_points.py"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the faulty disk is Linux's")


needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="training needs torch")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """40 images of noise with poses."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    with write_stack(folder / "p.mrcs", 40, 16, 4.0) as writer:
        writer.append(rng.standard_normal((40, 16, 16)))
    write_poses(folder / "poses.pkl", Poses(random_poses(40, 0.0, rng).rotations, np.zeros((40, 2))), 64.0)
    write_ctf(folder / "ctf.pkl", CTF(rng.uniform(8e3, 2e4, 40), 1e4, 0.0, 300.0, 2.7, 0.1), 16, 4.0)
    return folder


def training(folder, out, epochs=3):
    small = ["--width", "12", "--encoder-width", "8", "--layers", "1", "--zdim", "2", "--batch", "8", "--threads", "1"]
    files = [str(folder / "p.mrcs"), "--poses", str(folder / "poses.pkl"), "--ctf", str(folder / "ctf.pkl")]
    plain = ["--preset", "cryodrgn", "--device", "cpu", "--precision", "float32", "--epochs", str(epochs), "--quiet"]
    return ["train-vae", *files, "--out", str(out), *small, *plain]


def as_user(words, **choices) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "hetero", *words], check=False, capture_output=True, text=True, timeout=240,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}, **choices,
    )  # fmt: skip


def one_sentence(done, words) -> None:
    assert done.returncode == BAD_INPUT, done.stderr
    assert re.fullmatch(r"hetero [a-z-]+: .*\.\n", done.stderr) and re.search(words, done.stderr), done.stderr


@linux
@needs_torch
@pytest.mark.parametrize("verbs", [["train-vae", "occupancy", "downsample", "blocks"],
                                   pytest.param(["train-vae --base", "train-gmm", "train-level"],
                                                marks=pytest.mark.slow)], ids=["quick", "slow"])  # fmt: skip
def test_stopped_anywhere_it_ends_as_if_it_had_not_been(tmp_path, verbs):
    """A few of the points that ``benchmarks/kill_points.py`` tries, one of each kind."""
    done = subprocess.run(
        [sys.executable, BENCHMARK, tmp_path, "--few", "1", "--moments", "1", "--verbs", *verbs], check=False,
        capture_output=True, text=True, timeout=280, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| 5 of 5 |") == len(verbs), done.stdout


@linux
@needs_torch
def test_a_disk_that_is_really_full_leaves_a_checkpoint(noise, tmp_path):
    """A limit on the length of files is what a process can set itself; the system then refuses as a full disk does."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    assert main(training(noise, tmp_path / "whole")) == DONE
    assert main(training(noise, tmp_path / "run", epochs=1)) == DONE
    one_sentence(as_user(training(noise, tmp_path / "run"), preexec_fn=limit), r"Cannot write .*: file too large")
    assert main(training(noise, tmp_path / "run")) == DONE
    a, b = (read_latents(tmp_path / name / "latents.npz").mean for name in ("run", "whole"))
    np.testing.assert_array_equal(a, b)


@linux
def test_a_device_that_is_full_is_one_sentence(tmp_path):
    """``/dev/full`` takes nothing: what torch, numpy and we write into it ends as the system says."""
    from hetero.checkpoints import save_tensors

    torch = pytest.importorskip("torch", reason="weights are written by torch")
    real = open

    def full(path, mode="r", *more, **others):
        return real("/dev/full" if "w" in mode else path, mode, *more, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.open", full)
        with pytest.raises(HeteroError, match="no space left on device"):
            save_tensors(tmp_path / "w.pt", {"a": torch.zeros(100_000)})
    assert not list(tmp_path.iterdir())


def test_a_read_only_folder_is_one_sentence(noise, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to the superuser; the faulty disk refuses in its place")
    one_sentence(as_user(training(noise, closed / "run")), "permission denied")
    one_sentence(as_user(["downsample", str(noise / "p.mrcs"), "--out", str(closed / "x"), "--box", "8"]), "permission")


@needs_torch
def test_images_that_vanish_while_they_are_read(noise, tmp_path):
    shutil.copytree(noise, tmp_path / "data")
    words = training(tmp_path / "data", tmp_path / "run", epochs=400)
    words += ["--memory", "0", "--no-cache", "--minutes", "0"]
    command = [sys.executable, "-m", "hetero", *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run/checkpoint.previous.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        (tmp_path / "data/p.mrcs").rename(tmp_path / "data/away.mrcs")
        said = process.stderr.read()
    assert process.returncode == BAD_INPUT
    assert re.fullmatch(r"hetero train-vae: .*p\.mrcs cannot be read any more: .*no such file.*\.\n", said), said
    (tmp_path / "data/away.mrcs").rename(tmp_path / "data/p.mrcs")
    few = ["2" if word == "400" else word for word in words]
    assert main(few) == DONE  # it goes on, and finds more epochs than that done, or the two to do


def test_a_damaged_part_is_made_again_and_said(tmp_path):
    parts = Parts(tmp_path / "p", {"of": 1})
    for i in range(3):
        parts.save(i, np.full(50, i))
    path = tmp_path / "p" / "part_000001.npy"
    raw = bytearray(path.read_bytes())
    raw[-20] ^= 1
    path.write_bytes(raw)
    with pytest.warns(MapWarning, match=r"part_000001.npy is damaged \(its checksum differs\); it is made again"):
        parts = Parts(tmp_path / "p", {"of": 1})
    assert [i in parts for i in range(3)] == [True, False, True]
    np.testing.assert_array_equal(parts.load(2), np.full(50, 2))


def test_a_damaged_map_of_ours_is_said_and_the_same_map_is_the_same_file(tmp_path):
    volume = Volume(np.random.default_rng(0).standard_normal((8, 8, 8)), 2.0)
    for name in ("a.mrc", "b.mrc"):
        write_map(tmp_path / name, volume)
    raw = bytearray((tmp_path / "a.mrc").read_bytes())
    assert raw == (tmp_path / "b.mrc").read_bytes()
    raw[1500] ^= 1
    (tmp_path / "a.mrc").write_bytes(raw)
    with pytest.warns(MapWarning, match="a.mrc does not hold the values that Hetero wrote into it"):
        read_map(tmp_path / "a.mrc")
    read_map(tmp_path / "b.mrc")


def test_a_full_disk_keeps_what_is_finished_and_bad_input_does_not(tmp_path):
    kept, said = tmp_path / "o.csv.parts", r"space left on device. What is finished waits in .*o.csv.parts"
    with pytest.raises(Interrupted, match=said), keep_parts(kept, {"of": 1}) as parts:
        parts.save(0, np.zeros(3))
        raise Interrupted("Cannot write o.csv: no space left on device.")
    assert 0 in Parts(kept, {"of": 1})
    with pytest.raises(HeteroError, match=r"^vol_7 holds NaN.$"), keep_parts(tmp_path / "p.csv.parts", {}) as parts:
        parts.save(0, np.zeros(3))
        raise HeteroError("vol_7 holds NaN.")
    assert [p.name for p in tmp_path.iterdir()] == ["o.csv.parts"]


def test_a_result_has_one_maker(tmp_path):
    with hold_result(tmp_path / "o.csv"):
        with (
            pytest.raises(HeteroError, match=f"o.csv is in use: process {os.getpid()} on"),
            hold_result(tmp_path / "o.csv"),
        ):
            pytest.fail("held twice")
        with hold_result(tmp_path / "other.csv"):
            pass
    assert not list(tmp_path.iterdir())


def test_what_killed_processes_left_is_cleared_and_what_they_moved_comes_back(tmp_path):
    kind = FolderKind("a.txt", ("a.txt",))
    with atomic_folder(tmp_path / "out", kind) as folder:
        (folder / "a.txt").write_text("first")
    (tmp_path / "out").rename(tmp_path / ".partial-out-abcd1234-old")  # killed between the two steps of replacing it
    (tmp_path / ".partial-out-abcd1234").mkdir()
    (tmp_path / ".partial-abcdefghout.json").write_text("half")
    (tmp_path / ".partial-abcdefghoutside.csv.x").write_text("another's")
    (tmp_path / ".partial-mine").write_text("another's")
    with hold_result(tmp_path / "out"):
        assert (tmp_path / "out/a.txt").read_text() == "first"
    others = {".partial-mine", ".partial-abcdefghoutside.csv.x"}
    assert {p.name for p in tmp_path.iterdir()} == {"out", *others}


def test_a_stack_grows_on_from_what_is_safe(tmp_path, monkeypatch):
    monkeypatch.setattr("hetero.particles.growing._BETWEEN", 0)
    images = np.random.default_rng(0).standard_normal((30, 8, 8)).astype(np.float32)
    with write_stack(tmp_path / "whole.mrcs", 30, 8, 2.0) as writer:
        writer.append(images)
    with pytest.raises(KeyboardInterrupt), grow_stack(tmp_path / "s.mrcs", 30, 8, 2.0) as writer:
        writer.append(images[:10])
        writer.append(images[10:20])
        raise KeyboardInterrupt
    with open(tmp_path / "s.mrcs", "ab") as file:
        file.write(b"half an image")
    with grow_stack(tmp_path / "s.mrcs", 30, 8, 2.0) as writer:
        assert writer.n == 20
        writer.append(images[20:])
    assert (tmp_path / "s.mrcs").read_bytes() == (tmp_path / "whole.mrcs").read_bytes()
    assert read_stack_header(tmp_path / "s.mrcs").shape == (30, 8, 8)


def test_a_second_linear_training_is_told_so(noise, tmp_path, capsys):
    with hold_result(tmp_path / "linear"):
        words = ["train-linear", str(noise / "p.mrcs"), "--poses", str(noise / "poses.pkl"), "--out"]
        status = main([*words, str(tmp_path / "linear")])
    assert status == BAD_INPUT and capsys.readouterr().err.count("\n") == 1
