"""Pieces that the docks share."""

from functools import partial
from itertools import count

from qtpy.QtCore import Qt, QTimer
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtWidgets import (
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
from napari_hetero import layers, session, view
from napari_hetero.jobs import Job

PLAY_MS = 150
_users = count()


class Dock(QWidget):
    """A dock of one viewer: follows the viewer's session and lets go of it when Qt deletes the dock.

    Subclasses fill ``self.column`` and write :meth:`refresh`, which shows the session as it is.
    """

    def __init__(self, viewer, renderer: str | None = None):
        super().__init__()
        self.viewer = viewer
        user = next(_users)
        self.session = session.acquire(viewer, user, view.gl_renderer() if renderer is None else renderer)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(10, 8, 10, 8)
        self.column.setSpacing(6)
        self.setMinimumWidth(350)
        self.session.changed.connect(self._on_session)
        # closeEvent is not sent when napari removes a dock, `destroyed` always is; it must not hold the dock itself.
        self.destroyed.connect(partial(_let_go, self.session, user))

    def refresh(self) -> None:
        """Show the session as it is."""
        raise NotImplementedError

    def open_folder(self, what: str) -> None:
        """Ask for a folder and open it."""
        from qtpy.QtWidgets import QFileDialog

        folder = QFileDialog.getExistingDirectory(self, f"Open a folder of {what}")
        if folder:
            self.open_path(folder)

    def open_path(self, path) -> str:
        """Open an ensemble, blocks or a map; returns the sentence of what went wrong, or an empty string."""
        from napari.utils.notifications import show_warning

        from napari_hetero.readers import read

        try:
            layers.add(self.viewer, read(path))
        except HeteroError as error:
            show_warning(str(error))
            return str(error)
        return ""

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
        self.destroyed.connect(partial(_stop, self.job))
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
        model.go_to((model.index + 1) % len(model.ensemble))

    def _on_toggled(self, on: bool) -> None:
        self.setText("Stop" if on else "Play")
        self._timer.start() if on else self._timer.stop()


def sentence(text: str = "", dim: bool = False) -> QLabel:
    """A label of wrapped words."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    if dim:
        label.setStyleSheet("color: #9aa4b2; font-size: 11px;")
    label.setVisible(bool(text))
    return label


def say(label: QLabel, text: str, problem: bool = False) -> None:
    """Put words into a label of :func:`sentence`; an empty one takes no room."""
    label.setText(text)
    label.setStyleSheet("color: #f0a35e;" if problem else "")
    label.setVisible(bool(text))


def line() -> QFrame:
    """A thin line between groups."""
    frame = QFrame()
    frame.setFrameShape(QFrame.Shape.HLine)
    frame.setStyleSheet("color: #565d68;")
    return frame


def fill_choice(combo, items: list[tuple[str, object]], current) -> None:
    """Show ``items`` (text, value) in a combo box without telling its listeners, and select the one whose value is
    ``current``."""
    combo.blockSignals(True)
    combo.clear()
    for text, value in items:
        combo.addItem(text, value)
    combo.setCurrentIndex(next((i for i, (_, value) in enumerate(items) if value is current), -1))
    combo.blockSignals(False)


def _let_go(held, user: int, _gone=None) -> None:
    session.release(held, user)


def _stop(job: Job, _gone=None) -> None:
    job.cancel()


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
