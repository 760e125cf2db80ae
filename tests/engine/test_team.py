"""One training by several processes: in float64 what one process learns, also after one of them has died."""

import importlib.util
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from hetero.checkpoints import CHECKPOINT
from hetero.errors import HeteroError
from hetero.particles import CTF, Poses, write_ctf, write_poses, write_stack
from hetero.particles.simulate import random_poses

torch = pytest.importorskip("torch", reason="training needs torch")

from hetero.drgn.files import load_checkpoint  # noqa: E402
from hetero.training.team import join_team  # noqa: E402

# cryoDRGN in float64, so that what differs is no rounding; a module of its own, so that torchrun can start it.
TRAINER = """
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from hetero.drgn.images import prepare_images
from hetero.drgn.presets import PRESETS
from hetero.drgn.training import DrgnTask, Model
from hetero.errors import HeteroError
from hetero.particles import open_particles
from hetero.training.loop import train
from hetero.training.plan import Plan
from hetero.training.team import Team, join_team
from dataclasses import replace

EPOCHS = 4
SUMS = []  # whatever the team adds up: losses, above all


class Listening(Team):
    def sum(self, values):
        found = super().sum(values)
        if found.ndim == 1:
            SUMS.append(found[:-1] / self.size if len(found) > 1 else found)
        return found


def exact(batch):
    return {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}


class Exact(DrgnTask):
    dies = (None, None)  # rank and epoch

    def _build(self):
        return super()._build().double()

    def _seen(self, items, count):
        return exact(super()._seen(items, count))

    def load(self, items, noise, seed):
        if self.dies == (self.team.rank, self.epoch):
            os.kill(os.getpid(), signal.SIGKILL)
        return exact(super().load(items, noise, seed))

    def begin_epoch(self, epoch, progress):
        self.epoch = epoch
        return super().begin_epoch(epoch, progress)


def work(data, folder, epochs=EPOCHS, dies=(None, None)):
    torch.set_num_threads(1)
    preset = replace(PRESETS["cryodrgn"], width=12, layers=1, encoder_width=8, encoder_layers=1, held_out=0.2, batch=5)
    with join_team("cpu") as team:
        images = prepare_images(open_particles(data / "p.mrcs", data / "poses.pkl", data / "ctf.pkl"))
        team = Listening(team.device, team.rank, team.size)
        folder.mkdir(exist_ok=True)
        task = Exact(folder, images, Model(2, EPOCHS, preset), team)
        task.dies = dies
        SUMS.clear()
        train(task, Plan(epochs, 5, rows=5, minutes=0.0), team, folder / "log.csv")
    return np.concatenate([np.atleast_1d(s) for s in SUMS])


if __name__ == "__main__":
    data, folder = Path(sys.argv[1]), Path(sys.argv[2])
    dies = tuple(int(word) for word in sys.argv[3:]) or (None, None)
    try:
        losses = work(data, folder, dies=dies)
    except HeteroError as error:
        sys.exit(f"hetero: {error}")
    if os.environ["RANK"] == "0":
        np.save(folder / "losses.npy", losses)
"""


@pytest.fixture
def one_of_two(monkeypatch):
    """A function that makes this process number 0 of two without another, with these functions in place of torch's."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("WORLD_SIZE", "2")

    def stand_in(**functions):
        usual = {
            "init_process_group": lambda backend: None,
            "destroy_process_group": lambda: None,
            "get_rank": lambda: 0,
        }
        for name, function in (usual | functions).items():
            monkeypatch.setattr(torch.distributed, name, function)

    yield stand_in
    signal.signal(signal.SIGTERM, before)


def test_one_that_goes_when_all_is_done_is_not_missed(one_of_two):
    """Only a peer that is lost before, and only a loss: what else goes wrong at the end is told."""
    before = signal.getsignal(signal.SIGTERM)
    said = ["Connection closed by peer [127.0.0.1]:1", "out of memory"]

    def barrier():
        raise RuntimeError(said[0])

    one_of_two(barrier=barrier)
    with join_team("cpu") as team:
        assert (team.rank, team.size) == (0, 2)
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(HeteroError, match="Process 0 of 2 lost another"), join_team("cpu") as team:
        team.wait()
    said.pop(0)
    with pytest.raises(RuntimeError, match="out of memory"), join_team("cpu"):
        pass


def test_one_that_is_told_to_end_while_it_takes_leave_says_so(one_of_two):
    """Not killed without a word: another was lost, and torchrun tells this one while its group is closed."""

    def destroy():
        os.kill(os.getpid(), signal.SIGTERM)

    one_of_two(destroy_process_group=destroy)
    with pytest.raises(HeteroError, match="told to end, by signal 15"), join_team("cpu"):
        raise RuntimeError("Connection closed by peer [127.0.0.1]:1")


def test_one_that_has_something_to_say_is_not_killed_before_it_does(one_of_two):
    one_of_two()
    with pytest.raises(HeteroError, match="Process 0 of 2 lost another"), join_team("cpu"):
        raise RuntimeError("Connection closed by peer [127.0.0.1]:1")
    os.kill(os.getpid(), signal.SIGTERM)  # this process would end here


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """The module above, its file, and 27 images of noise."""
    folder = tmp_path_factory.mktemp("team")
    path = folder / "trainer.py"
    path.write_text(TRAINER)
    spec = importlib.util.spec_from_file_location("trainer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    n, box, apix = 27, 16, 4.0
    rng = np.random.default_rng(0)
    with write_stack(folder / "p.mrcs", n, box, apix) as writer:
        writer.append(rng.normal(0.3, 2.0, (n, box, box)))
    poses = random_poses(n, 0.0, rng)
    write_poses(folder / "poses.pkl", Poses(poses.rotations, rng.uniform(-8, 8, (n, 2))), box * apix)
    write_ctf(folder / "ctf.pkl", CTF(rng.uniform(8e3, 2e4, n), 1e4, 0.0, 300.0, 2.7, 0.1), box, apix)
    return module, folder


@pytest.fixture(scope="module")
def alone(trainer):
    """What one process learns: its losses, and everything in its checkpoint that goes on."""
    module, folder = trainer
    return module.work(folder, folder / "alone"), state_of(folder / "alone")


def state_of(folder):
    return load_checkpoint(folder / CHECKPOINT)[1]["training"]


def together(folder, out, processes, *dies) -> subprocess.CompletedProcess:
    team = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [*team, str(folder / "trainer.py"), str(folder), str(out), *map(str, dies)], check=False, capture_output=True,
        text=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def differences(one: dict, other: dict) -> float:
    """The largest between two models."""
    assert one["model"].keys() == other["model"].keys()
    assert all(v.dtype == torch.float64 for v in one["model"].values() if v.is_floating_point())
    return max(float((one["model"][name] - other["model"][name]).abs().max()) for name in one["model"])


def test_two_processes_learn_what_one_does(trainer, alone):
    _, folder = trainer
    losses, state = alone
    done = together(folder, folder / "two", 2)
    assert done.returncode == 0, done.stderr[-3000:]
    found = np.load(folder / "two" / "losses.npy")
    off = np.abs(found - losses).max(), differences(state_of(folder / "two"), state)
    print(f"\ntwo processes and one, float64: {len(losses)} losses differ by {off[0]:.1e}, parameters by {off[1]:.1e}")
    assert max(off) < 1e-9


@pytest.mark.parametrize(("dead", "then"), [(1, 1), pytest.param(0, 3, marks=pytest.mark.slow)])
def test_one_that_dies_ends_the_job_and_another_number_goes_on(trainer, alone, dead, then):
    module, folder = trainer
    out = folder / f"dead{dead}"
    done = together(folder, out, 2, dead, 3)  # in its third epoch, by signal 9
    assert done.returncode != 0
    sentence = (
        f"hetero: Process {1 - dead} of 2 lost another of them, so the training ended; the same command, with any"
    )
    assert sentence in done.stderr or "hetero: The training was told to end, by signal 15; the same" in done.stderr
    at = state_of(out)["at"]
    assert (at["epoch"], at["step"]) >= (3, 0)
    if then == 1:
        module.work(folder, out)
    else:
        again = together(folder, out, then)
        assert again.returncode == 0, again.stderr[-3000:]
    off = differences(state_of(out), alone[1])
    print(f"\nrank {dead} killed at epoch {at['epoch']}, step {at['step']}; {then} went on: parameters by {off:.1e}")
    assert off < 1e-9
    assert (folder / "alone" / "log.csv").read_text().count("\n") == (out / "log.csv").read_text().count("\n")
