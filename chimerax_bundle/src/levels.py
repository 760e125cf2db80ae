"""Levels of a large ensemble, found while its first map is looked at already."""

from chimerax.core.errors import UserError
from chimerax.core.tasks import Task

from .discovery import find_python
from .worker_process import Worker, WorkerGone

_AT_ONCE = 16  # maps in one request: so long a cancelled task may go on, and so soon levels come in


class LevelTask(Task):
    """Asks an engine of its own, so that commands need not wait; each map stands at its level when that is known.

    A level that the user has chosen meanwhile stays.

    Attributes:
        failure: one sentence, or "".
    """

    SESSION_ENDURING = False
    SESSION_SAVE = False

    def __init__(self, session, series, paths):
        """Args: ``paths``: map -> path of its file, for the maps of ``series`` that have no level yet."""
        super().__init__(session)
        self.failure, self._series, self._left, self._worker = "", series, list(paths.items()), None
        self._total, self._python = len(paths), find_python(session)[0]

    def run(self):
        """Ask for some after some."""
        try:
            self._worker = Worker(self._python)
            while self._left and not self.terminating() and not self._series.deleted:
                batch, self._left = self._left[:_AT_ONCE], self._left[_AT_ONCE:]
                settings = {"maps": [path for _, path in batch]}
                answer, _ = self._worker.ask("level", settings, lambda *_: None)
                self.session.ui.thread_safe(self._take, [volume for volume, _ in batch], answer["maps"])
        except (UserError, WorkerGone) as error:
            self.failure = "" if self.terminating() else str(error)
        finally:
            if self._worker is not None:
                self._worker.close()

    def terminate(self):
        """Stop; the maps that are left stand at ChimeraX's first levels."""
        super().terminate()
        if self._worker is not None:
            self._worker.cancel()

    def on_finish(self):
        """Say how it ended; runs on the main thread."""
        logger = self.session.logger
        logger.status("")
        if self.failure:
            logger.warning(f"{len(self._left)} maps of {self._series} stand at ChimeraX's first level: {self.failure}")
        elif not self._series.deleted:
            logger.info(f"{self._series}: every map stands at its own level")

    def _take(self, volumes, rows):
        for volume, row in zip(volumes, rows, strict=True):
            if volume.deleted or self._series.has_own_level(volume):
                continue
            if "error" in row:
                self.session.logger.warning(f"{volume} stands at ChimeraX's first level: {row['error']}")
            else:
                color = volume.surfaces[0].rgba if volume.surfaces else volume.default_rgba
                volume.set_parameters(surface_levels=[row["level"]], surface_colors=[color])
        done = self._total - len(self._left)
        self.session.logger.status(f"levels of {self._series}: {done} of {self._total}")

    def __str__(self):
        return f"hetero levels, id {self.id}, {self.state}"
