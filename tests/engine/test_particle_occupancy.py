"""Occupancy of particles on the fly: exactly decode-then-measure, and the same file after a kill."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest

from hetero.commands import occupancy
from hetero.commands.particle_measurer import ParticleMeasurer
from hetero.commands.particle_occupancy import choose_rows, measure_particles, read_numbers
from hetero.commands.resolve_masks import Masks
from hetero.errors import Cancelled, HeteroError
from hetero.latent import Run, View
from hetero.maps import Volume, write_map
from hetero.occupancy import read_occupancy
from hetero.parts import Parts

# A linear model of a blob and two parts that come and go; a module of its own, so that other processes can import it.
MODEL = """
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from hetero.commands.particle_measurer import ParticleMeasurer
from hetero.commands.particle_occupancy import measure_particles
from hetero.commands.resolve_masks import Masks
from hetero.latent import Run, View

BOX, N = 16, 1000
GRID = np.indices((BOX, BOX, BOX)) - BOX // 2


def blob(center, radius):
    return np.exp(-sum((g - c) ** 2 for g, c in zip(GRID, center)) / radius**2).astype(np.float32)


BASE, PARTS = 0.6 * blob((0, 0, 0), 4), np.array([blob((0, 0, 5), 2), blob((0, 5, 0), 2)])
MASKS = Masks(("block_00", "block_01"), PARTS > 0.5)


def decode(z, box, pause=0.0):
    for row in z:
        time.sleep(pause)
        yield BASE + np.tensordot(row, PARTS, axes=1)


def make_run(pause=0.0):
    rng = np.random.default_rng(0)
    z = (rng.random((N, 2)) < 0.4) + 0.1 * rng.standard_normal((N, 2))
    index = np.sort(rng.choice(5000, N, replace=False))
    return Run("run", "linear", {}, z, index, 3.0, BOX, partial(decode, pause=pause))


def measurer(rows, pause=0.0, level=0.4):
    return ParticleMeasurer(partial(make_run, pause), rows, MASKS, level, View())


if __name__ == "__main__":
    out, pause, workers = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    run = make_run(pause)
    rows = measurer(np.arange(N), pause)
    measure_particles(rows, run, out, {"run": "run"}, lambda done, *_: print(done), workers=workers)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The module above, imported; its file."""
    import importlib.util

    path = tmp_path_factory.mktemp("model") / "linear_model.py"
    path.write_text(MODEL)
    spec = importlib.util.spec_from_file_location("linear_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, path


def start(path, *arguments) -> subprocess.Popen:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(path.parent), *sys.path]))
    command = [sys.executable, str(path), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process) -> list[int]:
    """How many particles were done, each time it was told."""
    with process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return [int(line) for line in out.split()]


def test_it_is_decode_then_measure_exactly(model, tmp_path):
    linear, _ = model
    run = linear.make_run()
    rows = np.arange(40)[::-1]  # any rows, in any order
    table = measure_particles(linear.measurer(rows), run, tmp_path / "o.csv", {})
    maps = tmp_path / "maps"
    maps.mkdir()
    for particle, volume in zip(run.particle_index[rows], run.decode(run.latents[rows]), strict=True):
        write_map(maps / f"vol_{particle}.mrc", volume)
    blocks = tmp_path / "blocks"
    blocks.mkdir()
    for name, mask in zip(linear.MASKS.names, linear.MASKS.masks, strict=True):
        write_map(blocks / f"{name}.mrc", Volume(mask, 3.0), dtype=np.int8)
    occupancy.run(occupancy.Settings(maps, blocks, out=tmp_path / "v.csv", level="0.4"))
    volumes = pd.read_csv(tmp_path / "v.csv", index_col="name")
    expected = volumes.loc[[f"vol_{i}" for i in table.index]]  # joined by particle number: the folder's order differs
    np.testing.assert_array_equal(table.to_numpy(), expected.to_numpy())
    assert table.to_numpy().min() < 0.2 and table.to_numpy().max() == 1
    pd.testing.assert_frame_equal(read_occupancy(tmp_path / "o.csv"), table)
    assert not (tmp_path / "o.csv.parts").exists()


def test_predicted_levels_are_those_of_maps_on_disk(model, tmp_path):
    pytest.importorskip("torch", reason="levels are predicted by the network")
    linear, _ = model
    run = linear.make_run()
    rows = np.arange(20)
    table = measure_particles(linear.measurer(rows, level=None), run, tmp_path / "o.npz", {})
    maps = tmp_path / "maps"
    maps.mkdir()
    for i, volume in enumerate(run.decode(run.latents[rows])):
        write_map(maps / f"vol_{i:03d}.mrc", volume)
    blocks = tmp_path / "blocks"
    blocks.mkdir()
    for name, mask in zip(linear.MASKS.names, linear.MASKS.masks, strict=True):
        write_map(blocks / f"{name}.mrc", Volume(mask, 3.0), dtype=np.int8)
    answer = occupancy.run(occupancy.Settings(maps, blocks, out=tmp_path / "v.csv", level="predict"))
    np.testing.assert_array_equal(table.to_numpy(), np.array(answer["values"], dtype=float))
    pd.testing.assert_frame_equal(read_occupancy(tmp_path / "o.npz"), table)


def test_a_map_without_a_level_is_an_empty_row(model):
    linear, _ = model
    pytest.importorskip("torch", reason="levels are predicted by the network")
    run = Run("r", "x", {}, [[0.0], [1.0]], [0, 1], 3.0, 16, lambda z, box: (linear.BASE * row[0] for row in z))
    measured = ParticleMeasurer(lambda: run, np.arange(2), linear.MASKS, None, View())((0, 2))
    assert np.isnan(measured[0]).all() and np.isfinite(measured[1]).all()


def test_killed_and_restarted_it_writes_the_same_file(model, tmp_path):
    _, path = model
    assert finish(start(path, tmp_path / "whole.csv", 0, 1)) == [0, 256, 512, 768, 1000]
    out = tmp_path / "o.csv"
    with start(path, out, 0.004, 1) as process:  # about 4 s for its 1,000 maps
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("o.csv.parts/part_*.npy")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    kept = len(list(tmp_path.glob("o.csv.parts/part_*.npy")))
    assert not out.exists() and 1 <= kept < 4
    assert finish(start(path, out, 0, 1))[0] == 256 * kept  # what was finished is not done again
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "o.csv.json").read_bytes() == (tmp_path / "whole.csv.json").read_bytes()
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [".hetero", "o.csv", "o.csv.json", "whole.csv", "whole.csv.json"]


def test_workers_give_the_same_file(model, tmp_path):
    pytest.importorskip("distributed", reason="Dask's workers are an extra")
    _, path = model
    finish(start(path, tmp_path / "alone.csv", 0, 1))
    assert finish(start(path, tmp_path / "together.csv", 0, 2))[-1] == 1000
    assert (tmp_path / "alone.csv").read_bytes() == (tmp_path / "together.csv").read_bytes()


def test_workers_killed_at_random_leave_the_same_file(model, tmp_path):
    pytest.importorskip("distributed", reason="Dask's workers are an extra")
    import psutil

    _, path = model
    finish(start(path, tmp_path / "alone.csv", 0, 1))
    killed, rng = 0, np.random.default_rng(0)
    process = start(path, tmp_path / "together.csv", 0.004, 2)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):  # one that ended while it was looked at
            workers = psutil.Process(process.pid).children(recursive=True)
            workers = [p for p in workers if "spawn_main" in " ".join(p.cmdline())]
            if workers and killed < 5 and list(tmp_path.glob("together.csv.parts/part_*.npy")):
                rng.choice(workers).kill()
                killed += 1
        time.sleep(rng.uniform(0.2, 1.0))
    finish(process)
    assert killed >= 2
    assert (tmp_path / "alone.csv").read_bytes() == (tmp_path / "together.csv").read_bytes()
    print(f"\n{killed} workers killed; the file is the same")


def test_a_cancelled_run_goes_on(model, tmp_path):
    linear, _ = model
    run, out = linear.make_run(), tmp_path / "o.npz"
    seen = []

    def stop(done, total, message):
        seen.append(done)
        if done >= 256:
            raise Cancelled

    with pytest.raises(Cancelled, match="what is finished waits in "):
        measure_particles(linear.measurer(np.arange(600)), run, out, {}, stop)
    assert not out.exists() and seen == [0, 256]
    seen.clear()
    table = measure_particles(linear.measurer(np.arange(600)), run, out, {}, lambda done, *_: seen.append(done))
    assert seen == [256, 512, 600] and len(table) == 600
    np.testing.assert_array_equal(table.index, run.particle_index[:600])


def test_unfinished_work_of_another_kind_is_kept(model, tmp_path):
    linear, _ = model
    run, out = linear.make_run(), tmp_path / "o.csv"

    def stop(done, total, message):
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        measure_particles(linear.measurer(np.arange(300)), run, out, {"level": "0.4"}, stop)
    with pytest.raises(HeteroError, match=r"unfinished work with another level \(0\.4, now 0\.5\)"):
        measure_particles(linear.measurer(np.arange(300), level=0.5), run, out, {"level": "0.5"})
    with pytest.raises(HeteroError, match="unfinished work with another latents"):
        measure_particles(linear.measurer(np.arange(1, 301)), run, out, {"level": "0.4"})
    other = Masks(linear.MASKS.names, linear.PARTS > 0.3)
    with pytest.raises(HeteroError, match="unfinished work with another voxels"):
        measure_particles(
            ParticleMeasurer(linear.make_run, np.arange(300), other, 0.4, View()), run, out, {"level": "0.4"}
        )
    assert len(list(tmp_path.glob("o.csv.parts/part_*.npy"))) == 1
    (tmp_path / "mine.parts").mkdir()
    (tmp_path / "mine.parts" / "thesis.txt").write_text("words")
    with pytest.raises(HeteroError, match="holds no unfinished work of ours"):
        Parts(tmp_path / "mine.parts", {})


def test_only_how_to_open_the_run_travels(model):
    import pickle

    linear, _ = model
    opened = []

    measurer = linear.measurer(np.arange(3))
    measurer((0, 2))
    assert "run" in measurer.__dict__  # opened once
    state = measurer.__getstate__()
    assert "run" not in state and "_voxels" not in state and state["level"] == 0.4
    lazy = ParticleMeasurer(partial(opened.append, 1), np.arange(3), linear.MASKS, 0.4, View())
    assert opened == [] and pickle.loads(pickle.dumps(state["masks"])).names == linear.MASKS.names
    assert lazy.level == 0.4


def test_particles_are_chosen_by_their_number(model, tmp_path):
    run = model[0].make_run()
    numbers = run.particle_index[[5, 3, 900]]
    (tmp_path / "p.csv").write_text("particle,class\n" + "".join(f"{i},1\n" for i in numbers))
    (tmp_path / "p.txt").write_text("".join(f"{i}\n" for i in numbers))
    np.save(tmp_path / "p.npy", numbers)
    for name in ("p.csv", "p.txt", "p.npy"):
        assert choose_rows(str(tmp_path / name), run).tolist() == [5, 3, 900]
    assert choose_rows("all", run).tolist() == list(range(1000))
    absent = next(i for i in range(5000) if i not in set(run.particle_index.tolist()))
    (tmp_path / "p.txt").write_text(f"{numbers[0]}\n{absent}\n")
    with pytest.raises(HeteroError, match=rf"was not trained on \({absent} is the first\)"):
        choose_rows(str(tmp_path / "p.txt"), run)
    with pytest.raises(HeteroError, match="'some' is no choice of particles"):
        choose_rows("some", run)
    (tmp_path / "p.txt").write_text("1\n1\n")
    with pytest.raises(HeteroError, match="each once"):
        read_numbers(tmp_path / "p.txt", 10)
    (tmp_path / "p.txt").write_text("1\n12\n")
    with pytest.raises(HeteroError, match=r"names particle 12 \(counted from 0\); there are 10"):
        read_numbers(tmp_path / "p.txt", 10)


def test_the_sidecar_says_which_run(model, tmp_path):
    linear, _ = model
    run = linear.make_run()
    measure_particles(linear.measurer(np.arange(5)), run, tmp_path / "o.csv", {"run": "/data/run", "level": "0.4"})
    beside = json.loads((tmp_path / "o.csv.json").read_text())
    assert beside == {
        "run": "/data/run",
        "level": "0.4",
        "particles_in_run": 1000,
        "particles_numbered_to": int(run.particle_index[-1]),
    }


@pytest.fixture
def desk(tmp_path, monkeypatch, write_cryodrgn):
    """A run as cryoDRGN writes them, 40 particles, and two blocks on the grid of its maps."""
    write_cryodrgn(n=40)
    for name, box, apix in (("blocks", 16, 3.0), ("small", 12, 4.0), ("other", 16, 5.0)):
        (tmp_path / name).mkdir()
        for k in range(2):
            mask = np.zeros((box, box, box), bool)
            mask[box // 2, box // 2 - 2 * k : box // 2 + 3, : box // 2 + k] = True
            write_map(tmp_path / name / f"block_{k:02d}.mrc", Volume(mask, apix), dtype=np.int8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("blocks", "view"), [("blocks", {}), ("small", {"box": 12}), ("blocks", {"flip": True})])
def test_a_user_measures_every_particle(desk, capsys, blocks, view):
    """The verb, on a foreign run, against maps decoded to disk with the same view and measured there."""
    from hetero.cli import DONE, main
    from hetero.commands.open_run import open_run

    arguments = ["occupancy", "run", blocks, "--particles", "all", "--apix", "3", "--level", "0.1", "--out", "p.csv"]
    assert main([*arguments, *(["--flip"] if "flip" in view else [])]) == DONE
    assert "40 particles x 2 blocks" in capsys.readouterr().out
    run = open_run("run", apix=3.0)
    (desk / "maps").mkdir()
    for particle, volume in zip(run.particle_index, run.decode(run.latents, View(**view)), strict=True):
        write_map(desk / "maps" / f"{particle}.mrc", volume)
    assert main(["occupancy", "maps", blocks, "--level", "0.1", "--out", "v.csv", "--quiet"]) == DONE
    particles, volumes = pd.read_csv("p.csv", index_col="particle"), pd.read_csv("v.csv", index_col="name")
    np.testing.assert_array_equal(particles, volumes)
    assert 0 < particles.to_numpy().mean() < 1
    beside = json.loads((desk / "p.csv.json").read_text())
    assert beside["run"] == str((desk / "run").resolve()) and beside["particles_in_run"] == 40


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "other", "--level", "1"], "lies on another grid (16 x 16 x 16 voxels of 5"),
        (["run", "blocks", "--level", "from-table"], "'from-table' is no level for particles"),
        (["run", "blocks", "--level", "1", "--scheduler", "tcp://127.0.0.1:9"], "No Dask scheduler answers"),
        (["run", "blocks", "--level", "1", "--workers", "0"], "The number of workers is 0"),
        (["blocks", "blocks", "--level", "1"], "blocks is not a run"),
        (["run", "--level", "1"], "or else --model FILE, was expected; neither was given"),
        (["run", "blocks", "--level", "1", "--reference", "maps"], "give no --level"),
    ],
)
def test_bad_input_is_one_sentence(desk, capsys, arguments, words):
    from hetero.cli import BAD_INPUT, main

    before = sorted(desk.rglob("*"))
    command = ["occupancy", *arguments, "--particles", "all", "--apix", "3", "--out", "p.csv"]
    assert main(command) == BAD_INPUT
    err = capsys.readouterr().err
    assert words in err and len(err.strip().splitlines()) == 1
    assert sorted(desk.rglob("*")) == before


def test_settings_for_particles_are_not_for_maps(desk, capsys):
    from hetero.cli import BAD_INPUT, main

    for flag in (["--flip"], ["--workers", "2"], ["--scheduler", "tcp://here:1"], ["--apix", "2"]):
        assert main(["occupancy", "other", "blocks", "--out", "o.csv", *flag]) == BAD_INPUT
        assert f"{flag[0]} goes with --particles" in capsys.readouterr().err
