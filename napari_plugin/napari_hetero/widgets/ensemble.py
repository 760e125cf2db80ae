"""The Ensemble dock: walk through the volumes, each at its own level."""

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSlider,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from hetero.errors import HeteroError
from napari_hetero import view
from napari_hetero.chimerax import open_in_chimerax
from napari_hetero.cxc import write_cxc
from napari_hetero.session import RENDERINGS
from napari_hetero.widgets.ensemble_compare import ComparePanel
from napari_hetero.widgets.parts import Dock, JobRow, PlayButton, fill_choice, line, say, sentence

_EMPTY = "No maps are open. Open a folder of maps (.mrc, .map), or drop one onto the viewer."
_WORDS = {"auto": "automatic", "mesh": "mesh", "iso": "iso-surface (ray casting)"}


class EnsembleWidget(Dock):
    """Slider over the volumes, their names and levels, and how they are drawn."""

    def __init__(self, napari_viewer: "napari.Viewer", renderer: str | None = None):  # noqa: F821
        super().__init__(napari_viewer, renderer)
        self.choice = QComboBox()
        self.choice.setToolTip("The ensemble to look at, of those that are open")
        self.open = QPushButton("Open folder ...")
        self.open.setToolTip("Open a folder of maps that lie in one frame")
        self.empty = sentence(_EMPTY)
        self.body = QWidget()
        self._build_body()
        self.compare = ComparePanel(self)
        self.chimerax = QPushButton("Show in ChimeraX ...")
        self.chimerax.setToolTip("Write this view as a script (.cxc) and open it: map, level, blocks, arrows, camera")
        self.save = QPushButton("Save map ...")
        self.save.setToolTip("Write the map on screen as .mrc; of a run, the one decoded last")
        self.script = sentence()
        self.hand = sentence(view.HAND_NOTE, dim=True)
        self.hand.setToolTip("napari's own default shows maps as their mirror image; this dock has turned the view.")
        top = QHBoxLayout()
        top.addWidget(self.choice, 1)
        top.addWidget(self.open)
        self.column.addLayout(top)
        self.column.addWidget(self.empty)
        self.column.addWidget(self.body)
        self.column.addWidget(self.compare)
        files = QHBoxLayout()
        files.addWidget(self.save)
        files.addWidget(self.chimerax)
        self.column.addLayout(files)
        self.column.addWidget(self.script)
        self.column.addWidget(self.hand)
        self.column.addStretch(1)
        self.choice.activated.connect(self._on_choice)
        self.open.clicked.connect(self._on_open)
        self.save.clicked.connect(self._on_save)
        self.chimerax.clicked.connect(self._on_chimerax)
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is."""
        model, maps = self.session.ensemble, self.session.layers_of("ensemble", "map", "run")
        fill_choice(self.choice, [(layer.name, layer) for layer in maps], self.session.maps_layer)
        self.choice.setVisible(bool(maps))
        self.body.setVisible(model is not None)
        self.compare.refresh()
        for button in (self.save, self.chimerax):
            button.setVisible(model is not None)
        say(self.empty, "" if model else self.session.problem or _EMPTY, problem=bool(self.session.problem))
        if model is None:
            return
        n = len(model.ensemble)
        for slider, value in ((self.slider, model.rank), (self.scale, model.scale)):
            slider.blockSignals(True)
            if slider is self.slider:
                slider.setRange(0, n - 1)
            slider.setValue(value)
            slider.blockSignals(False)
        self.slider.setEnabled(n > 1)
        self.play.setEnabled(n > 1)
        self.name.setText(model.name)
        self.position.setText(f"{model.rank + 1} of {n}{model.class_words}")
        self._show_level(model)
        self.lock.blockSignals(True)
        self.lock.setChecked(model.locked is not None)
        self.lock.blockSignals(False)
        self.lock.setEnabled(n > 1)
        self.rendering.blockSignals(True)
        self.rendering.setCurrentIndex(RENDERINGS.index(self.session.rendering))
        self.rendering.blockSignals(False)
        self.graphics.setText(self._why())
        say(self.problem, self.session.problem, problem=True)

    def _build_body(self) -> None:
        self.name = QLabel()
        self.name.setStyleSheet("font-weight: bold; font-size: 14px;")
        self.name.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.position = QLabel()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setToolTip("Walk through the volumes (Ctrl+Left, Ctrl+Right)")
        self.play = PlayButton(self.session)
        self.level = QLineEdit()
        self.level.setValidator(QDoubleValidator(self.level))
        self.level.setFixedWidth(84)
        self.level.setToolTip(
            "The contour level of this volume, in the map's own values. Type another and press Enter."
        )
        self.back = QPushButton("Reset")
        self.back.setToolTip("Back to this volume's own level")
        self.source = sentence()
        self.lock = QCheckBox("one for all")
        # napari's style sheet makes Qt reckon it a letter too narrow
        self.lock.setMinimumWidth(self.lock.fontMetrics().horizontalAdvance("one for all") + 36)
        self.lock.setToolTip("Draw every volume at this level, for maps on one scale; else each has its own")
        self.scale = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.scale.setRange(0.2, 3.0)
        self.scale.setSingleStep(0.05)
        self.scale.setDecimals(2)
        self.scale.setToolTip("Multiplies the level of every volume: left shows more, right shows less")
        self.rendering = QComboBox()
        for word in RENDERINGS:
            self.rendering.addItem(_WORDS[word], word)
        self.rendering.setToolTip("A mesh is quick everywhere; ray casting is smooth on a real graphics card")
        self.graphics = sentence(" ", dim=True)
        self.problem = sentence()
        self.predict = JobRow(
            "Predict levels",
            "Ask the network for the level of every volume and keep them in ensemble.csv",
            self._prediction,
        )
        self.slider.valueChanged.connect(self._on_slider)
        self.level.editingFinished.connect(self._on_level)
        self.back.clicked.connect(self._on_back)
        self.lock.toggled.connect(self._on_lock)
        self.scale.valueChanged.connect(self._on_scale)
        self.rendering.activated.connect(self._on_rendering)
        self.predict.done.connect(self._on_predicted)
        self._lay_out_body()

    def _lay_out_body(self) -> None:
        grid = QGridLayout(self.body)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.name, 0, 0, 1, 2)
        grid.addWidget(self.position, 0, 2, Qt.AlignmentFlag.AlignRight)
        grid.addWidget(self.slider, 1, 0, 1, 2)
        grid.addWidget(self.play, 1, 2)
        grid.addWidget(self.problem, 2, 0, 1, 3)
        grid.addWidget(QLabel("Level"), 3, 0)
        numbers = QHBoxLayout()
        numbers.addWidget(self.level)
        numbers.addWidget(self.lock)
        numbers.addStretch(1)
        grid.addLayout(numbers, 3, 1)
        grid.addWidget(self.back, 3, 2)
        grid.addWidget(self.source, 4, 0, 1, 3)
        grid.addWidget(self.predict, 5, 0, 1, 3)
        grid.addWidget(QLabel("All levels ×"), 6, 0)
        grid.addWidget(self.scale, 6, 1, 1, 2)
        grid.addWidget(line(), 7, 0, 1, 3)
        grid.addWidget(QLabel("Draw as"), 8, 0)
        grid.addWidget(self.rendering, 8, 1, 1, 2)
        grid.addWidget(self.graphics, 9, 0, 1, 3)

    def _show_level(self, model) -> None:
        if self.session.problem:
            self.level.setText("")
            say(self.source, "")
            return
        level = model.level()
        self.level.setText(f"{level.value:.4g}")
        words = str(level)
        if level.source.startswith("provisional"):
            words = f"{words}: 99 % of the map's voxels lie below it. Predict levels for better ones."
        elif model.n_unknown:
            words = f"{words}. {model.n_unknown} other volumes have no level yet."
        say(self.source, words)
        self.predict.setVisible(bool(model.n_unknown) or self.predict.job.running)

    def _why(self) -> str:
        graphics = self.session.renderer.split("(")[0].strip() or "unknown graphics"
        return f"Drawn as {'a mesh' if self.session.how == 'mesh' else 'an iso-surface'}; graphics: {graphics}"

    def _on_choice(self, index: int) -> None:
        self.session.use_maps(self.choice.itemData(index))

    def _on_open(self) -> None:
        self.open_folder("maps")

    def _on_save(self) -> None:
        from hetero.maps import write_map

        model = self.session.ensemble
        path, _ = QFileDialog.getSaveFileName(self, "Save the map on screen", f"{model.name}.mrc", "Maps (*.mrc *.map)")
        if not path:
            return
        path = Path(path) if Path(path).suffix else Path(path).with_suffix(".mrc")
        try:
            write_map(path, model.volume)
        except HeteroError as error:
            say(self.script, str(error), problem=True)
            return
        say(self.script, f"Kept in {path}")

    def _on_chimerax(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Write this view for ChimeraX", "view.cxc", "ChimeraX (*.cxc)")
        if not path:
            return
        try:
            written = write_cxc(Path(path).with_suffix(".cxc"), self.session)
            opened = open_in_chimerax(written[0])
        except HeteroError as error:
            say(self.script, str(error), problem=True)
            return
        where = "ChimeraX opens it" if opened else "no ChimeraX was found (Preferences, Hetero); open it there yourself"
        say(self.script, f"Kept in {written[0]}; {where}.")

    def _on_slider(self, index: int) -> None:
        if self.session.ensemble is not None:
            self.session.ensemble.go_to(self.session.ensemble.order[index])

    def _on_level(self) -> None:
        # Leaving the field without a change is not a wish for this level.
        if self.session.ensemble is not None and self.level.isModified():
            self.session.ensemble.set_level(float(self.level.text()))

    def _on_back(self) -> None:
        self.session.ensemble.set_level(None)

    def _on_lock(self, on: bool) -> None:
        if self.session.ensemble is not None and not self.session.problem:
            self.session.ensemble.lock(on)

    def _on_scale(self, scale: float) -> None:
        if self.session.ensemble is not None:
            self.session.ensemble.set_scale(scale)

    def _on_rendering(self, index: int) -> None:
        self.session.set_rendering(self.rendering.itemData(index))

    def _prediction(self):
        if self.session.ensemble is None:
            return None
        from hetero.commands import level

        ensemble = self.session.ensemble.ensemble
        single = len(ensemble) == 1
        maps = ensemble.paths if single else (Path(ensemble.folder),)
        settings = level.Settings(maps=maps, out=None if single else ensemble.folder / "ensemble.csv")
        return lambda progress: level.run(settings, progress)

    def _on_predicted(self, answer: dict) -> None:
        if self.session.ensemble is not None:
            self.session.ensemble.take(answer["maps"])
        failed = [row for row in answer["maps"] if "error" in row]
        if failed:
            say(self.predict.message, f"{len(failed)} maps got no level: {failed[0]['error']}", problem=True)
