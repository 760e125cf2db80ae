"""The blocks panel: a list of the blocks that are open; tick to show."""

from chimerax.core.models import ADD_MODELS, MODEL_DISPLAY_CHANGED, REMOVE_MODELS
from Qt.QtCore import Qt
from Qt.QtGui import QBrush, QColor
from Qt.QtWidgets import QAbstractItemView, QPushButton, QTreeWidget, QTreeWidgetItem, QVBoxLayout

from ..models.blocks import BlocksModel, block_label
from ..models.measured import CHANGED, add_trigger, measured_of
from .panel import Panel, row_of

_TITLES = ("block", "colour", "kDa", "in the map shown", "population, 95 %")


class BlocksTool(Panel):
    """All open blocks: colour, size, occupancy in the map that is shown, population. Ticks show and hide them.

    Attributes:
        list: a line a block.
    """

    SESSION_SAVE = False
    help = "help:user/commands/hetero.html#panels"

    def __init__(self, session, name):
        super().__init__(session, name)
        self.list = QTreeWidget()
        self.list.setHeaderLabels(_TITLES)
        self.list.setRootIsDecorated(False)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.itemChanged.connect(self._ticked)
        only, everything, nothing = QPushButton("Only these"), QPushButton("All"), QPushButton("None")
        only.clicked.connect(self.show_only_selected)
        everything.clicked.connect(lambda: self.do("hetero blocks show all"))
        nothing.clicked.connect(lambda: self.do("hetero blocks show none"))
        layout = QVBoxLayout(self.tool_window.ui_area)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.list, 1)
        layout.addLayout(row_of(only, everything, nothing))
        layout.addWidget(self._said)
        add_trigger(session)
        self.watch(ADD_MODELS, REMOVE_MODELS, MODEL_DISPLAY_CHANGED, CHANGED)
        self.refresh()
        self.tool_window.manage("side")

    def refresh(self):
        """Show the blocks as they are now; selected lines stay selected."""
        measured = measured_of(self.session)
        shown = _map_shown(measured)
        selected = {item.surface for item in self.list.selectedItems()}
        self.list.blockSignals(True)
        self.list.clear()
        for blocks in (m for m in self.session.models.list() if isinstance(m, BlocksModel)):
            own = measured if measured is not None and measured.blocks == blocks.folder else None
            rows = {row["name"]: (i, row) for i, row in enumerate(blocks.rows)}
            for surface in blocks.surfaces:
                item = QTreeWidgetItem(self.list, _cells(surface, *rows[surface.block_name], own, shown))
                item.surface = surface
                item.setCheckState(0, Qt.CheckState.Checked if surface.display else Qt.CheckState.Unchecked)
                item.setBackground(1, QBrush(QColor(*surface.color[:3])))
                item.setSelected(surface in selected)
        for column in range(len(_TITLES)):
            self.list.resizeColumnToContents(column)
        self.list.blockSignals(False)
        if not self.list.topLevelItemCount():
            self.say("No blocks are open; 'hetero blocks FOLDER' opens them.")
        elif shown is None:
            self.say("'hetero occupancy MAPS blocks BLOCKS' tells how much of each block is in a map.")
        else:
            self.say(f"the map shown is {shown}")

    def show_only_selected(self):
        """Show the blocks whose lines are selected, and no others."""
        surfaces = [item.surface for item in self.list.selectedItems()]
        if surfaces:
            numbers = ",".join(str(surface.number) for surface in surfaces)
            self.do(f"hetero blocks show {numbers} only blocks {_spec(surfaces)}")

    def _ticked(self, item, column):
        if column == 0:
            shown = item.checkState(0) == Qt.CheckState.Checked
            word = "show" if shown else "hide"
            self.do(f"hetero blocks {word} {item.surface.number} blocks {_spec([item.surface])}")


def _spec(surfaces):
    """The atom specification of the models that hold ``surfaces``."""
    return "#" + ",".join(sorted({surface.parent.id_string for surface in surfaces}))


def _map_shown(measured):
    """The map among those measured that is displayed, the first of several; None without one."""
    maps = () if measured is None else measured.maps.values()
    return next((volume for volume in maps if not volume.deleted and volume.display), None)


def _cells(surface, position, row, measured, shown):
    share = None if measured is None or shown is None else measured.share(shown, surface.block_name)
    found = {} if measured is None else measured.populations.get(surface.block_name, {})
    population = ""
    if found.get("kind") == "two":
        low, high = 100 * found["fraction_low95"], 100 * found["fraction_high95"]
        population = f"{100 * found['fraction']:.0f} % ({low:.0f} to {high:.0f})"
    elif found:
        population = "one population" if found["kind"] == "one" else "spread"
    mass = f"{row['mass_kda']:,.1f}"
    return [block_label(row["name"], position), "", mass, "" if share is None else f"{100 * share:.0f} %", population]
