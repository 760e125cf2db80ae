"""How quickly does a large ensemble open in ChimeraX, and how much memory does it take?

    HETERO_PYTHON=.venv/bin/python .venv-chimerax/bin/python benchmarks/chimerax_series.py [MAPS] [BOX]

A folder of maps (500 of 64^3: blobs that move, with noise) is opened in real ChimeraX without a window, with its levels
in ensemble.csv, and without, where those of all but the first are found in the background; with them every map is shown
once. Memory is that of ChimeraX's process.
"""

import os
import resource
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "chimerax_bundle"))

import headless


def resident():
    """MB that the process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def write(folder, n, box):
    """``n`` maps of ``box``^3."""
    from scenes import write_mrc

    folder.mkdir()
    z, y, x = (np.mgrid[:box, :box, :box].T - box / 2).T.astype(np.float32)
    rng = np.random.default_rng(0)
    noise = 0.03 * rng.standard_normal((box,) * 3).astype(np.float32)
    for i in range(n):
        shift = box / 6 * np.sin(2 * np.pi * i / n)
        blob = np.exp(-(x * x + y * y + z * z) / (box * 1.5)) + np.exp(
            -((x - shift) ** 2 + (y - box / 5) ** 2 + z * z) / box
        )
        write_mrc(folder / f"vol_{i:03d}.mrc", (blob + np.roll(noise, i)).astype(np.float32))
    (folder / "ensemble.csv").write_text("name,level\n" + "".join(f"vol_{i:03d},0.4\n" for i in range(n)))


def opened(session, run, folder):
    """Open it, tell, close it; the series."""
    before, start = resident(), time.perf_counter()
    series = run(f'hetero open "{folder}"')
    took = time.perf_counter() - start
    read = sum(volume.surfaces[0].vertices is not None for volume in series.maps if volume.surfaces)
    print(
        f"{took:.2f} s to the first picture, {resident() - before:.0f} MB more; {read} of {len(series.maps)} maps read"
    )
    return series


def main():
    """Measure."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    box = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    session = headless.start()
    from chimerax.core.commands import run as run_command

    def run(words):
        answer = run_command(session, words)
        session.ui.process()
        session.update_loop.draw_new_frame()
        return answer

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "ensemble"
        write(folder, n, box)
        size = sum(path.stat().st_size for path in folder.glob("*.mrc")) / 1e6
        print(f"{n} maps of {box}^3, {size:.0f} MB")
        run("hetero engine")
        series = opened(session, run, folder)
        start = time.perf_counter()
        held = []
        for i in range(n):
            run(f"vseries play {series.atomspec} jumpTo {i}")
            held.append(resident())
        took = (time.perf_counter() - start) / n
        print(
            f"every map shown once: {1000 * took:.0f} ms each; {max(held):.0f} MB at most, {held[n // 2]:.0f} half-way"
        )
        run("close")
        os.remove(folder / "ensemble.csv")
        import_module("chimerax.hetero.cmd.open").must_wait = lambda *_: False  # as with a window
        start = time.perf_counter()
        series = opened(session, run, folder)
        while None in series.levels:
            session.ui.process()
            session.update_loop.draw_new_frame()
            time.sleep(0.02)
        print(f"... every map at its own level after {time.perf_counter() - start:.1f} s; {resident():.0f} MB")
    session.triggers.activate_trigger("app quit", None)


if __name__ == "__main__":
    main()
