"""Any map in one frame, and the level at which a map agrees best with an envelope.

The network of ours sees every map in a cube of ``GRID`` voxels. The way there is symmetric: flipping or permuting the
axes of a map flips or permutes the cube and nothing else; borders of one constant value are cut away first, so padding
a map with its solvent value changes nothing; values are divided by a measure of the map itself, so its scale does not
matter.
"""

from dataclasses import dataclass

import numpy as np

from hetero.errors import HeteroError

GRID = 40  # voxels of the cube: a particle at a third of its box still spans 13
CHANNELS = 3
_SLAB_VOXELS = 1 << 22  # work through large maps in slabs of about this many voxels
_BINS = 4096
_EDGE_GAIN = 3  # the cube blurs an envelope's edge; steepening it again about 1/2 takes the bias of the level away
_DICE_WIDTH = 0.002  # thresholds whose Dice is this close to the best share the answer: no jumps from map to map


@dataclass(frozen=True, eq=False)
class Frame:
    """One map as the network sees it.

    Attributes:
        features: ``(3, GRID, GRID, GRID)`` float32: mean, compressed mean and compressed deviation of the values around
            each point, relative to ``scale``.
        background: what counts as solvent, in the map's units.
        scale: positive; mean of the values above ``background``, weighted by themselves.
        spread: three ``(n, GRID)`` matrices along z, y, x from the cube to the voxels kept in ``box``.
        box: slices of the voxels inside the constant borders.
    """

    features: np.ndarray
    background: float
    scale: float
    spread: tuple[np.ndarray, np.ndarray, np.ndarray]
    box: tuple[slice, slice, slice]


def frame_map(data: np.ndarray, apix: np.ndarray) -> Frame:
    """Bring a map into the network's frame.

    Args:
        data: ``(z, y, x)``, finite.
        apix: ``(3,)`` Å per voxel; only their ratios matter.

    Raises:
        HeteroError: flat along an axis, or nothing stands out above the map's faces.
    """
    box = _inside_constant_borders(data)
    kept = data[box]
    if min(kept.shape) < 4:
        raise HeteroError(f"What is in the map spans {kept.shape} voxels; at least 4 along each axis were expected.")
    extent = np.array(kept.shape) * apix
    gather = tuple(_gather_matrix(n, a, extent.max()) for n, a in zip(kept.shape, apix, strict=True))
    background = _face_median(kept)
    mean, square = _gathered_moments(kept, background, gather)
    positive = np.maximum(mean, 0).astype(float)
    if not positive.any():
        raise HeteroError("Nothing in the map stands out above its borders, so no level can be chosen.")
    scale = float((positive**3).sum() / (positive**2).sum())
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    features = np.stack([
        np.clip(mean / scale, -3, 3),
        np.arcsinh(10 * mean / scale) / 3,
        np.arcsinh(10 * deviation / scale) / 3,
    ])  # fmt: skip
    spread = tuple(_spread_matrix(n, a, extent.max()) for n, a in zip(kept.shape, apix, strict=True))
    return Frame(features.astype(np.float32), background, scale, spread, box)


def frame_weights(weights: np.ndarray, frame: Frame, apix: np.ndarray) -> np.ndarray:
    """Bring voxel weights ``(z, y, x)`` of the framed map into its cube: ``(GRID, GRID, GRID)`` float32 averages."""
    kept = weights[frame.box]
    extent = (np.array(kept.shape) * apix).max()
    gather = [_gather_matrix(n, a, extent) for n, a in zip(kept.shape, apix, strict=True)]
    planes = np.einsum("zyx,by,cx->zbc", kept.astype(np.float32), gather[1], gather[2], optimize=True)
    return np.einsum("zbc,az->abc", planes, gather[0], optimize=True)


def best_level(data: np.ndarray, frame: Frame, envelope: np.ndarray) -> float:
    """The level whose enclosed region agrees best (Dice) with an envelope given in the frame's cube.

    Args:
        data: ``(z, y, x)``, the map that was framed.
        envelope: ``(GRID, GRID, GRID)`` probabilities that a place is inside.

    Returns:
        The level in the map's units; always above ``frame.background``.

    Raises:
        HeteroError: the envelope holds nothing of the map.
    """
    along_z, along_y, along_x = frame.spread
    kept = data[frame.box]
    # Where the network is sure of nothing, its best guess counts.
    envelope = envelope.astype(np.float32) * max(1.0, 0.75 / max(float(envelope.max()), 1e-6))
    planes = np.einsum("abc,yb,xc->ayx", envelope, along_y, along_x, optimize=True)

    def slabs():
        for part in _slabs(kept.shape):
            weights = np.tensordot(along_z[part], planes, axes=1)
            yield kept[part] - np.float32(frame.background), np.clip((weights - 0.5) * _EDGE_GAIN + 0.5, 0, 1)

    return frame.background + agreeing_threshold(slabs)


def agreeing_threshold(slabs) -> float:
    """The threshold ``t > 0`` at which ``{value >= t}`` and the weights have the largest Dice coefficient.

        Dice(t) = 2 sum(weight where value >= t) / (number of value >= t + sum(weight))

    Args:
        slabs: function giving an iterator of pairs ``(values, weights)`` of equal shapes; read two or three times.

    Returns:
        Mean of the thresholds whose Dice is within about 0.002 of the best, so that a flat top moves smoothly.

    Raises:
        HeteroError: no value is positive, or none of the positive ones has a weight.
    """
    top = max(float(values.max()) for values, _ in slabs())
    if top <= 0:
        raise HeteroError("Nothing in the map stands out above its borders, so no level can be chosen.")
    for _ in range(2):  # a lone hot voxel makes the first bins too coarse; then look again at the lower part only
        counts, agreeing, total = _histograms(slabs, top)
        if not agreeing.any():
            raise HeteroError("No molecule was found in the map, so no level can be chosen.")
        enclosed = np.cumsum(counts[::-1])[::-1]
        dice = 2 * np.cumsum(agreeing[::-1])[::-1] / (enclosed + total)
        share = np.exp((dice - dice.max()) / _DICE_WIDTH)
        edges = top / _BINS * np.arange(_BINS + 1)
        threshold = float((share * edges).sum() / share.sum())
        if threshold > top / 16:
            break
        top = max(8 * threshold, 2 * edges[1])
    return max(threshold, top / _BINS)


def _histograms(slabs, top: float) -> tuple[np.ndarray, np.ndarray, float]:
    counts, agreeing, total = np.zeros(_BINS + 1), np.zeros(_BINS + 1), 0.0
    for values, weights in slabs():
        total += float(weights.sum(dtype=float))
        above = values > 0
        index = np.minimum(values[above] * np.float32(_BINS / top), _BINS).astype(np.int32)
        counts += np.bincount(index, minlength=_BINS + 1)
        agreeing += np.bincount(index, weights=weights[above], minlength=_BINS + 1)
    return counts, agreeing, total


def _inside_constant_borders(data: np.ndarray) -> tuple[slice, slice, slice]:
    """Slices that leave out all outer planes holding nothing but the corner's value."""
    corner = data[0, 0, 0]
    box = [slice(0, n) for n in data.shape]
    for axis in range(3):
        planes = np.moveaxis(data[tuple(box)], axis, 0)
        first, last = 0, len(planes)
        while first < last and (planes[first] == corner).all():
            first += 1
        while last > first and (planes[last - 1] == corner).all():
            last -= 1
        box[axis] = slice(first, last)
    return tuple(box)


def _face_median(data: np.ndarray) -> float:
    faces = [np.take(data, end, axis).ravel() for axis in range(3) for end in (0, -1)]
    return float(np.median(np.concatenate(faces)))


def _gather_matrix(n: int, apix: float, extent: float) -> np.ndarray:
    """``(GRID, n)``: triangular means around each point of the cube; beyond the box lies background (0)."""
    cell = extent / GRID
    width = max(cell, apix)
    beyond = int(np.ceil(width / apix)) + 1 + int(np.ceil(max(extent - n * apix, 0) / apix / 2))
    voxels = (np.arange(-beyond, n + beyond) - (n - 1) / 2) * apix
    points = (np.arange(GRID) - (GRID - 1) / 2) * cell
    weights = np.maximum(0, 1 - np.abs(points[:, None] - voxels) / width)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(weights[:, beyond : beyond + n], dtype=np.float32)


def _spread_matrix(n: int, apix: float, extent: float) -> np.ndarray:
    """``(n, GRID)``: linear interpolation from the cube's points to the voxels."""
    cell = extent / GRID
    voxels = (np.arange(n) - (n - 1) / 2) * apix
    points = (np.arange(GRID) - (GRID - 1) / 2) * cell
    return np.maximum(0, 1 - np.abs(voxels[:, None] - points) / cell).astype(np.float32)


def _gathered_moments(data, background, gather) -> tuple[np.ndarray, np.ndarray]:
    """Means of the values and of their squares around each point of the cube."""
    mean = np.zeros((GRID, GRID, GRID), np.float32)
    square = np.zeros_like(mean)
    for part in _slabs(data.shape):
        values = data[part] - np.float32(background)
        for sums, power in ((mean, values), (square, values * values)):
            planes = gather[1] @ (power @ gather[2].T)  # (k, GRID, GRID)
            np.add(sums, np.tensordot(gather[0][:, part], planes, axes=1), out=sums)
    return mean, square


def _slabs(shape: tuple[int, int, int]):
    step = max(1, _SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))
