"""The Latent dock's selections: what the lasso caught, sets made of it, and what is done with its particles."""

import dataclasses
import re
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from hetero.errors import HeteroError
from napari_hetero import layers
from napari_hetero.latent_model import OPERATIONS
from napari_hetero.process import in_process
from napari_hetero.readers import read
from napari_hetero.widgets.parts import SAVE_PARTICLES, JobRow, ask_particle_file, empty_table, say, sentence

_EMPTY = "Nothing is selected. Press Lasso and draw round some particles."
_TOP = (("Selection", "Double-click to rename"), ("Particles", "How many, and their share of the run"))


class SelectionsPanel(QWidget):
    """A row a selection; the chosen row is shown in the plane, and its particles are what the buttons work on."""

    def __init__(self, dock):
        super().__init__()
        self.dock = dock
        self.empty = sentence(_EMPTY)
        self.table = self._make_table()
        self.remove = QPushButton("Forget")
        self.remove.setToolTip("Forget the chosen selection")
        self.first, self.operation, self.second = QComboBox(), QComboBox(), QComboBox()
        self.operation.addItem("or", "union")
        self.operation.addItem("and", "intersection")
        self.operation.addItem("without", "difference")
        self.operation.setToolTip("or: in either; and: in both; without: in the first but not in the second")
        self.first.setToolTip("One selection")
        self.second.setToolTip("The other selection")
        self.combine = QPushButton("Make")
        self.combine.setToolTip("Make a new selection of the two")
        self.file = QLineEdit()
        self.file.setPlaceholderText("particle file (.star, .cs) of the run")
        self.file.setToolTip("The file that the run was trained on: its rows are copied as they are")
        self.browse = QPushButton("...")
        self.browse.setToolTip("Choose the particle file")
        self.dark = QCheckBox("dark particles")
        self.dark.setToolTip("For reconstruct: the particles are dark on a bright ground, as micrographs have them")
        self.save = JobRow("Save particles ...", "Write the chosen selection with hetero select", self._saving)
        self.mean = JobRow("Mean map", "Average the decoded maps of 32 of its particles, taken at random", self._mean)
        self.reconstruct = JobRow(
            "Reconstruct ...", "A map from the images of the chosen particles alone (hetero reconstruct)", self._rebuild
        )
        self._lay_out()
        self.table.itemSelectionChanged.connect(self._on_row)
        self.table.itemChanged.connect(self._on_renamed)
        self.remove.clicked.connect(self._on_remove)
        self.combine.clicked.connect(self._on_combine)
        self.browse.clicked.connect(self._on_browse)
        self.save.done.connect(self._on_saved)
        self.mean.done.connect(self._on_mean)
        self.reconstruct.done.connect(self._on_rebuilt)

    def refresh(self) -> None:
        """Show the model's selections."""
        model = self.dock.model
        names = list(model.selections) if model is not None else []
        self.table.blockSignals(True)
        self.table.setRowCount(len(names))
        for row, name in enumerate(names):
            count = model.count(name)
            words = QTableWidgetItem(f"{count:,} ({100 * count / len(model.space.run):.1f} %)")
            words.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            words.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item = QTableWidgetItem(name)
            item.setData(Qt.ItemDataRole.UserRole, name)
            self.table.setItem(row, 0, item)
            self.table.setItem(row, 1, words)
            if name == model.current:
                self.table.selectRow(row)
        self.table.blockSignals(False)
        for combo, wanted in ((self.first, 0), (self.second, 1)):
            before = combo.currentText()
            combo.clear()
            combo.addItems(names)
            combo.setCurrentText(before if before in names else names[min(wanted, len(names) - 1)] if names else "")
        some = bool(names)
        say(self.empty, "" if some else _EMPTY)
        for widget in self.acting:
            widget.setVisible(some)
        for widget in (self.first, self.operation, self.second, self.combine):
            widget.setVisible(len(names) > 1)
        if some and not self.file.text() and (found := model.space.particle_file()) is not None:
            self.file.setText(str(found))

    def counts(self) -> dict[str, str]:
        """The names and words on screen."""
        rows = range(self.table.rowCount())
        return {self.table.item(row, 0).text(): self.table.item(row, 1).text() for row in rows}

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.setSpacing(4)
        sets, files = QHBoxLayout(), QHBoxLayout()
        for widget in (self.first, self.operation, self.second, self.combine):
            sets.addWidget(widget)
        for widget in (self.file, self.browse, self.dark):
            files.addWidget(widget)
        self.browse.setFixedWidth(28)
        column.addWidget(self.empty)
        column.addWidget(self.table)
        column.addLayout(sets)
        column.addLayout(files)
        self.acting = (self.table, self.remove, self.file, self.browse, self.dark, self.save, self.mean)
        self.acting += (self.reconstruct,)
        for row in (self.save, self.mean, self.reconstruct, self.remove):
            column.addWidget(row)
        column.addStretch(1)

    def _make_table(self):
        table = empty_table(_TOP, row_height=22)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        table.setMaximumHeight(120)
        return table

    def _on_row(self) -> None:
        rows = {index.row() for index in self.table.selectedIndexes()}
        if rows and self.dock.model is not None:
            name = self.table.item(min(rows), 0).text()
            if name != self.dock.model.current:
                self.dock.model.show(name)

    def _on_renamed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            self.dock.model.rename(item.data(Qt.ItemDataRole.UserRole), item.text())

    def _on_remove(self) -> None:
        if self._chosen() is not None:
            self.dock.model.remove(self._chosen())

    def _on_combine(self) -> None:
        operation = self.operation.currentData()
        assert operation in OPERATIONS
        try:
            self.dock.model.combine(self.first.currentText(), self.second.currentText(), operation)
            say(self.dock.plane.problem, "")
        except HeteroError as error:
            say(self.dock.plane.problem, str(error), problem=True)

    def _on_browse(self) -> None:
        if path := ask_particle_file(self):
            self.file.setText(path)

    def _chosen(self) -> str | None:
        return None if self.dock.model is None else self.dock.model.current

    def _original(self) -> Path | None:
        return Path(self.file.text()) if self.file.text().strip() else None

    def _saving(self):
        name = self._chosen()
        if name is None:
            return None
        out, kind = QFileDialog.getSaveFileName(self, f"Save {name}", "", SAVE_PARTICLES)
        return self.saving(name, Path(out), kind) if out else None

    def saving(self, name: str, out: Path, kind: str = ""):
        """What saves a selection to a file; None, and a sentence, where the particle file is wanting."""
        if not out.suffix:  # the kind chosen in the dialog: "RELION (*.star)"
            out = out.with_suffix(next(iter(re.findall(r"\*(\.\w+)", kind)), ".star"))
        table = out.suffix.lower() in (".star", ".cs")
        if table and self._original() is None:
            say(self.save.message, f"To write {out.name}, choose the run's particle file above.", problem=True)
            return None
        model, original = self.dock.model, self._original() if table else None
        return lambda progress: model.save(name, out, original)

    def _on_saved(self, answer: dict) -> None:
        say(self.save.message, f"{answer['selected']:,} particles, kept in {answer['out']}")

    def _mean(self):
        name, model = self._chosen(), self.dock.model
        if name is None:
            return None
        chosen, box = model.selections[name], model.box
        return lambda progress: (name, model.space.mean_map(chosen, box=box, progress=progress))

    def _on_mean(self, answer: tuple) -> None:
        name, volume = answer
        self.dock.session.show_decoded(dataclasses.replace(volume, name=f"{volume.name} maps of {name}"))

    def _rebuild(self):
        name = self._chosen()
        if name is None:
            return None
        if self._original() is None:
            say(self.reconstruct.message, "To reconstruct, choose the run's particle file above.", problem=True)
            return None
        out, _ = QFileDialog.getSaveFileName(self, f"Reconstruct {name}: a folder to make", name.replace(" ", "_"))
        return self.rebuilding(name, Path(out)) if out else None

    def rebuilding(self, name: str, out: Path):
        """What reconstructs a selection into a folder."""
        model, original = self.dock.model, self._original()
        values = {"particles": str(original), "out": str(out), "invert": self.dark.isChecked()}
        if original.suffix.lower() not in (".star", ".cs"):
            values |= {key: str(path) for key, path in model.space.particle_inputs().items()}

        def work(progress):
            numbers = model.write_numbers(name, out)
            answer = in_process("reconstruct", values | {"ind": str(numbers)}, progress)
            return answer, read(Path(answer["out"]) / "map.mrc")

        return work

    def _on_rebuilt(self, outcome: tuple) -> None:
        answer, tuples = outcome
        layers.add(self.dock.viewer, tuples)
        say(self.reconstruct.message, f"{answer['n']:,} particles, kept in {answer['out']}")
