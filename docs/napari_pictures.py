"""The pictures of docs/napari.md that show docks: the grid of twelve, and the page in napari's Preferences.

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python docs/napari_pictures.py SAMPLE_FOLDER OUT_FOLDER

The sample ensemble is made in SAMPLE_FOLDER unless it is there.
"""

import sys
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication, QListWidget

from napari_hetero import readers, sample_data, show


def events() -> None:
    for _ in range(10):
        QApplication.processEvents()


def grid(viewer, folder: Path, out: Path) -> None:
    """Twelve volumes side by side."""
    ensemble, _ = show.arrange(viewer, [*readers.read(folder), *readers.read(folder / "truth")])
    viewer.show()
    viewer.window.resize(1500, 980)
    show.frame(viewer)
    ensemble.compare.grid.click()
    events()
    viewer.screenshot(str(out / "napari_grid.png"), canvas_only=False, flash=False)


def settings(viewer, out: Path) -> None:
    """Our page of the Preferences, opened from the menu as a user does."""
    [preferences] = [action for action in viewer.window.file_menu.actions() if action.text().startswith("Preferences")]
    preferences.trigger()
    events()
    [dialog] = [widget for widget in QApplication.topLevelWidgets() if type(widget).__name__ == "PreferencesDialog"]
    pages = dialog.findChild(QListWidget)
    [ours] = [row for row in range(pages.count()) if pages.item(row).text() == "Hetero"]
    pages.setCurrentRow(ours)
    dialog.resize(900, 560)
    events()
    dialog.grab().save(str(out / "napari_settings.png"))
    dialog.reject()


if __name__ == "__main__":
    folder, pictures = sample_data.make(Path(sys.argv[1])), Path(sys.argv[2])
    window = napari.Viewer(title="Hetero", show=False)
    grid(window, folder, pictures)
    settings(window, pictures)
    window.close()
