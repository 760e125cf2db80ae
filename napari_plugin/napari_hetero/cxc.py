"""The present view as a ChimeraX script (.cxc): the map at its level, the ticked blocks, the arrows, the camera.

Knows no Qt, and the script needs no bundle of ours.
"""

import math
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.files import atomic_path
from napari_hetero import meshes, view

_SHORTEST = 0.01  # Å
FIELD_OF_VIEW = 30.0  # degrees, across; ChimeraX's own


def write_cxc(path: Path | str, session) -> list[Path]:
    """Write the script, and beside it the arrows, and the map where it lies in no file; answers with all that was
    written.

    Args:
        path: ``.cxc``.
        session: a :class:`napari_hetero.session.Session`.

    Raises:
        HeteroError: nothing is shown, or the script cannot be written there.
    """
    path = Path(path)
    if session.ensemble is None or session.problem:
        raise HeteroError(session.problem or "No map is shown; open a folder of maps or a run first.")
    if not path.absolute().parent.is_dir():
        raise HeteroError(f"Cannot write {path}: its folder is not there.")
    model, written = session.ensemble, [path]
    source = model.path
    if source is None:
        from hetero.maps import write_map

        source = path.with_name(f"{path.stem}_map.mrc")
        write_map(source, model.volume)
        written.append(source)
    lines = [
        f"# {model.title}: {model.name}, from napari (Hetero)",
        "close session",
        f"open {_quoted(source)} name {_word(model.name)}",
        f"volume #1 style surface step 1 level {model.level().value:.6g} color {_hex(meshes.BASE)}",
    ]
    if session.blocks is not None and not session.misfit:
        lines += _block_lines(session.blocks)
    arrows = _arrows(session)
    if arrows:
        drawn = path.with_name(f"{path.stem}_arrows.bild")
        with atomic_path(drawn) as temporary:
            temporary.write_text("\n".join(arrows) + "\n", encoding="utf-8")
        written.append(drawn)
        lines.append(f"open {_quoted(drawn)}")
    lines += _camera_lines(session.viewer)
    lines += ["lighting soft", "set bgColor black"]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


def _block_lines(model) -> list[str]:
    """The ticked blocks that are files of their own, as clear surfaces in their colours."""
    from hetero.maps import list_maps, map_name

    files = {map_name(file): file for file in list_maps(model.folder)}
    lines, number = [], 2
    for name, color, shown in zip(model.blocks.names, model.blocks.colors, model.shown, strict=True):
        if shown and name in files:
            lines += [
                f"open {_quoted(files[name])} name {_word(name)}",
                f"volume #{number} style surface step 1 level 0.5 color {color} transparency 0.6",
            ]
            number += 1
    return lines


def _arrows(session) -> list[str]:
    """The arrows on screen in ChimeraX's BILD format, x y z, as long and in the colours that they have here."""
    lines = []
    for layer in session.layers_of("arrows"):
        if not layer.visible:
            continue
        starts = np.asarray(layer.data[:, 0]) + layer.translate
        ends = starts + layer.data[:, 1]
        width = float(layer.edge_width) / 2
        for start, end, color in zip(starts[:, ::-1], ends[:, ::-1], layer.edge_color, strict=True):
            if np.linalg.norm(end - start) < _SHORTEST:  # ChimeraX draws no arrow without a length
                continue
            places = " ".join(f"{number:.3f}" for number in (*start, *end))
            lines += [
                ".color " + " ".join(f"{part:.3f}" for part in color[:3]),
                f".arrow {places} {width:.3g} {2.5 * width:.3g}",
            ]
    return lines


def _camera_lines(viewer) -> list[str]:
    """ChimeraX's camera looks along its own -z; its matrix has x, y, z of the camera and its place as columns."""
    seen_by = view.camera(viewer)
    ahead, up = (np.array(v, dtype=float)[::-1] for v in (seen_by.view_direction, seen_by.up_direction))
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, up)
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    centre = np.array(seen_by.center, dtype=float)[::-1][:3]
    across = max(view.canvas_size(viewer)) / seen_by.zoom  # Å
    place = centre - ahead * across / (2 * math.tan(math.radians(FIELD_OF_VIEW / 2)))
    matrix = np.column_stack([right, up, -ahead, place])
    numbers = ",".join(f"{number:.6g}" for number in matrix.ravel())
    return [
        f"camera mono fieldOfView {FIELD_OF_VIEW:g}",
        f"view matrix camera {numbers}",
        "cofr " + ",".join(f"{number:.6g}" for number in centre),
    ]


def _quoted(path: Path) -> str:
    return '"' + str(Path(path).resolve()) + '"'


def _word(name: str) -> str:
    return '"' + name.replace('"', "'") + '"'


def _hex(color) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)
