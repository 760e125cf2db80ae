"""`hetero classes`: maps that have the same blocks, in one colour."""

import csv
import os

from chimerax.core.commands import Bounded, CmdDesc, FloatArg, IntArg, NoArg, StringArg, register
from chimerax.core.errors import UserError
from chimerax.core.undo import UndoAction

from ..models.ensemble import EnsembleModel
from ..models.measured import measured_of
from ..models.staging import scratch
from ..palette import class_color, class_rgba
from ..report import log_picture, log_table
from ..worker import ask
from .arguments import OpenMapsArg, PathArg, given
from .occupancy import BlocksArg, last_table
from .runs import RunArg, run_settings


def hetero_classes(session, table=None, color=None, save=None, **options):
    """Sort maps into classes by their occupancies and colour them; returns ``{map name: class}``.

    Coloured are ``color`` (maps, known by their names), or those that `hetero occupancy` measured last; one undo step.
    ``options`` are the engine's: number, height, along (a folder of blocks), chain, stretch, ensemble, run, labels.

    Raises:
        UserError: no table, both a number and a height, or no map of that name.
    """
    settings = _settings(options)
    settings |= {"table": last_table(session, table), "out": save or os.path.join(scratch(session), "classes.csv")}
    named = _maps(session, table, color)
    answer = ask(session, "classes", settings)
    labels = _read(answer["out"])
    if color is not None and not set(named) & set(labels):
        raise UserError(f"None of the {len(named)} maps is named in {settings['table']}, so none is coloured.")
    colored = [(volume, labels[name]) for name, volume in named.items() if name in labels and not volume.deleted]
    along = f" along {answer['chain']}" if answer["chain"] else ""
    session.logger.info(f"{answer['n']} maps in {len(answer['classes'])} classes{along}: {answer['out']}")
    log_table(
        session, ["class", "colour", "maps", "like", "blocks at 0.5 or more"], [_cells(r) for r in answer["classes"]]
    )
    if len(answer["classes"]) == answer["most_tried"]:
        session.logger.info(f"{answer['most_tried']} is the most that was tried; 'number' or 'height' may cut finer")
    if answer["left_out"]:
        session.logger.warning(f"without any number, so of no class: {', '.join(answer['left_out'][:8])}")
    log_picture(session, os.path.splitext(answer["out"])[0] + ".png")
    if colored:
        session.undo.register(ColorMaps(colored))
    return labels


def _settings(options):
    """The engine's settings of those options that were given.

    Raises:
        UserError: two ways to make classes, or a chain of no blocks.
    """
    settings = given(**options)
    if "run" in settings:
        settings |= run_settings(settings["run"])
    if "number" in settings and "height" in settings:
        raise UserError("Both a number of classes and a height were given; give one of the two.")
    if "chain" in settings and "along" not in settings:
        raise UserError("A chain is one of blocks; say of which with 'along', as in 'along #2 chain chain_1'.")
    return settings


class ColorMaps(UndoAction):
    """Maps ``(map, class)`` in their classes' colours, done when it is made; a series keeps them when it plays."""

    def __init__(self, colored):
        super().__init__("hetero classes")
        self._after = [(volume, class_rgba(label), label) for volume, label in colored]
        self._before = [(volume, _color(volume), _class(volume)) for volume, _ in colored]
        self.redo()

    def redo(self):
        """Colour."""
        for change in self._after:
            _paint(*change)

    def undo(self):
        """The colours before."""
        for change in self._before:
            _paint(*change)


def _color(volume):
    return tuple(volume.surfaces[0].rgba) if volume.surfaces else tuple(volume.default_rgba)


def _class(volume):
    series = getattr(volume, "series", None)
    return series.classes.get(volume) if isinstance(series, EnsembleModel) else None


def _paint(volume, rgba, label):
    if volume.deleted:
        return
    series = getattr(volume, "series", None)
    if isinstance(series, EnsembleModel):
        series.classes.pop(volume, None)
        if label is not None:
            series.classes[volume] = label
    volume.set_parameters(surface_colors=[rgba] * len(volume.surfaces), default_rgba=rgba)


def _maps(session, table, color):
    """Name -> map, for the maps that are coloured."""
    if color is not None:
        return {volume.name: volume for volume in color}
    measured = measured_of(session)
    return measured.maps if measured is not None and table in (None, measured.table) else {}


def _read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["name"]: int(row["class"]) for row in csv.DictReader(file)}


def _cells(row):
    swatch = ("swatch", class_color(row["class"]))
    full = [block for block, share in row["occupancy"].items() if share >= 0.5]
    return [str(row["class"]), swatch, str(row["volumes"]), row["representative"], ", ".join(full) or "none"]


def register_command(name, logger):
    """Register `hetero classes`."""
    description = CmdDesc(
        optional=[("table", PathArg)],
        keyword=[
            ("number", Bounded(IntArg, min=1)),
            ("height", Bounded(FloatArg, min=0)),
            ("along", BlocksArg),
            ("chain", StringArg),
            ("stretch", NoArg),
            ("color", OpenMapsArg),
            ("ensemble", PathArg),
            ("run", RunArg),
            ("labels", PathArg),
            ("save", PathArg),
        ],
        synopsis="sort maps into classes by their blocks, and colour them",
    )
    register(name, description, hetero_classes, logger=logger)
