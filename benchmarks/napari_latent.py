"""How quick is the Latent dock's work for a hand on the mouse?

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python benchmarks/napari_latent.py [PARTICLES]

A run of a million particles and a decoder of 256 x 3 at 64^3 with random weights is written and opened in real napari.
Timed from the call to the finished screen (processor time of the process in brackets): a lasso of 300 corners, the
plane drawn anew for another view and with another colour, and clicks, from the mouse to the surface on the canvas; then
fifty clicks, 10 ms apart. The maps are noise, so their level is set to that of 1 % of the voxels.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BOX, ZDIM = 64, 8


def write_run(folder: Path, n: int) -> Path:
    import torch

    from hetero.drgn.decoder import CoordinateDecoder
    from hetero.drgn.files import save_checkpoint
    from hetero.drgn.shape import DecoderShape
    from hetero.latent import Latents, RunConfig, write_config, write_latents

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 4, (12, ZDIM))
    latents = (centres[rng.integers(0, 12, n)] + rng.standard_normal((n, ZDIM))).astype(np.float32)
    folder.mkdir()
    write_config(folder / "config.json", RunConfig("drgn", BOX, 3.0, {}))
    write_latents(folder / "latents.npz", Latents(latents, np.arange(n)))
    network = CoordinateDecoder(DecoderShape(BOX, ZDIM, per_axis=BOX // 2))
    save_checkpoint(folder / "checkpoint.pt", network, 1.0)
    return folder


class Bench:
    """Real napari with the dock."""

    def __init__(self, folder: Path):
        import napari

        from napari_hetero import layers, readers, show
        from napari_hetero.widgets.latent import LatentWidget

        self.viewer = napari.Viewer(show=False)
        started = time.perf_counter()
        layers.add(self.viewer, readers.read(folder))
        self.dock = LatentWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Latent", area="right")
        self.viewer.show()
        self.viewer.window.resize(1500, 980)
        show.frame(self.viewer)
        print(f"opening the run, to the first picture: {time.perf_counter() - started:.1f} s")
        self.wait()
        print(f"... and until hover and distances are ready: {time.perf_counter() - started:.1f} s", flush=True)

    def events(self) -> None:
        from qtpy.QtWidgets import QApplication

        for _ in range(3):
            QApplication.processEvents()

    def wait(self) -> None:
        while self.dock.plane.decoder.busy or self.dock.plane.searcher.busy:
            self.events()
            time.sleep(0.001)

    def time(self, what: str, work, repeats: int = 9) -> None:
        walls, used = [], []
        for k in range(repeats):
            self.events()
            wall, processor = time.perf_counter(), time.process_time()
            work(k)
            walls.append(1000 * (time.perf_counter() - wall))
            used.append(1000 * (time.process_time() - processor))
        spread = f"{min(walls):.0f} - {max(walls):.0f}"
        print(f"{what}: median {np.median(walls):.0f} ms, {spread} (processor {np.median(used):.0f} ms)", flush=True)

    def draw(self) -> None:
        self.dock.plane.plot.redraw()
        self.dock.plane.plot.grab()  # painted before it returns

    def click(self, point) -> None:
        self.dock.plane.plot.pointed.emit(*point)
        self.wait()
        self.events()


def measure(bench: Bench) -> None:
    dock, model = bench.dock, bench.dock.model
    left, right, bottom, top = model.plane.extent
    centre, reach = np.array([left + right, bottom + top]) / 2, np.array([right - left, top - bottom]) / 4
    t = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    star = centre + reach * ((1 + 0.3 * np.sin(7 * t))[:, None] * np.column_stack([np.cos(t), np.sin(t)]))
    bench.time("lasso of 300 corners", lambda k: model.plane.inside(star * (1 + k / 1000)))

    def view(k):
        dock.plane.plot.box.setRange(xRange=(left + 0.01 * k, right), yRange=(bottom, top), padding=0)
        bench.draw()

    bench.time("another view", view)
    model.keep(model.plane.inside(star))
    bench.time("another view, with a selection", view)
    model.color_by("z3")
    bench.time("another view, coloured by a number, with a selection", view)
    model.space.columns["group"] = _groups(model)
    model.color_by("group")
    bench.time("another view, coloured by 12 classes, with a selection", view)
    points = [model.plane.points[i] for i in np.random.default_rng(1).integers(0, len(model.plane.points), 30)]
    bench.click(points[0])
    shown = dock.session.ensemble
    shown.set_level(float(np.percentile(shown.volume.data, 99)))
    print(f"the surface has {len(dock.session.layers_of('drawn')[0].vertices):,} vertices")
    bench.time("click to the surface on the canvas", lambda k: bench.click(points[k + 1]), 15)
    before = dock.plane.decoder.begun
    for point in np.linspace(points[0], points[1], 50):
        dock.plane.plot.pointed.emit(*point.tolist())
        bench.events()
        time.sleep(0.01)
    last = tuple(point.tolist())
    bench.wait()
    begun, there = dock.plane.decoder.begun - before, np.allclose(model.look.at, last, atol=1e-3)
    print(f"50 clicks: {begun} maps; on the last: {there}")


def _groups(model):
    from hetero.commands.particle_columns import Column

    values = model.space.values("z1")
    return Column(
        np.digitize(values, np.percentile(values, np.linspace(0, 100, 13)[1:-1])).astype(np.float32),
        tuple("abcdefghijkl"),
    )


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(write_run(Path(scratch) / "run", n))
        measure(bench)
        bench.viewer.close()


if __name__ == "__main__":
    main()
