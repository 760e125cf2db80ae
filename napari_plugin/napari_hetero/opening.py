"""Layers that take long to read, without holding napari's screen: a placeholder stands in for them meanwhile."""

import numpy as np

from napari_hetero import layers, sessions


def later(work, title: str) -> list[tuple]:
    """The layer tuples of ``work()``, at once where no viewer is on screen; else a placeholder, whose place they take
    when a thread has read them. Deleting the placeholder calls it off.

    Args:
        work: gives layer tuples; may raise HeteroError, which is shown as a warning.
        title: what is opened.
    """
    from napari import current_viewer

    if current_viewer() is None:
        return work()
    from napari.qt.threading import create_worker

    from napari_hetero.jobs import outcome_of

    tag = {"kind": "opening", "path": title}
    worker = create_worker(outcome_of, work)
    worker.returned.connect(lambda outcome: _put(tag, outcome[0]))
    worker.errored.connect(lambda error: _put(tag, error))  # napari shows what is a bug itself
    worker.start()
    keywords = {"name": f"opening {title} ...", **layers.IN_ANGSTROM, "contrast_limits": (0.0, 1.0), "visible": False}
    return [(np.zeros((1, 1, 1), np.float32), {**keywords, "metadata": {layers.KEY: tag}}, "image")]


def _put(tag: dict, outcome) -> None:
    """Let what was read take the placeholder's place, in the viewer that has it."""
    from napari.utils.notifications import show_warning

    from hetero.errors import HeteroError

    for viewer in sessions.viewers():
        for layer in [layer for layer in viewer.layers if layers.tag(layer) is tag]:
            viewer.layers.remove(layer)
            if not isinstance(outcome, Exception):
                layers.add(viewer, outcome)
    if isinstance(outcome, HeteroError):
        show_warning(str(outcome))
