"""What is to happen when Qt deletes a widget."""

from collections.abc import Callable
from itertools import count

_numbers = count()
_waiting: dict[int, Callable] = {}


def when_destroyed(widget, end: Callable[[], None]) -> None:
    """Call ``end()`` when Qt deletes a widget; ``end`` must not hold the widget.

    closeEvent is not sent when napari removes a dock, ``destroyed`` always is. What is connected to it is kept here
    until then: a function that only the widget knows is garbage together with it, and Python may empty it before Qt
    calls it, which ends the process.
    """
    number = next(_numbers)

    def gone(_widget=None) -> None:
        _waiting.pop(number, None)
        end()

    _waiting[number] = gone
    widget.destroyed.connect(gone)
