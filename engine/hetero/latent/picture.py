"""Pictures of a latent space in a plane."""

from pathlib import Path

import numpy as np

from hetero.files import atomic_path
from hetero.latent.density import density_raster

_DOTS = 20_000  # more points than these are drawn as a density; labels are then drawn on as many, taken at random


def draw_plane(
    path: Path | str,
    points: np.ndarray,
    axes: tuple[str, str],
    labels: dict[str, np.ndarray] | None = None,
    marks: np.ndarray | None = None,
    line: np.ndarray | None = None,
    unit: str = "particles",
) -> None:
    """Draw particles as a PNG: their density, and once more in the colours of each set of labels.

    Args:
        path: of the picture.
        points: ``(n, 2)``; ``(n, 1)`` gives a histogram.
        axes: what the two axes are.
        labels: title -> ``(n,)`` group of each particle.
        marks: ``(k,)`` rows that are numbered, in every panel.
        line: ``(m, 2)`` points of a path, drawn from first to last.
        unit: what a point is.
    """
    from matplotlib.figure import Figure

    labels = labels or {}
    figure = Figure(figsize=(4.6 * (1 + len(labels)), 4.3), layout="constrained")
    panels = figure.subplots(1, 1 + len(labels), squeeze=False)[0]
    if points.shape[1] == 1:
        points = np.concatenate([points, _heights(points[:, 0])], axis=1)
        axes = (axes[0], f"{unit}, stacked")
        line = None
    _draw_density(panels[0], points)
    some = np.random.default_rng(0).permutation(len(points))[:_DOTS]
    for panel, (title, groups) in zip(panels[1:], labels.items(), strict=True):
        panel.scatter(*points[some].T, c=groups[some], s=_dot(len(some)), cmap="tab20", linewidths=0, rasterized=True)
        panel.set_title(title)
    for panel in panels:
        panel.set_xlabel(axes[0])
        panel.set_ylabel(axes[1])
        if line is not None:
            panel.plot(*line.T, "-o", color="#ee6677", markersize=3, linewidth=1.2)
        for number, row in enumerate([] if marks is None else marks):
            style = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "#555555", "linewidth": 0.5}
            panel.annotate(str(number), points[row], ha="center", va="center", fontsize=7, bbox=style)
    panels[0].set_title(f"{len(points):,} {unit}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_density(panel, points: np.ndarray) -> None:
    if len(points) <= _DOTS:
        panel.scatter(*points.T, s=_dot(len(points)), color="#4477aa", linewidths=0, alpha=0.6, rasterized=True)
        return
    raster = density_raster(points)
    shown = np.ma.masked_equal(raster.counts, 0)
    panel.imshow(np.log1p(shown), origin="lower", extent=raster.extent, aspect="auto", cmap="viridis")


def _dot(n: int) -> float:
    return float(np.clip(20_000 / n, 1.5, 14))


def _heights(values: np.ndarray) -> np.ndarray:
    """``(n, 1)``: each value's place in a stack of those like it, so that the plane shows a histogram."""
    n = int(np.clip(2 * np.sqrt(len(values)), 10, 100))
    bins = np.digitize(values, np.linspace(values.min(), values.max(), n))
    order = np.argsort(bins, kind="stable")
    starts = np.searchsorted(bins[order], bins[order])
    heights = np.empty(len(values))
    heights[order] = np.arange(len(values)) - starts
    return heights[:, None]
