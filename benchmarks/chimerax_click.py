"""How quick is the bundle's work for a hand on the mouse?

    HETERO_PYTHON=.venv/bin/python .venv-chimerax/bin/python benchmarks/chimerax_click.py [PARTICLES] [CLICKS]

A run of a million particles and a decoder of 256 x 3 at 64^3 with random weights is opened in real ChimeraX without a
window, its latent panel in Qt without a screen. Timed are clicks, from the mouse to the surface in the frame that was
drawn, and what of it the engine needs; the plane drawn anew; a lasso of 300 corners; arrows of 3,000 Gaussians, from
the engine's answer to the frame. The maps are noise, so their level is set to that of 1 % of the voxels.
"""

import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "chimerax_bundle"))

import headless  # noqa: E402 (its folder is known only now)

RUN = "import sys; from pathlib import Path; sys.path.insert(0, {here!r}); import napari_latent as b; " + (
    "b.write_run(Path({folder!r}), {n})"
)


def tell(what, walls, note=""):
    """A line: median, 95th percentile, least and most, in ms."""
    ms = 1000 * np.asarray(walls)
    spread = f"95 % {np.percentile(ms, 95):.0f}, {ms.min():.0f} - {ms.max():.0f}"
    print(f"{what}: median {np.median(ms):.0f} ms, {spread}{note}", flush=True)


class Bench:
    """Real ChimeraX with the panel of a run."""

    def __init__(self, folder):
        self.session = headless.start()
        sys.modules["chimerax.ui"] = headless.stand_in_window()
        import_module("chimerax.hetero.cmd.latent").has_window = lambda _session: True
        self.run("hetero engine")
        started = time.perf_counter()
        self.run(f'hetero open "{folder}"')
        self.panel = self.run("hetero latent #1")
        self.panel.tool_window.ui_area.resize(640, 720)
        self.panel.canvas.resize(600, 600)
        self.panel.canvas.grab()
        print(f"the run's latents are on screen after {time.perf_counter() - started:.1f} s", flush=True)

    def run(self, words):
        """A command, and a frame."""
        from chimerax.core.commands import run

        answer = run(self.session, words)
        self.frame()
        return answer

    def frame(self):
        """What a turn of ChimeraX's event loop does."""
        self.session.ui.process()
        self.session.update_loop.draw_new_frame()

    def click(self, x, y):
        """From the mouse to the frame."""
        self.panel.canvas.clicked(x, y)
        self.frame()

    def close(self):
        """End the engine too."""
        self.session.triggers.activate_trigger("app quit", None)


def timed(work, repeats):
    """Seconds of each call ``work(k)``."""
    walls = []
    for k in range(repeats):
        start = time.perf_counter()
        work(k)
        walls.append(time.perf_counter() - start)
    return walls


def clicks(bench, n):
    """Total, the engine's round trip, and what of that is no decoding."""
    decode = import_module("chimerax.hetero.cmd.decode")
    ask, trips, decoding = decode.ask, [], []

    def watched(*words):
        start = time.perf_counter()
        answer = ask(*words)
        trips.append(time.perf_counter() - start)
        decoding.append(answer["seconds"]["decode"])
        return answer

    decode.ask = watched
    points = 3 * np.random.default_rng(1).standard_normal((n + 3, 2))
    bench.click(*points[0])
    level = np.percentile(bench.panel.volume.full_matrix(), 99)
    bench.run(f"volume {bench.panel.volume.atomspec} level {level:.6g}")
    for point in points[1:3]:
        bench.click(*point)
    trips.clear(), decoding.clear()
    walls = timed(lambda k: bench.click(*points[k + 3]), n)
    surface = bench.panel.volume.surfaces[0]
    tell(f"click to the surface of {len(surface.vertices):,} vertices", walls)
    tell("... of it the engine's round trip", trips)
    tell("... of that all but decoding", np.subtract(trips, decoding))
    tell("... ChimeraX's own part", np.subtract(walls, trips))


def plane(bench):
    """Raster and lasso."""
    canvas, panel = bench.panel.canvas, bench.panel
    left, right, bottom, top = canvas.extent
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    star = (1 + 0.3 * np.sin(7 * angle))[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    star = star * [(right - left) / 4, (top - bottom) / 4] + [(left + right) / 2, (bottom + top) / 2]

    def view(k):
        canvas.refresh()
        canvas.grab()

    tell("another view, by density", timed(view, 9))
    outline = ",".join(f"{x:.5g}" for x in star.ravel())
    words = f"hetero select #1 inside {','.join(panel.columns)} outline {outline}"
    tell("lasso of 300 corners, to the selection in the picture", timed(lambda k: (bench.run(words), canvas.grab()), 9))
    print(f"... {len(panel.run.chosen):,} particles", flush=True)
    tell("another view, with the selection", timed(view, 9))
    bench.run("hetero latent #1 color z3")
    tell("... coloured by a number", timed(view, 9))


def arrows(bench):
    """From the engine's answer to the frame."""
    from chimerax.hetero.cmd.quiver import show_arrows

    rng = np.random.default_rng(0)
    arrays = {"centres": rng.uniform(0, 200, (3000, 3)), "displacements": rng.normal(0, 4, (3000, 3))}

    def show(_):
        show_arrows(bench.session, "motion", arrays, min_length=0)
        bench.frame()

    tell("3,000 arrows in the frame, after the answer", timed(show, 9))


def main():
    """Measure all of it."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    often = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    with tempfile.TemporaryDirectory() as scratch:
        folder = os.path.join(scratch, "run")
        words = RUN.format(here=str(HERE), folder=folder, n=n)
        subprocess.run([os.environ["HETERO_PYTHON"], "-c", words], check=True)
        bench = Bench(folder)
        clicks(bench, often)
        plane(bench)
        arrows(bench)
        bench.close()


if __name__ == "__main__":
    main()
