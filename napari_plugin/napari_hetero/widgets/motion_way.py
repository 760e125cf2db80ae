"""The Motion dock's way: between which latents of a run, and the Gaussians and the map along it."""

import dataclasses
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtWidgets import QComboBox, QGridLayout, QPushButton, QSlider, QSpinBox, QWidget

from hetero.errors import HeteroError
from napari_hetero import layers
from napari_hetero.files import free_path
from napari_hetero.latest import LatestWins
from napari_hetero.process import in_process
from napari_hetero.widgets.parts import JobRow, say, sentence

STEPS = 21
_PICK = "In the Latent dock click where the motion begins, press From; click where it ends, press To."


class WayPanel(QWidget):
    """For a run of Gaussians: where the motion goes, and a slider along it.

    ``made`` carries the :class:`hetero.commands.motion_space.Arrows` of a new way, ``moved`` the
    :class:`hetero.gmm.GaussianModel` of the place on it.

    Attributes:
        layer: of the run, or None.
        path: ``(n, zdim)`` latents along the way, or None.
    """

    made = QtSignal(object)
    moved = QtSignal(object)

    def __init__(self, dock):
        super().__init__()
        self.session = dock.session
        self.layer = self.path = None
        self._ends: list = [None, None]  # the looks between which it goes
        self.decoder = LatestWins(_decode, self)
        self.how = QComboBox()
        self.how.addItem("along a component", "component")
        self.how.addItem("between two clicks", "ends")
        self.how.setToolTip("Where the motion goes: along a principal component, or between two latents you picked")
        self.component = QSpinBox()
        self.component.setMinimum(1)
        self.component.setToolTip("Which principal component, from 1: from the 5th to the 95th percentile")
        self.take = [QPushButton(word) for word in ("From", "To")]
        for button, place in zip(self.take, ("begins", "ends"), strict=True):
            button.setToolTip(f"The motion {place} where you last clicked in the Latent dock")
        self.picked = sentence(dim=True)
        self.make = JobRow("Show the motion", "Work out how far every Gaussian moves on the way", self._making)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS - 1)
        self.slider.setToolTip("Move Gaussians and map along the way")
        self.place = sentence(dim=True)
        self.keep = JobRow(
            "Keep the motion",
            "Write arrows and maps of the way (hetero motion) into the run's folder",
            self._keeping,
        )
        self._lay_out()
        self.how.currentIndexChanged.connect(self._on_how)
        self.take[0].clicked.connect(self._on_from)
        self.take[1].clicked.connect(self._on_to)
        self.make.done.connect(self._on_made)
        self.slider.valueChanged.connect(self._on_slider)
        self.keep.done.connect(self._on_kept)
        self.decoder.finished.connect(self._on_decoded)

    def use(self, layer) -> None:
        """Look at the run of a layer; None for none."""
        self.layer, self.path, self._ends = layer, None, [None, None]
        self.decoder.forget()
        self.setVisible(layer is not None)
        if layer is not None:
            self.component.setMaximum(self._space.run.zdim)
        self._on_how()

    @property
    def _space(self):
        return layers.tag(self.layer)["space"]

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.how, 0, 0, 1, 2)
        grid.addWidget(self.component, 0, 2)
        grid.addWidget(self.take[0], 1, 0)
        grid.addWidget(self.take[1], 1, 1)
        for row, widget in enumerate((self.picked, self.make, self.slider, self.place, self.keep), start=2):
            grid.addWidget(widget, row, 0, 1, 3)

    def _on_how(self, _index: int = 0) -> None:
        ends = self.how.currentData() == "ends"
        self.component.setVisible(not ends)
        for button in self.take:
            button.setVisible(ends)
        for widget in (self.slider, self.place, self.keep):
            widget.setVisible(self.path is not None)
        near = [f"near particle {look.particle:,}" for look in self._ends if look is not None]
        say(self.picked, "" if not ends else " to ".join(near) if len(near) == 2 else _PICK)

    def _on_from(self) -> None:
        self._pick(0)

    def _on_to(self) -> None:
        self._pick(1)

    def _pick(self, which: int) -> None:
        self._ends[which] = self.session.latent_of(self.layer).look
        self._on_how()

    def _asked(self) -> dict | None:
        """Component, or ends, as :func:`hetero.commands.motion_space.arrows_along` takes them."""
        if self.how.currentData() == "component":
            return {"component": self.component.value()}
        if None in self._ends:
            say(self.make.message, _PICK, problem=True)
            return None
        return {"ends": tuple(look.z for look in self._ends)}

    def _making(self):
        asked = self._asked()
        if asked is None:
            return None
        from hetero.commands.motion_space import arrows_along

        layer, run = self.layer, self._space.run
        return lambda progress: (layer, *arrows_along(run, STEPS, **asked))

    def _on_made(self, outcome: tuple) -> None:
        layer, arrows, path = outcome
        if layer is self.layer:
            self.path = path
            self.slider.setValue(0)
            self._on_how()
            self.made.emit(arrows)
            self._on_slider(0)

    def _on_slider(self, index: int) -> None:
        if self.path is not None:
            say(self.place, f"{index + 1} of {len(self.path)} along the way")
            box = self.session.latent_of(self.layer).box
            self.decoder.request((self.layer, self._space, self.path[index], box))

    def _on_decoded(self, what, outcome) -> None:
        if isinstance(outcome, HeteroError):
            say(self.place, str(outcome), problem=True)
            return
        volume, gaussians = outcome
        if self.session.run_layer is not self.layer:
            self.session.use_run(self.layer)
        self.session.show_decoded(dataclasses.replace(volume, name=self.place.text()))
        self.moved.emit(gaussians)

    def _keeping(self):
        asked = self._asked()
        if asked is None:
            return None
        folder = Path(self._space.run.folder)
        values = {"run": str(folder), "out": str(free_path(folder / "motion")), "steps": STEPS}
        if "ends" in asked:
            values |= {key: z.tolist() for key, z in zip(("start", "end"), asked["ends"], strict=True)}
        else:
            values |= asked
        return lambda progress: in_process("motion", values, progress)

    def _on_kept(self, answer: dict) -> None:
        say(self.keep.message, f"{answer['volumes']} maps and the arrows, kept in {answer['out']}")


def _decode(what):
    from hetero.commands.motion_space import gaussians_at

    _, space, z, box = what
    return space.decode(z, box), gaussians_at(space.run, z)
