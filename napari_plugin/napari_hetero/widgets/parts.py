"""Pieces that the docks share."""

from functools import partial
from itertools import count
from pathlib import Path
from weakref import WeakMethod

from qtpy.QtCore import Qt, QTimer
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from hetero.errors import Cancelled, HeteroError
from napari_hetero import layers, sessions, view
from napari_hetero.jobs import Job
from napari_hetero.latest import LatestWins
from napari_hetero.readers import read
from napari_hetero.widgets.endings import when_destroyed
from napari_hetero.widgets.theme import DIM, LINE, PROBLEM, follow_theme, give_role

PLAY_MS = 150
SAVE_PARTICLES = "RELION (*.star);;cryoSPARC (*.cs);;Numbers (*.csv *.txt *.npy);;cryoDRGN (*.pkl)"
_users = count()


class Dock(QWidget):
    """A dock of one viewer: follows the viewer's session and lets go of it when Qt deletes the dock.

    Subclasses fill ``self.column`` and have a method ``refresh()``, which shows the session as it is.
    """

    def __init__(self, viewer, renderer: str | None = None):
        super().__init__()
        self.viewer = viewer
        user = next(_users)
        self.session = sessions.acquire(viewer, user, view.gl_renderer() if renderer is None else renderer)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(10, 8, 10, 8)
        self.column.setSpacing(6)
        self.setMinimumWidth(350)
        follow_theme(self, viewer)
        self.opener = LatestWins(read, self)
        self.opener.finished.connect(self._on_read)
        self.opening = sentence()
        self.column.addWidget(self.opening)
        follow(self, self.session.changed, self._on_session)
        when_destroyed(self, partial(sessions.release, self.session, user))

    def open_folder(self, what: str) -> None:
        """Ask for a folder and open it."""
        folder = QFileDialog.getExistingDirectory(self, f"Open a folder of {what}")
        if folder:
            self.open_path(folder)

    def open_path(self, path) -> None:
        """Open whatever our readers know; it is read in a thread, since a run decodes its first map."""
        say(self.opening, f"Opening {Path(path).name} ...")
        self.opener.request(path)

    def _on_read(self, path, outcome) -> None:
        from napari.utils.notifications import show_warning

        say(self.opening, "")
        if isinstance(outcome, HeteroError):
            show_warning(str(outcome))
        else:
            layers.add(self.viewer, outcome)

    def _on_session(self) -> None:
        if self.session.left_over:
            QTimer.singleShot(0, self.session.tidy)
        self.refresh()


class JobRow(QWidget):
    """A button that runs a command, its progress, and a button that stops it.

    ``function()`` gives what to run, a function of the progress callback, or None when there is nothing to run.
    ``done`` carries the command's answer; errors and cancelling are said below in one sentence.
    """

    done = QtSignal(object)

    def __init__(self, text: str, tooltip: str, function):
        super().__init__()
        self._function = function
        self.job = Job(self)
        self.button = QPushButton(text)
        self.button.setToolTip(tooltip)
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop; nothing half-written is left behind")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.message = sentence()
        buttons = QHBoxLayout()
        buttons.addWidget(self.button, 1)
        buttons.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.message)
        self.button.clicked.connect(self.start)
        self.cancel.clicked.connect(self._on_cancel)
        self.job.progressed.connect(self._on_progress)
        self.job.finished.connect(self._on_finished)
        when_destroyed(self, self.job.run.cancel)
        self._show_running(False)

    def start(self) -> None:
        """Run the command, unless it runs already."""
        function = None if self.job.running else self._function()
        if function is None:
            return
        self.bar.setRange(0, 0)
        say(self.message, "")
        self.job.start(function)
        self._show_running(True)

    def _on_cancel(self) -> None:
        self.job.cancel()
        self.cancel.setEnabled(False)
        say(self.message, "Stopping ...")

    def _on_progress(self, done: int, total: int, message: str) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        if self.cancel.isEnabled():
            say(self.message, f"{message} ({done} of {total})" if total else message)

    def _on_finished(self, outcome) -> None:
        self._show_running(False)
        if isinstance(outcome, Cancelled):
            say(self.message, "Cancelled; nothing was changed.")
        elif isinstance(outcome, HeteroError):
            say(self.message, str(outcome), problem=True)
        else:
            say(self.message, "")
            self.done.emit(outcome)

    def _show_running(self, running: bool) -> None:
        self.button.setEnabled(not running)
        self.cancel.setEnabled(running)
        self.cancel.setVisible(running)
        self.bar.setVisible(running)


class PlayButton(QPushButton):
    """Walks through the session's volumes while it is pressed, from the last to the first again."""

    def __init__(self, held):
        super().__init__("Play")
        self.setCheckable(True)
        self.setToolTip("Show one volume after the other, and begin again")
        self._session = held
        self._timer = QTimer(self)
        self._timer.setInterval(PLAY_MS)
        self._timer.timeout.connect(self.step)
        self.toggled.connect(self._on_toggled)

    def step(self) -> None:
        """Show the next volume."""
        model = self._session.ensemble
        if model is None or len(model.ensemble) < 2:
            self.setChecked(False)
            return
        model.walk(1, around=True)

    def _on_toggled(self, on: bool) -> None:
        self.setText("Stop" if on else "Play")
        self._timer.start() if on else self._timer.stop()


def follow(widget, signal, slot):
    """Call a widget's own method ``slot`` when a psygnal ``signal`` is emitted, until Qt deletes the widget; returns a
    function that ends it sooner.

    A model outlives its widgets, and a bound method can still be called when Qt has deleted what it belongs to.
    """
    told = WeakMethod(slot)

    def listener() -> None:  # no partial: psygnal takes two of one function for the same
        if (known := told()) is not None:
            known()

    def end() -> None:
        signal.disconnect(listener, missing_ok=True)

    signal.connect(listener)
    when_destroyed(widget, end)
    return end


def ask_particle_file(parent) -> str:
    """The particle file of a run, chosen in a dialog; empty where none was."""
    kinds = "Particles (*.star *.cs *.txt *.mrcs)"
    return QFileDialog.getOpenFileName(parent, "The run's particle file", "", kinds)[0]


def sentence(text: str = "", dim: bool = False) -> QLabel:
    """A label of wrapped words."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    label.setProperty("own", DIM if dim else "")  # its role when it tells of no problem
    give_role(label, label.property("own"))
    label.setVisible(bool(text))
    return label


def say(label: QLabel, text: str, problem: bool = False) -> None:
    """Put words into a label of :func:`sentence`; an empty one takes no room."""
    label.setText(text)
    give_role(label, PROBLEM if problem else label.property("own"))
    label.setVisible(bool(text))


def line() -> QFrame:
    """A thin line between groups."""
    frame = QFrame()
    frame.setFrameShape(QFrame.Shape.HLine)
    give_role(frame, LINE)
    return frame


def fill_choice(combo, items: list[tuple[str, object]], current) -> None:
    """Show ``items`` (text, value) in a combo box without telling its listeners, and select the one whose value is
    ``current``. Filled anew only with other items: each time, Qt lays out and paints the whole dock."""
    combo.blockSignals(True)
    shown = [(combo.itemText(i), combo.itemData(i)) for i in range(combo.count())]
    alike = len(shown) == len(items) and all(
        a == c and _same(b, d) for (a, b), (c, d) in zip(shown, items, strict=True)
    )
    if not alike:
        combo.clear()
        for text, value in items:
            combo.addItem(text, value)
    combo.setCurrentIndex(next((i for i, (_, value) in enumerate(items) if _same(value, current)), -1))
    combo.blockSignals(False)


def _same(first, second) -> bool:
    """Qt gives back the objects it was given, but words and numbers as new ones."""
    return first is second or (isinstance(first, (str, int)) and type(first) is type(second) and first == second)


def empty_table(columns, row_height: int) -> QTableWidget:
    """A table without rows; ``columns`` are pairs of a name and its tooltip, ``row_height`` is in pixels."""
    table = QTableWidget(0, len(columns))
    for number, (name, tooltip) in enumerate(columns):
        item = QTableWidgetItem(name)
        item.setToolTip(tooltip)
        table.setHorizontalHeaderItem(number, item)
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(row_height)
    table.setShowGrid(False)
    return table
