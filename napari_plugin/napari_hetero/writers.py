"""What napari writes through us: a map as .mrc, blocks edited as labels as a folder of masks; on the grid, and with the
origin, of their layer. Whole or not at all."""

import numpy as np

from hetero.errors import HeteroError

_BY = "napari, edited as labels"


def write_map_layer(path: str, data, keywords: dict) -> list[str]:
    """An image ``(z, y, x)`` as a map; napari's writer.

    Raises:
        HeteroError: no map, or it cannot be written there.
    """
    from hetero.maps import Volume, write_map

    if data.ndim != 3:
        raise HeteroError(
            f"{keywords['name']} has {data.ndim} axes; a map has three (z, y, x). Of an ensemble, save the map on "
            "screen in the Ensemble dock."
        )
    apix, origin = _grid(keywords)
    write_map(path, Volume(np.asarray(data), apix, origin, keywords["name"]))
    return [path]


def write_edited_blocks(path: str, data, keywords: dict) -> list[str]:
    """Labels ``(z, y, x)`` as a folder of blocks; napari's writer.

    Of a layer of ours, voxels that were not painted on keep all their blocks, where several overlap. Number k + 1 is
    block k; a number beyond them is a new block, and a block without a voxel is left out.

    Raises:
        HeteroError: no labels of three axes, none at all, another grid than that of the blocks, or a folder that is not
            ours to replace.
    """
    from hetero.maps import read_blocks, write_blocks
    from hetero.maps.blocks import make_blocks
    from napari_hetero.layers import KEY

    labels = np.asarray(data)
    if labels.ndim != 3:
        raise HeteroError(f"{keywords['name']} has {labels.ndim} axes; blocks have three (z, y, x).")
    apix, origin = _grid(keywords)
    tag = keywords.get("metadata", {}).get(KEY, {})
    before = read_blocks(tag["path"]) if tag.get("kind") == "blocks" else None
    masks = _masks(labels, None if before is None else before.masks)
    kept = masks.any(axis=(1, 2, 3))
    if not kept.any():
        raise HeteroError(f"{keywords['name']} has no label; nothing was written.")
    known = [] if before is None else list(zip(before.names, before.colors, strict=True))
    names, colors = _named(len(masks), known)
    chosen = [k for k in range(len(masks)) if kept[k]]
    blocks = make_blocks(masks[kept], apix, origin, [names[k] for k in chosen], {"color": [colors[k] for k in chosen]})
    write_blocks(path, blocks, {"made_by": _BY, "from": tag.get("path"), "layer": keywords["name"]})
    return [path]


def _masks(labels: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """``(K, z, y, x)`` bool of labels; where they are as painted from the masks ``before``, these."""
    from napari_hetero.layers import paint_labels

    n = max(int(labels.max(initial=0)), 0 if before is None else len(before))
    masks = labels[None] == np.arange(1, n + 1, dtype=labels.dtype)[:, None, None, None]
    if before is not None:
        if before.shape[1:] != labels.shape:
            raise HeteroError(
                f"The labels have {labels.shape} voxels and the blocks they came from {before.shape[1:]}; nothing was "
                "written."
            )
        untouched = labels == paint_labels(before)
        masks[: len(before)] |= before & untouched
    return masks


def _named(n: int, known: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Names and colours of n blocks: those known, then new ones."""
    from hetero.maps.blocks import PALETTE

    names, colors = [name for name, _ in known], [color for _, color in known]
    for k in range(len(known), n):
        number = k
        while f"block_{number:02d}" in names:
            number += 1
        names.append(f"block_{number:02d}")
        colors.append(PALETTE[k % len(PALETTE)])
    return names, colors


def _grid(keywords: dict) -> tuple[np.ndarray, np.ndarray]:
    """Å per voxel and origin in Å of a layer."""
    rotate, shear = np.asarray(keywords.get("rotate", np.eye(3))), np.asarray(keywords.get("shear", 0))
    if np.abs(rotate - np.eye(len(rotate))).max() > 1e-6 or np.abs(shear).max(initial=0) > 1e-6:
        raise HeteroError(f"{keywords['name']} is rotated or sheared; a map file knows no such thing.")
    scale = [_angstrom(unit) for unit in keywords.get("units") or ("angstrom",) * 3]
    return np.asarray(keywords["scale"], float) * scale, np.asarray(keywords["translate"], float) * scale


def _angstrom(unit) -> float:
    """Å in a unit of a layer; a pixel, which is no length, counts as one."""
    import pint

    try:
        return float(pint.get_application_registry()(str(unit)).to("angstrom").magnitude)
    except pint.DimensionalityError:
        return 1.0
