"""The Blocks dock's occupancies of many volumes or particles: a histogram with a cut, a heat map, two blocks."""

from pathlib import Path

import numpy as np
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QTabWidget, QVBoxLayout, QWidget

from hetero.commands import occupancy as occupancy_command
from hetero.errors import HeteroError
from napari_hetero import layers
from napari_hetero.files import free_path
from napari_hetero.occupancy_model import OccupancyModel
from napari_hetero.widgets.heat_map import HeatMapPanel
from napari_hetero.widgets.histogram import Histogram
from napari_hetero.widgets.joint_plot import JointPanel
from napari_hetero.widgets.parts import (
    SAVE_PARTICLES,
    JobRow,
    ask_particle_file,
    fill_choice,
    follow,
    line,
    say,
    sentence,
)

_EMPTY = "Open a table of occupancies (of volumes or particles), or measure the blocks in every map that is open."


class OccupanciesPanel(QWidget):
    """A table, and what it says of one block, of all, and of two; what may be done with the cut."""

    def __init__(self, dock):
        super().__init__()
        self.dock = dock
        self.model: OccupancyModel | None = None
        self._layer = None  # of the table that was opened last
        self._end = lambda: None  # lets go of the model
        self.open = QPushButton("Open table ...")
        self.open.setToolTip("A table of hetero occupancy: .csv of volumes or particles, .npz of particles")
        self.measure = JobRow(
            "Measure every map", "Measure the blocks in every map that is open (hetero occupancy)", self._measuring
        )
        self.empty = sentence(_EMPTY, dim=True)
        self.block = QComboBox()
        self.block.setToolTip("The block whose histogram is shown")
        self.plot = Histogram()
        self.words = sentence()
        self.heat_map = HeatMapPanel(dock)
        self.joint = JointPanel(dock)
        self.tabs = QTabWidget()
        self.tabs.setMinimumHeight(350)  # Qt gives wrapped words in a tab no room of their own
        self.fit = JobRow(
            "Fit populations", "Tell two populations apart, with a 95 % interval (hetero populations)", self._fitting
        )
        self.save = JobRow(
            "Save particles at or above the cut ...", "Write these particles (hetero select)", self._saving
        )
        self._lay_out()
        self.open.clicked.connect(self._on_open)
        self.block.activated.connect(self._on_block)
        self.plot.cut.sigPositionChanged.connect(self._on_cut)
        self.measure.done.connect(self._on_measured)
        self.fit.done.connect(self._on_fitted)
        self.save.done.connect(self._on_saved)
        self.refresh()

    def refresh(self) -> None:
        """Show the model and where the volume on screen lies."""
        session = self.dock.session
        tables = session.layers_of("occupancies")
        if tables and tables[-1] is not self._layer:
            self._layer = tables[-1]
            self.take_table(layers.tag(self._layer)["path"])
        model = self.model
        blocks, maps = session.blocks, session.ensemble
        many = blocks is not None and maps is not None and len(maps.ensemble) > 1 and not session.misfit
        self.measure.setVisible(many)
        for widget in (self.tabs, self.fit):
            widget.setVisible(model is not None)
        self.save.setVisible(model is not None and model.units == "particles")
        if model is None:
            say(self.empty, _EMPTY)
            return
        say(self.empty, "")
        fill_choice(self.block, [(name, name) for name in model.blocks], None)
        self.block.setCurrentText(model.block)
        self.plot.show_counts(*model.histogram(), self._color())
        self.plot.cut.blockSignals(True)
        self.plot.cut.setValue(model.cut)
        self.plot.cut.blockSignals(False)
        share = self._here()
        self.plot.now.setVisible(share is not None)
        if share is not None:
            self.plot.now.setValue(share)
        say(self.words, model.words())
        self.heat_map.use(model)
        self.heat_map.refresh()
        self.joint.use(model)

    def take_table(self, path) -> str:
        """Show a table; the sentence of what went wrong, or an empty string."""
        try:
            model = OccupancyModel(path)
        except HeteroError as error:
            say(self.measure.message, "")
            self.model = None
            self.refresh()
            say(self.empty, str(error), problem=True)
            return str(error)
        self._end()
        self._end = follow(self, model.changed, self.refresh)
        self.model = model
        maps = self.dock.session.ensemble
        if maps is not None and model.units == "volumes":
            maps.take_columns(model.table)
            self.dock.session.changed.emit()
        self.refresh()
        return ""

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        top = QHBoxLayout()
        top.addWidget(QLabel("Occupancies"), 1)
        top.addWidget(self.open)
        one = QWidget()
        inner = QVBoxLayout(one)
        inner.setContentsMargins(0, 4, 0, 0)
        for widget in (self.block, self.plot, self.words):
            inner.addWidget(widget)
        inner.addStretch(1)
        for page, title in ((one, "One block"), (self.heat_map, "Heat map"), (self.joint, "Two blocks")):
            self.tabs.addTab(page, title)
        column.addWidget(line())
        column.addLayout(top)
        for widget in (self.empty, self.tabs, self.measure, self.fit, self.save):
            column.addWidget(widget)

    def _color(self) -> str:
        blocks = self.dock.session.blocks
        if blocks is not None and self.model.block in blocks.blocks.names:
            return blocks.blocks.colors[list(blocks.blocks.names).index(self.model.block)]
        return "#4e8df5"

    def _here(self) -> float | None:
        """The block's occupancy in the volume on screen."""
        blocks = self.dock.session.blocks
        if blocks is None or self.model.block not in blocks.blocks.names:
            return None
        share = float(blocks.occupancy[list(blocks.blocks.names).index(self.model.block)])
        return share if np.isfinite(share) else None

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a table of occupancies", "", "Tables (*.csv *.npz)")
        if path:
            self.take_table(path)

    def _on_block(self, index: int) -> None:
        self.model.look_at(self.block.itemData(index))

    def _on_cut(self, moved) -> None:
        self.model.set_cut(moved.value())

    def _measuring(self):
        session = self.dock.session
        if session.blocks is None or session.ensemble is None:
            return None
        folder, blocks = session.ensemble.ensemble.folder.resolve(), session.blocks.folder.resolve()
        out = free_path(folder.parent / f"{folder.name}_occupancy.csv")
        settings = occupancy_command.Settings(folder=folder, blocks=blocks, out=out)
        return lambda progress: occupancy_command.run(settings, progress)

    def _on_measured(self, answer: dict) -> None:
        if not self.take_table(answer["out"]):
            say(self.measure.message, f"Kept in {answer['out']}")

    def _fitting(self):
        return None if self.model is None else self.model.populations

    def _on_fitted(self, answer: dict) -> None:
        if self.model is not None:
            self.model.take_fits(answer)
            say(self.fit.message, f"Kept in {answer['written'][0]}")

    def _saving(self):
        if self.model is None:
            return None
        out, _ = QFileDialog.getSaveFileName(self, "Save particles at or above the cut", "", SAVE_PARTICLES)
        original = None
        if out and Path(out).suffix.lower() in (".star", ".cs"):
            original = ask_particle_file(self)
            if not original:
                return None
        model, given = self.model, Path(original) if original else None
        return (lambda progress: model.save_above(Path(out), given, progress)) if out else None

    def _on_saved(self, answer: dict) -> None:
        say(self.save.message, f"{answer['selected']:,} particles, kept in {answer['out']}")
