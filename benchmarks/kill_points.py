"""Kill long work at every moment, start it again, and see that it ends as if nothing had been.

    python benchmarks/kill_points.py OUT [--few 3] [--verbs train-vae ...] [--moments 20]

For each verb: it runs once in full, and everything that it does to files is counted. Then it runs again and again, each
time stopped at another of these (killed by signal 9, a write half done; the power cut, with all that was not synced
lost; the disk full; read-only), or killed at a moment of the clock. The same command follows. What it leaves must be
the same, bit for bit. Prints a table; exit status 1 where anything differs. Linux.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "engine"))

import numpy as np
import pandas as pd
import torch
import torch._dynamo  # which the first optimiser imports: once, here, for all the processes that are forked
from faulty_disk import KINDS, FaultyDisk

import hetero.drgn.training
import hetero.gmm.training
import hetero.level.evaluate
import hetero.level.training
from hetero.cli import main
from hetero.commands import VERBS, blocks, downsample, load, particle_occupancy
from hetero.earlier import STORE
from hetero.level import kept
from hetero.maps import Volume, write_map
from hetero.particles import growing

_KILLED = -signal.SIGKILL
_LEAVES_OUT = (".lock", "checkpoint.previous.pt")  # what may differ, with what is in STORE: how often it was saved


@dataclass(frozen=True)
class Case:
    """A verb on small data.

    Attributes:
        words: as on the command line; ``OUT`` is the folder that it works in.
    """

    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the verb, and what sets this case apart."""
        return self.words[0] + (" --base" if "--start" in self.words else "")


def cases(data: Path) -> dict[str, Case]:
    """All of them, by name."""
    particles, threads = str(data / "sim"), ("--threads", "1")
    vae = ("train-vae", particles, "--out", "OUT/run", "--zdim", "2", "--epochs", "3", "--batch", "24", "--width", "16",
           "--encoder-width", "16", "--layers", "1", "--minutes", "0", "--precision", "float32", "--device", "cpu",
           "--memory", "0", *threads)  # fmt: skip
    level = ("--maps", "4", "--epochs", "2", "--correction-maps", "3", "--held-out-maps", "2", "--max-box", "24")
    found = [
        Case(vae),
        Case((*vae, "--start", str(data / "linear"))),
        Case(("train-gmm", particles, "--out", "OUT/run", "--zdim", "1", "--epochs", "3", "--most", "12", "--refine",
              "1", "--resolution", "20", *threads)),
        Case(("train-level", str(data / "structures"), "--out", "OUT/w.pt", *level)),
        Case(("occupancy", str(data / "linear"), str(data / "blocks"), "--particles", "all", "--level", "0.5", "--out",
              "OUT/o.csv")),
        Case(("downsample", particles, "--out", "OUT/small", "--box", "16", *threads)),
        Case(("blocks", str(data / "maps"), "--out", "OUT/blocks", "--level", "1", "--coarse", "0", "--alpha", "1",
              "--resamples", "1")),
    ]  # fmt: skip
    return {case.name: case for case in found}


def make_small() -> None:
    """Chunks, tiles and batches so small that a little work has many of them. In the process that works."""
    from hetero.level.plan import TrainingPlan
    from hetero.siren import effect, published, tiles

    particle_occupancy.CHUNK, downsample._BATCH_BYTES, growing._BETWEEN = 32, 24 * 24 * 4 * 20, 0
    blocks._LARGE, kept._MINUTES, hetero.level.training._CORRECTION_STEPS = 8, 0.0, 20
    hetero.level.training._CORRECTION_EPOCHS = 1
    TrainingPlan.__init__.__defaults__ = tuple(
        2 if name == "batch" else value
        for name, value in zip(TrainingPlan.__dataclass_fields__, TrainingPlan.__init__.__defaults__, strict=True)
    )
    for module in (effect, published, tiles):
        module.TILE = 60


def make_data(data: Path) -> None:
    """Particles of two states, a linear run of them, blocks, maps and structures."""
    rng = np.random.default_rng(0)
    (data / "structures").mkdir(parents=True)
    for i in range(4):
        places = rng.normal(0, 7 + i, (60 + 40 * i, 3)).clip(-22, 22)
        lines = [
            f"ATOM  {n + 1:5d}  CA  ALA A{n + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
            for n, (z, y, x) in enumerate(places)
        ]
        (data / f"structures/s{i}.pdb").write_text("\n".join([*lines, "END", ""]))
    states = [str(data / f"structures/s{i}.pdb") for i in range(2)]
    made = ["simulate", "--out", str(data / "sim"), "--particles", "160", "--box", "24", "--states", *states]
    assert main([*made, "--shares", "2", "1", "--snr", "1", "--quiet"]) == 0
    assert main(["train-linear", str(data / "sim"), "--out", str(data / "linear"), "--zdim", "2", "--quiet"]) == 0
    from hetero.commands.open_run import open_run

    run = open_run(data / "linear")
    (volume,) = run.decode(run.latents[:1])
    (data / "blocks").mkdir()
    for i in range(2):
        mask = np.zeros(volume.shape)
        mask[8:16, 8:16, 8 + 4 * i : 12 + 4 * i] = 1
        write_map(data / f"blocks/block_{i:02d}.mrc", Volume(mask, volume.apix, volume.origin))
    (data / "maps").mkdir()
    for i in range(40):
        density = np.full((14, 14, 14), 0.1) + 0.2 * rng.standard_normal((14, 14, 14))
        density[4:10, 4:10, 2:5] += 2
        density[3:8, 3:9, 6:9] += 2 * (rng.random() < 0.4)
        density[3:9, 3:9, 10:13] += 2 * (rng.random() < 0.4)
        write_map(data / f"maps/vol_{i:02d}.mrc", Volume(density, 4.0))


def in_child(work: Callable[[], int], said: Path, kill_after: float | None = None) -> int:
    """Run ``work`` in a process of its own; its status, negative where a signal ended it."""
    process = os.fork()
    if process == 0:
        status = 99
        with contextlib.suppress(BaseException):
            handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            make_small()
            status = work()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def contents(folder: Path) -> dict[str, object]:
    """All that the folder holds, but for times."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name in _LEAVES_OUT or STORE in path.parts:
            continue
        name = str(path.relative_to(folder))
        if path.name == "log.csv":
            found[name] = pd.read_csv(path).drop(columns=["seconds", "cpu_seconds"]).to_csv()
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                found[name] = {key: arrays[key].tobytes() for key in sorted(arrays)}
        elif path.suffix == ".pt":
            found[name] = flat(torch.load(path, weights_only=True))
        else:
            found[name] = path.read_bytes()
    return found


def flat(value: object) -> object:
    """Tensors as bytes, wherever they are."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.contiguous().view(-1).numpy().tobytes())
    if isinstance(value, dict):
        return {str(key): flat(one) for key, one in value.items()}
    return [flat(one) for one in value] if isinstance(value, (list, tuple)) else value


class Trial:
    """One verb in a folder, and what it leaves when nothing stops it."""

    def __init__(self, case: Case, folder: Path):
        self.folder, self.said, self.stash = folder / "work", folder / "said.txt", folder / "stash"
        self.words = [word.replace("OUT", str(self.folder)) for word in case.words] + ["--quiet"]
        self._clear()
        counted = folder / "operations.json"
        began = time.perf_counter()
        assert in_child(lambda: self._counted(counted), self.said) == 0, self.said.read_text()
        self.seconds = time.perf_counter() - began
        self.operations: list[str] = json.loads(counted.read_text())
        self.whole = contents(self.folder)
        self._clear()
        assert in_child(lambda: main(self.words), self.said) == 0
        assert contents(self.folder) == self.whole, "two unbroken runs differ"

    def stopped_at(self, number: int, how: str) -> str:
        """What was wrong after the fault and the same command again; nothing where all is well."""
        self._clear()

        def work() -> int:
            FaultyDisk(self.folder, number, how, self.stash).install()
            return main(self.words)

        status = in_child(work, self.said)
        if how in ("kill", "power"):
            return self._again(f"not killed (status {status})" if status != _KILLED else "")
        lines = self.said.read_text().strip().split("\n")
        one = status == 0 or (status == 1 and len(lines) == 1 and lines[0].startswith("hetero "))
        return self._again("" if one else f"status {status}: {' / '.join(lines)[-300:]}")

    def killed_after(self, seconds: float) -> str:
        """The same after a kill at a moment of the clock."""
        self._clear()
        in_child(lambda: main(self.words), self.said, seconds)
        return self._again("")

    def _again(self, wrong: str) -> str:
        status = in_child(lambda: main(self.words), self.said)
        if status:
            return f"{wrong}; then status {status}: {self.said.read_text().strip()[-300:]}"
        now = contents(self.folder)
        differ = [name for name in sorted(now.keys() | self.whole.keys()) if now.get(name) != self.whole.get(name)]
        return wrong + (f"; differs: {', '.join(differ)}" if differ else "")

    def _clear(self) -> None:
        for folder in (self.folder, self.stash):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def _counted(self, path: Path) -> int:
        disk = FaultyDisk(self.folder, 0, "kill", self.stash)
        disk.install()
        status = main(self.words)
        path.write_text(json.dumps(disk.done))
        return status


def try_all(trial: Trial, few: int | None, moments: int) -> dict[str, tuple[int, list[str]]]:
    """For each kind of fault: how often it was tried, and what went wrong."""
    n = len(trial.operations)
    found = {}
    for kind in KINDS:
        points = range(1, n + 1)
        if few is not None:
            points = sorted({round(1 + (n - 1) * (i + 0.5) / few) for i in range(few)})
        wrong = [(number, trial.stopped_at(number, kind)) for number in points]
        found[kind] = len(wrong), [f"{kind} at {i} ({trial.operations[i - 1]}): {text}" for i, text in wrong if text]
    times = [trial.seconds * (i + 0.5) / moments for i in range(moments)]
    wrong = [(seconds, trial.killed_after(seconds)) for seconds in times]
    found["moment"] = len(wrong), [f"killed after {seconds:.2f} s: {text}" for seconds, text in wrong if text]
    return found


def run() -> int:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--few", type=int, help="so many points of each kind, in place of all")
    parser.add_argument("--moments", type=int, default=20, help="kills by the clock")
    parser.add_argument("--verbs", nargs="*", help="some of the cases")
    options = parser.parse_args()
    for verb in VERBS:
        load(verb)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    data = out / "data"
    if not (data / "maps").is_dir():
        shutil.rmtree(data, ignore_errors=True)
        assert in_child(lambda: make_data(data) or 0, out / "said.txt") == 0, (out / "said.txt").read_text()
    kinds = [*KINDS, "moment"]
    print(f"| verb | things done to files | {' | '.join(kinds)} | resumed bit-equal |\n|{'---|' * (len(kinds) + 3)}")
    failed = []
    for name, case in cases(data).items():
        if options.verbs and name not in options.verbs:
            continue
        trial = Trial(case, out)
        found = try_all(trial, options.few, options.moments)
        tried, wrong = sum(n for n, _ in found.values()), [text for _, texts in found.values() for text in texts]
        counts = " | ".join(str(found[kind][0]) for kind in kinds)
        print(f"| {name} | {len(trial.operations)} | {counts} | {tried - len(wrong)} of {tried} |", flush=True)
        failed += [f"{name}: {text}" for text in wrong]
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run())
