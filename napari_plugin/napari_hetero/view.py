"""How the viewer stands: hand, scale bar, graphics. The one place that knows napari's differences between versions."""

from functools import lru_cache

import numpy as np

# x to the right, y up, z towards the reader: the only right-handed (x, y, z) among napari's choices that looks as
# in ChimeraX.
# napari's default (towards, down, right) shows maps as their mirror image (napari#7683).
ORIENTATION = ("towards", "up", "right")
HAND_NOTE = "x right, y up, z towards you, as in ChimeraX: helices turn right."

_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "svga", "software")


def camera(viewer):
    """The camera; ``viewer.camera`` before napari 0.9."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def scale_bar(viewer):
    """The scale bar; ``viewer.scale_bar`` before napari 0.9."""
    return viewer.canvas.overlays.scale_bar if hasattr(viewer, "canvas") else viewer.scale_bar


def canvas_size(viewer) -> tuple[int, int]:
    """Pixels of the canvas along its sides; those of a new window before napari 0.9, which does not say."""
    return tuple(viewer.canvas.size) if hasattr(viewer, "canvas") else (800, 600)


def grid(viewer):
    """napari's grid; ``viewer.grid`` before napari 0.9."""
    return viewer.canvas.grid if hasattr(viewer, "canvas") else viewer.grid


def fit(viewer, surfaces) -> None:
    """Fit the view to surfaces of ours, whose particles fill about half of their box; its direction stays.

    napari 0.9.2 can fit to layers, but not to some of three axes where others have four.
    """
    viewer.fit_to_view()
    if not surfaces:
        return
    box = viewer.layers.extent.world[:, -3:]
    extents = np.array([surface.extent.world for surface in surfaces])
    seen = np.array([extents[:, 0].min(axis=0), extents[:, 1].max(axis=0)])
    camera(viewer).zoom *= 0.85 * np.linalg.norm(np.ptp(box, axis=0)) / max(np.linalg.norm(np.ptp(seen, axis=0)), 1e-6)
    camera(viewer).center = tuple(seen.mean(axis=0))


def stand_upright(viewer) -> bool:
    """Give the view the right hand (:data:`ORIENTATION`) and a scale bar. Returns whether the hand had to be
    changed."""
    bar = scale_bar(viewer)
    bar.visible = True
    bar.position = "bottom_left"  # at the right, napari 0.9.2 lets a long bar run over the canvas's edge
    seen_by = camera(viewer)
    if tuple(str(axis) for axis in seen_by.orientation) == ORIENTATION:
        return False
    seen_by.orientation = ORIENTATION
    return True


@lru_cache(maxsize=1)
def gl_renderer() -> str:
    """Name of the graphics that draws, e.g. ``llvmpipe (LLVM 15.0.6, 256 bits)``; needs a running Qt application."""
    from vispy.app import Canvas
    from vispy.gloo import gl

    canvas = Canvas(show=False)
    try:
        canvas.set_current()
        return str(gl.glGetParameter(gl.GL_RENDERER))
    finally:
        canvas.close()


def is_software(renderer: str) -> bool:
    """Whether the graphics is a program on the CPU, where a mesh is ten times faster than an iso-surface by ray
    casting."""
    return any(word in renderer.lower() for word in _SOFTWARE)
