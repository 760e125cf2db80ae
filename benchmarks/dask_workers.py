"""Occupancies of a run's particles: one process against Dask's workers, and the same while workers are killed.

    python benchmarks/dask_workers.py RUN BLOCKS OUT [--particles 1024] [--workers 2] [--spare]

RUN and BLOCKS as ``benchmarks/memory.py`` leaves them (vae, demo/blocks). Work goes out in chunks of 256 particles: at
least a few for each worker tell something. Three commands: one process with as many
threads as there are cores, WORKERS processes, and WORKERS processes of which one is killed (signal 9) now and then.
The tables of the last two must agree; ``--spare`` leaves the last out. Prints wall and processor seconds of each.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil


def measure(words: list[str], kill_every: float | None = None) -> tuple[float, float, int]:
    """Wall seconds, processor seconds of all its processes that ended, and how many workers were killed."""
    before, began, killed, rng = os.times(), time.perf_counter(), 0, random.Random(0)
    process = subprocess.Popen([sys.executable, "-m", "hetero", *words, "--quiet"])
    while process.poll() is None:
        time.sleep(kill_every or 0.1)
        try:
            workers = psutil.Process(process.pid).children(recursive=True) if kill_every else []
            workers = [worker for worker in workers if "spawn_main" in " ".join(worker.cmdline())]
            if workers and any(Path(words[words.index("--out") + 1] + ".parts").glob("part_*")):
                rng.choice(workers).kill()
                killed += 1
        except psutil.Error:  # one that ended while it was looked at
            continue
    after = os.times()
    assert process.returncode == 0
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, used, killed


def main() -> None:
    """A row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("blocks")
    parser.add_argument("out", type=Path)
    parser.add_argument("--particles", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--level", default="predict", help="as for hetero occupancy")
    parser.add_argument("--spare", action="store_true", help="kill nobody")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = options.out / "chosen.csv"
    chosen.write_text("particle\n" + "\n".join(map(str, range(options.particles))) + "\n")
    tables = {}
    print("| how | wall, s | CPU, s | particles / s | killed | load |\n|---|---|---|---|---|---|")
    ways = (("one process", 1, None), (f"{options.workers} workers", options.workers, None),
            (f"{options.workers} workers, killed", options.workers, 5.0))  # fmt: skip
    for name, workers, kill_every in ways[: 2 if options.spare else 3]:
        table = options.out / f"{name.replace(' ', '_').replace(',', '')}.csv"
        words = ["occupancy", options.run, options.blocks, "--particles", str(chosen), "--out", str(table)]
        words += ["--level", options.level]
        wall, used, killed = measure([*words, "--workers", str(workers)], kill_every)
        tables[name] = table.read_bytes()
        speed, load = options.particles / wall, os.getloadavg()[0]
        print(f"| {name} | {wall:.0f} | {used:.0f} | {speed:.1f} | {killed} | {load:.1f} |", flush=True)
    one, together, *killed = tables.values()
    if killed:
        print(f"killed or not: {'identical' if together == killed[0] else 'DIFFERENT'}; ", end="")
    print(f"one process and workers: {'identical' if one == together else 'not identical to the last bit'}")


if __name__ == "__main__":
    main()
