"""A run's particles in a plane: a click decodes, a lasso selects."""

import dataclasses
from html import escape

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from hetero.errors import HeteroError
from napari_hetero.latent_model import LatentModel
from napari_hetero.latest import LatestWins
from napari_hetero.widgets.parts import fill_choice, follow, say, sentence
from napari_hetero.widgets.plane_plot import PlanePlot

_HINT = "Click or drag: decode.  L: lasso.  Wheel: zoom.  Right drag: move."
_FAR = "No particle lies near this point: the map is an extrapolation."
_CELLS = ((20_000, 3), (300_000, 2))  # so many particles at most: pixels of a dot


class PlanePanel(QWidget):
    """The plane of one run. ``decoded`` carries a :class:`hetero.maps.Volume`, named after its particle; ``lassoed`` is
    emitted after every lasso.

    Attributes:
        model: what is shown, or None.
    """

    decoded = QtSignal(object)
    lassoed = QtSignal()

    def __init__(self):
        super().__init__()
        self.model: LatentModel | None = None
        self._plane = None
        self._ends: tuple = ()  # what lets go of the model
        self.decoder = LatestWins(_decode, self)
        self.searcher = LatestWins(_prepare, self)
        self.axis_x, self.axis_y, self.color = QComboBox(), QComboBox(), QComboBox()
        self.axis_x.setToolTip("What runs to the right: a component, a latent, or a column of numbers")
        self.axis_y.setToolTip("What runs upwards")
        self.color.setToolTip("Colour by how many particles lie there, or by a column")
        self.table = QPushButton("Table ...")
        self.table.setToolTip("Take columns from a table of particles: a .csv with a column 'particle', or occupancies")
        self.plot = PlanePlot(self._picture)
        self.legend = sentence()
        self.under = sentence(_HINT, dim=True)
        self.under.setToolTip("The particle nearest to the pointer, by its row in the particle file, from 0")
        self.problem = sentence()
        self.lasso = QPushButton("Lasso")
        self.lasso.setCheckable(True)
        self.lasso.setToolTip("Draw round particles with the left button to select them (key L)")
        self.whole = QPushButton("Show all")
        self.whole.setToolTip("Bring every particle into view")
        self.snap = QCheckBox("snap")
        self.snap.setToolTip("Decode the nearest particle's own latent, never a point between particles")
        self.box = QComboBox()
        self.box.setToolTip("Voxels along each side of decoded maps: a smaller box is quicker and shows less detail")
        self._lay_out()
        self._connect()

    def use(self, model: LatentModel | None) -> None:
        """Show another run, or none."""
        if model is self.model:
            return
        for end in self._ends:
            end()
        self._ends = ()
        self.decoder.forget()
        self.model = model
        if model is None:
            self.plot.redraw()
            return
        self._ends = (follow(self, model.changed, self._on_changed), follow(self, model.picked, self._on_picked))
        n = len(model.space.run)
        self.plot.cell = next((pixels for most, pixels in _CELLS if n <= most), 1)
        fill_choice(self.box, [(f"{box}³", box) for box in model.space.boxes()], model.box)
        self.snap.setChecked(model.snap)
        self._fill_choices()
        self._show_plane()

    def decode_at(self, x: float, y: float) -> None:
        """Decode what lies under a point of the plane; of many points asked for, the last."""
        if self.model is not None:
            self.decoder.request((self.model, self.model.request((x, y))))

    def mark(self, z: np.ndarray) -> None:
        """Mark a latent ``(zdim,)``."""
        self.plot.mark(tuple(self.model.places(z[None])[0]))

    def take_table(self, path) -> None:
        """Take a table's columns, and colour by the first."""
        try:
            names = self.model.space.read_columns(path)
        except HeteroError as error:
            say(self.problem, str(error), problem=True)
            return
        say(self.problem, "")
        if names:
            self.model.color_by(names[0])
        self._fill_choices()
        self._on_changed()

    def show_analysis(self, labels) -> None:
        """Take the table of ``hetero analyze``: clusters for colours, the UMAP for axes."""
        self.take_table(labels)
        columns = self.model.space.columns
        if "cluster" in columns:
            self.model.color_by("cluster")
        if {"umap1", "umap2"} <= set(columns):
            self.model.set_axes("umap1", "umap2")
        self._fill_choices()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        for column, (word, widget) in enumerate((("x", self.axis_x), ("y", self.axis_y))):
            grid.addWidget(QLabel(word), 0, 2 * column)
            grid.addWidget(widget, 0, 2 * column + 1)
        grid.addWidget(QLabel("colour"), 1, 0)
        grid.addWidget(self.color, 1, 1, 1, 2)
        grid.addWidget(self.table, 1, 3)
        for row, widget in enumerate((self.plot, self.legend, self.under, self.problem), start=2):
            grid.addWidget(widget, row, 0, 1, 4)
        tools = QHBoxLayout()
        for widget in (self.lasso, self.whole):
            tools.addWidget(widget)
        tools.addStretch(1)
        for widget in (QLabel("box"), self.box, self.snap):
            tools.addWidget(widget)
        grid.addLayout(tools, 6, 0, 1, 4)
        grid.setRowStretch(2, 1)

    def _connect(self) -> None:
        for combo in (self.axis_x, self.axis_y):
            combo.activated.connect(self._on_axes)
        self.color.activated.connect(self._on_color)
        self.table.clicked.connect(self._on_table)
        self.plot.pointed.connect(self.decode_at)
        self.plot.hovered.connect(self._on_hovered)
        self.plot.lassoed.connect(self._on_lassoed)
        self.lasso.toggled.connect(self._on_lasso)
        self.whole.clicked.connect(self.plot.show_all)
        self.snap.toggled.connect(self._on_snap)
        self.box.activated.connect(self._on_box)
        self.decoder.finished.connect(self._on_decoded)
        self.searcher.finished.connect(self._on_searchable)
        shortcut = QShortcut(QKeySequence("L"), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self.lasso.toggle)

    def _fill_choices(self) -> None:
        model = self.model
        for combo, current in ((self.axis_x, model.x), (self.axis_y, model.y)):
            _fill_words(combo, model.space.axes, current, model.axis_title)
        _fill_words(self.color, model.colors(), model.color)

    def _show_plane(self) -> None:
        model = self.model
        self._plane = model.plane
        self.plot.look_at(model.plane.extent, model.axis_title(model.x), model.axis_title(model.y))
        self.searcher.request((model.plane, model.space))
        if model.look is not None:
            self.plot.mark(tuple(model.places(model.look.z[None])[0]), model.look.far)
        self._on_picked()

    def _picture(self, extent, shape) -> np.ndarray | None:
        return None if self.model is None else self.model.picture(extent, shape)

    def _on_changed(self) -> None:
        if self._plane is not self.model.plane:
            self._show_plane()
        self.plot.redraw()
        words = [f'<span style="color: rgb{color}">■</span> {escape(name)}' for color, name in self.model.legend()]
        say(self.legend, " &nbsp; ".join(words))

    def _on_picked(self) -> None:
        self.plot.draw_path(self.model.path_places(), self.model.anchor_places())

    def _on_axes(self, _index: int = 0) -> None:
        self.model.set_axes(self.axis_x.currentData(), self.axis_y.currentData())

    def _on_color(self, index: int) -> None:
        self.model.color_by(self.color.itemData(index))

    def _on_table(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a table of particles", "", "Tables (*.csv *.npz)")
        if path:
            self.take_table(path)

    def _on_hovered(self, x: float, y: float) -> None:
        words = self.model.under((x, y)) if self.model is not None else ""
        self.under.setText(words or _HINT)

    def _on_lasso(self, on: bool) -> None:
        self.plot.lassoing = on

    def _on_lassoed(self, polygon) -> None:
        self.lasso.setChecked(False)
        if self.model is not None and self.model.lasso(polygon) is None:
            say(self.problem, "No particle lies inside that line.")
        self.lassoed.emit()

    def _on_snap(self, on: bool) -> None:
        if self.model is not None:
            self.model.snap = on

    def _on_box(self, index: int) -> None:
        self.model.box = self.box.itemData(index)
        if self.model.look is not None:
            self.decode_at(*self.model.look.at)

    def _on_decoded(self, what, outcome) -> None:
        model, _ = what
        if model is not self.model:
            return
        if isinstance(outcome, HeteroError):
            say(self.problem, str(outcome), problem=True)
            return
        model.look = outcome
        say(self.problem, _FAR if outcome.far else "", problem=outcome.far)
        words = f"near particle {outcome.particle}" if not model.snap else f"particle {outcome.particle}"
        self.decoded.emit(dataclasses.replace(outcome.volume, name=words))
        self.plot.mark(outcome.at, outcome.far)

    def _on_searchable(self, _what, outcome) -> None:
        if isinstance(outcome, HeteroError):
            say(self.problem, str(outcome), problem=True)


def _fill_words(combo: QComboBox, words: list[str], current: str, title=str) -> None:
    combo.blockSignals(True)
    combo.clear()
    for word in words:
        combo.addItem(title(word), word)
    combo.setCurrentIndex(words.index(current) if current in words else -1)
    combo.blockSignals(False)


def _decode(what):
    model, request = what
    return model.decode(request)


def _prepare(what) -> None:
    plane, space = what
    plane.prepare()
    _ = space.nearness
