"""A histogram of occupancies with a cut to drag."""

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt

from napari_hetero.widgets.theme import AXIS


class Histogram(pg.GraphicsLayoutWidget):
    """Bars, a cut that can be dragged, and where the volume on screen lies."""

    def __init__(self):
        super().__init__()
        self.setBackground(None)
        self.setFixedHeight(150)
        self.view = pg.ViewBox(enableMenu=False, enableMouse=False)
        below = pg.AxisItem("bottom")
        self.addItem(self.view, 0, 0)
        self.addItem(below, 1, 0)
        below.linkToView(self.view)
        below.setPen(AXIS)
        below.setTextPen(AXIS)
        below.setLabel("occupancy")
        self.bars = pg.BarGraphItem(x=[0], height=[0], width=1)
        self.cut = pg.InfiniteLine(0.5, movable=True, pen=pg.mkPen("#ffaa28", width=3))
        self.cut.setCursor(Qt.CursorShape.SplitHCursor)
        self.now = pg.InfiniteLine(0.5, pen=pg.mkPen(AXIS, width=1.5, style=Qt.PenStyle.DashLine))
        for item in (self.bars, self.now, self.cut):
            self.view.addItem(item, ignoreBounds=True)

    def show_counts(self, counts: np.ndarray, edges: np.ndarray, color: str) -> None:
        """Bars ``(bins,)`` between edges ``(bins + 1,)``."""
        width = edges[1] - edges[0]
        self.bars.setOpts(x=(edges[:-1] + edges[1:]) / 2, height=counts, width=0.9 * width, brush=color, pen=None)
        self.view.setRange(xRange=(edges[0], edges[-1]), yRange=(0, max(1, counts.max()) * 1.05), padding=0.01)
