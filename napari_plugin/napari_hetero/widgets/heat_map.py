"""The Blocks dock's heat map: every volume's occupancies, alike ones together, with their tree; a click shows one."""

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QRectF, Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from hetero.commands.occupancy_space import heat_map
from hetero.errors import HeteroError
from napari_hetero.latest import LatestWins
from napari_hetero.widgets.parts import say, sentence
from napari_hetero.widgets.theme import AXIS

_HINT = "Click a row to see that volume."
_MOST_WORDS = 26  # characters that there is room for under all columns


class HeatMapPanel(QWidget):
    """Rows are volumes, columns are blocks; the dendrogram stands to the left."""

    def __init__(self, dock):
        super().__init__()
        self.dock = dock
        self.found = None  # a hetero.commands.occupancy_space.HeatMap
        self._model = None
        self.maker = LatestWins(_make, self)
        self.plot = HeatMapPlot()
        self.plot.setToolTip("Left: Ward's tree in the colours of its classes. Right: occupancy, dark is none.")
        self.under = sentence(_HINT, dim=True)
        self.problem = sentence()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        for widget in (self.problem, self.plot, self.under):
            column.addWidget(widget)
        self.maker.finished.connect(self._on_made)
        self.plot.view.scene().sigMouseClicked.connect(self._on_clicked)
        self.plot.view.scene().sigMouseMoved.connect(self._on_moved)

    def use(self, model) -> None:
        """Show the table of a :class:`napari_hetero.occupancy_model.OccupancyModel`."""
        if model is not self._model:
            self._model, self.found = model, None
            self.maker.request((model, model.table))

    def refresh(self) -> None:
        """Show where the volume on screen stands."""
        maps = self.dock.session.ensemble
        row = self.found.names.index(maps.name) if self.found and maps and maps.name in self.found.names else None
        self.plot.mark(row)

    def show_row(self, row: int) -> None:
        """Show the volume of a row."""
        maps, name = self.dock.session.ensemble, self.found.names[row]
        if maps is None or name not in maps.ensemble.names:
            say(self.under, f"{name} is not among the maps that are open.", problem=True)
            return
        maps.go_to(maps.ensemble.names.index(name))
        say(self.under, self._words(row))

    def _words(self, row: int, column: int | None = None) -> str:
        words = f"{self.found.names[row]}, class {self.found.labels[row]}"
        return (
            words if column is None else f"{words}: {self.found.columns[column]} {self.found.values[row, column]:.2f}"
        )

    def _on_made(self, what, outcome) -> None:
        if what[0] is not self._model:
            return
        wrong = isinstance(outcome, HeteroError)
        say(self.problem, str(outcome) if wrong else "", problem=True)
        for widget in (self.plot, self.under):
            widget.setVisible(not wrong)
        if not wrong:
            self.found = outcome
            self.plot.show_map(outcome)
            self.refresh()

    def _cell(self, at) -> tuple[int, int] | None:
        if self.found is None or not self.plot.view.sceneBoundingRect().contains(at):
            return None
        here = self.plot.view.mapSceneToView(at)
        rows, columns = self.found.values.shape
        row, column = int(np.floor(here.y())), int(np.floor(here.x()))
        return (row, column) if 0 <= row < rows and 0 <= column < columns else None

    def _on_clicked(self, event) -> None:
        cell = self._cell(event.scenePos())
        if cell is not None and event.button() == Qt.MouseButton.LeftButton:
            self.show_row(cell[0])

    def _on_moved(self, at) -> None:
        cell = self._cell(at)
        say(self.under, _HINT if cell is None else self._words(*cell))


class HeatMapPlot(pg.GraphicsLayoutWidget):
    """The picture: a tree, and the map beside it, row by row."""

    def __init__(self):
        super().__init__()
        self.setBackground(None)
        self.setMinimumHeight(240)
        self.tree = pg.ViewBox(enableMenu=False, enableMouse=False)
        self.view = pg.ViewBox(enableMenu=False, enableMouse=False)
        self.names = pg.AxisItem("bottom", pen=AXIS, textPen=AXIS)
        self.addItem(self.tree, 0, 0)
        self.addItem(self.view, 0, 1)
        self.addItem(self.names, 1, 1)
        self.names.linkToView(self.view)
        self.ci.layout.setColumnStretchFactor(1, 2)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.here = pg.InfiniteLine(angle=0, pen=pg.mkPen("#ffaa28", width=2))
        self.here.setVisible(False)
        for item in (self.image, self.here):
            self.view.addItem(item, ignoreBounds=True)
        for box in (self.tree, self.view):
            box.invertY(True)
        self.tree.invertX(True)

    def show_map(self, found) -> None:
        """Draw a :class:`hetero.commands.occupancy_space.HeatMap`."""
        rows, columns = found.values.shape
        self.image.setImage(found.values, levels=(0.0, max(1.0, float(found.values.max()))))
        self.image.setColorMap(pg.colormap.get("viridis"))
        self.image.setRect(QRectF(0, 0, columns, rows))
        self.view.setRange(xRange=(0, columns), yRange=(0, rows), padding=0)
        words = _short(found.columns)
        self.names.setTicks([[(i + 0.5, word) for i, word in enumerate(words)]])
        self.tree.clear()
        for color in dict.fromkeys(found.colors):
            lines = found.lines[[c == color for c in found.colors]]
            at = np.concatenate([lines, np.full((len(lines), 1, 2), np.nan)], axis=1).reshape(-1, 2)
            self.tree.addItem(pg.PlotCurveItem(at[:, 0], at[:, 1] + 0.5, connect="finite", pen=color))
        self.tree.setRange(xRange=(0, 1.05 * (found.lines[..., 0].max() or 1)), yRange=(0, rows), padding=0)

    def mark(self, row: int | None) -> None:
        """Mark a row, or none."""
        self.here.setVisible(row is not None)
        if row is not None:
            self.here.setValue(row + 0.5)


def _short(names: list[str]) -> list[str]:
    """Names that there is room for: without what they all begin with (``block_``), or none where that is too long."""
    begin = names[0][: names[0].rfind("_") + 1] if len("".join(names)) > _MOST_WORDS else ""
    words = [name.removeprefix(begin) for name in names]
    return words if len("".join(words)) <= _MOST_WORDS else [""] * len(names)


def _make(what):
    return heat_map(what[1])
