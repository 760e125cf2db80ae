"""A plane of many points: a picture of counts that follows the view, a mark, a path, and what the mouse does."""

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF, Qt, QTimer
from qtpy.QtCore import Signal as QtSignal

from napari_hetero.widgets.theme import AXIS

_SETTLE_MS = 25  # after the last change of the view, until its picture is made anew
_MOST_CELLS = 900  # a side
_MARK, _FAR, _PATH, _LASSO = "#e5484d", "#f0a35e", "#b48cff", "#ffaa28"


class PlanePlot(pg.GraphicsLayoutWidget):
    """Shows ``picture(extent, shape)`` for whatever part of the plane is in view.

    Left click and left drag are reported, or draw a lasso where :attr:`lassoing`; the wheel zooms, the other buttons
    move the view.

    Args:
        picture: function of ``(left, right, bottom, top)`` and ``(rows, columns)`` -> RGBA uint8, lowest row first; or
            None where there is nothing to show.
    """

    pointed = QtSignal(float, float)
    hovered = QtSignal(float, float)
    lassoed = QtSignal(object)

    def __init__(self, picture):
        super().__init__()
        self._picture = picture
        self.lassoing = False
        self.cell = 2  # screen pixels a side
        self._whole = (0.0, 1.0, 0.0, 1.0)
        self.setBackground(None)
        self.setMinimumHeight(220)
        self.box = _Box(self)
        self.axes = {side: pg.AxisItem(side) for side in ("left", "bottom")}
        self.addItem(self.axes["left"], 0, 0)
        self.addItem(self.box, 0, 1)
        self.addItem(self.axes["bottom"], 1, 1)
        for axis in self.axes.values():
            axis.linkToView(self.box)
            axis.setPen(AXIS)
            axis.setTextPen(AXIS)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.line = pg.PlotCurveItem(pen=pg.mkPen(_PATH, width=2))
        self.anchors = pg.ScatterPlotItem(size=9, brush=_PATH, pen=None)
        self.noose = pg.PlotCurveItem(pen=pg.mkPen(_LASSO, width=2, style=Qt.PenStyle.DashLine))
        self.marker = pg.ScatterPlotItem(size=15, brush=None)
        for depth, item in enumerate((self.image, self.line, self.anchors, self.noose, self.marker)):
            item.setZValue(depth)
            self.box.addItem(item, ignoreBounds=True)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.timeout.connect(self.redraw)
        self.box.sigRangeChanged.connect(self._on_view)
        self.box.sigResized.connect(self._on_view)
        self.scene().sigMouseMoved.connect(self._on_moved)

    def look_at(self, whole: tuple[float, float, float, float], x: str, y: str) -> None:
        """Show a new plane, all of it: its extent and the titles of its axes."""
        self._whole = whole
        self.axes["bottom"].setLabel(x)
        self.axes["left"].setLabel(y)
        self.mark(None)
        self.show_all()

    def show_all(self) -> None:
        """Bring the whole plane into view."""
        left, right, bottom, top = self._whole
        self.box.setRange(xRange=(left, right), yRange=(bottom, top), padding=0)
        self.redraw()

    def redraw(self) -> None:
        """Make the picture of the present view now."""
        self._timer.stop()
        (left, right), (bottom, top) = self.box.viewRange()
        size = self.box.boundingRect()
        shape = [int(np.clip(n / self.cell, 16, _MOST_CELLS)) for n in (size.height(), size.width())]
        picture = self._picture((left, right, bottom, top), tuple(shape))
        if picture is None:
            self.image.clear()
            return
        self.image.setImage(picture, autoLevels=False)
        self.image.setRect(QRectF(left, bottom, right - left, top - bottom))

    def mark(self, at: tuple[float, float] | None, far: bool = False) -> None:
        """Mark a place; ``far``: as one that no particle lies near."""
        self.marker.setData(
            [] if at is None else [at[0]], [] if at is None else [at[1]], symbol="x" if far else "o",
            pen=pg.mkPen(_FAR if far else _MARK, width=3),
        )  # fmt: skip

    def draw_path(self, places: np.ndarray, anchors: np.ndarray) -> None:
        """A line through ``(m, 2)`` places, and dots at ``(k, 2)`` anchors."""
        self.line.setData(*np.reshape(places, (-1, 2)).T)
        self.anchors.setData(*np.reshape(anchors, (-1, 2)).T)

    def _on_view(self, *_) -> None:
        self._timer.start()

    def _on_moved(self, at: QPointF) -> None:
        if self.box.sceneBoundingRect().contains(at):
            here = self.box.mapSceneToView(at)
            self.hovered.emit(here.x(), here.y())


class _Box(pg.ViewBox):
    """The view, with our meaning of the mouse."""

    def __init__(self, plot: PlanePlot):
        super().__init__(enableMenu=False)
        self._plot = plot
        self._noose: list[tuple[float, float]] = []
        self.disableAutoRange()

    def mouseClickEvent(self, event) -> None:
        """A click decodes."""
        if event.button() == Qt.MouseButton.LeftButton and not self._plot.lassoing:
            event.accept()
            here = self.mapSceneToView(event.scenePos())
            self._plot.pointed.emit(here.x(), here.y())

    def mouseDragEvent(self, event, axis=None) -> None:
        """A drag scrubs, draws the lasso, or moves the view."""
        event.accept()
        here = self.mapSceneToView(event.scenePos())
        if event.button() != Qt.MouseButton.LeftButton:
            step = self.mapSceneToView(event.lastScenePos()) - here
            self.translateBy(x=step.x(), y=step.y())
        elif self._plot.lassoing:
            self._throw(event, here)
        else:
            self._plot.pointed.emit(here.x(), here.y())

    def _throw(self, event, here: QPointF) -> None:
        if event.isStart():
            start = self.mapSceneToView(event.buttonDownScenePos())
            self._noose = [(start.x(), start.y())]
        self._noose.append((here.x(), here.y()))
        noose = np.array(self._noose)
        if not event.isFinish():
            self._plot.noose.setData(*np.vstack([noose, noose[:1]]).T)
            return
        self._plot.noose.setData([], [])
        self._noose = []
        self._plot.lassoed.emit(noose)
