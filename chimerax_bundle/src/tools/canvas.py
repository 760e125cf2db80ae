"""The plane of the latent panel: draws the raster and marks, and turns the mouse into points of the plane."""

import numpy as np
from Qt.QtCore import QPointF, Qt
from Qt.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from Qt.QtWidgets import QSizePolicy, QWidget

from . import raster

_NEAR = 4.0  # pixels between two corners of a lasso
_TEXT, _MARK, _BEYOND = QColor(225, 225, 225), QColor(255, 255, 255), QColor(255, 80, 80)


class Canvas(QWidget):
    """A plane of points. The wheel zooms, the right button moves, a double click shows all.

    Attributes:
        clicked, dragged: functions called with x, y in the plane: the left button went up, or moved while down.
        lassoed: function called with ``(m, 2)`` corners in the plane.
        lasso: whether the left button draws a lasso; so it does with the Shift key.
        marks: points that are drawn: ``(x, y, beyond)``.
        ways: ``(m, 2)`` places each, joined by a line.
        centres: points with a text beside them: ``(x, y, text)``.
        titles: of the axes.
    """

    def __init__(self):
        super().__init__()
        self.clicked = self.dragged = self.lassoed = lambda *_: None
        self.lasso, self.marks, self.titles = False, [], ("", "")
        self.ways, self.centres = [], []
        self._x = self._y = np.zeros(0, np.float32)
        self._values = self._chosen = self._image = None
        self._extent = (0.0, 1.0, 0.0, 1.0)
        self._corners, self._down, self._moved_from = None, None, None
        self.setMinimumSize(240, 240)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @property
    def extent(self):
        """left, right, bottom, top of the view, in the plane."""
        return self._extent

    def show_points(self, x, y, values=None, chosen=None):
        """Draw points ``(n,)``, coloured by ``values`` (density without them), ``chosen`` (bool) ones marked."""
        moved = x is not self._x or y is not self._y
        self._x, self._y, self._values, self._chosen = x, y, values, chosen
        if moved:
            self._extent = raster.extent_of(x, y)
        self.refresh()

    def refresh(self):
        """Draw anew: the view, the points or the marks have changed."""
        self._image = None
        self.update()

    def raster(self):
        """``(rows, columns, 3)`` uint8, what is drawn of the points in the present view."""
        cell = raster.cell_size(len(self._x))
        shape = max(1, self.height() // cell), max(1, self.width() // cell)
        cells = raster.cells_of(self._x, self._y, self._extent, shape)
        if self._values is None:
            picture = raster.density_picture(cells, shape)
        else:
            picture = raster.column_picture(cells, shape, self._values)
        if self._chosen is not None and self._chosen.any():
            raster.mark_chosen(picture, cells, self._chosen)
        return picture

    def to_plane(self, position):
        """x, y in the plane of a place in the widget (QPointF)."""
        left, right, bottom, top = self._extent
        across, up = position.x() / max(self.width(), 1), 1 - position.y() / max(self.height(), 1)
        return left + across * (right - left), bottom + up * (top - bottom)

    def to_widget(self, x, y):
        """QPointF of a point of the plane."""
        left, right, bottom, top = self._extent
        return QPointF((x - left) / (right - left) * self.width(), (top - y) / (top - bottom) * self.height())

    def paintEvent(self, _event):
        """Points, marks, lasso, axes."""
        painter = QPainter(self)
        if self._image is None:
            self._image = np.ascontiguousarray(self.raster())
        rows, columns = self._image.shape[:2]
        image = QImage(self._image.data, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        painter.drawImage(self.rect(), image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_marks(painter)
        if self._corners:
            painter.setPen(QPen(QColor(*raster.CHOSEN), 1.5))
            painter.drawPolygon(QPolygonF([self.to_widget(*corner) for corner in self._corners]))
        self._draw_axes(painter)
        painter.end()

    def _draw_marks(self, painter):
        painter.setPen(QPen(_MARK, 1.5))
        for way in self.ways:
            painter.drawPolyline(QPolygonF([self.to_widget(*place) for place in way]))
            for place in way:
                painter.drawEllipse(self.to_widget(*place), 2, 2)
        for x, y, text in self.centres:
            here = self.to_widget(x, y)
            painter.drawLine(here - QPointF(4, 0), here + QPointF(4, 0))
            painter.drawLine(here - QPointF(0, 4), here + QPointF(0, 4))
            painter.drawText(here + QPointF(5, -3), text)
        for x, y, beyond in self.marks:
            painter.setPen(QPen(_BEYOND if beyond else _MARK, 2))
            painter.drawEllipse(self.to_widget(x, y), 6, 6)

    def _draw_axes(self, painter):
        left, right, bottom, top = self._extent
        painter.setPen(_TEXT)
        place = self.rect().adjusted(6, 4, -6, -4)
        flags = Qt.AlignmentFlag
        painter.drawText(place, flags.AlignBottom | flags.AlignHCenter, self.titles[0])
        painter.drawText(place, flags.AlignBottom | flags.AlignLeft, f"{left:.3g}")
        painter.drawText(place, flags.AlignBottom | flags.AlignRight, f"{right:.3g}")
        painter.drawText(place, flags.AlignTop | flags.AlignLeft, f"{self.titles[1]}  {top:.3g}")
        painter.drawText(place.adjusted(0, 0, 0, -18), flags.AlignBottom | flags.AlignLeft, f"{bottom:.3g}")

    def mousePressEvent(self, event):
        """Begin a click, a lasso or a move."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._down = event.position()
            if self.lasso or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                self._corners = [self.to_plane(event.position())]
        elif event.button() == Qt.MouseButton.RightButton:
            self._moved_from = event.position()

    def mouseMoveEvent(self, event):
        """Go on with it."""
        here = event.position()
        if self._moved_from is not None:
            (x1, y1), (x2, y2) = self.to_plane(self._moved_from), self.to_plane(here)
            self._move(x1 - x2, y1 - y2)
            self._moved_from = here
        elif self._corners is not None:
            last = self.to_widget(*self._corners[-1])
            if (here - last).manhattanLength() >= _NEAR:
                self._corners.append(self.to_plane(here))
                self.update()
        elif self._down is not None and (here - self._down).manhattanLength() >= _NEAR:
            self.dragged(*self.to_plane(here))

    def mouseReleaseEvent(self, event):
        """End it."""
        if event.button() == Qt.MouseButton.RightButton:
            self._moved_from = None
        elif event.button() == Qt.MouseButton.LeftButton and self._down is not None:
            corners, self._corners, self._down = self._corners, None, None
            self.update()
            if corners is None:
                self.clicked(*self.to_plane(event.position()))
            elif len(corners) >= 3:
                self.lassoed(np.array(corners))

    def mouseDoubleClickEvent(self, _event):
        """Show all points."""
        self._extent = raster.extent_of(self._x, self._y)
        self.refresh()

    def wheelEvent(self, event):
        """Zoom about the pointer."""
        x, y = self.to_plane(event.position())
        factor = 0.85 ** (event.angleDelta().y() / 120)
        left, right, bottom, top = self._extent
        self._extent = tuple(at + factor * (edge - at) for at, edge in ((x, left), (x, right), (y, bottom), (y, top)))
        self.refresh()

    def _move(self, x, y):
        left, right, bottom, top = self._extent
        self._extent = (left + x, right + x, bottom + y, top + y)
        self.refresh()
