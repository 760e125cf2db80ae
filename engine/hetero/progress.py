"""Progress is one callback; how it looks is the caller's business."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""``progress(done, total, message)``. May raise :class:`hetero.errors.Cancelled` to stop the work."""


def silent(done: int, total: int, message: str) -> None:
    """Report nothing."""
