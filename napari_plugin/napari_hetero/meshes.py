"""Arrays for pictures: a surface at a level, the block that each vertex belongs to, values for napari's iso shader."""

import numpy as np

BASE = (0.70, 0.72, 0.75)
ISO_LEVEL = 20.0

# A triangle without area: napari draws no empty surfaces, and a map may have nothing at or above its level.
_NOTHING = (np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32), np.zeros((3, 3), np.float32))


def surface_at(data: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map ``(z, y, x)`` and level -> vertices ``(n, 3)`` float32 in voxels, faces ``(m, 3)``, outward normals
    ``(n, 3)``; z, y, x.

    One triangle without area where the map does not cross the level.
    """
    from skimage.measure import marching_cubes

    if min(data.shape) < 2 or not data.min() < level < data.max():
        return _NOTHING
    writeable = np.require(data, requirements=["C", "W"])  # skimage refuses read-only maps
    vertices, faces, normals, _ = marching_cubes(writeable, level)
    return (vertices.astype(np.float32), faces, normals) if len(faces) else _NOTHING


def lit(colors: np.ndarray, normals: np.ndarray, view: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Colours ``(n, 4)`` under a lamp above the reader's head.

    napari's own shading of surfaces comes out black in the right-handed view: its light does not follow a mirrored
    camera ("something is afoot", says its source, 0.9.2). So the light is worked into the colours, and again when the
    camera turns.

    Args:
        normals: ``(n, 3)`` outward, any length.
        view: ``(3,)`` where the camera looks; up: ``(3,)`` up on the screen; same axes as the normals.
    """
    view, up = _unit(view), _unit(up)
    normals = _unit(normals)
    lamp = np.maximum(normals @ _unit(0.7 * up - view), 0.0)
    head = np.maximum(normals @ -view, 0.0)
    shaded = colors.copy()
    shaded[:, :3] *= (0.22 + 0.55 * lamp + 0.30 * head)[:, None]
    return np.minimum(shaded, 1.0).astype(np.float32)


def owners(data: np.ndarray, level: float, vertices: np.ndarray) -> np.ndarray:
    """The occupied voxel ``(n, 3)`` nearest to each vertex of ``surface_at(data, level)``, of the eight around it.

    Most vertices lie between an occupied voxel and an empty neighbour; in ambiguous cells one lies in the middle.
    """
    last = np.array(data.shape) - 1
    low = np.floor(vertices).astype(int)
    best = low.copy()
    nearest = np.full(len(vertices), np.inf)
    for corner in np.ndindex(2, 2, 2):
        voxel = np.minimum(low + corner, last)
        distance = np.where(data[tuple(voxel.T)] >= level, ((voxel - vertices) ** 2).sum(axis=1), np.inf)
        closer = distance < nearest
        best[closer], nearest[closer] = voxel[closer], distance[closer]
    return best


def vertex_colors(numbers: np.ndarray, colors: list[str]) -> np.ndarray:
    """Block number of each vertex ``(n,)``, 0 for none, and ``#rrggbb`` of blocks 1, 2, ... -> RGBA ``(n, 4)``
    float32."""
    table = np.array([BASE, *(_rgb(color) for color in colors)], dtype=np.float32)
    return np.column_stack([table[numbers], np.ones(len(numbers), np.float32)])


def excess_colors(excess: np.ndarray) -> np.ndarray:
    """``(n,)`` density more than in a pinned map, in units of the level -> RGBA ``(n, 4)`` float32: grey where alike,
    blue where the pinned map is empty, red where it is denser."""
    share = np.clip(np.asarray(excess, dtype=np.float32), -1, 1)[:, None]
    grey, more, less = (np.array(color, np.float32) for color in (BASE, (0.20, 0.45, 0.95), (0.90, 0.25, 0.20)))
    rgb = grey + np.abs(share) * (np.where(share > 0, more, less) - grey)
    return np.column_stack([rgb, np.ones(len(rgb), np.float32)])


def cover(labels: np.ndarray, data: np.ndarray, level: float) -> np.ndarray:
    """Labels ``(z, y, x)`` for the eye, so that the voxels' boxes just hide the surface of ``data`` at ``level``.

    Kept on occupied voxels. An empty voxel takes the number of a neighbour across a face (the densest one with a
    number) where the surface between the two runs nearer to the empty one, beyond the occupied one's box.
    """
    on_map = np.where(data >= level, labels, 0).astype(labels.dtype)
    numbers, values = np.pad(on_map, 1), np.pad(data, 1)
    densest, covered = np.full(data.shape, -np.inf), on_map.copy()
    inner = [slice(1, -1)] * 3
    for axis in range(3):
        for side in (slice(0, -2), slice(2, None)):
            beside = (*inner[:axis], side, *inner[axis + 1 :])
            reached = (data < level) & (numbers[beside] > 0) & (values[beside] + data > 2 * level)
            reached &= values[beside] > densest
            covered[reached], densest[reached] = numbers[beside][reached], values[beside][reached]
    return covered


def iso_values(data: np.ndarray, level: float) -> np.ndarray:
    """The map stretched so that its level is at :data:`ISO_LEVEL`.

    The shader refines a ray wherever a value is above the threshold less 0.2, an absolute number: maps with levels of
    0.01 to 0.5 would be refined nearly everywhere and draw up to ten times slower. One threshold then also serves
    every map.
    """
    reach = level if level > 0 else float(data.max()) - level
    return (ISO_LEVEL + (data - level) * (ISO_LEVEL / max(reach, np.finfo(np.float32).tiny))).astype(np.float32)


def _rgb(color: str) -> tuple[float, float, float]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _unit(vectors) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
