"""A picture of very many points: counts or means of what falls into each cell of a view. numpy alone, no Qt."""

import numpy as np

from ..palette import PALETTE, RAMP

BACKGROUND = (22, 24, 29)
CHOSEN = (255, 140, 40)
_PALETTE = np.array([tuple(bytes.fromhex(color[1:])) for color in PALETTE], np.uint8)
_MOST_GROUPS = 100  # different whole numbers that are still taken for groups


def extent_of(x, y, margin=0.04):
    """left, right, bottom, top that hold all finite points and a margin."""
    edges = []
    for values in (x, y):
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        wide = max((high - low) * margin, 1e-6 * max(abs(low), abs(high), 1.0))
        edges += [low - wide, high + wide]
    return tuple(edges)


def cells_of(x, y, extent, shape):
    """``(n,)`` flat cell of each point in a grid ``shape`` (rows, columns; row 0 on top); rows x columns if outside.

    Args:
        x, y: ``(n,)`` float32; NaN is outside.
        extent: left, right, bottom, top.
    """
    left, right, bottom, top = extent
    rows, columns = shape
    with np.errstate(invalid="ignore"):
        across = (x - np.float32(left)) * np.float32(columns / (right - left))
        down = (np.float32(top) - y) * np.float32(rows / (top - bottom))
        inside = (across >= 0) & (across < columns) & (down >= 0) & (down < rows)
        flat = down.astype(np.int32) * columns + across.astype(np.int32)
    flat[~inside] = rows * columns
    return flat


def density_picture(cells, shape):
    """``(rows, columns, 3)`` uint8: brighter where more points are, by the logarithm of their number."""
    counts = _counts(cells, shape)
    strength = np.log1p(counts) / np.log1p(max(counts.max(), 1))
    return _painted(counts > 0, RAMP[(60 + 195 * strength).astype(np.uint8)], shape)


def column_picture(cells, shape, values):
    """``(rows, columns, 3)`` uint8: points coloured by ``values`` ``(n,)``: groups by whole numbers, else means.

    The ramp runs from the 1st to the 99th percentile; points without a value (NaN) are not drawn.
    """
    known = np.isfinite(values)
    if not known.any():
        return _painted(np.zeros(shape[0] * shape[1], bool), RAMP[:1], shape)
    if not known.all():
        cells, values = cells[known], values[known]
    groups = groups_of(values)
    if groups is not None:
        owner = np.full(shape[0] * shape[1] + 1, -1, np.int32)
        owner[cells] = groups  # the last point of a cell gives its colour
        owner = owner[:-1]
        return _painted(owner >= 0, _PALETTE[owner % len(_PALETTE)], shape)
    counts = _counts(cells, shape)
    sums = np.bincount(cells, weights=values, minlength=len(counts) + 1)[:-1]
    some = values[:: max(1, len(values) // 100_000)]
    low, high = np.percentile(some, [1, 99])
    mean = (sums / np.maximum(counts, 1) - low) / max(high - low, 1e-12)
    return _painted(counts > 0, RAMP[(255 * mean.clip(0, 1)).astype(np.uint8)], shape)


def groups_of(values):
    """``(n,)`` int32 where ``values`` are whole numbers, few of them different; None else."""
    some = values[:1000]
    if (some != np.round(some)).any() or np.ptp(values) >= _MOST_GROUPS or (values != np.round(values)).any():
        return None
    return (values - values.min()).astype(np.int32)


def mark_chosen(picture, cells, chosen):
    """Paint the cells that hold chosen points (``(n,)`` bool) over ``picture``, in place."""
    shape = picture.shape[:2]
    held = np.zeros(shape[0] * shape[1] + 1, bool)
    held[cells[chosen]] = True
    picture[held[:-1].reshape(shape)] = CHOSEN


def cell_size(n):
    """Pixels along each side of a cell, for ``n`` points: few points are drawn larger."""
    return 1 if n >= 200_000 else 2 if n >= 20_000 else 4


def _counts(cells, shape):
    size = shape[0] * shape[1]
    return np.bincount(cells, minlength=size + 1)[:size]


def _painted(held, colors, shape):
    picture = np.empty((shape[0] * shape[1], 3), np.uint8)
    picture[:] = BACKGROUND
    picture[held] = colors[held] if len(colors) == len(held) else colors[0]
    return picture.reshape(*shape, 3)
