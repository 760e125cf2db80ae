"""The Level dock: predict contour levels for a map or a whole ensemble."""

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from hetero.commands import level as level_command
from napari_hetero import layers
from napari_hetero.widgets.parts import Dock, JobRow, empty_table, say, sentence

_EMPTY = "No maps are open. Open a map or a folder of maps, or drop one onto the viewer."
_TOP = (
    ("Map", "Name of the map: its file without the suffix"),
    ("Level", "Contour level in the map's own values"),
    ("s.d.", "The level in standard deviations above the map's mean"),
    ("kDa", "Mass inside the surface at 0.81 Da per cubic Å"),
)


class LevelWidget(Dock):
    """What to level, by which method, and the levels that came out."""

    def __init__(self, napari_viewer: "napari.Viewer", renderer: str | None = None):  # noqa: F821
        super().__init__(napari_viewer, renderer)
        self.empty = sentence(_EMPTY)
        self.target = QComboBox()
        self.target.setToolTip("The whole ensemble, the volume on screen, or the map layer that is selected")
        self.method = QComboBox()
        self.method.addItem("neural network", "cnn")
        self.method.addItem("percentile of the voxels", "percentile")
        self.method.addItem("false discovery rate", "fdr")
        self.method.addItem("mass of the molecule", "mass")
        self.method.setToolTip("The network was trained on simulated maps; the others are plain rules")
        defaults = level_command.Settings(maps=())
        self.percentile = _number(
            (1, 99.99), defaults.percentile, "%", "So many per cent of the map's voxels lie below it"
        )
        self.percentile.setSingleStep(0.5)
        self.fdr = _number(
            (0.01, 50), 100 * defaults.fdr, "%", "So much of what is above may be noise; for maps that are not masked"
        )
        self.mass = _number((1, 1e6), 100, "kDa", "The level encloses this mass at 0.81 Da per cubic Å")
        self.share = QCheckBox("Share between the maps")
        self.share.setToolTip("Levels change smoothly where the maps of the ensemble do (eight maps or more)")
        self.keep = QCheckBox("Keep levels in the folder's ensemble.csv")
        self.keep.setToolTip("ensemble.csv is read when the folder is opened again; its other columns stay as they are")
        self.keep.setChecked(True)
        self.run = JobRow("Predict", "Find the contour level", self._prediction)
        self.table = _make_table()
        self.form = QFormLayout()
        self.form.setVerticalSpacing(8)
        self.form.addRow("For", self.target)
        self.form.addRow("By", self.method)
        self.form.addRow("Percentile", self.percentile)
        self.form.addRow("Noise at most", self.fdr)
        self.form.addRow("Mass", self.mass)
        self.form.addRow("", self.share)
        self.column.addWidget(self.empty)
        self.column.addLayout(self.form)
        self.column.addWidget(self.keep)
        self.column.addWidget(self.run)
        self.column.addWidget(self.table, 1)
        self.column.addStretch(0)
        self.method.currentIndexChanged.connect(self._on_choice)
        self.target.currentIndexChanged.connect(self._on_choice)
        self.run.done.connect(self._on_done)
        self.viewer.layers.selection.events.active.connect(self._on_active)
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is."""
        before = self.target.currentText().split(" ")[0]
        self.target.blockSignals(True)
        self.target.clear()
        for text, paths, kept in self._targets():
            self.target.addItem(text, (paths, kept))
        same = [i for i in range(self.target.count()) if self.target.itemText(i).split(" ")[0] == before]
        self.target.setCurrentIndex(same[0] if same else 0)
        self.target.blockSignals(False)
        self._on_choice()

    def _targets(self) -> list[tuple[str, tuple[Path, ...], Path | None]]:
        """What can be levelled: words, the paths, and the table that may keep the levels."""
        found = []
        if self.session.ensemble is not None and self.session.ensemble.path is not None:
            model = self.session.ensemble
            n, folder = len(model.ensemble), model.ensemble.folder
            if n > 1:
                found.append((f"all {n} maps of {model.title}", (Path(folder),), Path(folder) / "ensemble.csv"))
            found.append((f"this map: {model.name}", (model.path,), Path(folder) / "ensemble.csv" if n > 1 else None))
        active = self.viewer.layers.selection.active
        if active is not None and layers.tag(active).get("kind") == "map" and active is not self.session.maps_layer:
            found.append((f"selected layer: {active.name}", (Path(layers.tag(active)["path"]),), None))
        return found

    def _on_choice(self, _index: int = 0) -> None:
        some = self.target.count() > 0
        say(self.empty, "" if some else _EMPTY)
        for widget in (self.target, self.method):
            widget.setEnabled(some)
        self.run.button.setEnabled(some and not self.run.job.running)
        method = self.method.currentData()
        for name, row in (("percentile", self.percentile), ("fdr", self.fdr), ("mass", self.mass)):
            self.form.setRowVisible(row, method == name)
        self.form.setRowVisible(self.share, some and method == "cnn" and self.target.currentText().startswith("all "))
        self.keep.setVisible(some and self.target.currentData()[1] is not None)
        self.table.setVisible(self.table.rowCount() > 0)

    def _on_active(self, event=None) -> None:
        self.refresh()

    def _prediction(self):
        if self.target.count() == 0:
            return None
        paths, table = self.target.currentData()
        settings = level_command.Settings(
            maps=paths,
            method=self.method.currentData(),
            percentile=self.percentile.value(),
            fdr=self.fdr.value() / 100,
            mass=self.mass.value() if self.method.currentData() == "mass" else None,
            share=self.share.isChecked() and self.share.isVisibleTo(self),
            out=table if self.keep.isChecked() else None,
        )
        return lambda progress: level_command.run(settings, progress)

    def _on_done(self, answer: dict) -> None:
        rows = answer["maps"]
        self.table.setRowCount(len(rows))
        for i, row in enumerate(rows):
            words = [row["name"], "-", "", ""] if "error" in row else _words(row)
            for column, text in enumerate(words):
                item = QTableWidgetItem(text)
                item.setToolTip(row.get("error", _remark(row)))
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(i, column, item)
        self.table.setVisible(True)
        failed = [row for row in rows if "error" in row]
        if failed:
            say(self.run.message, f"{len(failed)} of {len(rows)} maps got no level: {failed[0]['error']}", problem=True)
        elif answer["out"]:
            say(self.run.message, f"Kept in {answer['out']}")
        self._show_on_layers(rows)
        if self.session.ensemble is not None:
            self.session.ensemble.take(rows)

    def _show_on_layers(self, rows: list[dict]) -> None:
        """Contour the map layers that are not the one the session draws."""
        levels = {row["path"]: row["level"] for row in rows if "error" not in row}
        for layer in self.session.layers_of("map"):
            path = layers.tag(layer)["path"]
            if path in levels and layer is not self.session.maps_layer:
                layer.contrast_limits = (0.0, 2 * levels[path]) if levels[path] > 0 else layer.contrast_limits
                layer.rendering, layer.iso_threshold, layer.visible = "iso", levels[path], True


def _words(row: dict) -> list[str]:
    name = f"{row['name']} (outlier)" if row.get("outlier") else row["name"]
    return [name, f"{row['level']:.4g}", f"{row['level_sd']:.1f}", f"{row['mass_kda']:,.0f}"]


def _remark(row: dict) -> str:
    """What a row's tooltip says."""
    lines = [row["path"]]
    if "level_low" in row:
        lines.append(f"With 68 % the level lies between {row['level_low']:.4g} and {row['level_high']:.4g}.")
    if row.get("outlier"):
        lines.append("Its level lies far from those of the other maps.")
    return "\n".join(lines)


def _number(limits: tuple[float, float], value: float, unit: str, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(*limits)
    box.setDecimals(2)
    box.setValue(value)
    box.setSuffix(f" {unit}")
    box.setToolTip(tip)
    return box


def _make_table() -> QTableWidget:
    table = empty_table(_TOP, row_height=24)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    header = table.horizontalHeader()
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    for column in (1, 2, 3):
        header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
    table.setMinimumHeight(160)
    return table
