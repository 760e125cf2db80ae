"""What is to happen when a widget goes."""

from collections.abc import Callable
from weakref import finalize


def when_destroyed(widget, end: Callable[[], None]) -> None:
    """Call ``end()``, once, when Qt deletes a widget or Python collects it; ``end`` must not hold the widget.

    closeEvent is not sent when napari removes a dock, ``destroyed`` is. But a function that only the widget knows is
    garbage together with it, and Python may have emptied it by the time Qt calls it, which ends the process;
    ``finalize`` keeps its own.
    """
    ending = finalize(widget, end)
    ending.atexit = False
    widget.destroyed.connect(ending)
