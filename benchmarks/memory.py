"""Peak resident memory of every verb, on the demonstration's data.

    python benchmarks/memory.py OUT [--verbs decode ...]

The demonstration (200 maps of 64^3), 2,000 particles of 64 pixels of the same ribosome, a linear run and a network that
is trained on them: each verb as a process of its own, one thread, and the peak as the system counts it (``wait4``; MB
of 2^20 bytes). Processor seconds are of user and system.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

NOTES = {  # how it grows, from each verb's own docstring
    "level": "one map and its float32 copy, and the network's batch",
    "blocks": "n maps x voxels / 8 bytes, a byte for each map and voxel that changes",
    "occupancy": "one map and the masks; of particles: a decoder's batch, 8 bytes for each number",
    "train-vae": "--memory GB of images (1), 0.2 kB a particle, a batch",
    "train-linear": "slices of all particles, in a file beyond 1 GB; 10 GB of tables at most",
    "train-gmm": "spectra of all particles (8 bytes a Fourier pixel) and the encoder's gradients",
    "train-level": "0.6 MB a simulated map",
    "downsample": "0.2 GB a thread",
    "reconstruct": "Fourier grids of twice the box, two halves",
}


def requests(out: Path) -> list[list[str]]:
    """Every verb, in an order in which each finds what it reads."""
    demo, sim, run = out / "demo", out / "sim", out / "linear"
    vae, gmm, table = out / "vae", out / "gmm-run", demo / "occupancy.csv"
    structures, parts = out / "structures", out / "particles.csv"
    words = [
        ["demo", demo],
        ["info", demo / "maps"],
        ["level", demo / "maps", "--out", out / "levels.csv"],
        ["blocks", demo / "maps", "--out", out / "blocks", "--level", "from-table"],
        ["occupancy", demo / "maps", demo / "blocks", "--out", out / "o.csv", "--level", "from-table"],
        ["populations", table, "--out", out / "populations.csv"],
        ["classes", table, "--out", out / "classes.csv"],
        ["simulate", "--out", sim, "--particles", "2000", "--box", "64"],
        ["downsample", sim, "--out", out / "small", "--box", "32"],
        ["reconstruct", sim, "--out", out / "map"],
        ["fsc", out / "map/half1.mrc", out / "map/half2.mrc", "--out", out / "fsc.csv"],
        ["train-linear", sim, "--out", run],
        ["train-vae", out / "small", "--out", vae, "--epochs", "1", "--start", run, "--zdim", "4"],
        ["decode", vae, "--out", out / "decoded", "--particles", "0-9"],
        ["analyze", run, "--out", out / "analysis"],
        ["traverse", run, "--out", out / "path"],
        ["landscape", run, "--out", out / "landscape", "--volumes", "100"],
        ["export", run, "--out", out / "export", "--format", "indices", "csv"],
        ["gmm", out / "map/map.mrc", "--out", out / "model.txt", "--resolution", "20", "--most", "256"],
        ["train-gmm", sim, "--out", gmm, "--zdim", "2", "--epochs", "2", "--neutral", out / "model.txt"],
        ["motion", gmm, "--out", out / "motion"],
        ["train-level", structures, "--out", out / "w.pt", "--maps", "16", "--epochs", "1", "--correction-maps", "4",
         "--held-out-maps", "2"],
        ["occupancy (particles)", run, out / "masks", "--particles", "all", "--level", "0", "--out", parts],
        ["select", parts, "--rule", "mask_0 >= 0", "--original", sim / "particles.star", "--out", out / "s.star"],
    ]  # fmt: skip
    return [[str(word) for word in line] for line in words]


def make_structures(out: Path) -> None:
    """Four lumps of atoms for train-level, without numpy: this process has to stay small, as its peak counts too."""
    import random

    rng = random.Random(0)
    (out / "structures").mkdir()
    for i in range(4):
        lines = []
        for n in range(300 + 200 * i):
            x, y, z = (rng.gauss(0, 12 + 3 * i) for _ in range(3))
            lines.append(f"ATOM  {n + 1:5d}  CA  ALA A{n + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C")
        (out / f"structures/s{i}.pdb").write_text("\n".join([*lines, "END", ""]))


def measured(words: list[str]) -> tuple[int, float, float]:
    """Exit status, peak in MB, processor seconds."""
    verb = words[0].split(" (")[0]
    command = [sys.executable, "-m", "hetero", verb, *words[1:], "--quiet"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main() -> int:
    """A row a verb."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--verbs", nargs="*", help="these alone; what they read is there from a run of all")
    options = parser.parse_args()
    if options.verbs is None:
        shutil.rmtree(options.out, ignore_errors=True)
        options.out.mkdir(parents=True)
        make_structures(options.out)
    print("| verb | peak, MB | CPU s | grows with |\n|---|---|---|---|")
    failed = 0
    for words in requests(options.out):
        if options.verbs is None or words[0] in options.verbs:
            if words[0] == "occupancy (particles)":  # on the run's grid
                (options.out / "masks").mkdir(exist_ok=True)
                shutil.copy(options.out / "landscape/mask.mrc", options.out / "masks/mask_0.mrc")
            status, peak, seconds = measured(words)
            failed += status != 0
            said = f"{peak:.0f} | {seconds:.1f}" if status == 0 else f"failed ({status}) | {seconds:.1f}"
            print(f"| {words[0]} | {said} | {NOTES.get(words[0], '')} |", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
