"""Any map in one frame, and the level at which a map fits an envelope drawn in it.

A map is looked at twice: as a whole in a cube of ``COARSE`` voxels, to find the molecule, and around the molecule in a
cube of ``GRID`` voxels, to find its envelope. The way there is symmetric: flipping or permuting the axes of a map flips
or permutes the cubes and nothing else; borders of one constant value are cut away first, so padding a map with its
solvent value changes nothing; values are divided by a measure of the map itself, so its scale does not matter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hetero.errors import HeteroError
from hetero.level.thresholds import FittedLevel, fitting_threshold

COARSE, GRID = 24, 40  # voxels along the edges of the two cubes
CHANNELS = 3
_MEDIAN_VOXELS = 1 << 24
_SLAB_VOXELS = 1 << 18  # work through large maps in slabs of about this many voxels: they fit a cache
_SLABS = 8  # and through small ones in about as many slabs: what is made of one is small next to the map
_OUTSIDE = 0.001  # share of the molecule that may lie beyond each face of the cube around it, before the room
_ROUNDING = 1e-5  # of the largest deviation from the background: no more than this is nothing
_FAINT = 0.2  # of the highest probability: such places do not widen the cube
_ROOM = 1.3  # edge of the cube around a molecule, relative to the molecule
_FEWEST_VOXELS = 20  # across a cube


@dataclass(frozen=True, eq=False)
class Frame:
    """One map as the network sees it.

    Attributes:
        features: ``(3, n, n, n)`` float32: mean, compressed mean and compressed deviation of the values around
            each point, relative to ``scale``.
        background: what counts as solvent, in the map's units.
        scale: positive; mean of the values above ``background``, weighted by themselves.
        box: slices of the voxels inside the constant borders.
        region: where in ``box`` the cube lies.
        apix: ``(3,)`` Å per voxel.
    """

    features: np.ndarray
    background: float
    scale: float
    box: tuple[slice, slice, slice]
    region: "Region"
    apix: np.ndarray


@dataclass(frozen=True, eq=False)
class Region:
    """A cube in a map.

    Attributes:
        centre: ``(3,)`` voxels from the first one kept, along z, y, x.
        extent: Å along each edge.
    """

    centre: np.ndarray
    extent: float


def frame_map(data: np.ndarray, apix: np.ndarray) -> Frame:
    """Bring a map into a cube of ``COARSE`` voxels that holds all of it.

    Args:
        data: ``(z, y, x)``, finite.
        apix: ``(3,)`` Å per voxel; only their ratios matter.

    Raises:
        HeteroError: flat along an axis, or nothing stands out above the map's faces.
    """
    box = inside_constant_borders(data)
    kept = data[box]
    if min(kept.shape) < 4:
        raise HeteroError(f"What is in the map spans {kept.shape} voxels; at least 4 along each axis were expected.")
    shape = np.array(kept.shape)
    whole = Region((shape - 1) / 2, float((shape * apix).max()))
    return _framed(data, np.asarray(apix, dtype=float), box, _background(kept), whole, COARSE)


def zoom_frame(data: np.ndarray, frame: Frame, region: Region) -> Frame:
    """The same map in a cube of ``GRID`` voxels on one region of it.

    Raises:
        HeteroError: nothing in the cube stands out above the map's faces.
    """
    return _framed(data, frame.apix, frame.box, frame.background, region, GRID)


def molecule_region(envelope: np.ndarray, frame: Frame) -> Region:
    """The cube around the molecule, with some room; at most the frame's own region.

    Args:
        envelope: ``(n, n, n)`` in the frame's cube, not negative: probabilities or shares. Where it is empty, the
            answer is the frame's own region.
    """
    n, top = len(envelope), float(envelope.max())
    if top <= 0:
        return frame.region
    envelope = np.maximum(envelope - _FAINT * top, 0)
    total = float(envelope.sum(dtype=float))
    ends = []
    for axis in range(3):
        profile = envelope.sum(axis=tuple(a for a in range(3) if a != axis), dtype=float)
        passed = np.concatenate([[0], np.cumsum(profile) / total])  # at the faces of the cells
        ends.append([_crossing(passed, _OUTSIDE), n - _crossing(1 - passed[::-1], _OUTSIDE)])
    ends = np.array(ends)
    cell = frame.region.extent / n
    extent = max(_ROOM * float(np.ptp(ends, axis=1).max()) * cell, _FEWEST_VOXELS * float(frame.apix.max()))
    if extent >= frame.region.extent:
        return frame.region
    return Region(frame.region.centre + (ends.mean(axis=1) - n / 2) * cell / frame.apix, extent)


def _crossing(rising: np.ndarray, height: float) -> float:
    """Where a curve that rises from 0 first reaches ``height``, between its points."""
    first = int(np.argmax(rising >= height))
    return first - (rising[first] - height) / max(rising[first] - rising[first - 1], 1e-12)


def _framed(data, apix, box, background, region, n) -> Frame:
    kept = data[box]
    mean, square = _gathered_moments(kept, background, _gather_matrices(kept.shape, apix, region, n))
    positive = np.maximum(mean, 0).astype(float)
    if positive.max() <= _ROUNDING * float(np.abs(mean).max()):
        raise HeteroError("Nothing in the map stands out above its borders, so no level can be chosen.")
    scale = float(np.vdot(positive * positive, positive) / np.vdot(positive, positive))  # powers are slow
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    features = np.stack([
        np.clip(mean / scale, -3, 3),
        _arcsinh(10 * mean / scale) / 3,
        _arcsinh(10 * deviation / scale) / 3,
    ])  # fmt: skip
    return Frame(features.astype(np.float32), background, scale, box, region, apix)


def frame_weights(weights: np.ndarray, frame: Frame) -> np.ndarray:
    """Bring voxel weights ``(z, y, x)`` of the framed map into its cube: ``(n, n, n)`` float32 averages."""
    kept = weights[frame.box]
    gather = _gather_matrices(kept.shape, frame.apix, frame.region, frame.features.shape[-1])
    planes = np.einsum("zyx,by,cx->zbc", kept.astype(np.float32), gather[1], gather[2], optimize=True)
    return np.einsum("zbc,az->abc", planes, gather[0], optimize=True)


def best_level(data: np.ndarray, frame: Frame, envelope: np.ndarray) -> FittedLevel:
    """The level whose enclosed region fits an envelope given in the frame's cube; see :func:`fitting_threshold`.

    Only what lies in the frame's region counts.

    Args:
        data: ``(z, y, x)``, the map that was framed.
        envelope: ``(n, n, n)`` probabilities that a place is inside.

    Raises:
        HeteroError: the envelope holds nothing of the map.
    """
    kept = data[frame.box]
    spread = _spread_matrices(kept.shape, frame.apix, frame.region, len(envelope))
    near = [np.flatnonzero(matrix.any(axis=1)) for matrix in spread]
    part = tuple(slice(int(n[0]), int(n[-1]) + 1) for n in near)
    kept = kept[part]
    along_z, along_y, along_x = (matrix[s] for matrix, s in zip(spread, part, strict=True))
    # Where the network is sure of nothing, its best guess counts.
    envelope = envelope.astype(np.float32) * max(1.0, 0.75 / max(float(envelope.max()), 1e-6))
    planes = np.einsum("abc,yb,xc->ayx", envelope, along_y, along_x, optimize=True)

    def pairs():
        for slab in slabs(kept.shape):
            yield kept[slab] - np.float32(frame.background), np.tensordot(along_z[slab], planes, axes=1)

    found = fitting_threshold(pairs)
    return replace(found, level=frame.background + found.level, background=frame.background)


def inside_constant_borders(data: np.ndarray) -> tuple[slice, slice, slice]:
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


def _background(data: np.ndarray) -> float:
    """The solvent's value: what most of the faces show, or most of the map where that is less.

    A specimen that leaves the box covers its faces; one that fills the box covers most of it.
    """
    faces = [np.take(data, end, axis).ravel() for axis in range(3) for end in (0, -1)]
    step = max(1, round((data.size / _MEDIAN_VOXELS) ** (1 / 3)))  # of a tomogram a lattice of voxels will do
    return min(_median(np.concatenate(faces)), _median(data[::step, ::step, ::step]))


def _median(values: np.ndarray) -> float:
    """Of finite values; in a sixth of the time that :func:`numpy.median` takes, which looks for NaN too."""
    middle = values.size // 2
    parted = np.partition(values, middle, axis=None)
    upper = float(parted[middle])
    return upper if values.size % 2 else (float(parted[:middle].max()) + upper) / 2


def _gather_matrices(shape, apix, region: Region, grid: int) -> list[np.ndarray]:
    """Three ``(grid, n)``: triangular means around each point of the cube; beyond the box lies background (0)."""
    cell = region.extent / grid
    points = (np.arange(grid) - (grid - 1) / 2) * cell
    matrices = []
    for n, a, centre in zip(shape, apix, region.centre, strict=True):
        width = max(cell, a)
        before, after = ((region.extent / 2 + width) / a - np.array([centre, n - 1 - centre])).clip(0).astype(int) + 1
        voxels = (np.arange(-before, n + after) - centre) * a
        weights = np.maximum(0, 1 - np.abs(points[:, None] - voxels) / width)
        weights /= weights.sum(axis=1, keepdims=True)
        matrices.append(np.ascontiguousarray(weights[:, before : before + n], dtype=np.float32))
    return matrices


def _arcsinh(values: np.ndarray) -> np.ndarray:
    """By a logarithm, which numpy has in the CPU's wide instructions: in a quarter of its own's time."""
    size = np.abs(values)
    return np.copysign(np.log(size + np.sqrt(size * size + 1)), values)


def _spread_matrices(shape, apix, region: Region, grid: int) -> list[np.ndarray]:
    """Three ``(n, grid)``: linear interpolation from the cube's points to the voxels; 0 outside the cube."""
    cell = region.extent / grid
    points = (np.arange(grid) - (grid - 1) / 2) * cell
    places = [(np.arange(n) - centre) * a for n, a, centre in zip(shape, apix, region.centre, strict=True)]
    return [np.maximum(0, 1 - np.abs(p[:, None] - points) / cell).astype(np.float32) for p in places]


def _gathered_moments(data, background, gather) -> tuple[np.ndarray, np.ndarray]:
    """Means of the values and of their squares around each point of the cube."""
    mean = np.zeros([len(matrix) for matrix in gather], np.float32)
    square = np.zeros_like(mean)
    for part in slabs(data.shape):
        values = data[part] - np.float32(background)
        for sums, power in ((mean, values), (square, values * values)):
            planes = gather[1] @ (power @ gather[2].T)  # (k, n, n)
            np.add(sums, np.tensordot(gather[0][:, part], planes, axes=1), out=sums)
    return mean, square


def slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Some planes of a map at a time, so that what is made of them is small next to it."""
    step = max(1, min(_SLAB_VOXELS // (shape[1] * shape[2]), shape[0] // _SLABS))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))
