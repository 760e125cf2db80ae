"""The Motion dock: how Gaussians move, as arrows over the map: how long, where, in colour."""

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QWidget,
)

from hetero.errors import HeteroError
from napari_hetero import layers
from napari_hetero.motion_model import MotionModel, shades
from napari_hetero.motion_painter import MotionPainter
from napari_hetero.widgets.motion_way import WayPanel
from napari_hetero.widgets.parts import Dock, fill_choice, follow, line, say, sentence

_EMPTY = (
    "Nothing here moves yet. Open a run of Gaussians (hetero train-gmm), the folder of hetero motion (or drop its "
    "motion.csv onto the viewer), or a text of Gaussians (ours or EMAN2's)."
)
_PROGRAMS = (("e2gmm_refine_new", "new"), ("e2gmm_refine", "refine"), ("e2gmm_refine_point", "point"))


class MotionWidget(Dock):
    """Arrows of a run or of a file, and the Gaussians that they are of."""

    def __init__(self, napari_viewer: "napari.Viewer", renderer: str | None = None):  # noqa: F821
        super().__init__(napari_viewer, renderer)
        self.painter = MotionPainter(napari_viewer)
        self.model: MotionModel | None = None
        self._source = None  # the layer that the arrows are of: a run, or they themselves
        self._end = lambda: None  # lets go of the model
        self.empty = sentence(_EMPTY)
        self.way = WayPanel(self)
        self._build_sources()
        self._build_look()
        self.column.addWidget(self.empty)
        self.column.addWidget(self.way)
        self.column.addWidget(self.body)
        self.column.addStretch(1)
        self.way.made.connect(self._on_made)
        self.way.moved.connect(self._on_moved)
        self._use(None)
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is."""
        found = [layer for layer in self.session.layers_of("run", "arrows") if _moves(layer)]
        if self._source not in found:
            self._use(found[-1] if found else None)
        fill_choice(self.choice, [(layer.name, layer) for layer in found], self._source)
        self.choice.setVisible(bool(found))
        say(self.empty, "" if found else _EMPTY)
        if self.model is not None:
            blocks = self.session.blocks
            self.model.take_blocks(None if blocks is None or self.session.misfit else blocks.blocks)
        self._show_model()

    def open_model(self, path) -> str:
        """Draw a text of Gaussians; the sentence of what went wrong, or an empty string."""
        from hetero.commands.motion_space import read_gaussians

        shown = self.session.ensemble
        try:
            model = read_gaussians(path, self.program.currentData(), None if shown is None else shown.volume)
        except HeteroError as error:
            say(self.problem, str(error), problem=True)
            return str(error)
        say(self.problem, "")
        layers.add(self.viewer, [layers.gaussians_layer(model, path)])
        return ""

    def _build_sources(self) -> None:
        self.choice = QComboBox()
        self.choice.setToolTip("The run or the arrows to look at, of those that are open")
        self.open = QPushButton("Open folder ...")
        self.open.setToolTip("Open a run of Gaussians, or a folder that hetero motion wrote")
        self.text = QPushButton("Open Gaussians ...")
        self.text.setToolTip("Open a text of Gaussians; one of EMAN2's is laid over the map that is open")
        self.program = QComboBox()
        for words, value in _PROGRAMS:
            self.program.addItem(words, value)
        self.program.setToolTip("Which of EMAN2's programs wrote the text: widths differ. Ours say it themselves.")
        self.problem = sentence()
        top, texts = QHBoxLayout(), QHBoxLayout()
        top.addWidget(self.choice, 1)
        top.addWidget(self.open)
        texts.addWidget(self.text, 1)
        texts.addWidget(self.program)
        self.column.addLayout(top)
        self.column.addLayout(texts)
        self.column.addWidget(self.problem)
        self.choice.activated.connect(self._on_choice)
        self.open.clicked.connect(self._on_open)
        self.text.clicked.connect(self._on_text)

    def _build_look(self) -> None:
        self.body = QWidget()
        self.arrows, self.gaussians = QCheckBox("arrows"), QCheckBox("Gaussians")
        self.arrows.setToolTip("Show where each Gaussian goes")
        self.gaussians.setToolTip("Show the Gaussians: as wide as they are at half their height, bright where dense")
        for box in (self.arrows, self.gaussians):
            box.setChecked(True)
            box.toggled.connect(self._on_ticks)
        self.scale = _number((0.1, 50.0), " ×", "Draw every arrow so much longer than it is")
        self.shortest = _number((0.0, 1000.0), " Å", "Leave shorter arrows out")
        self.region = QComboBox()
        self.region.setToolTip("Where: everywhere, in the region the motion was made for, or in one of the blocks")
        self.words = sentence()
        self.legend = sentence()
        form = QFormLayout(self.body)
        form.setContentsMargins(0, 0, 0, 0)
        show = QHBoxLayout()
        show.addWidget(self.arrows)
        show.addWidget(self.gaussians)
        form.addRow(line())
        form.addRow("Show", show)
        form.addRow("Length", self.scale)
        form.addRow("At least", self.shortest)
        form.addRow("Where", self.region)
        form.addRow(self.words)
        form.addRow(self.legend)
        self.scale.valueChanged.connect(self._on_look)
        self.shortest.valueChanged.connect(self._on_look)
        self.region.activated.connect(self._on_region)

    def _use(self, layer) -> None:
        """Look at another run or at other arrows; what was drawn of the last run goes."""
        self.painter.clear()
        self._source = layer
        tag = {} if layer is None else layers.tag(layer)
        self.way.use(layer if tag.get("kind") == "run" else None)
        self._take(tag.get("motion"))
        if self.model is not None:
            self.painter.adopt(layer)

    def _take(self, model: MotionModel | None) -> None:
        self._end()
        self._end = follow(self, model.changed, self._on_model) if model is not None else lambda: None
        self.model = model

    def _show_model(self) -> None:
        model = self.model
        self.body.setVisible(model is not None)
        self.gaussians.setVisible(self.way.path is not None)
        if model is None:
            return
        for box, value in ((self.scale, model.scale), (self.shortest, model.shortest)):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)
        self.region.clear()
        self.region.addItems(list(model.regions))
        self.region.setCurrentText(model.region)
        say(self.words, model.words())
        say(self.legend, " &nbsp; ".join(_key(share, model.longest) for share in (0.0, 0.25, 0.5, 0.75, 1.0)))

    def _on_model(self) -> None:
        self.painter.draw_arrows(self.model, layers.tag(self._source)["path"])
        self._on_ticks()
        self._show_model()

    def _on_made(self, arrows) -> None:
        self._take(MotionModel(arrows))
        self._on_model()
        self.refresh()

    def _on_moved(self, gaussians) -> None:
        self.painter.draw_gaussians(gaussians, layers.tag(self._source)["path"])
        self._on_ticks()

    def _on_ticks(self, _on: bool = True) -> None:
        self.painter.show(self.arrows.isChecked(), self.gaussians.isChecked())

    def _on_look(self, _value: float = 0.0) -> None:
        self.model.set(scale=self.scale.value(), shortest=self.shortest.value())

    def _on_region(self, _index: int) -> None:
        self.model.set(region=self.region.currentText())

    def _on_choice(self, index: int) -> None:
        self._use(self.choice.itemData(index))
        self.refresh()

    def _on_open(self) -> None:
        self.open_folder("a run of Gaussians, or a motion")

    def _on_text(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a text of Gaussians", "", "Gaussians (*.txt)")
        if path:
            self.open_model(path)


def _moves(layer) -> bool:
    tag = layers.tag(layer)
    return tag["space"].run.system == "gmm" if tag["kind"] == "run" else "drawn" not in tag


def _key(share: float, longest: float) -> str:
    color = ",".join(str(int(255 * part)) for part in shades(share)[:3])
    return f'<span style="color: rgb({color})">■</span> {share * longest:.3g} Å'


def _number(limits: tuple[float, float], unit: str, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(*limits)
    box.setDecimals(1)
    box.setSingleStep(0.5)
    box.setSuffix(unit)
    box.setToolTip(tip)
    return box
