"""The Jobs dock: trainings and other long work in processes that outlive napari; it finds them again."""

import shutil

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from hetero.errors import HeteroError
from napari_hetero import background
from napari_hetero.background import BackgroundJob, list_jobs, new_job
from napari_hetero.preferences import worker_python
from napari_hetero.widgets.parts import Dock, empty_table, say, sentence
from napari_hetero.widgets.settings_form import SettingsForm
from napari_hetero.widgets.theme import AXIS

LOOK_MS = 1000
_VERBS = (
    ("train cryoDRGN (train-vae)", "train-vae"),
    ("train Gaussians that move (train-gmm)", "train-gmm"),
    ("fit a linear model (train-linear)", "train-linear"),
    ("find blocks, SIREn (blocks)", "blocks"),
    ("measure blocks in maps or particles (occupancy)", "occupancy"),
)
_TOP = (("Job", "Its number, and what it does"), ("State", "How it stands"), ("Result", "Where its result goes"))
_EMPTY = (
    "No jobs yet. Fill in New and press Start: the work goes on when napari is closed, and is found here again, and in "
    "ChimeraX."
)
_COLORS = {"loss": "#4e8df5", "held_out": "#f59342"}
_AT_WORK = (background.STARTING, background.RUNNING)


class JobsWidget(Dock):
    """A form for a new job, a row for every job there is, and how the chosen one goes."""

    def __init__(self, napari_viewer: "napari.Viewer", renderer: str | None = None):  # noqa: F821
        super().__init__(napari_viewer, renderer)
        self.jobs: list[BackgroundJob] = []
        self.tabs = QTabWidget()
        self.tabs.addTab(self._build_list(), "Jobs")
        self.tabs.addTab(self._build_new(), "New")
        self.column.addWidget(self.tabs, 1)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()
        self._on_verb()
        self.look()

    def refresh(self) -> None:
        """A run or ensemble that is open changes nothing here."""

    def look(self) -> None:
        """Look at the jobs' folders and show how they stand."""
        chosen = self.chosen()
        found = list_jobs()
        if [job.folder for job in found] != [job.folder for job in self.jobs]:
            self.jobs = found
            self._fill(chosen)
        for row, job in enumerate(self.jobs):
            self.table.item(row, 1).setText(job.state())
        say(self.empty, "" if self.jobs else _EMPTY)
        self.table.setVisible(bool(self.jobs))
        self._show_chosen()

    def chosen(self) -> BackgroundJob | None:
        """The job of the chosen row, or None."""
        rows = {index.row() for index in self.table.selectedIndexes()}
        return self.jobs[min(rows)] if rows and min(rows) < len(self.jobs) else None

    def _build_list(self) -> QWidget:
        page = QWidget()
        self.empty = sentence(_EMPTY)
        self.table = empty_table(_TOP, row_height=24)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.message = sentence()
        self.plot = LossPlot()
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop it; a training keeps its last checkpoint")
        self.again = QPushButton("Go on")
        self.again.setToolTip("The same settings again: a training goes on from its last checkpoint")
        self.show_result = QPushButton("Open")
        self.show_result.setToolTip("Open what it has made")
        self.forget = QPushButton("Forget")
        self.forget.setToolTip("Take it from this list; its result stays where it is")
        buttons = QHBoxLayout()
        for button, slot in ((self.cancel, self._on_cancel), (self.again, self._on_again),
                             (self.show_result, self._on_open), (self.forget, self._on_forget)):  # fmt: skip
            buttons.addWidget(button)
            button.clicked.connect(slot)
        self.output = sentence(dim=True)
        column = QVBoxLayout(page)
        for widget in (self.empty, self.table, self.bar, self.message, self.plot):
            column.addWidget(widget)
        column.addLayout(buttons)
        column.addWidget(self.output)
        column.addStretch(1)
        self.table.itemSelectionChanged.connect(self._show_chosen)
        return page

    def _build_new(self) -> QWidget:
        page = QWidget()
        self.verb = QComboBox()
        for words, value in _VERBS:
            self.verb.addItem(words, value)
        self.verb.setToolTip("What is to be done")
        self.about = sentence(dim=True)
        self.scroll = QScrollArea()
        self.scroll.setWidgetResizable(True)
        self.start = QPushButton("Start")
        self.start.setToolTip("Begin in a process of its own, which goes on when napari is closed")
        self.problem = sentence()
        column = QVBoxLayout(page)
        for widget in (self.verb, self.about, self.scroll, self.start, self.problem):
            column.addWidget(widget, int(widget is self.scroll))
        self.verb.activated.connect(self._on_verb)
        self.start.clicked.connect(self._on_start)
        return page

    def _fill(self, chosen: BackgroundJob | None) -> None:
        self.table.blockSignals(True)
        self.table.setRowCount(len(self.jobs))
        for row, job in enumerate(self.jobs):
            for column, words in enumerate((f"{job.number} {job.verb}", "", job.out.name)):
                item = QTableWidgetItem(words)
                item.setToolTip(str(job.out if column == 2 else job.folder))
                self.table.setItem(row, column, item)
        folders = [job.folder for job in self.jobs]
        if folders:
            self.table.selectRow(folders.index(chosen.folder) if chosen and chosen.folder in folders else 0)
        self.table.blockSignals(False)

    def _show_chosen(self) -> None:
        job = self.chosen()
        for widget in (self.message, self.plot, self.cancel, self.again, self.show_result, self.forget, self.output):
            widget.setVisible(job is not None)
        self.bar.setVisible(job is not None and job.state() in _AT_WORK)
        if job is None:
            return
        state, (done, total, message) = job.state(), job.report()
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        at_work = state in _AT_WORK
        self.cancel.setEnabled(at_work)
        self.again.setEnabled(not at_work)
        self.forget.setEnabled(not at_work)
        self.show_result.setEnabled(job.out.exists())
        said = f"{message} ({done} of {total})" if total and at_work else message if at_work else ""
        if state == background.STOPPED:
            said = "Stopped. A training that is begun again goes on from its last checkpoint."
        if state == background.LOST:
            said = "Its process is gone without an answer: the machine was turned off, or had no memory left."
        say(
            self.message,
            job.failure() if state == background.FAILED else said,
            problem=state in (background.FAILED, background.LOST),
        )
        say(self.output, job.output(600).strip() if state in (background.FAILED, background.LOST) else "")
        self.plot.show_losses(job.losses())

    def _on_verb(self, _index: int = 0) -> None:
        from hetero.commands import load

        verb = self.verb.currentData()
        self.form = SettingsForm(verb)
        self.scroll.setWidget(self.form)
        say(self.about, " ".join(load(verb).Settings.__doc__.split("Attributes:")[0].split()))
        say(self.problem, "")

    def _on_start(self) -> None:
        self._begin(self.verb.currentData(), self.form.values())

    def _on_cancel(self) -> None:
        self.chosen().stop()
        self.look()

    def _on_again(self) -> None:
        self._begin(self.chosen().verb, self.chosen().settings)

    def _begin(self, verb: str, values: dict) -> None:
        try:
            worker_python()
            job = new_job(verb, values)
            job.start()
        except HeteroError as error:
            say(self.problem, str(error), problem=True)
            return
        say(self.problem, "")
        self.look()
        self.table.selectRow(0)
        self.tabs.setCurrentIndex(0)

    def _on_open(self) -> None:
        self.open_path(self.chosen().out)

    def _on_forget(self) -> None:
        shutil.rmtree(self.chosen().folder, ignore_errors=True)
        self.look()


class LossPlot(pg.GraphicsLayoutWidget):
    """A training's loss, row by row of its log; hidden where there is none."""

    def __init__(self):
        super().__init__()
        self.setBackground(None)
        self.setFixedHeight(150)
        self.setToolTip("Blue: loss. Orange: loss of the particles that are only judged by.")
        self.view = pg.ViewBox(enableMenu=False, enableMouse=False)
        self.addItem(self.view, 0, 1)
        for side, words, place in (("left", "loss", (0, 0)), ("bottom", "row of log.csv", (1, 1))):
            axis = pg.AxisItem(side, pen=AXIS, textPen=AXIS)
            axis.setLabel(words)
            self.addItem(axis, *place)
            axis.linkToView(self.view)
        self.lines = {name: pg.PlotCurveItem(pen=pg.mkPen(color, width=2)) for name, color in _COLORS.items()}
        for curve in self.lines.values():
            self.view.addItem(curve)

    def show_losses(self, losses: dict[str, np.ndarray]) -> None:
        """Draw name -> ``(rows,)``."""
        self.setVisible(bool(losses))
        for name, curve in self.lines.items():
            values = losses.get(name, np.zeros(0))
            known = np.isfinite(values)
            curve.setData(np.flatnonzero(known), values[known])
