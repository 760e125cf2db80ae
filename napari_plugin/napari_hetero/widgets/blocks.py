"""The Blocks dock: which blocks are laid over the volume, how much of each it has, and how much all others have."""

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
)

from hetero.commands import blocks as blocks_command
from hetero.errors import HeteroError
from napari_hetero import layers
from napari_hetero.files import free_path
from napari_hetero.readers import read
from napari_hetero.widgets.occupancies import OccupanciesPanel
from napari_hetero.widgets.parts import Dock, JobRow, empty_table, fill_choice, say, sentence
from napari_hetero.writers import write_edited_blocks

_EMPTY = "No blocks are open. Open a folder of blocks or masks, or find the blocks of the ensemble that is open."
_NO_MAPS = "Open a folder of maps to see how much of each block a volume has."
_TOP = (
    ("Block", "Tick to lay it over the volume"),
    ("kDa", "Mass of the block at 0.81 Da per cubic Å"),
    ("Occupancy", "In the volume on screen: the share of the block's voxels at or above the volume's level"),
)


class OccupancyDelegate(QStyledItemDelegate):
    """Draws an occupancy as a bar in the block's colour with its number."""

    def paint(self, painter: QPainter, option, index) -> None:
        """Draw one cell."""
        share = index.data(Qt.ItemDataRole.UserRole)
        if share is None:
            super().paint(painter, option, index)
            return
        cell = QRectF(option.rect)
        box = cell.adjusted(4, 7, -46, -7)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(127, 127, 127, 60))
        painter.drawRoundedRect(box, 3, 3)
        painter.setBrush(QColor(index.data(Qt.ItemDataRole.UserRole + 1)))
        painter.drawRoundedRect(QRectF(box.x(), box.y(), box.width() * share, box.height()), 3, 3)
        painter.setPen(option.palette.text().color())
        right = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight)
        painter.drawText(cell.adjusted(0, 0, -6, 0), right, index.data())
        painter.restore()


class BlocksWidget(Dock):
    """One row a block: tick, colour, name, mass, occupancy in the volume on screen."""

    def __init__(self, napari_viewer: "napari.Viewer", renderer: str | None = None):  # noqa: F821
        super().__init__(napari_viewer, renderer)
        self.choice = QComboBox()
        self.choice.setToolTip("The blocks to lay over the maps, of those that are open")
        self.open = QPushButton("Open folder ...")
        self.open.setToolTip("Open a folder of blocks, or of any masks on the grid of the maps")
        self.problem = sentence()
        self.table = self._make_table()
        self.all = QPushButton("All")
        self.all.setToolTip("Tick every block")
        self.none = QPushButton("None")
        self.none.setToolTip("Untick every block")
        self.find = JobRow(
            "Find blocks", "Find sets of voxels that come and go together in the ensemble that is open", self._search
        )
        for button in (self.all, self.none):
            button.setMinimumWidth(64)
        self.save = QPushButton("Save as edited ...")
        self.save.setToolTip(
            "Write the blocks as you painted them: choose their layer, show slices (2D), use napari's brush, eraser; "
            "a new number is a new block"
        )
        self.saved = sentence()
        self.occupancies_of_all = OccupanciesPanel(self)
        self._shown = None
        top = QHBoxLayout()
        top.addWidget(self.choice, 1)
        top.addWidget(self.open)
        ticks = QHBoxLayout()
        ticks.addWidget(self.all)
        ticks.addWidget(self.none)
        ticks.addStretch(1)
        ticks.addWidget(self.save)
        self.column.addLayout(top)
        self.column.addWidget(self.problem)
        self.column.addWidget(self.table, 1)
        self.column.addLayout(ticks)
        self.column.addWidget(self.saved)
        self.column.addWidget(self.find)
        self.column.addWidget(self.occupancies_of_all)
        self.column.addStretch(0)
        self.choice.activated.connect(self._on_choice)
        self.open.clicked.connect(self._on_open)
        self.table.itemChanged.connect(self._on_item)
        self.all.clicked.connect(self._on_all)
        self.none.clicked.connect(self._on_none)
        self.save.clicked.connect(self._on_save)
        self.find.done.connect(self._on_found)
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is."""
        model, found = self.session.blocks, self.session.layers_of("blocks")
        fill_choice(self.choice, [(layer.name, layer) for layer in found], self.session.blocks_layer)
        self.choice.setVisible(bool(found))
        for widget in (self.table, self.all, self.none, self.save):
            widget.setVisible(model is not None)
        ensemble = self.session.ensemble
        self.find.setVisible(ensemble is not None and len(ensemble.ensemble) > 1)
        if self.session.misfit:
            say(self.problem, self.session.misfit, problem=True)
        else:
            say(self.problem, _EMPTY if model is None else "" if ensemble is not None else _NO_MAPS)
        self.table.blockSignals(True)
        if (None if model is None else model.blocks) is not self._shown:
            self._fill(model)
        if model is not None:
            self._update(model)
        self.table.blockSignals(False)
        self.occupancies_of_all.refresh()

    def occupancies(self) -> list[str]:
        """The numbers on screen, one a block."""
        return [self.table.item(row, 2).text() for row in range(self.table.rowCount())]

    def _make_table(self) -> QTableWidget:
        table = empty_table(_TOP, row_height=28)
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names differ at their ends
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setItemDelegateForColumn(2, OccupancyDelegate(table))
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(2, 124)
        table.setMinimumHeight(180)
        return table

    def _fill(self, model) -> None:
        self._shown = None if model is None else model.blocks
        self.table.setRowCount(0 if model is None else len(model.blocks))
        if model is None:
            return
        rows = zip(model.blocks.names, model.blocks.colors, model.blocks.table["mass_kda"], strict=True)
        for row, (name, color, mass) in enumerate(rows):
            first = QTableWidgetItem(_swatch(color), name)
            first.setToolTip(name)
            first.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
            weight = QTableWidgetItem(f"{mass:,.0f}")
            weight.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            share = QTableWidgetItem()
            share.setData(Qt.ItemDataRole.UserRole + 1, color)
            for column, item in enumerate((first, weight, share)):
                self.table.setItem(row, column, item)

    def _update(self, model) -> None:
        for row, (shown, share) in enumerate(zip(model.shown, model.occupancy, strict=True)):
            self.table.item(row, 0).setCheckState(Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked)
            known = bool(np.isfinite(share))
            item = self.table.item(row, 2)
            item.setText(f"{100 * share:.0f} %" if known else "-")
            item.setData(Qt.ItemDataRole.UserRole, float(share) if known else None)

    def _on_choice(self, index: int) -> None:
        self.session.use_blocks(self.choice.itemData(index))

    def _on_open(self) -> None:
        self.open_folder("blocks")

    def _on_item(self, item: QTableWidgetItem) -> None:
        if item.column() == 0 and self.session.blocks is not None:
            ticked = [
                self.table.item(row, 0).checkState() == Qt.CheckState.Checked for row in range(self.table.rowCount())
            ]
            self.session.blocks.show(np.array(ticked))

    def _on_all(self) -> None:
        self.session.blocks.show(np.array(True))

    def _on_none(self) -> None:
        self.session.blocks.show(np.array(False))

    def _on_save(self) -> None:
        layer, folder = self.session.blocks_layer, self.session.blocks.folder.resolve()
        name = free_path(folder.with_name(f"{folder.name}_edited"))
        path, _ = QFileDialog.getSaveFileName(self, "Save the blocks as edited: a folder to make", str(name))
        if not path:
            return
        data, keywords, _ = layer.as_layer_data_tuple()
        try:
            [out] = write_edited_blocks(path, data, keywords)
            found = read(out)
        except HeteroError as error:
            say(self.saved, str(error), problem=True)
            return
        layers.add(self.viewer, found)
        say(self.saved, f"Kept in {out}")

    def _search(self):
        if self.session.ensemble is None:
            return None
        folder = self.session.ensemble.ensemble.folder.resolve()
        out = free_path(folder.with_name(f"{folder.name}_blocks"))
        settings = blocks_command.Settings(folder=folder, out=out)
        return lambda progress: _found(blocks_command.run(settings, progress))

    def _on_found(self, outcome: tuple) -> None:
        answer, tuples = outcome
        layers.add(self.viewer, tuples)
        if not answer["n"]:
            say(
                self.find.message,
                "No blocks were found: no set of voxels comes and goes together often enough to be told from chance.",
            )
        else:
            say(self.find.message, f"{answer['n']} blocks, kept in {answer['path']}")


def _found(answer: dict) -> tuple:
    return answer, read(answer["path"]) if answer["n"] else []


def _swatch(color: str) -> QIcon:
    pixmap = QPixmap(32, 32)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(color))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawRoundedRect(2, 2, 28, 28, 7, 7)
    painter.end()
    return QIcon(pixmap)
