"""How smoothly does napari walk through an ensemble of 500 maps of 64^3, and how much memory does it take?

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python benchmarks/napari_ensemble.py [MAPS] [BOX]

The maps are a ball with two arms that come and go, with noise, and have their levels in ensemble.csv. Timed in real
napari with the Ensemble dock: opening the folder, to the first picture; one step of the slider, drawn as a mesh,
through maps not yet seen and then through those kept in memory; twelve maps side by side, turned. Memory is what the
process holds beyond what it held with the first maps on screen, with 64 MB set for maps in memory.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

CACHE_MB = 64


def write_maps(folder: Path, n: int, box: int) -> Path:
    """Maps of a ball with arms, level 1."""
    from hetero.maps import Volume, write_map

    rng = np.random.default_rng(0)
    grid = np.indices((box,) * 3) / box - 0.5
    ball = np.exp(-(grid**2).sum(axis=0) / 0.02)
    arms = [np.exp(-((grid - np.array(at)[:, None, None, None]) ** 2).sum(axis=0) / 0.006) for at in
            ((0, 0, 0.25), (0.25, 0, 0))]  # fmt: skip
    folder.mkdir()
    for k in range(n):
        share = np.sin(k / 7) ** 2
        data = 3 * (ball + share * arms[0] + (1 - share) * arms[1]) + 0.1 * rng.standard_normal((box,) * 3)
        write_map(folder / f"vol_{k:03d}.mrc", Volume(data.astype(np.float32), 2.0))
    (folder / "ensemble.csv").write_text("name,level\n" + "".join(f"vol_{k:03d},1\n" for k in range(n)))
    return folder


def events() -> None:
    from qtpy.QtWidgets import QApplication

    for _ in range(3):
        QApplication.processEvents()


def drawn(viewer) -> np.ndarray:
    """The canvas, when it has been drawn; which draws it once more."""
    events()
    return viewer.screenshot(canvas_only=True, flash=False)


def step_times(viewer, dock, numbers) -> np.ndarray:
    """Milliseconds of each step: setting the slider, and the events until canvas and dock are painted (on software
    OpenGL that is done when it returns). Each step is looked at: another picture than the last."""
    found, last = [], drawn(viewer)
    for number in numbers:
        events()
        begun = time.perf_counter()
        dock.slider.setValue(int(number))
        events()
        found.append(1000 * (time.perf_counter() - begun))
        if number % 25 == 0:
            now = drawn(viewer)
            assert (now != last).any()
            last = now
    return np.array(found)


def say(what: str, times: np.ndarray) -> None:
    print(f"{what}: median {np.median(times):.0f} ms, 95 % within {np.percentile(times, 95):.0f} ms", flush=True)


def measure(folder: Path, n: int) -> None:
    import napari

    from napari_hetero import layers, readers, view
    from napari_hetero.map_cache import MAPS
    from napari_hetero.widgets.ensemble import EnsembleWidget

    viewer = napari.Viewer(show=False)
    dock = EnsembleWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Ensemble", area="right")
    viewer.show()
    viewer.window.resize(1500, 980)
    events()
    MAPS.megabytes = CACHE_MB
    begun = time.perf_counter()
    layers.add(viewer, readers.read(folder))
    viewer.fit_to_view()
    picture = drawn(viewer)
    print(f"{n} maps, canvas {picture.shape[1]} x {picture.shape[0]}, {dock.session.how}, {dock.session.renderer}")
    print(f"opening the folder, to the first picture: {time.perf_counter() - begun:.2f} s", flush=True)
    step_times(viewer, dock, range(1, 6))
    held = psutil.Process().memory_info().rss
    say("slider step, maps not yet seen", step_times(viewer, dock, range(6, n)))
    more = (psutil.Process().memory_info().rss - held) / 2**20
    print(f"memory after all of them: {more:.0f} MB more; maps kept: {MAPS.size / 2**20:.0f} of {CACHE_MB} MB")
    kept = range(n - 40, n)
    say("slider step, maps kept in memory", step_times(viewer, dock, kept))
    begun = time.perf_counter()
    dock.session.set_grid(("evenly", 12))
    drawn(viewer)
    print(f"twelve side by side, to the first picture: {time.perf_counter() - begun:.2f} s")
    found = []
    for turned in range(20):
        begun = time.perf_counter()
        view.camera(viewer).angles = (0, 5.0 * turned, 0)
        drawn(viewer)
        found.append(1000 * (time.perf_counter() - begun))
    say("turning all twelve", np.array(found))
    viewer.close()


def main() -> None:
    n, box = (int(word) for word in [*sys.argv[1:], *("500", "64")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as scratch:
        measure(write_maps(Path(scratch) / "maps", n, box), n)


if __name__ == "__main__":
    main()
