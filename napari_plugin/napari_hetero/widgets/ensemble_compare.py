"""The Ensemble dock's order and comparisons: sorted by a column, against a pinned volume, on one sheet."""

from pathlib import Path

from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QComboBox, QFileDialog, QGridLayout, QHBoxLayout, QLabel, QPushButton, QSpinBox, QWidget

from hetero.errors import HeteroError
from napari_hetero.contact_sheet import write_contact_sheet
from napari_hetero.ensemble_model import Pinned
from napari_hetero.grid import MOST
from napari_hetero.widgets.parts import JobRow, fill_choice, say, sentence

_BY_NAME = "file name"
_LEGEND = (
    '<span style="color: rgb(51,115,242)">■</span> not in {0} &nbsp; <span style="color: rgb(230,64,51)">■</span> more '
    "in {0} &nbsp; see-through: {0}"
)


class ComparePanel(QWidget):
    """In which order the volumes are walked through, what they are compared with, and a sheet of twelve."""

    def __init__(self, dock):
        super().__init__()
        self.session = dock.session
        self.order = QComboBox()
        self.order.setToolTip("Walk through the volumes by a column of ensemble.csv, or by the occupancy of a block")
        self.pin = QPushButton("Pin")
        self.pin.setCheckable(True)
        self.pin.setToolTip("Compare the other volumes with this one (Ctrl+Up)")
        self.mean = JobRow("Pin the mean", "Compare with the mean of all volumes of the ensemble", self._averaging)
        self.legend = sentence()
        self.grid = QPushButton("Side by side")
        self.grid.setCheckable(True)
        self.grid.setToolTip("Show several volumes at once; turning one turns all (Ctrl+Down)")
        self.tiles = QSpinBox()
        self.tiles.setRange(2, MOST)
        self.tiles.setValue(MOST)
        self.tiles.setToolTip("How many volumes at most")
        self.which = QComboBox()
        self.which.addItem("evenly spaced", "evenly")
        self.which.addItem("page by page", "onwards")
        self.which.setToolTip("Which ones, in this order: from the first to the last, or the page of the one looked at")
        self.sheet = QPushButton("Contact sheet ...")
        self.sheet.setToolTip("Save a picture of up to 12 volumes in this order, all seen from here")
        self.words = sentence()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Order"), 0, 0)
        grid.addWidget(self.order, 0, 1)
        grid.addWidget(self.pin, 0, 2)
        grid.addWidget(self.legend, 1, 0, 1, 3)
        grid.addWidget(self.mean, 2, 0, 1, 3)
        many = QHBoxLayout()
        for widget in (self.grid, self.tiles, self.which):
            many.addWidget(widget)
        grid.addLayout(many, 3, 0, 1, 3)
        grid.addWidget(self.sheet, 4, 0, 1, 3)
        grid.addWidget(self.words, 5, 0, 1, 3)
        self.order.activated.connect(self._on_order)
        self.pin.clicked.connect(self._on_pin)
        self.mean.done.connect(self._on_mean)
        self.sheet.clicked.connect(self._on_sheet)
        self.grid.clicked.connect(self._on_grid)
        self.tiles.valueChanged.connect(self._on_grid)
        self.which.activated.connect(self._on_grid)
        for keys, slot in (
            ("Ctrl+Right", self._on_next),
            ("Ctrl+Left", self._on_previous),
            ("Ctrl+Up", self.pin.click),
            ("Ctrl+Down", self.grid.click),
        ):
            QShortcut(QKeySequence(keys), self).activated.connect(slot)

    def refresh(self) -> None:
        """Show the session as it is."""
        model = self.session.ensemble
        self.setVisible(model is not None)
        if model is None:
            return
        many = len(model.order) > 1
        fill_choice(self.order, [(_BY_NAME, None), *((name, name) for name in model.sortable)], model.sorted_by)
        for widget in (self.order, self.sheet, self.grid, self.tiles, self.which):
            widget.setEnabled(many)
        self.grid.setChecked(self.session.grid is not None)
        self.mean.setVisible(many)
        self.pin.setChecked(model.pinned is not None)
        self.pin.setText("Pin" if model.pinned is None else "Unpin")
        say(self.legend, "" if model.pinned is None else _LEGEND.format(model.pinned.name))

    def _on_order(self, index: int) -> None:
        self.session.ensemble.sort_by(self.order.itemData(index))

    def _on_pin(self) -> None:
        model = self.session.ensemble
        if model is None:
            return
        if model.pinned is not None:
            model.pin(None)
        elif not self.session.problem:
            model.pin_current()
        self.refresh()

    def _averaging(self):
        from hetero.commands.latent_space import level_of
        from hetero.maps import mean_volume

        model = self.session.ensemble

        def work(progress):
            volume = mean_volume(model.ensemble, progress)
            return model, Pinned("the mean", volume, level_of(volume))

        return work

    def _on_mean(self, outcome: tuple) -> None:
        model, pinned = outcome
        if model is self.session.ensemble:
            model.pin(pinned)

    def _on_next(self) -> None:
        if self.session.ensemble is not None:
            self.session.ensemble.walk(1)

    def _on_previous(self) -> None:
        if self.session.ensemble is not None:
            self.session.ensemble.walk(-1)

    def _on_grid(self, _value=None) -> None:
        if self.session.ensemble is not None:
            chosen = (self.which.currentData(), self.tiles.value())
            self.session.set_grid(chosen if self.grid.isChecked() else None)

    def _on_sheet(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save a contact sheet", "volumes.png", "Pictures (*.png)")
        if not path:
            return
        try:
            names = write_contact_sheet(Path(path).with_suffix(".png"), self.session)
        except HeteroError as error:
            say(self.words, str(error), problem=True)
            return
        say(self.words, f"{len(names)} volumes, kept in {Path(path).with_suffix('.png')}")
