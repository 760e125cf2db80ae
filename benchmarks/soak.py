"""A thousand verbs through one worker: does it grow?

    python benchmarks/soak.py OUT [--verbs 1000]

One worker, as the viewers start it, is asked for the same twelve things over and over: maps, levels, blocks, particles,
a run decoded and opened anew, a map that is not there, and three requests that are refused. After each its resident
memory and its open files are read (Linux). Draws OUT/soak.png, writes OUT/soak.csv, and prints what it had and what it
grew by.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hetero.maps import Volume, write_map
from hetero.particles import write_stack


class Worker:
    """The process, and its lines."""

    def __init__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "hetero", "serve"]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )  # fmt: skip
        self.process.stdout.readline()

    def ask(self, number: int, verb: str, settings: dict) -> dict:
        """Its answer."""
        line = json.dumps({"id": number, "verb": verb, "settings": settings})
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        while "progress" in (answer := json.loads(self.process.stdout.readline())):
            pass
        return answer

    def holds(self) -> tuple[float, int, int]:
        """MB of memory, open files, threads."""
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return int(status["VmRSS"].split()[0]) / 1024, len(list((folder / "fd").iterdir())), int(status["Threads"])

    def close(self) -> None:
        """End it, as a viewer does."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def make_data(folder: Path) -> None:
    """Maps, particles, a linear run, and files that are none."""
    rng = np.random.default_rng(0)
    (folder / "maps").mkdir(parents=True)
    for i in range(6):
        density = 0.1 * rng.standard_normal((24, 24, 24))
        density[8:16, 8:16, 6:12] += 2
        density[8:16, 8:16, 14:20] += 2 * (i % 2)
        write_map(folder / f"maps/vol_{i}.mrc", Volume(density, 4.0))
    (folder / "masks").mkdir()
    mask = np.zeros((24, 24, 24))
    mask[8:16, 8:16, 14:20] = 1
    write_map(folder / "masks/mask_0.mrc", Volume(mask, 4.0))
    for i in range(2):
        (folder / f"s{i}.pdb").write_text(
            "\n".join(
                f"ATOM  {n + 1:5d}  CA  ALA A{n + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
                for n, (z, y, x) in enumerate(rng.normal(0, 8, (60, 3)).clip(-22, 22))
            )
            + "\nEND\n"
        )
    with write_stack(folder / "plain.mrcs", 8, 16, 4.0) as writer:
        writer.append(rng.standard_normal((8, 16, 16)))
    (folder / "broken.mrc").write_bytes(b"\0" * 900)
    (folder / "broken.star").write_text("data_\nloop_\n_rlnImageName\n")


def requests(data: Path) -> list[tuple[str, dict]]:
    """What is asked, in turn."""
    maps, run, particles = str(data / "maps"), str(data / "run"), str(data / "sim")
    return [
        ("info", {"path": maps}),
        ("level", {"maps": [f"{maps}/vol_0.mrc", f"{maps}/vol_1.mrc"]}),
        ("blocks", {"folder": maps, "out": str(data / "blocks"), "level": "1", "resamples": 1}),
        ("occupancy", {"folder": maps, "blocks": str(data / "masks"), "out": str(data / "o.csv"), "level": "1"}),
        ("info", {"path": particles}),
        ("downsample", {"particles": particles, "out": str(data / "small"), "box": 16}),
        ("decode", {"run": run, "out": str(data / "decoded"), "particles": [3, 5]}),
        ("peek", {"run": run, "out": str(data / "peek.mrc"), "particle": 3}),
        ("info", {"path": str(data / "broken.mrc")}),
        ("info", {"path": str(data / "broken.star")}),
        ("level", {"maps": [str(data / "gone.mrc")]}),
        ("no-such-verb", {}),
    ]


def soak(data: Path, count: int) -> pd.DataFrame:
    """A row a verb: ``verb``, ``answer`` (result, or the kind of error), ``megabytes``, ``files``, ``threads``."""
    worker, rows = Worker(), []
    if not (data / "maps").is_dir():
        make_data(data)
    states = [str(data / f"s{i}.pdb") for i in range(2)]
    made = {"out": str(data / "sim"), "particles": 200, "box": 24, "states": states, "snr": 1.0}
    for verb, settings in (
        ("simulate", made),
        ("train-linear", {"particles": str(data / "sim"), "out": str(data / "run"), "zdim": 2}),
    ):
        answer = worker.ask(0, verb, settings)
        assert "result" in answer, answer
    for number, (verb, settings) in zip(range(1, count + 1), itertools.cycle(requests(data)), strict=False):
        answer = worker.ask(number, verb, settings)
        kind = "result" if "result" in answer else answer["error"]["kind"]
        rows.append(
            {"verb": verb, "answer": kind, **dict(zip(("megabytes", "files", "threads"), worker.holds(), strict=True))}
        )
    worker.close()
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="request"))


def growth(table: pd.DataFrame) -> dict[str, float]:
    """What the worker had, and by how much it grew: medians of the second fifth and the last of the requests."""
    names, fifth = ["megabytes", "files", "threads"], len(table) // 5
    before, after = (part[names].median().to_dict() for part in (table[fifth : 2 * fifth], table[-fifth:]))
    return {"start": before, "end": after, **{name: after[name] - before[name] for name in names}}


def draw(table: pd.DataFrame, path: Path) -> None:
    """Memory and open files against requests."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 5), height_ratios=(3, 1))
    above.plot(table.index, table["megabytes"], lw=0.8)
    above.set(ylabel="resident memory, MB", ylim=(0, None), title=f"{len(table):,} verbs through one worker")
    below.plot(table.index, table["files"], lw=0.8, label="open files")
    below.plot(table.index, table["threads"], lw=0.8, label="threads")
    below.set(xlabel="request", ylim=(0, None))
    below.legend(loc="lower right", ncols=2, fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """The curve and its ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--verbs", type=int, default=1000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    table = soak(options.out / "data", options.verbs)
    table.to_csv(options.out / "soak.csv")
    draw(table, options.out / "soak.png")
    print(table.groupby(["verb", "answer"]).size().to_string())
    print(json.dumps(growth(table)))


if __name__ == "__main__":
    main()
