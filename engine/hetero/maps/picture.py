"""A picture of a map's surface without any viewer: for terminals, reports and contact sheets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from hetero.files import atomic_path
from hetero.maps.blocks import Blocks
from hetero.maps.volume import Volume

_GREY = (0.80, 0.82, 0.86)
_LIGHT = np.array([0.75, 0.45, -0.45])  # z, y, x towards the light: above, a little left, from the viewer's side


def surface_picture(
    data: np.ndarray, level: float, masks: np.ndarray, colors: np.ndarray, pixels: int = 256
) -> np.ndarray:
    """The surface at ``level`` seen from +z: x to the right, y up; white where there is none.

    Args:
        data: ``(z, y, x)``.
        level: in the map's own values.
        masks: ``(K, z, y, x)`` bool; a surface point takes the colour of the last block it lies in.
        colors: ``(K, 3)`` in [0, 1].
        pixels: of the longest side, about.

    Returns:
        ``(y * zoom, x * zoom, 3)`` float in [0, 1], first row at the top; ``zoom`` gives about ``pixels``.
    """
    zoom = max(1, round(pixels / max(data.shape)))
    fine = ndimage.zoom(data, zoom, order=1, grid_mode=True, mode="nearest")
    fine = ndimage.gaussian_filter(fine, zoom / 4)[::-1]  # first section is nearest to the viewer
    inside = fine >= level
    hit, depth = inside.any(axis=0), inside.argmax(axis=0)
    y, x = np.indices(hit.shape)
    normal = -np.stack([g[depth, y, x] for g in np.gradient(fine)])
    normal[0] *= -1  # depth runs away from the viewer, z towards them
    normal /= np.linalg.norm(normal, axis=0) + 1e-12
    shade = 0.35 + 0.65 * np.clip(np.tensordot(_LIGHT / np.linalg.norm(_LIGHT), normal, axes=1), 0, 1)
    color = np.empty((*hit.shape, 3))
    color[:] = _GREY
    place = np.stack([len(fine) - 1 - depth, y, x]) / zoom - 0.5
    for mask, rgb in zip(masks, colors, strict=True):
        # The surface runs half a voxel outside the mask's own voxels.
        near = ndimage.binary_dilation(mask).astype(np.float32)
        color[ndimage.map_coordinates(near, place, order=1, mode="nearest") > 0.5] = rgb
    picture = np.where(hit[..., None], color * shade[..., None], 1.0)
    return np.clip(picture, 0, 1)[::-1]


def draw_blocks(path: Path | str, volume: Volume, level: float, blocks: Blocks) -> None:
    """Draw a map and its blocks from three sides, with a key, as a PNG."""
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colors = np.array([to_rgb(c) for c in blocks.colors]).reshape(-1, 3)
    figure = Figure(figsize=(12, 4.9), layout="constrained")
    axes = figure.subplots(1, 3)
    # Right-handed turns: about y by 90 degrees (from +x), about x by 90 degrees (from +y).
    views = {"from +z": lambda a: a, "from +x": _from_x, "from +y": _from_y}
    for ax, (title, turn) in zip(axes, views.items(), strict=True):
        masks = np.array([turn(m) for m in blocks.masks])
        ax.imshow(surface_picture(turn(volume.data), level, masks, colors))
        ax.set_title(title)
        ax.axis("off")
    key = [Patch(color=c, label=n) for n, c in zip(blocks.names, blocks.colors, strict=True)]
    if key:
        figure.legend(handles=key, loc="outside lower center", ncols=min(len(key), 8), frameon=False)
    figure.suptitle(f"{volume.name} at level {level:.3g}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def draw_series(path: Path | str, pictures: Sequence[np.ndarray], titles: Sequence[str], columns: int = 5) -> None:
    """Draw surfaces (:func:`surface_picture`) side by side, each under its title, as a PNG."""
    from matplotlib.figure import Figure

    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    shown = _shown(pictures)
    pictures = [picture[shown] for picture in pictures]
    height = 2.1 * pictures[0].shape[0] / pictures[0].shape[1]
    figure = Figure(figsize=(2.1 * columns, (height + 0.3) * rows), layout="constrained")
    for ax in (axes := figure.subplots(rows, columns, squeeze=False).ravel()):
        ax.axis("off")
    for ax, picture, title in zip(axes, pictures, titles, strict=False):
        ax.imshow(picture)
        ax.set_title(title, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _shown(pictures: Sequence[np.ndarray], margin: int = 4) -> tuple[slice, slice]:
    """Rows and columns in which any picture has a surface; all where none has. At most three times as wide as high."""
    ink = np.any([(picture < 1).any(axis=2) for picture in pictures], axis=0)
    if not ink.any():
        return slice(None), slice(None)
    spans = [np.flatnonzero(ink.any(axis=1 - axis))[[0, -1]] for axis in (0, 1)]
    least = max(last - first for first, last in spans) / 3
    return tuple(
        slice(max(0, int(min(first, middle - least / 2)) - margin), int(max(last, middle + least / 2)) + margin + 1)
        for first, last in spans
        for middle in [(first + last) / 2]
    )


def _from_x(data: np.ndarray) -> np.ndarray:
    """Turned so that +x faces the viewer: new (z, y, x) = (x, y, -z)."""
    return data.transpose(2, 1, 0)[:, :, ::-1]


def _from_y(data: np.ndarray) -> np.ndarray:
    """Turned so that +y faces the viewer: new (z, y, x) = (y, -z, x)."""
    return data.transpose(1, 0, 2)[:, ::-1, :]
