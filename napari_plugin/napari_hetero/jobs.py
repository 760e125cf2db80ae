"""A command in a worker thread, with progress and cancel."""

from functools import partial

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer
from qtpy.QtCore import Signal as QtSignal

from hetero.errors import Cancelled, HeteroError

LOOK_EVERY_MS = 100


class Ticket:
    """The progress callback of one run: keeps the last report, and stops the run once ``cancelled`` is set. Knows
    no Qt."""

    def __init__(self):
        self.cancelled = False
        self.report = (0, 0, "starting")

    def __call__(self, done: int, total: int, message: str) -> None:
        self.report = (done, total, message)
        if self.cancelled:
            raise Cancelled

    def cancel(self) -> None:
        """Stop the run at its next report."""
        self.cancelled = True


class Run:
    """The run of a job that is under way, if any; knows no Qt, so it may outlive the job."""

    def __init__(self):
        self.ticket: Ticket | None = None

    def cancel(self) -> None:
        """Ask it to stop."""
        if self.ticket is not None:
            self.ticket.cancel()


class Job(QObject):
    """Runs ``function(progress)`` in napari's thread pool.

    The screen looks at the last report ten times a second, so a chatty command costs it nothing. ``finished`` carries
    the result, the HeteroError, or the Cancelled; any other error is a bug and goes to napari's own notification.
    """

    progressed = QtSignal(int, int, str)
    finished = QtSignal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.run = Run()
        self._worker = None
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_EVERY_MS)
        self._timer.timeout.connect(self._look)

    @property
    def ticket(self) -> Ticket | None:
        """Of the run under way, or None."""
        return self.run.ticket

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self.ticket is not None

    def start(self, function) -> None:
        """Run ``function(progress)``; only one at a time."""
        assert not self.running
        self.run.ticket = Ticket()
        self._worker = create_worker(_outcome, function, self.ticket)
        self._worker.returned.connect(self._on_returned)
        self._worker.errored.connect(self._on_errored)
        self._timer.start()
        self._worker.start()

    def cancel(self) -> None:
        """Ask the run to stop; ``finished`` follows when it has."""
        self.run.cancel()

    def _look(self) -> None:
        if self.ticket is not None:
            self.progressed.emit(*self.ticket.report)

    def _on_returned(self, outcome: tuple) -> None:
        [outcome] = outcome
        self._end()
        self.finished.emit(outcome)

    def _on_errored(self, error: Exception) -> None:
        self._end()  # superqt raises the error in this thread as well, where napari shows it
        self.finished.emit(HeteroError(f"This should not have happened: {type(error).__name__}: {error}"))

    def _end(self) -> None:
        self._timer.stop()
        self.run.ticket = self._worker = None


def _outcome(function, ticket: Ticket) -> tuple:
    return outcome_of(partial(function, ticket))


def outcome_of(function) -> tuple:
    """The result or the planned ending of ``function()``, in a tuple: superqt takes a bare exception for a crash even
    when it is returned."""
    try:
        return (function(),)
    except (HeteroError, Cancelled) as ending:
        return (ending,)
