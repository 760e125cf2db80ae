"""The series panel: a slider over the maps of an ensemble, with what is known of each."""

from chimerax.core.models import ADD_MODELS, MODEL_DISPLAY_CHANGED, REMOVE_MODELS
from Qt.QtCore import Qt
from Qt.QtWidgets import QComboBox, QPushButton, QSlider, QVBoxLayout

from ..models.ensemble import EnsembleModel
from .panel import Panel, row_of


class SeriesTool(Panel):
    """Which map of a series is shown: its name, class and level; a slider, and play.

    Attributes:
        slider: over the maps, from 0.
    """

    SESSION_SAVE = False
    help = "help:user/commands/hetero.html#panels"

    def __init__(self, session, name):
        super().__init__(session, name)
        self._which, self.slider = QComboBox(), QSlider(Qt.Orientation.Horizontal)
        self._which.currentTextChanged.connect(lambda _text: self.refresh())
        self.slider.setPageStep(1)
        self.slider.valueChanged.connect(self._moved)
        self.play = QPushButton("Play")
        self.play.setCheckable(True)
        self.play.toggled.connect(self._played)
        level = QPushButton("Level")
        level.clicked.connect(self._level)
        layout = QVBoxLayout(self.tool_window.ui_area)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(row_of(self._which, self.play, level))
        layout.addWidget(self.slider)
        layout.addWidget(self._said)
        self.watch(ADD_MODELS, REMOVE_MODELS, MODEL_DISPLAY_CHANGED)
        self.refresh()
        self.tool_window.manage("side")

    @property
    def series(self):
        """The EnsembleModel that is chosen, the first without a choice; None where none is open."""
        opened = [m for m in self.session.models.list() if isinstance(m, EnsembleModel)]
        chosen = [m for m in opened if str(m) == self._which.currentText()]
        return (chosen or opened or [None])[0]

    @property
    def volume(self):
        """The map that is shown, None where none is."""
        series = self.series
        return None if series is None else series.maps[series.last_shown_time]

    def refresh(self):
        """Show the series that are open, and the map that is shown."""
        series, names = self.series, [str(m) for m in self.session.models.list() if isinstance(m, EnsembleModel)]
        for widget in (self._which, self.slider):
            widget.blockSignals(True)
        if names != [self._which.itemText(i) for i in range(self._which.count())]:
            self._which.clear()
            self._which.addItems(names)
        if series is not None:
            self._which.setCurrentText(str(series))
            self.slider.setRange(0, len(series.maps) - 1)
            self.slider.setValue(series.last_shown_time)
        for widget in (self._which, self.slider):
            widget.blockSignals(False)
        self.say(self._about())

    def _about(self):
        series, volume = self.series, self.volume
        if series is None:
            return "No series is open; 'hetero open FOLDER' and 'hetero path' make one."
        if volume is None:
            return "this map was closed"
        parts = [f"{volume.name} ({series.last_shown_time + 1} of {len(series.maps)})"]
        if volume in series.classes:
            parts.append(f"class {series.classes[volume]}")
        level = series.level_of(volume)
        if level is not None:
            parts.append(f"level {level:.4g}")
        return ", ".join(parts)

    def _moved(self, time):
        if self.series is not None:
            # a drag passes many maps: the log has where it ends
            self.do(f"vseries play {self.series.atomspec} jumpTo {time}", said=not self.slider.isSliderDown())
            self.refresh()

    def _played(self, on):
        if self.series is not None:
            self.do(f"vseries play {self.series.atomspec} loop true" if on else f"vseries stop {self.series.atomspec}")

    def _level(self):
        if self.volume is not None:
            self.do(f"hetero level {self.volume.atomspec}")
            self.refresh()
