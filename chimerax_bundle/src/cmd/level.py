"""`hetero level`: every map at its own contour level."""

import os
import tempfile

from chimerax.core.commands import Bounded, CmdDesc, EnumOf, FloatArg, NoArg, register
from chimerax.core.errors import UserError
from chimerax.core.undo import UndoAction
from chimerax.map_series import MapSeries

from ..models.grids import draw_in_script, map_file, write_grid
from ..report import log_table
from ..worker import ask
from .arguments import OpenMapsArg, PathArg, given

METHODS = ("cnn", "percentile", "fdr", "mass")
_MANY = 8  # more maps than this are told in a table
_COLUMNS = ("map", "level", "68 % range", "s.d.", "enclosed \u00c5\u00b3", "kDa", "")


def hetero_level(session, volumes, method=None, share=False, level=None, weights=None, **numbers):
    """Set the surface level of each map: predicted by the engine, or ``level`` (the maps' own values) for all of them.

    ``numbers`` belong to the methods: percentile, fdr, mass; ``weights`` is a file of the cnn's. One undo step.
    Returns the levels, None for a map that has none.

    Raises:
        UserError: contradictory options, no engine, or no map could be levelled.
    """
    numbers = given(**numbers)
    if level is not None and (method is not None or numbers or share or weights is not None):
        raise UserError("A level was given and a method to find one too; give one of the two.")
    if level is not None:
        rows = [{"level": level} for _ in volumes]
    else:
        options = {"method": _method(method, numbers), "share": share, **numbers}
        rows = predict_levels(session, volumes, options | given(weights=weights))
    if all("error" in row for row in rows):
        if len(rows) == 1:
            raise UserError(f"{volumes[0]}: {rows[0]['error']}")
        raise UserError(f"None of the {len(rows)} maps has a level; for {volumes[0]}: {rows[0]['error']}")
    # the window lives on while we wait, so a map may have been closed meanwhile
    pairs = [(volume, row) for volume, row in zip(volumes, rows, strict=True) if not volume.deleted]
    levelled = [(volume, row["level"]) for volume, row in pairs if "error" not in row]
    session.undo.register(SetLevels(levelled))
    for volume, _ in levelled:
        draw_in_script(volume)
    _tell(session, pairs)
    return [row.get("level") for row in rows]


def _method(method, numbers):
    """The method that was said, or the one whose number was given."""
    said = method or next(iter(numbers), "cnn")
    for name in numbers:
        if name != said:
            raise UserError(f"The {said} method takes no {name}; leave it out, or say 'method {name}'.")
    return said


def predict_levels(session, volumes, options):
    """The engine's row for each volume: ``{level, level_sd, enclosed_volume_a3, mass_kda, ...}`` or ``{error}``.

    Maps that are MRC files are read from there; others are written to a temporary folder that is gone afterwards.

    Raises:
        UserError: the worker's one sentence when it could not answer at all.
    """
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        paths = [map_file(volume) for volume in volumes]
        for i, volume in enumerate(volumes):
            if paths[i] is None:
                session.logger.status(f"writing {volume} for the engine")
                paths[i] = os.path.join(folder, f"map_{i}.mrc")
                write_grid(session, volume.data, paths[i])
        rows = ask(session, "level", {"maps": paths, **options})["maps"]
    return [_for_user(row, volume, folder) for row, volume in zip(rows, volumes, strict=True)]


class SetLevels(UndoAction):
    """Setting the levels of maps, done when it is made; undo and redo restore levels, colours and display style."""

    def __init__(self, levelled):
        super().__init__("hetero level")
        self._before = [(volume, _state(volume)) for volume, _ in levelled]
        for volume, level in levelled:
            set_level(volume, level)
        self._after = [(volume, _state(volume)) for volume, _ in levelled]

    def undo(self):
        """Back to what was."""
        _restore(self._before)

    def redo(self):
        """Forward to the levels that were set."""
        _restore(self._after)


def set_level(volume, level):
    """One surface at ``level`` in the colour that the map has; mesh stays mesh, an image becomes a surface."""
    if volume.surfaces:
        color, mesh = volume.surfaces[0].rgba, volume.surfaces[0].show_mesh
    else:
        color, mesh = volume.default_rgba, volume.has_mesh
    options = {} if len(volume.surfaces) == 1 else {"surface_colors": [color]}  # an only surface keeps what it has
    volume.set_parameters(surface_levels=[level], **options)
    volume.set_display_style("mesh" if mesh else "surface")


def _state(volume):
    surfaces = [(s.level, s.rgba, s.display, s.show_mesh) for s in volume.surfaces]
    image = volume.image_shown or volume.image_will_show
    return surfaces, "image" if image else "mesh" if volume.has_mesh else "surface"


def _restore(states):
    for volume, (surfaces, style) in states:
        if volume.deleted:
            continue
        levels, colors = [s[0] for s in surfaces], [s[1] for s in surfaces]
        volume.set_parameters(surface_levels=levels, surface_colors=colors)
        volume.set_display_style(style)  # of a map that was never drawn: ChimeraX chooses its first level when it is
        for surface, (_, _, display, mesh) in zip(volume.surfaces, surfaces, strict=True):
            surface.display, surface.show_mesh = display, mesh


def _for_user(row, volume, folder):
    """The row, with the map's name in place of the temporary file's in its sentence."""
    if "error" in row:
        path = row["path"]
        name = str(volume) if path.startswith(folder) else path
        return {"error": row["error"].replace(path, name)}
    return row


def _tell(session, pairs):
    for volume, row in pairs:
        if "error" in row:
            session.logger.warning(f"{volume} keeps its level: {row['error']}")
    done = [(volume, row) for volume, row in pairs if "error" not in row]
    if any(type(getattr(volume, "series", None)) is MapSeries for volume, _ in done):
        session.logger.info("'vseries play' levels all maps of a series alike; 'hetero open FOLDER' keeps each its own")
    if len(done) <= _MANY:
        for volume, row in done:
            session.logger.info(f"{volume}: level {row['level']:.4g}{_details(row)}")
        return
    session.logger.info(f"levels of {len(done)} maps are set")
    log_table(session, list(_COLUMNS), [[str(v), f"{row['level']:.4g}", *_numbers(row)] for v, row in done])


def _details(row):
    if "level_sd" not in row:
        return ", as given"
    between = f" ({_range(row)} with 68 %)" if "level_low" in row else ""
    far = "; an outlier among these maps" if row.get("outlier") else ""
    return (
        f"{between}, {row['level_sd']:.2f} s.d., encloses {row['enclosed_volume_a3']:,.0f} \u00c5\u00b3"
        f" ({row['mass_kda']:,.0f} kDa){far}"
    )


def _numbers(row):
    if "level_sd" not in row:
        return [""] * (len(_COLUMNS) - 2)
    numbers = [f"{row['level_sd']:.2f}", f"{row['enclosed_volume_a3']:,.0f}", f"{row['mass_kda']:,.0f}"]
    return [_range(row) if "level_low" in row else "", *numbers, "outlier" if row.get("outlier") else ""]


def _range(row):
    return f"{row['level_low']:.4g} to {row['level_high']:.4g}"


def register_command(name, logger):
    """Register `hetero level`."""
    description = CmdDesc(
        required=[("volumes", OpenMapsArg)],
        keyword=[
            ("method", EnumOf(METHODS)),
            ("percentile", Bounded(FloatArg, min=0, max=100)),
            ("fdr", Bounded(FloatArg, min=0, max=1)),
            ("mass", Bounded(FloatArg, min=0)),
            ("share", NoArg),
            ("level", FloatArg),
            ("weights", PathArg),
        ],
        synopsis="predict and set contour levels of maps",
    )
    register(name, description, hetero_level, logger=logger)
