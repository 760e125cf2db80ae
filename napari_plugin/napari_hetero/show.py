"""Open napari on an ensemble with its blocks, docked and the right way round: for ``make demo``, the docs and the
tests."""

from pathlib import Path

from napari_hetero import layers, view
from napari_hetero.readers import read

LOOKING = (-1.0, -0.35, -0.35)  # z, y, x: down and to the left, from above on the right


def show_demo(folder: Path | str, blocks: Path | str | None = None, picture: Path | str | None = None, index: int = 0):
    """Open a viewer with the ensemble in ``folder``, ``blocks`` over it, and the Ensemble and Blocks docks.

    Args:
        folder: a folder of maps.
        blocks: a folder of blocks or masks on the same grid.
        picture: a PNG of the whole window is written here and the viewer is closed; without it napari runs until
        it is closed.
        index: the volume to begin with.

    Raises:
        HeteroError: what lies in a folder cannot be read.
    """
    import napari

    tuples = [*read(folder), *(read(blocks) if blocks else [])]  # before a window opens
    viewer = napari.Viewer(title="Hetero", show=False)
    arrange(viewer, tuples, index)
    viewer.show()
    viewer.window.resize(1500, 980)  # napari gives a window its last size when it is shown
    frame(viewer)
    if picture is None:
        napari.run()
        return
    viewer.screenshot(str(picture), canvas_only=False, flash=False)
    viewer.close()


def arrange(viewer, tuples: list[tuple], index: int = 0):
    """Add layers and both docks to a viewer; returns the docks' widgets."""
    from napari_hetero.widgets.blocks import BlocksWidget
    from napari_hetero.widgets.ensemble import EnsembleWidget

    layers.add(viewer, tuples)
    widgets = EnsembleWidget(viewer), BlocksWidget(viewer)
    for widget, name in zip(widgets, ("Ensemble", "Blocks"), strict=True):
        viewer.window.add_dock_widget(widget, name=name, area="right")
    session = widgets[0].session
    if session.ensemble is not None:
        session.ensemble.go_to(index)
    return widgets


def frame(viewer) -> None:
    """Fit the view to the maps, seen a little from above."""
    from qtpy.QtWidgets import QApplication

    for _ in range(3):  # the canvas gets its size when the window's layout has settled
        QApplication.processEvents()
    view.camera(viewer).set_view_direction(LOOKING, (0.0, 1.0, 0.0))
    view.fit(viewer, [layer for layer in viewer.layers if layers.tag(layer).get("how") == "mesh"])
