"""The pictures of docs/napari.md, made by doing what it says in real napari.

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python docs/napari_walk.py SAMPLE_FOLDER OUT_FOLDER

The sample run is made in SAMPLE_FOLDER unless it is there. Ends with an error where a step does not do what the page
says.
"""

import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_hetero import layers, readers, sample_data, show
from napari_hetero.widgets.latent import LatentWidget


def wait(done, seconds: float = 300) -> None:
    """Let napari work until ``done()``."""
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends, "it took too long"
        QApplication.processEvents()
        time.sleep(0.01)


def settle(dock) -> None:
    wait(lambda: not dock.plane.decoder.busy and not dock.plane.searcher.busy)
    for _ in range(10):
        QApplication.processEvents()


def walk(run: Path, out: Path) -> None:
    """Go the way of the page, and keep a picture at each stop."""
    viewer = napari.Viewer(title="Hetero", show=False)
    layers.add(viewer, readers.read(run))
    dock = LatentWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Latent", area="right")
    viewer.show()
    viewer.window.resize(1500, 980)
    show.frame(viewer)

    def picture(name: str) -> None:
        settle(dock)
        viewer.screenshot(str(out / name), canvas_only=False, flash=False)

    picture("napari_walk_1_run.png")
    dock.tabs.setCurrentWidget(dock.paths)
    made = []
    dock.paths.make.done.connect(made.append)
    dock.paths.make.button.click()
    wait(lambda: made)
    model = dock.session.ensemble
    model.go_to(0)
    model.pin_current()
    model.go_to(len(model.order) - 1)
    picture("napari_walk_2_path.png")
    model.pin(None)
    low, high = np.percentile(dock.model.plane.points, (0.5, 99.5), axis=0)
    reach = high - low
    left, (right, top), bottom = low[0] + 0.55 * reach[0], high + reach, low[1] - reach[1]
    dock.plane.plot.lassoed.emit(np.array([[left, bottom], [right, bottom], [right, top], [left, top]]))
    [(name, words)] = dock.selections.counts().items()
    saved = []
    QFileDialog.getSaveFileName = staticmethod(lambda *_: (str(out / "turned.star"), ""))
    dock.selections.save.done.connect(saved.append)
    dock.selections.save.button.click()
    wait(lambda: saved)
    picture("napari_walk_3_saved.png")
    truth = np.load(run.parent / "particles" / "truth.npz")["amount"]
    chosen = dock.model.selections[name]
    ends = truth[chosen].mean(), truth[~chosen].mean()
    print(f"{name}: {words}; turned by {ends[0]:.0f} degrees on average, the others by {ends[1]:.0f}")
    assert abs(ends[0] - ends[1]) > 20
    for path in out.glob("turned*"):
        path.unlink()
    viewer.close()


if __name__ == "__main__":
    walk(sample_data.make_run(Path(sys.argv[1])), Path(sys.argv[2]))
