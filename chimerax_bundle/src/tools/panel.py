"""What panels share: a window, commands run from it, and what they say."""

from chimerax.core.commands import run as run_command
from chimerax.core.errors import UserError
from chimerax.core.tools import ToolInstance
from Qt.QtWidgets import QHBoxLayout, QLabel


class Panel(ToolInstance):
    """A panel with a line of text at its end. It holds no science: each action writes and runs a command.

    Attributes:
        tool_window: its window.
    """

    SESSION_ENDURING = False

    def __init__(self, session, name):
        super().__init__(session, name)
        from chimerax.ui import MainToolWindow

        self.tool_window = MainToolWindow(self)
        self._said = QLabel()
        self._said.setWordWrap(True)
        self._handlers, self._stale = [], True

    def watch(self, *triggers):
        """Call :meth:`refresh` once a frame after any of ChimeraX's ``triggers``."""
        for name in triggers:
            self._handlers.append(self.session.triggers.add_handler(name, self._mark_stale))
        self._handlers.append(self.session.triggers.add_handler("new frame", self._refresh_if_stale))

    def refresh(self):
        """Show what is there now."""

    def _mark_stale(self, *_):
        self._stale = True

    def _refresh_if_stale(self, *_):
        if self._stale:
            self._stale = False
            self.refresh()

    def do(self, words, said=True):
        """Run a command; its sentence, where it ends with one, is shown here too."""
        session = self.session
        try:
            if said:
                return run_command(session, words)
            with session.undo.block():  # one undo step for a whole drag, not one for each of its steps
                return run_command(session, words, log=False)
        except UserError as error:
            self.say(str(error))
            session.logger.warning(str(error))
            return None

    def say(self, text):
        """Write the line of text."""
        self._said.setText(text)

    def delete(self):
        """Close the panel."""
        for handler in self._handlers:
            handler.remove()
        super().delete()


def row_of(*things):
    """A layout of widgets and texts side by side."""
    row = QHBoxLayout()
    for thing in things:
        row.addWidget(QLabel(thing) if isinstance(thing, str) else thing)
    row.addStretch(1)
    return row
