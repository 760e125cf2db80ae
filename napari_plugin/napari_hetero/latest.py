"""Work for clicks: always the last one, never a queue, never on the screen's thread."""

from functools import partial

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal

from hetero.errors import HeteroError
from napari_hetero.jobs import outcome_of


class LatestWins(QObject):
    """Runs ``function(request)`` in napari's thread pool, one at a time.

    While one runs, only the newest request waits; those between are never begun. ``finished`` carries each request that
    was worked on with its result or its HeteroError; any other error is a bug and goes to napari's own notification.
    """

    finished = QtSignal(object, object)

    def __init__(self, function, parent=None):
        super().__init__(parent)
        self._function = function
        self._waiting = None
        self._now = None
        self.begun = 0

    @property
    def busy(self) -> bool:
        """Whether a request is worked on."""
        return self._now is not None

    def request(self, what) -> None:
        """Work on ``what``, now or next."""
        self._waiting = (what,)
        if not self.busy:
            self._next()

    def forget(self) -> None:
        """Drop the request that waits, and the answer to the one that runs."""
        self._waiting = None
        if self._now is not None:
            self._now = (None, False)

    def _next(self) -> None:
        if self._waiting is None:
            return
        [what], self._waiting = self._waiting, None
        self._now = (what, True)
        self.begun += 1
        worker = create_worker(_work, self._function, what)
        worker.returned.connect(self._on_returned)
        worker.errored.connect(self._on_errored)
        worker.start()

    def _on_returned(self, outcome: tuple) -> None:
        self._end(outcome[0])

    def _on_errored(self, error: Exception) -> None:
        self._end(HeteroError(f"This should not have happened: {type(error).__name__}: {error}"))

    def _end(self, outcome) -> None:
        (what, wanted), self._now = self._now, None
        try:
            if wanted:
                self.finished.emit(what, outcome)
        finally:
            if not self.busy:
                self._next()


def _work(function, what) -> tuple:
    return outcome_of(partial(function, what))
