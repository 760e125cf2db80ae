"""Backprojection beside cryoDRGN's.   python benchmarks/reconstruct.py SHARED CRYODRGN [WORK [RUNS]]

SHARED is the folder of data and benchmark makers, CRYODRGN the program `cryodrgn` of an environment of its own. Two
homogeneous sets: state 0 of simulate_drgn.py (about 3,000 particles of 64 pixels, SNR 0.1; an independent simulator),
and 5,000 particles of 128 pixels from `hetero simulate`. Each program is run from the shell as a user does, its start
included, once to warm up (files in memory, compiled code on disk) and then RUNS times (a third argument); the least is
told, as other work runs beside. Judged by `hetero.maps.fsc` against the truth, without a mask and under one around it.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from hetero.maps import fsc_curves, fsc_mask, read_map
from hetero.particles import open_particles, write_ctf, write_indices, write_poses

shared, upstream = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).absolute()
work = Path(sys.argv[3] if len(sys.argv) > 3 else "reconstruct_bench").resolve()
runs = int(sys.argv[4]) if len(sys.argv) > 4 else 3
environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def call(*words, env=None) -> tuple[float, float]:
    """Seconds of wall clock, and of processors."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, env=env, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def independent() -> tuple[Path, Path, Path]:
    folder = work / "states"
    if not (folder / "gt_state0.mrc").exists():
        call(sys.executable, shared / "bench/simulate_drgn.py", "discrete", "-o", folder)
    label = np.load(folder / "ground_truth.npz")["label"]
    return folder, np.flatnonzero(label == 0), folder / "gt_state0.mrc"


def larger() -> tuple[Path, Path, Path]:
    folder = work / "larger"
    if not folder.exists():
        structure = next((shared / "data/structures").rglob("*6zu5*"), None) or next(
            p for p in sorted((shared / "data/structures").rglob("*.cif.gz"))
        )
        arguments = ["--particles", 5000, "--box", 128, "--states", structure, "--snr", 0.05, "--bfactor", 60]
        call(sys.executable, "-m", "hetero", "simulate", "--out", folder, *arguments)
    return folder, np.arange(5000), folder / "truth/state_0.mrc"


def score(name: str, map_path: Path, truth_path: Path, times) -> None:
    truth, data = read_map(truth_path), read_map(map_path).data
    mask = fsc_mask(truth.data, truth.apix)
    cells = []
    for curve in (
        fsc_curves(truth.data, data, truth.apix),
        fsc_curves(truth.data * mask, data * mask, truth.apix),
    ):
        fallen = curve.resolution(0.5)
        cells += [f"{'never' if fallen is None else f'{fallen:.2f} Å'}", f"{curve.unmasked.mean():.4f}"]
    wall, cpu = np.min(times, axis=0)
    print(f"| {name} | {' | '.join(cells)} | {wall:.1f} s | {cpu:.1f} s |", flush=True)


work.mkdir(exist_ok=True, parents=True)
for make in (independent, larger):
    folder, rows, truth = make()
    particles = open_particles(folder / "particles.star")
    box, apix = particles.box, particles.apix
    write_poses(folder / "poses.pkl", particles.poses, box * apix)
    write_ctf(folder / "ctf.pkl", particles.ctf, box, apix)
    write_indices(folder / "ind.pkl", rows)
    print(f"\n{len(rows):,} particles of {box} pixels, {apix:.3g} Å: {truth.name}\n")
    print("| program | FSC 0.5 to the truth | area | 0.5 masked | area masked | wall | CPU |\n|" + "---|" * 7)
    ours = [sys.executable, "-m", "hetero", "reconstruct", folder / "particles.star", "--ind", folder / "ind.pkl"]
    times = [call(*ours, "--out", folder / "ours") for _ in range(runs + 1)]
    score("hetero reconstruct", folder / "ours/map.mrc", truth, times[1:])
    theirs = [upstream, "backproject_voxel", folder / "particles.mrcs", "--poses", folder / "poses.pkl"]
    theirs += ["--ctf", folder / "ctf.pkl", "--ind", folder / "ind.pkl", "-o", folder / "theirs"]
    times = [call(*theirs, env=environment) for _ in range(runs + 1)]
    score("cryodrgn backproject_voxel", folder / "theirs/backproject.mrc", truth, times[1:])
