"""What the engine's tests may ask for: a structure without a file, and folders as cryoDRGN writes them."""

import contextlib
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import yaml

from hetero.cli import DONE, main
from hetero.gmm import GaussianModel
from hetero.latent import Latents, RunConfig, write_config, write_latents
from hetero.maps import Structure, Volume, write_map
from hetero.particles import write_stack

_MEMORY = 6 << 30  # bytes of address space of the worker that opens hostile files: torch alone takes 3


@pytest.fixture(scope="session")
def globule():
    """A function that makes atoms at protein density in lumpy balls: a structure that needs no file."""
    return _globule


def _globule(seed: int = 0, atoms: int = 1500, chains: int = 2, radius: float = 28.0) -> Structure:
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(atoms, 3))
    positions *= radius * rng.uniform(0, 1, (atoms, 1)) ** (1 / 3) / np.linalg.norm(positions, axis=1, keepdims=True)
    chain = rng.integers(0, chains, atoms)
    positions += np.array([0, 0, 0.9 * radius]) * chain[:, None]
    return Structure(positions, np.full(atoms, 50.0), np.array(list("ABCDEF"))[chain], f"globule {seed}")


@pytest.fixture(scope="session")
def gaussians():
    """A function that makes a small model of Gaussians in a map of 32 voxels of 3 Å."""
    return _gaussians


def _gaussians(n=20, box=32, apix=3.0, seed=0, origin=(5.0, -7.0, 11.0)):
    rng = np.random.default_rng(seed)
    centres = np.asarray(origin) + apix * (box / 2 + rng.normal(0, box / 10, (n, 3)))
    return GaussianModel(centres, rng.uniform(0.5, 1.5, n), rng.uniform(4, 7, n), box, apix, origin, "some")


def features_of(kind, box, per_axis):
    return {"none": 3, "linear_lowf": 6 * (box // 2)}.get(kind, 6 * per_axis)


def cryodrgn_state(rng, box, zdim, width, layers, kind, domain, per_axis, prefix="decoder.decoder."):
    """A state dictionary under cryoDRGN's names, numpy arrays, weights of a sensible size."""
    sizes = [features_of(kind, box, per_axis) + zdim, *[width] * (layers + 1), 2 if domain == "fourier" else 1]
    state = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        name = f"{prefix}main.{2 * i}." + ("linear." if inputs == outputs else "")
        state[name + "weight"] = (rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
        state[name + "bias"] = (0.1 * rng.standard_normal(outputs)).astype(np.float32)
    if kind == "gaussian":
        state[prefix.removesuffix("decoder.") + "rand_freqs"] = rng.normal(0, 0.5, (3 * per_axis, 3)).astype(np.float32)
    return state


def cryodrgn_config(box, zdim, width, layers, kind, domain, per_axis, activation="relu", **dataset):
    """A VAE's configuration."""
    return {
        "dataset_args": {"particles": "p.mrcs", "norm": [0.0, 2.5], "ctf": None, "ind": None, **dataset},
        "lattice_args": {"D": box + 1, "extent": 0.5, "ignore_DC": True},
        "model_args": {
            "qlayers": 1, "qdim": 8, "players": layers, "pdim": width, "zdim": zdim, "pe_type": kind,
            "pe_dim": per_axis, "feat_sigma": 0.5, "domain": domain, "activation": activation, "encode_mode": "resid",
        },
        "seed": 1,
    }  # fmt: skip


@pytest.fixture
def write_cryodrgn(tmp_path):
    """``write(name="run", epochs=(1, 2), n=30, **choices)`` makes such a folder; answers with it.

    The latents of particle ``i`` lie near 3 corners by ``i % 3``, so that clusters are known.
    """
    torch = pytest.importorskip("torch", reason="weights are written by torch")

    def write(name="run", epochs=(1, 2), n=30, final=True, state=None, dataset=None, **choices):
        shape = {"box": 16, "zdim": 2, "width": 12, "layers": 2, "kind": "gaussian", "domain": "fourier", "per_axis": 5}
        shape |= {k: v for k, v in choices.items() if k != "activation"}
        rng = np.random.default_rng(5)
        folder = tmp_path / name
        folder.mkdir()
        dataset = dataset or {}
        config = cryodrgn_config(**shape, activation=choices.get("activation", "relu"), **dataset)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        names = [(f".{epoch}", epoch) for epoch in epochs] + ([("", max(epochs))] if final else [])
        states = {epoch: state or cryodrgn_state(rng, **shape) for epoch in epochs}
        corners = 4 * np.eye(3, max(shape["zdim"], 1))
        latents = {
            epoch: corners[np.arange(n) % 3] + 0.3 * rng.standard_normal((n, corners.shape[1])) for epoch in epochs
        }
        for suffix, epoch in names:
            tensors = {key: torch.from_numpy(np.array(value)) for key, value in states[epoch].items()}
            torch.save(
                {"epoch": epoch, "model_state_dict": tensors, "optimizer_state_dict": {"state": {}}},
                folder / f"weights{suffix}.pkl",
            )
            with open(folder / f"z{suffix}.pkl", "wb") as file:
                pickle.dump(latents[epoch].astype(np.float32), file)
                pickle.dump(np.full_like(latents[epoch], -3, dtype=np.float32), file)
        return folder

    write.state, write.config = cryodrgn_state, cryodrgn_config
    return write


@pytest.fixture
def kill_worker():
    """``kill_worker(seed)``: kill one of the processes that work for this one; False where none is up just now."""
    psutil = pytest.importorskip("psutil", reason="it comes with Dask's workers, an extra")

    def works(process):
        try:
            return "multiprocessing.spawn" in " ".join(process.cmdline())
        except psutil.Error:  # killed a moment ago, and not yet taken leave of
            return False

    def kill(seed):
        workers = [process for process in psutil.Process().children(recursive=True) if works(process)]
        with contextlib.suppress(psutil.Error):
            if workers:
                random.Random(seed).choice(workers).kill()
                return True
        return False

    return kill


class Conversation:
    """A worker process and its lines."""

    def __init__(self, **choices):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hetero", "serve"],
            stdin=pipe,
            stdout=pipe,
            **({"stderr": pipe} | choices),
            text=True,
        )
        self.hello = self.read()

    def read(self) -> dict:
        return json.loads(self.process.stdout.readline())

    def send(self, message) -> None:
        self.process.stdin.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        """The next line that is no progress."""
        while "progress" in (line := self.read()):
            pass
        return line

    def ask(self, number, verb, **settings) -> dict:
        self.send({"id": number, "verb": verb, "settings": settings})
        return self.answer()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream and stream.close()


@pytest.fixture
def worker():
    """A worker, as viewers start it."""
    conversation = Conversation()
    yield conversation
    conversation.close()


@pytest.fixture(scope="module")
def start_worker():
    """``start_worker(**choices of Popen)``: a worker that lasts for a module's tests."""
    started = []

    def start(**choices):
        started.append(Conversation(**choices))
        return started[-1]

    yield start
    for conversation in started:
        conversation.close()


class Door:
    """A folder, and a worker that is asked to open what lies in it.

    Attributes:
        folder: where the hostile files are.
        good: of an ordinary map and particles.
        counts: hostile files tried, executed (a sentinel appeared), crashed (no answer, or a bug), over all tests.
    """

    counts: ClassVar = {"tried": 0, "executed": 0, "crashed": 0}

    def __init__(self, folder: Path, good: Path, worker: Conversation):
        self.folder, self.good, self.worker = folder, good, worker
        for name in ("stack.mrcs", "particles.star"):
            shutil.copy(good / name, folder)

    def write(self, name: str, content: bytes | str) -> Path:
        """Put a file into the folder."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def map(self, name: str = "good.mrc") -> str:
        """An ordinary map."""
        shutil.copy(self.good / "good.mrc", self.folder / name)
        return str(self.folder / name)

    def run_of_ours(self, system: str) -> Path:
        """The folder ``run`` with all but its weights."""
        (self.folder / "run").mkdir()
        write_config(self.folder / "run/config.json", RunConfig(system, 16, 2.0, {}))
        write_latents(self.folder / "run/latents.npz", Latents(np.zeros((3, 2)), np.arange(3)))
        return self.folder / "run"

    def asks(self, verb: str, **settings) -> dict:
        """The worker's answer, for which it works no longer than 10 seconds (and waits two minutes for a turn)."""
        Door.counts["tried"] += 1
        timer = threading.Timer(120, self.worker.process.kill)
        timer.start()
        began = _cpu_seconds(self.worker.process.pid)
        try:
            answer = self.worker.ask(Door.counts["tried"], verb, **self._placed(settings))
        except ValueError:  # no line came, or half a one
            answer = {"error": {"kind": "dead", "message": "the worker died"}}
        timer.cancel()
        assert _cpu_seconds(self.worker.process.pid) - began < 10
        Door.counts["executed"] += any(self.folder.rglob("ran"))
        Door.counts["crashed"] += answer.get("error", {}).get("kind") in ("bug", "dead")
        return answer

    def refuses(self, verb: str, words: str = "", **settings) -> str:
        """Ask, and see that the answer is one sentence, that nothing ran and that nothing was left."""
        before = sorted(self.folder.iterdir())
        answer = self.asks(verb, **settings)
        assert "error" in answer, answer
        sentence = answer["error"]["message"]
        assert answer["error"]["kind"] == "input", answer["error"]
        assert sentence.isprintable() and sentence.endswith(".") and len(sentence) < 2000 and words in sentence
        assert sorted(self.folder.iterdir()) == before
        return sentence

    def _placed(self, settings: dict) -> dict:
        def full(value):
            return str(self.folder / value) if isinstance(value, str) else value

        paths = {"path", "particles", "out", "ind", "poses", "ctf", "weights", "sources", "folder", "table", "run",
                 "blocks", "z_file", "emdb", "labels", "original", "maps", "model"}  # fmt: skip
        return {
            name: [full(v) for v in value] if isinstance(value, (list, tuple)) else full(value)
            for name, value in settings.items() if name in paths
        } | {name: value for name, value in settings.items() if name not in paths}  # fmt: skip


@pytest.fixture(scope="module")
def guarded_worker(tmp_path_factory, start_worker):
    """A function: a worker under a limit on memory, with a module in its way that tells when it is imported."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "trap.py").write_text("import os\nos.mkdir('ran')\nclass Thing:\n    def __init__(self, *a): pass\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    rng, living = np.random.default_rng(0), []
    write_map(folder / "good.mrc", Volume(rng.standard_normal((8, 8, 8)), 2.0))
    with write_stack(folder / "stack.mrcs", 4, 8, 2.0) as writer:
        writer.append(rng.standard_normal((4, 8, 8)))
    (folder / "particles.star").write_text(
        "data_particles\n\nloop_\n_rlnImageName #1\n_rlnAngleRot #2\n_rlnAngleTilt #3\n_rlnAnglePsi #4\n"
        + "".join(f"{i + 1:06d}@stack.mrcs 0 {i} 0\n" for i in range(4))
    )

    def give() -> Conversation:
        if not living or living[-1].process.poll() is not None:
            living.append(
                start_worker(
                    cwd=folder, env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, stderr=None,
                    preexec_fn=_limit_memory,
                )
            )  # fmt: skip
        return living[-1]

    give.folder = folder
    yield give
    assert len(living) <= 1, "the worker died of a hostile file"
    assert not (folder / "ran").exists(), "a hostile file was run"
    if living:
        assert living[0].ask("last", "info", path=str(folder / "good.mrc"))["result"]["shape"] == [8, 8, 8]


def _cpu_seconds(process: int) -> float:
    """What a process has worked: a busy machine does not count."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


@pytest.fixture
def door(tmp_path, guarded_worker):
    """A :class:`Door` with four good particles in ``particles.star``."""
    if not sys.platform.startswith("linux"):
        pytest.skip("limits on memory are Linux's")
    yield Door(tmp_path, guarded_worker.folder, guarded_worker())
    assert not any(tmp_path.rglob("ran")) and not (guarded_worker.folder / "ran").exists(), "a hostile file was run"


@pytest.fixture(scope="session", autouse=True)
def _count_hostile_files():
    yield
    if Door.counts["tried"]:
        print("\nhostile files: {tried} tried, {executed} executed, {crashed} crashed".format(**Door.counts))


@pytest.fixture(scope="session")
def two_states(tmp_path_factory):
    """400 images of two little proteins at 24 pixels, one twice as common."""
    folder = tmp_path_factory.mktemp("states")
    for seed, name in enumerate(("open", "closed")):
        rng = np.random.default_rng(seed)
        places = rng.normal(0, 9, (60, 3)).clip(-22, 22)
        lines = [
            f"ATOM  {i + 1:5d}  CA  ALA A{i + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
            for i, (z, y, x) in enumerate(places)
        ]
        (folder / f"{name}.pdb").write_text("\n".join([*lines, "END", ""]))
    states = [str(folder / f"{name}.pdb") for name in ("open", "closed")]
    made = ["simulate", "--out", str(folder / "sim"), "--particles", "600", "--box", "24", "--states", *states]
    assert main([*made, "--shares", "2", "1", "--snr", "1", "--quiet"]) == DONE
    return folder / "sim"
