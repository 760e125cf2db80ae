"""Open maps as a folder that the engine reads: each under its name, at the level at which it stands."""

import csv
import os
import shutil
import tempfile

from .ensemble import EnsembleModel
from .grids import map_file, write_grid


def scratch(session):
    """A folder of this session of ChimeraX's, gone when it quits."""
    folder = getattr(session, "_hetero_scratch", None)
    if folder is None or not os.path.isdir(folder):
        folder = session._hetero_scratch = tempfile.mkdtemp(prefix="hetero_session_")
        session.triggers.add_handler("app quit", lambda *_: shutil.rmtree(folder, ignore_errors=True))
    return folder


def stage_maps(session, volumes, folder):
    """Put ``volumes`` into ``folder`` as ``NAME.mrc``, with ensemble.csv; returns name -> volume, in order.

    Maps that are files are linked (copied where links are not allowed). Levels are written where every map has one;
    else the engine predicts them all.
    """
    named, levels = {}, {}
    for volume in volumes:
        name = _free_name(volume.name, named)
        named[name], levels[name] = volume, _level(volume)
        path, source = os.path.join(folder, f"{name}.mrc"), map_file(volume)
        if source is None:
            session.logger.status(f"writing {volume} for the engine")
            write_grid(session, volume.data, path)
        else:
            _link(source, path)
    if None not in levels.values():
        with open(os.path.join(folder, "ensemble.csv"), "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("name", "level"), *levels.items()])
    return named


def _level(volume):
    series = getattr(volume, "series", None)
    if isinstance(series, EnsembleModel):
        return series.level_of(volume)
    return volume.surfaces[0].level if volume.surfaces else None


def _free_name(name, taken):
    """The name as a file can have it, and once only."""
    name = "".join("_" if c in '/\\:*?"<>|\0' else c for c in name).strip(" .") or "map"
    for suffix in (".mrc", ".map"):
        name = name.removesuffix(suffix)
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _link(source, path):
    try:
        os.symlink(source, path)
    except OSError:  # Windows without the right to make links
        shutil.copyfile(source, path)
