"""Engine objects -> napari layer tuples ``(data, keywords, type)``. Imports neither Qt nor the viewer.

Every layer carries ``metadata["napari_hetero"]``: what it is (``kind``: ensemble, map, run, blocks, arrows, gaussians,
occupancies, drawn, or opening while it is read) and its ``path``.
"""

from pathlib import Path

import numpy as np

KEY = "napari_hetero"
AXES = ("z", "y", "x")
UNITS = ("angstrom",) * 3
_TABLE_SIDE = 50.0  # Å
IN_ANGSTROM = {"units": UNITS, "axis_labels": AXES}


def ensemble_layer(ensemble) -> tuple:
    """A lazy image ``(n, z, y, x)`` of the maps' own values; each map is read from its file when it is looked at.

    Only the first map is read here, for the contrast. Shown by 3D viewers as a maximum projection: a surface needs a
    level of its own for every map, which is the Ensemble widget's work.
    """
    # Module-level function of a path: dask names the task by it, without hashing any data.
    from dask import array, delayed

    maps = [
        array.from_delayed(delayed(_load, pure=True)(str(p), ensemble.shape), ensemble.shape, np.float32)
        for p in ensemble.paths
    ]
    keywords = {
        "name": ensemble.folder.resolve().name,
        "scale": (1.0, *ensemble.apix),
        "translate": (0.0, *ensemble.origin),
        "units": ("dimensionless", *UNITS),
        "axis_labels": ("volume", *AXES),
        "contrast_limits": contrast(_load(str(ensemble.paths[0]), ensemble.shape)),
        "rendering": "mip",
        "cache": False,  # ours bounds what is kept
        "metadata": {KEY: {"kind": "ensemble", "path": str(ensemble.folder), "names": list(ensemble.names)}},
    }
    return array.stack(maps), keywords, "image"


def map_layer(volume, path: Path | str) -> tuple:
    """One map as an image ``(z, y, x)``."""
    keywords = {
        "name": volume.name,
        **placed(volume),
        "contrast_limits": contrast(volume.data),
        "rendering": "mip",
        "metadata": {KEY: {"kind": "map", "path": str(path)}},
    }
    return volume.data, keywords, "image"


def run_layer(space, volume, level: float) -> tuple:
    """The map in the middle of a trained run, as an image; what the run knows of its particles travels with it.

    Args:
        space: a :class:`hetero.commands.latent_space.LatentSpace`.
        volume: the map.
        level: its contour level.
    """
    data, keywords, kind = map_layer(volume, space.run.folder)
    keywords["name"] = space.run.folder.resolve().name
    keywords["metadata"] = {KEY: {"kind": "run", "path": str(space.run.folder), "space": space, "level": level}}
    return data, keywords, kind


def blocks_layer(blocks, folder: Path | str) -> tuple:
    """Blocks as labels ``(z, y, x)``: block k has the number k + 1 and its own colour; its row of the table is in
    ``features``."""
    features = blocks.table.reset_index()
    features.insert(0, "index", np.arange(1, len(blocks) + 1))
    keywords = {
        "name": Path(folder).resolve().name,
        **placed(blocks),
        "colormap": label_colors(blocks.colors),
        "features": features,
        "metadata": {KEY: {"kind": "blocks", "path": str(folder)}},
    }
    return paint_labels(blocks.masks), keywords, "labels"


def arrows_layer(model, path: Path | str) -> tuple:
    """What a :class:`napari_hetero.motion_model.MotionModel` shows as vectors in Å, coloured by their length."""
    keywords = {
        "name": f"arrows of {_title(path)}",
        **IN_ANGSTROM,
        **model.look(),
        "vector_style": "arrow",
        "metadata": {KEY: {"kind": "arrows", "path": str(path), "motion": model}},
    }
    return model.vectors(), keywords, "vectors"


def gaussians_layer(model, path: Path | str) -> tuple:
    """A :class:`hetero.gmm.GaussianModel` as balls in Å: as wide as each is at half its height, bright where dense."""
    from napari_hetero.motion_model import ball_look

    keywords = {
        "name": f"Gaussians of {_title(path)}",
        **IN_ANGSTROM,
        **ball_look(model),
        "border_width": 0,
        "shading": "spherical",
        "metadata": {KEY: {"kind": "gaussians", "path": str(path)}},
    }
    return model.centres, keywords, "points"


def occupancies_layer(table, path: Path | str) -> tuple:
    """A table of occupancies (pandas; a volume or particle a row, a block a column) as a small picture, hidden: it is
    what the Blocks dock reads the table from."""
    rows, columns = table.shape
    keywords = {
        "name": Path(path).stem,
        "scale": (_TABLE_SIDE / rows, _TABLE_SIDE / columns),  # of no more room than a map
        "units": UNITS[:2],
        "axis_labels": AXES[1:],
        "contrast_limits": (0.0, 1.0),
        "colormap": "viridis",
        "visible": False,
        "metadata": {KEY: {"kind": "occupancies", "path": str(path)}},
    }
    return table.to_numpy(np.float32), keywords, "image"


def paint_labels(masks: np.ndarray, shown: np.ndarray | None = None) -> np.ndarray:
    """Masks ``(K, z, y, x)`` bool -> numbers ``(z, y, x)``: k + 1 in block k, 0 outside; only the blocks in
    ``shown`` (K,) bool.

    Where blocks overlap the smaller one is seen, so that none vanishes under another.
    """
    labels = np.zeros(masks.shape[1:], dtype=np.uint8 if len(masks) < 255 else np.int32)
    sizes = masks.sum(axis=(1, 2, 3))
    for k in np.argsort(-sizes, kind="stable"):
        if shown is None or shown[k]:
            labels[masks[k]] = k + 1
    return labels


def label_colors(colors) -> dict:
    """``#rrggbb`` of K blocks -> the colours of a labels layer."""
    return {None: "transparent", 0: "transparent", **{k + 1: color for k, color in enumerate(colors)}}


def placed(thing) -> dict:
    """Where a thing with ``apix`` and ``origin`` (Å; z, y, x) stands, as keywords of a 3D layer."""
    return {"scale": tuple(thing.apix), "translate": tuple(thing.origin), **IN_ANGSTROM}


def contrast(data: np.ndarray) -> tuple[float, float]:
    """Lowest and highest value of a map; napari refuses equal limits, so a constant map gets a span of one."""
    low, high = float(data.min()), float(data.max())
    return (low, high) if high > low else (low, low + 1.0)


def tag(layer) -> dict:
    """What :data:`KEY` says of a layer; empty for layers that are not ours."""
    found = layer.metadata.get(KEY, {})
    return found if isinstance(found, dict) else {}


def add(viewer, layer_tuples) -> list:
    """Add layer tuples to a viewer; returns the layers."""
    from napari.layers import Layer

    layers = [Layer.create(*layer_tuple) for layer_tuple in layer_tuples]
    for layer in layers:
        viewer.add_layer(layer)
    return layers


def show(some, visible: bool) -> None:
    """Show or hide layers; napari puts its scene together anew for each that is set, be it as it was."""
    for layer in some:
        if layer.visible != visible:
            layer.visible = visible


def _title(path: Path | str) -> str:
    """A run by its folder, arrows by theirs (all are called motion.csv), a text by itself."""
    path = Path(path).resolve()
    return path.parent.name if path.suffix == ".csv" else path.stem


def _load(path: str, shape: tuple[int, int, int]) -> np.ndarray:
    from hetero.errors import HeteroError
    from hetero.maps import read_map
    from napari_hetero.map_cache import MAPS

    data = MAPS.get(path, lambda: read_map(path)).data
    if data.shape != shape:
        raise HeteroError(f"{path} has shape {data.shape}, the other maps of its folder have {shape}.")
    return data
