"""The Latent dock: a run's particles in a plane; a click decodes, a lasso selects, a path is made into maps."""

import dataclasses
from html import escape

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QTabWidget, QWidget

from hetero.errors import HeteroError
from napari_hetero.latent_model import LatentModel
from napari_hetero.latest import LatestWins
from napari_hetero.process import in_process
from napari_hetero.widgets.latent_paths import PathsPanel
from napari_hetero.widgets.latent_selections import SelectionsPanel
from napari_hetero.widgets.parts import Dock, JobRow, fill_choice, say, sentence
from napari_hetero.widgets.plane_plot import PlanePlot

_EMPTY = (
    "No run is open. Open the folder of a trained run: one of Hetero's (config.json, latents.npz), or one that "
    "cryoDRGN wrote (config.yaml, weights, z)."
)
_FLAT = "This run has no latents: it is a homogeneous model of a single map, which is shown."
_HINT = "Click or drag: decode.  L: lasso.  Wheel: zoom.  Right drag: move."
_FAR = "No particle lies near this point: the map is an extrapolation."
_CELLS = ((20_000, 3), (300_000, 2))  # so many particles at most: pixels of a dot


class LatentWidget(Dock):
    """The plane of latents, what is picked in it, and what is made of that."""

    def __init__(self, napari_viewer: "napari.Viewer", renderer: str | None = None):  # noqa: F821
        super().__init__(napari_viewer, renderer)
        self.model: LatentModel | None = None
        self._models: dict = {}  # layer: its model, so that selections outlive a look at another run
        self.decoder = LatestWins(_decode, self)
        self.searcher = LatestWins(_prepare, self)
        self.choice = QComboBox()
        self.choice.setToolTip("The run to look at, of those that are open")
        self.open = QPushButton("Open run ...")
        self.open.setToolTip("Open the folder of a trained run, Hetero's or cryoDRGN's")
        self.empty = sentence(_EMPTY)
        self.body = QWidget()
        self.problem = sentence()
        self._build_body()
        top = QHBoxLayout()
        top.addWidget(self.choice, 1)
        top.addWidget(self.open)
        self.column.addLayout(top)
        self.column.addWidget(self.empty)
        self.column.addWidget(self.body, 1)
        self.column.addStretch(0)
        self.choice.activated.connect(self._on_choice)
        self.open.clicked.connect(self._on_open)
        self.decoder.finished.connect(self._on_decoded)
        self.searcher.finished.connect(self._on_searchable)
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is."""
        runs, layer = self.session.layers_of("run"), self.session.run_layer
        fill_choice(self.choice, [(run.name, run) for run in runs], layer)
        self.choice.setVisible(bool(runs))
        self._models = {run: model for run, model in self._models.items() if run in runs}
        space = self.session.space
        flat = space is not None and space.run.zdim == 0
        say(self.empty, _FLAT if flat else "" if space else _EMPTY)
        self.body.setVisible(space is not None and not flat)
        if space is None or flat:
            self._use(None)
            return
        if layer not in self._models:
            self._models[layer] = LatentModel(space)
        self._use(self._models[layer])
        self._mark_volume()

    def decode_at(self, x: float, y: float) -> None:
        """Decode what lies under a point of the plane; of many points asked for, the last."""
        if self.model is not None:
            self.decoder.request((self.model, self.model.request((x, y))))

    def _build_body(self) -> None:
        self.axis_x, self.axis_y, self.color = QComboBox(), QComboBox(), QComboBox()
        self.axis_x.setToolTip("What runs to the right: a component, a latent, or a column of numbers")
        self.axis_y.setToolTip("What runs upwards")
        self.color.setToolTip("Colour by how many particles lie there, or by a column")
        self.table = QPushButton("Table ...")
        self.table.setToolTip("Take columns from a table of particles: a .csv with a column 'particle', or occupancies")
        self.plot = PlanePlot(self._picture)
        self.plot.setToolTip("")
        self.legend = sentence()
        self.under = sentence(_HINT, dim=True)
        self.under.setToolTip("The particle nearest to the pointer, by its row in the particle file, from 0")
        self.lasso = QPushButton("Lasso")
        self.lasso.setCheckable(True)
        self.lasso.setToolTip("Draw round particles with the left button to select them (key L)")
        self.whole = QPushButton("Show all")
        self.whole.setToolTip("Bring every particle into view")
        self.snap = QCheckBox("snap")
        self.snap.setToolTip("Decode the nearest particle's own latent, never a point between particles")
        self.box = QComboBox()
        self.box.setToolTip("Voxels along each side of decoded maps: a smaller box is quicker and shows less detail")
        self.selections = SelectionsPanel(self)
        self.paths = PathsPanel(self)
        self.tabs = QTabWidget()
        self.tabs.addTab(self.selections, "Selections")
        self.tabs.addTab(self.paths, "Paths")
        self.tabs.setMinimumHeight(310)  # Qt gives wrapped words in a tab no room of their own
        self.analyze = JobRow(
            "Clusters and UMAP", "Find clusters and a UMAP of the latents (hetero analyze), kept in the run's folder "
            "as analysis; they become columns here", self._analysis,
        )  # fmt: skip
        grid = QGridLayout(self.body)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        for column, (word, widget) in enumerate((("x", self.axis_x), ("y", self.axis_y))):
            grid.addWidget(QLabel(word), 0, 2 * column)
            grid.addWidget(widget, 0, 2 * column + 1)
        grid.addWidget(QLabel("colour"), 1, 0)
        grid.addWidget(self.color, 1, 1, 1, 2)
        grid.addWidget(self.table, 1, 3)
        grid.addWidget(self.plot, 2, 0, 1, 4)
        grid.addWidget(self.legend, 3, 0, 1, 4)
        grid.addWidget(self.under, 4, 0, 1, 4)
        grid.addWidget(self.problem, 5, 0, 1, 4)
        tools = QHBoxLayout()
        for widget in (self.lasso, self.whole):
            tools.addWidget(widget)
        tools.addStretch(1)
        for widget in (QLabel("box"), self.box, self.snap):
            tools.addWidget(widget)
        grid.addLayout(tools, 6, 0, 1, 4)
        grid.addWidget(self.tabs, 7, 0, 1, 4)
        grid.addWidget(self.analyze, 8, 0, 1, 4)
        grid.setRowStretch(2, 1)
        self._connect_body()

    def _connect_body(self) -> None:
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
        self.analyze.done.connect(self._on_analyzed)
        shortcut = QShortcut(QKeySequence("L"), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self.lasso.toggle)

    def _use(self, model: LatentModel | None) -> None:
        if model is self.model:
            return
        if self.model is not None:
            self.model.changed.disconnect(self._on_changed)
            self.model.picked.disconnect(self._on_picked)
        self.decoder.forget()
        self.model = model
        if model is None:
            self.plot.redraw()
        else:
            model.changed.connect(self._on_changed)
            model.picked.connect(self._on_picked)
            n = len(model.space.run)
            self.plot.cell = next((pixels for most, pixels in _CELLS if n <= most), 1)
            boxes = model.space.boxes()
            fill_choice(self.box, [(f"{box}³", box) for box in boxes], model.box)
            self.snap.setChecked(model.snap)
            self._fill_choices()
            self._show_plane()
        self._on_picked()

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

    def _mark_volume(self) -> None:
        """The volume on screen, where it is one of a path or of the clusters: its latent stands in its table."""
        from napari_hetero.decoded_model import DecodedModel

        ensemble = self.session.ensemble
        if ensemble is None or isinstance(ensemble, DecodedModel):
            return
        names = [f"z{i}" for i in range(1, self.model.space.run.zdim + 1)]
        table = ensemble.ensemble.table
        if set(names) <= set(table):
            z = table.loc[ensemble.name, names].to_numpy(np.float32)
            if np.isfinite(z).all():
                self.plot.mark(tuple(self.model.places(z[None])[0]))

    def _on_changed(self) -> None:
        if self._plane is not self.model.plane:
            self._show_plane()
        self.plot.redraw()
        words = [f'<span style="color: rgb{color}">■</span> {escape(name)}' for color, name in self.model.legend()]
        say(self.legend, " &nbsp; ".join(words))

    def _on_picked(self) -> None:
        self.selections.refresh()
        self.paths.refresh()
        if self.model is not None:
            self.plot.draw_path(self.model.path_places(), self.model.anchor_places())

    def _on_choice(self, index: int) -> None:
        self.session.use_run(self.choice.itemData(index))

    def _on_open(self) -> None:
        self.open_folder("a trained run")

    def _on_axes(self, _index: int = 0) -> None:
        self.model.set_axes(self.axis_x.currentData(), self.axis_y.currentData())

    def _on_color(self, index: int) -> None:
        self.model.color_by(self.color.itemData(index))

    def _on_table(self) -> None:
        from qtpy.QtWidgets import QFileDialog

        path, _ = QFileDialog.getOpenFileName(self, "Open a table of particles", "", "Tables (*.csv *.npz)")
        if path:
            self.take_table(path)

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

    def _on_hovered(self, x: float, y: float) -> None:
        words = self.model.under((x, y)) if self.model is not None else ""
        self.under.setText(words or _HINT)

    def _on_lasso(self, on: bool) -> None:
        self.plot.lassoing = on

    def _on_lassoed(self, polygon) -> None:
        self.lasso.setChecked(False)
        if self.model is not None and self.model.lasso(polygon) is None:
            say(self.problem, "No particle lies inside that line.")
        self.tabs.setCurrentWidget(self.selections)

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
        self.session.show_decoded(dataclasses.replace(outcome.volume, name=words))
        self.plot.mark(outcome.at, outcome.far)

    def _on_searchable(self, _what, outcome) -> None:
        if isinstance(outcome, HeteroError):
            say(self.problem, str(outcome), problem=True)

    def _analysis(self):
        if self.model is None:
            return None
        folder = self.model.space.run.folder
        values = {"run": str(folder), "out": str(folder / "analysis")}
        return lambda progress: in_process("analyze", values, progress)

    def _on_analyzed(self, answer: dict) -> None:
        if self.model is None:
            return
        self.take_table(answer["labels"])
        columns = self.model.space.columns
        if "cluster" in columns:
            self.model.color_by("cluster")
        if {"umap1", "umap2"} <= set(columns):
            self.model.set_axes("umap1", "umap2")
        self._fill_choices()
        say(self.analyze.message, f"Kept in {answer['out']}; report.html there is a page about it.")


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
