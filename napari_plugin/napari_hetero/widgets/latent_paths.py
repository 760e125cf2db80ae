"""The Latent dock's paths: along a component, straight between particles, or along the data; maps to play."""

from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QPushButton, QSpinBox, QVBoxLayout, QWidget

from hetero.commands.latent_space import path_latents
from napari_hetero import layers
from napari_hetero.decoded_model import DecodedModel
from napari_hetero.files import free_path
from napari_hetero.process import in_process
from napari_hetero.readers import read
from napari_hetero.widgets.parts import JobRow, PlayButton, say, sentence

_HOW = (
    ("along a component", "pc"),
    ("straight between particles", "direct"),
    ("through near particles (graph)", "graph"),
)
_TIPS = {
    "pc": "From the 5th to the 95th percentile of the particles, all other components at their mean",
    "direct": "In straight lines between the particles you add; it may leave the data",
    "graph": "From particle to near particle between those you add: every map is one that the data hold",
}
_FEW = "This path goes between particles: click one, press Add particle, click the next, press again."


class PathsPanel(QWidget):
    """How a path goes, the particles it passes, and its maps."""

    def __init__(self, dock):
        super().__init__()
        self.dock = dock
        self.how = QComboBox()
        for text, value in _HOW:
            self.how.addItem(text, value)
        self.component = QSpinBox()
        self.component.setMinimum(1)
        self.component.setToolTip("Which principal component, from 1")
        self.maps = QSpinBox()
        self.maps.setRange(2, 1000)
        self.maps.setValue(10)
        self.maps.setToolTip("How many maps; for straight lines, from one particle to the next")
        self.add = QPushButton("Add particle")
        self.add.setToolTip("Let the path pass the particle nearest to your last click")
        self.clear = QPushButton("Clear")
        self.clear.setToolTip("Forget these particles and the path")
        self.anchors = sentence()
        self.make = JobRow(
            "Make the path", "Decode maps along it (hetero traverse), kept in the run's folder", self._way
        )
        self.play = PlayButton(dock.session)
        self.form = QFormLayout()
        self.form.addRow("path", self.how)
        self.form.addRow("component", self.component)
        self.form.addRow("maps", self.maps)
        picks = QHBoxLayout()
        picks.addWidget(self.add)
        picks.addWidget(self.clear)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.setSpacing(4)
        column.addLayout(self.form)
        column.addLayout(picks)
        for widget in (self.anchors, self.make, self.play):
            column.addWidget(widget)
        column.addStretch(1)
        self.how.currentIndexChanged.connect(self._on_how)
        self.add.clicked.connect(self._on_add)
        self.clear.clicked.connect(self._on_clear)
        self.make.done.connect(self._on_made)
        self._on_how()

    def refresh(self) -> None:
        """Show the model's anchors."""
        model = self.dock.model
        if model is None:
            return
        self.component.setMaximum(model.space.run.zdim)
        say(self.anchors, "through " + ", ".join(f"{a:,}" for a in model.anchors) if model.anchors else "")

    def _on_how(self, _index: int = 0) -> None:
        how = self.how.currentData()
        self.how.setToolTip(_TIPS[how])
        self.form.setRowVisible(self.component, how == "pc")
        for widget in (self.add, self.clear, self.anchors):
            widget.setVisible(how != "pc" and (widget is not self.anchors or bool(self.anchors.text())))

    def _on_add(self) -> None:
        if self.dock.model.add_anchor() is None:
            say(self.make.message, _FEW)

    def _on_clear(self) -> None:
        self.dock.model.clear_path()

    def _way(self):
        model, how = self.dock.model, self.how.currentData()
        if model is None:
            return None
        if how != "pc" and len(model.anchors) < 2:
            say(self.make.message, _FEW, problem=True)
            return None
        run = model.space.run
        stem = f"path_pc{self.component.value()}" if how == "pc" else f"path_{how}"
        values = {"run": str(run.folder), "out": str(free_path(run.folder / stem)), "how": how, "n": self.maps.value()}
        if how == "pc":
            values["component"] = self.component.value()
        else:
            values["particles"] = model.anchors
        if model.box < run.box:
            values["box"] = model.box
        return lambda progress: _made(in_process("traverse", values, progress))

    def _on_made(self, outcome: tuple) -> None:
        model, session = self.dock.model, self.dock.session
        if model is None:
            return
        answer, z, tuples = outcome
        level = _level_of(session)
        model.take_path(z)
        layers.add(self.dock.viewer, tuples)
        if level is not None and session.ensemble is not None:
            session.ensemble.share_level(level)
        notes = " ".join(answer["path_notes"])
        say(self.make.message, f"{answer['n']} maps, kept in {answer['path']}. {notes}", problem=bool(notes))


def _made(answer: dict) -> tuple:
    return answer, path_latents(answer["path"]), read(answer["path"])


def _level_of(session):
    """The level at which the run's maps are drawn now, or that of its centre."""
    if isinstance(session.ensemble, DecodedModel):
        return session.ensemble.level().value
    return layers.tag(session.run_layer).get("level") if session.run_layer is not None else None
