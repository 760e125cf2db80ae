"""Commands of napari's palette that act on the volumes on screen. They open the Ensemble dock where none is open."""

from napari_hetero import sessions
from napari_hetero.grid import MOST


def next_volume(viewer: "napari.Viewer") -> None:  # noqa: F821
    """Show the next volume."""
    if (model := _model(viewer)) is not None:
        model.walk(1)


def previous_volume(viewer: "napari.Viewer") -> None:  # noqa: F821
    """Show the volume before."""
    if (model := _model(viewer)) is not None:
        model.walk(-1)


def pin_volume(viewer: "napari.Viewer") -> None:  # noqa: F821
    """Compare the others with this volume, or with none any more."""
    model = _model(viewer)
    if model is not None and model.pinned is not None:
        model.pin(None)
    elif model is not None and not sessions.find(viewer).problem:
        model.pin_current()


def side_by_side(viewer: "napari.Viewer") -> None:  # noqa: F821
    """Show twelve volumes side by side, or one again."""
    if _model(viewer) is not None:
        session = sessions.find(viewer)
        session.set_grid(("evenly", MOST) if session.grid is None else None)


def one_level(viewer: "napari.Viewer") -> None:  # noqa: F821
    """Draw all volumes at this one's level, or each at its own again."""
    model = _model(viewer)
    if model is not None and not sessions.find(viewer).problem:
        model.lock(model.locked is None)


def _model(viewer):
    """The ensemble on screen; None, and a word to the user, where there is none."""
    from napari.utils.notifications import show_info

    if sessions.find(viewer) is None:
        viewer.window.add_plugin_dock_widget("hetero-em", "Ensemble")
    model = sessions.find(viewer).ensemble
    if model is None:
        show_info("No maps are open. Open a folder of maps first.")
    return model
