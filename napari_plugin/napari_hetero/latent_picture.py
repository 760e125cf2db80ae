"""The picture of a plane of many points: how many lie in each cell, or what colour they have; numpy alone."""

from functools import lru_cache

import numpy as np

CLASS_COLORS = (
    (78, 141, 245), (245, 147, 66), (92, 201, 120), (232, 86, 98), (168, 124, 232), (196, 150, 118), (240, 140, 205),
    (160, 165, 172), (200, 205, 70), (70, 200, 215),
)  # fmt: skip
SELECTED = (255, 170, 40)
_LUT_SIZE = 256


def paint(plane, column, chosen: np.ndarray | None, extent, shape: tuple[int, int]) -> np.ndarray:
    """``(rows, columns, 4)`` uint8 of a view; the first row is the lowest, empty cells are clear.

    Of density the logarithm is shown, of a column the mean of each cell (of classes, of their colours). A selection
    lies over it.

    Args:
        plane: a :class:`hetero.latent.plane.Plane`.
        column: a :class:`hetero.commands.particle_columns.Column`; None for density.
        chosen: ``(n,)`` bool, the selection; None without one.
        extent: left, right, bottom, top.
        shape: rows and columns.
    """
    counts = plane.counts(extent, shape)
    picture = np.zeros((*shape, 4), np.uint8)
    picture[..., :3] = _shades(_log_share(counts)) if column is None else _means(plane, column, extent, shape)
    picture[..., 3] = np.where(counts > 0, 255, 0)
    if chosen is not None and chosen.any():
        here = plane.counts(extent, shape, some=chosen) > 0
        tint = np.array(SELECTED) * (0.55 + 0.45 * _log_share(counts[here]))[:, None]
        picture[here, :3] = tint.astype(np.uint8)
    return picture


def legend(column) -> list[tuple[tuple[int, int, int], str]]:
    """Colours and their words; of numbers the two ends, of density (None) nothing."""
    if column is None:
        return []
    if column.classes:
        return [(CLASS_COLORS[i % len(CLASS_COLORS)], name) for i, name in enumerate(column.classes)]
    return [
        (tuple(shade.tolist()), f"{end:.3g}")
        for shade, end in zip(_lookup()[[0, -1]], _ends(column.values), strict=True)
    ]


def _means(plane, column, extent, shape) -> np.ndarray:
    known = np.isfinite(column.values)
    number = np.maximum(plane.counts(extent, shape, some=known), 1)
    if not column.classes:
        low, high = _ends(column.values)
        mean = plane.counts(extent, shape, column.values, known) / number
        return _shades(np.clip((mean - low) / max(high - low, 1e-30), 0, 1))
    palette = np.array([CLASS_COLORS[i % len(CLASS_COLORS)] for i in range(len(column.classes))], np.float32)
    colors = palette[np.where(known, column.values, 0).astype(int)]
    return (plane.counts(extent, shape, colors, known) / number[..., None]).astype(np.uint8)


def _ends(values: np.ndarray) -> tuple[float, float]:
    some = values[:: max(1, len(values) // 100_000)]
    low, high = np.nanpercentile(some, (1, 99))
    return float(low), float(high)


def _shades(share: np.ndarray) -> np.ndarray:
    return _lookup()[(share * (_LUT_SIZE - 1)).astype(int)]


def _log_share(counts: np.ndarray) -> np.ndarray:
    most = counts.max() if counts.size else 0
    return np.log1p(counts) / np.log1p(max(most, 1))


@lru_cache(maxsize=1)
def _lookup() -> np.ndarray:
    """``(256, 3)`` uint8: viridis, its dark end left out so that single particles are seen on a dark ground."""
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0.18, 1, _LUT_SIZE))
    return (255 * shades[:, :3]).astype(np.uint8)
