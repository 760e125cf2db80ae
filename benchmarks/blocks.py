"""How well, how fast and how repeatably are known blocks found?

    python benchmarks/blocks.py ../shared [--maps 500] [--zoom 1.0] [--ensembles 5] [--rule-seeds 5] [--work FOLDER]

The shared, independent simulator makes ensembles (other seeds, other noise and presences) on a real ribosome with seven
known blocks; ``hetero blocks`` runs as its own process by both rules, and each true block is held against the found
block that fits it best. Stray: a found block less than half of which lies in true blocks. Wall time, CPU time and peak
memory are of the whole process, start of Python included. Repeatability: adjusted Rand index of the blocks of one
ensemble between runs with other seeds of the rule, over the voxels that any of the two runs has in a block. The
published program's numbers stand in benchmarks/RESULTS.md. ``--work`` keeps the ensembles for another time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

from hetero.maps import read_blocks


def make(shared: Path, folder: Path, maps: int, zoom: float, noise: float, gain: float, seed: int) -> Path:
    """One ensemble of the shared simulator, unless it is there."""
    if not (folder / "gt.npz").is_file():
        command = [sys.executable, shared / "bench" / "make_ensemble.py", folder, maps, zoom, noise, gain, seed]
        subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)
    return folder


def find(maps: Path, out: Path, *flags: str) -> tuple[float, float, float]:
    """``hetero blocks`` as a process of its own: wall seconds, CPU seconds, peak GB."""
    command = [sys.executable, "-m", "hetero", "blocks", maps, "--level", "1.0", "--out", out, "--quiet", *flags]
    started = time.perf_counter()
    process = subprocess.Popen([str(c) for c in command])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def judge(maps: Path, out: Path) -> tuple[list[float], int, int]:
    """IoU of each true block with the found one that fits it best, number of stray blocks, number of blocks."""
    true = np.load(maps / "gt.npz")["masks"].astype(bool).reshape(7, -1)
    found = read_blocks(out).masks.reshape(-1, true.shape[1])
    overlap = [max([(t & f).sum() / (t | f).sum() for f in found], default=0.0) for t in true]
    stray = sum((f & true.any(axis=0)).sum() < 0.5 * f.sum() for f in found)
    return overlap, int(stray), len(found)


def rand_index(a: Path, b: Path) -> float:
    """Adjusted Rand index of two folders of blocks; a voxel of several belongs to the largest."""
    labels = []
    for folder in (a, b):
        masks = read_blocks(folder).masks
        label = np.zeros(masks[0].size if len(masks) else 0, dtype=int)
        for number, mask in sorted(enumerate(masks, start=1), key=lambda m: m[1].sum()):
            label[mask.ravel()] = number
        labels.append(label)
    inside = (labels[0] > 0) | (labels[1] > 0)
    return adjusted_rand_score(labels[0][inside], labels[1][inside])


def judge_ensembles(ensembles: list[Path], rules: list[str]) -> None:
    """A row for each ensemble and rule."""
    print("| rule | seed | .25:34 | .5:60 | .5:120 | .25:250 | .75:500 | .5:500 | .10:300", end=" | ")
    print("blocks | stray | wall | CPU | peak |")
    for seed, maps in enumerate(ensembles):
        for rule in rules:
            out = maps.with_name(f"{maps.name}_{rule}")
            wall, cpu, peak = find(maps, out, "--rule", rule)
            overlap, stray, blocks = judge(maps, out)
            row = [rule, seed, *(f"{x:.2f}" for x in overlap), blocks, stray]
            row += [f"{wall:.1f} s", f"{cpu:.1f} s", f"{peak:.2f} GB"]
            print("|", " | ".join(map(str, row)), "|", flush=True)


def repeat(maps: Path, rule: str, seeds: int) -> None:
    """One ensemble, several seeds of the rule."""
    outs = [maps.with_name(f"{maps.name}_{rule}_again{seed}") for seed in range(seeds)]
    for seed, out in enumerate(outs):
        find(maps, out, "--rule", rule, "--seed", str(seed), "--resamples", "0")
    between = [rand_index(a, b) for a, b in combinations(outs, 2)]
    numbers = sorted({len(read_blocks(out)) for out in outs})
    print(f"{maps.name}, {rule}, {seeds} seeds of the rule: {numbers} blocks,", end=" ")
    print(f"adjusted Rand index between runs {min(between):.3f} to {max(between):.3f}", flush=True)


def main() -> None:
    """Make, find, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--maps", type=int, default=500)
    parser.add_argument("--zoom", type=float, default=1.0)
    parser.add_argument("--noise", type=float, default=0.25)
    parser.add_argument("--gain", type=float, default=0.03)
    parser.add_argument("--ensembles", type=int, default=5)
    parser.add_argument("--rule-seeds", type=int, default=5)
    parser.add_argument("--rules", nargs="+", default=["effect", "published"])
    parser.add_argument("--work", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = chosen.work or Path(scratch)
        recipe = (chosen.maps, chosen.zoom, chosen.noise, chosen.gain)
        name = "maps{}_zoom{}_noise{}_gain{}".format(*recipe)
        seeds = range(chosen.ensembles)
        ensembles = [make(chosen.shared, work / f"{name}_{seed}", *recipe, seed) for seed in seeds]
        judge_ensembles(ensembles, chosen.rules)
        for rule in chosen.rules:
            for maps in ensembles[: 2 if chosen.rule_seeds > 1 else 0]:
                repeat(maps, rule, chosen.rule_seeds)


if __name__ == "__main__":
    main()
