"""The Two runs dock: the same particles in two runs side by side; a lasso in one selects in both."""

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_hetero.linked import Link
from napari_hetero.widgets.endings import when_destroyed
from napari_hetero.widgets.latent_plane import PlanePanel
from napari_hetero.widgets.parts import Dock, fill_choice, follow, say, sentence

_EMPTY = (
    "Open two runs of the same particles, of two methods or two trainings: what is selected in one is selected in the "
    "other."
)


class Side(QWidget):
    """One run: which, its plane, and how many of its particles are selected."""

    def __init__(self, place: str):
        super().__init__()
        self.layer = None
        self.choice = QComboBox()
        self.choice.setToolTip(f"The run on the {place}, of those that are open")
        self.plane = PlanePanel()
        self.count = sentence()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.choice)
        column.addWidget(self.plane, 1)
        column.addWidget(self.count)

    def say_count(self) -> None:
        """Say how much of this run is selected."""
        model = self.plane.model
        if model is None or model.current is None:
            say(self.count, "")
            return
        n = model.count(model.current)
        say(self.count, f"{model.current}: {n:,} particles ({100 * n / len(model.space.run):.1f} %)")


class TwoRunsWidget(Dock):
    """Two planes, their selections linked."""

    def __init__(self, napari_viewer: "napari.Viewer", renderer: str | None = None):  # noqa: F821
        super().__init__(napari_viewer, renderer)
        self.setMinimumWidth(2 * self.minimumWidth())
        self.link: Link | None = None
        self._ends: tuple = ()  # what lets go of the models
        self.open = QPushButton("Open run ...")
        self.open.setToolTip("Open the folder of a trained run, Hetero's or cryoDRGN's")
        self.empty = sentence(_EMPTY)
        self.words = sentence(dim=True)
        self.selection = QComboBox()
        self.selection.setToolTip("The selection that is shown in both; the Latent dock saves it, and makes maps of it")
        self.sides = (Side("left"), Side("right"))
        top, both = QHBoxLayout(), QHBoxLayout()
        top.addWidget(QLabel("Selection"))
        top.addWidget(self.selection, 1)
        top.addWidget(self.open)
        for side in self.sides:
            both.addWidget(side, 1)
            side.choice.activated.connect(self._on_choice)
        self.column.addLayout(top)
        self.column.addWidget(self.empty)
        self.column.addWidget(self.words)
        self.column.addLayout(both, 1)
        self.column.addStretch(0)
        self.open.clicked.connect(self._on_open)
        self.selection.activated.connect(self._on_selection)
        self.sides[0].plane.decoded.connect(self._on_left)
        self.sides[1].plane.decoded.connect(self._on_right)
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is."""
        runs = [layer for layer in self.session.layers_of("run") if self.session.latent_of(layer) is not None]
        chosen = [side.layer if side.layer in runs else None for side in self.sides]
        for place in (0, 1):
            if chosen[place] is None:
                chosen[place] = next((run for run in runs if run not in chosen), None)
        for side, layer in zip(self.sides, chosen, strict=True):
            fill_choice(side.choice, [(run.name, run) for run in runs], layer)
            side.setVisible(len(runs) > 1)
        say(self.empty, "" if len(runs) > 1 else _EMPTY)
        if chosen != [side.layer for side in self.sides]:
            self._use(chosen if len(runs) > 1 else [None, None])
        self._on_picked()

    def _use(self, chosen: list) -> None:
        self._let_go()
        models = [self.session.latent_of(layer) for layer in chosen]
        for side, layer, model in zip(self.sides, chosen, models, strict=True):
            side.layer = layer
            side.plane.use(model)
        if None not in models and models[0] is not models[1]:
            self.link = Link(*models)
            when_destroyed(self, self.link.end)
            self._ends = tuple(follow(self, model.picked, self._on_picked) for model in models)
        say(
            self.words, "" if self.link is None else self.link.words(), problem=bool(self.link and not self.link.shared)
        )

    def _let_go(self) -> None:
        for end in self._ends:
            end()
        if self.link is not None:
            self.link.end()
        self.link, self._ends = None, ()

    def _on_picked(self) -> None:
        model = self.sides[0].plane.model
        names = [] if model is None else list(model.selections)
        self.selection.clear()
        self.selection.addItems(names)
        self.selection.setCurrentText(model.current if names and model.current else "")
        self.selection.setEnabled(bool(names))
        for side in self.sides:
            side.say_count()

    def _on_choice(self, _index: int) -> None:
        self._use([side.choice.currentData() for side in self.sides])
        self._on_picked()

    def _on_selection(self, _index: int) -> None:
        self.sides[0].plane.model.show(self.selection.currentText())

    def _on_open(self) -> None:
        self.open_folder("a trained run")

    def _on_left(self, volume) -> None:
        self._show(self.sides[0], volume)

    def _on_right(self, volume) -> None:
        self._show(self.sides[1], volume)

    def _show(self, side: Side, volume) -> None:
        if self.session.run_layer is not side.layer:
            self.session.use_run(side.layer)
        self.session.show_decoded(volume)
