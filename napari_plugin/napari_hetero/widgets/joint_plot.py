"""The Blocks dock's plot of two blocks: who has both, one, or neither; a click shows a volume."""

import numpy as np
import pyqtgraph as pg
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from hetero.commands.occupancy_space import block_plane
from hetero.errors import HeteroError
from napari_hetero.latent_picture import paint
from napari_hetero.widgets.parts import fill_choice, say, sentence
from napari_hetero.widgets.plane_plot import PlanePlot


class JointPanel(QWidget):
    """Two blocks of a table, a point a volume or particle, with both cuts."""

    def __init__(self, dock):
        super().__init__()
        self.dock = dock
        self.model = self.plane = None
        self.blocks = [QComboBox(), QComboBox()]
        for combo, way in zip(self.blocks, ("to the right", "upwards"), strict=True):
            combo.setToolTip(f"The block whose occupancy runs {way}")
        self.plot = PlanePlot(self._picture)
        self.plot.cell = 4
        self.plot.setToolTip("Every volume or particle; the lines are the blocks' cuts. Click near a volume to see it.")
        self.cuts = [pg.InfiniteLine(angle=angle, pen=pg.mkPen("#ffaa28", width=1.5)) for angle in (90, 0)]
        for cut in self.cuts:
            self.plot.box.addItem(cut, ignoreBounds=True)
        self.words = sentence()
        row = QHBoxLayout()
        for combo, word in zip(self.blocks, ("x", "y"), strict=True):
            row.addWidget(QLabel(word))
            row.addWidget(combo, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addLayout(row)
        column.addWidget(self.plot)
        column.addWidget(self.words)
        for combo in self.blocks:
            combo.activated.connect(self._on_blocks)
        self.plot.pointed.connect(self._on_pointed)

    def use(self, model) -> None:
        """Show the table of a :class:`napari_hetero.occupancy_model.OccupancyModel`."""
        if model is self.model:
            self.refresh()
            return
        self.model = model
        for place, combo in enumerate(self.blocks):
            fill_choice(combo, [(name, name) for name in model.blocks], None)
            combo.setCurrentIndex(min(place, len(model.blocks) - 1))
        self._on_blocks()

    def refresh(self) -> None:
        """Show the cuts, how many lie on each side of them, and the volume on screen."""
        if self.plane is None:
            return
        first, second = self._pair()
        for cut, block in zip(self.cuts, (first, second), strict=True):
            cut.setValue(self.model.cut_of(block))
        say(self.words, self.model.pair_words(first, second))
        maps = self.dock.session.ensemble
        known = maps is not None and self.model.units == "volumes" and maps.name in self.model.table.index
        place = self.plane.points[self.model.table.index.get_loc(maps.name)] if known else np.array([np.nan])
        self.plot.mark(tuple(place.tolist()) if np.isfinite(place).all() else None)

    def _pair(self) -> tuple[str, str]:
        first, second = (combo.currentData() for combo in self.blocks)
        return first, second

    def _picture(self, extent, shape):
        return None if self.plane is None else paint(self.plane, None, None, extent, shape)

    def _on_blocks(self, _index: int = 0) -> None:
        try:
            self.plane = block_plane(self.model.table, *self._pair())
        except HeteroError as error:
            self.plane = None
            self.plot.redraw()
            say(self.words, str(error), problem=True)
            return
        self.plot.look_at(self.plane.extent, *self._pair())
        self.refresh()

    def _on_pointed(self, x: float, y: float) -> None:
        maps = self.dock.session.ensemble
        if self.plane is None or maps is None or self.model.units != "volumes":
            return
        name = self.model.table.index[self.plane.nearest((x, y))[0]]
        if name in maps.ensemble.names:
            maps.go_to(maps.ensemble.names.index(name))
