"""The Latent dock: a run's particles in a plane, what is picked in it, and what is made of that."""

import numpy as np
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QTabWidget, QVBoxLayout, QWidget

from napari_hetero.latent_model import LatentModel
from napari_hetero.process import in_process
from napari_hetero.widgets.latent_paths import PathsPanel
from napari_hetero.widgets.latent_plane import PlanePanel
from napari_hetero.widgets.latent_selections import SelectionsPanel
from napari_hetero.widgets.parts import Dock, JobRow, fill_choice, follow, say, sentence

NO_RUN = (
    "No run is open. Open the folder of a trained run: one of Hetero's (config.json, latents.npz), or one that "
    "cryoDRGN wrote (config.yaml, weights, z)."
)
_FLAT = "This run has no latents: it is a homogeneous model of a single map, which is shown."


class LatentWidget(Dock):
    """The plane of latents, selections and paths in it, clusters of it."""

    def __init__(self, napari_viewer: "napari.Viewer", renderer: str | None = None):  # noqa: F821
        super().__init__(napari_viewer, renderer)
        self.choice = QComboBox()
        self.choice.setToolTip("The run to look at, of those that are open")
        self.open = QPushButton("Open run ...")
        self.open.setToolTip("Open the folder of a trained run, Hetero's or cryoDRGN's")
        self.empty = sentence(NO_RUN)
        self.body = QWidget()
        self.plane = PlanePanel()
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
        self._end = lambda: None  # lets go of the model
        self._lay_out()
        self.choice.activated.connect(self._on_choice)
        self.open.clicked.connect(self._on_open)
        self.plane.decoded.connect(self._on_decoded)
        self.plane.lassoed.connect(self._on_lassoed)
        self.analyze.done.connect(self._on_analyzed)
        self.refresh()

    @property
    def model(self) -> LatentModel | None:
        """The latents of the run that is looked at, or None."""
        return self.plane.model

    def refresh(self) -> None:
        """Show the session as it is."""
        runs, layer = self.session.layers_of("run"), self.session.run_layer
        fill_choice(self.choice, [(run.name, run) for run in runs], layer)
        self.choice.setVisible(bool(runs))
        model = self.session.latent_of(layer)
        say(self.empty, NO_RUN if layer is None else "" if model is not None else _FLAT)
        self.body.setVisible(model is not None)
        if model is not self.model:
            self._end()
            if model is not None:
                self._end = follow(self, model.picked, self._on_picked)
            self.plane.use(model)
            self._on_picked()
        if model is not None:
            self._mark_volume()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.choice, 1)
        top.addWidget(self.open)
        inner = QVBoxLayout(self.body)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(self.plane, 1)
        inner.addWidget(self.tabs)
        inner.addWidget(self.analyze)
        self.column.addLayout(top)
        self.column.addWidget(self.empty)
        self.column.addWidget(self.body, 1)
        self.column.addStretch(0)

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
                self.plane.mark(z)

    def _on_picked(self) -> None:
        self.selections.refresh()
        self.paths.refresh()

    def _on_choice(self, index: int) -> None:
        self.session.use_run(self.choice.itemData(index))

    def _on_open(self) -> None:
        self.open_folder("a trained run")

    def _on_decoded(self, volume) -> None:
        self.session.show_decoded(volume)

    def _on_lassoed(self) -> None:
        self.tabs.setCurrentWidget(self.selections)

    def _analysis(self):
        if self.model is None:
            return None
        folder = self.model.space.run.folder
        values = {"run": str(folder), "out": str(folder / "analysis")}
        return lambda progress: in_process("analyze", values, progress)

    def _on_analyzed(self, answer: dict) -> None:
        if self.model is None:
            return
        self.plane.show_analysis(answer["labels"])
        say(self.analyze.message, f"Kept in {answer['out']}; report.html there is a page about it.")
