"""`hetero movie`: a series as a film, with the place of each map in the latent space as an inset."""

import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from chimerax.core.commands import BoolArg, Bounded, CmdDesc, FloatArg, Int2Arg, ModelsArg, register
from chimerax.core.commands import run as run_command
from chimerax.core.errors import UserError
from PIL import Image

from ..inset import Inset
from ..models.ensemble import EnsembleModel
from ..models.places import places_of
from ..models.run import open_runs
from ..process import start_process
from .arguments import PathArg
from .select import ColumnsArg

_SHARE = 0.3  # of the picture's height, that the inset takes
_SUPERSAMPLE = 2


def hetero_movie(session, path, series=None, axes=None, frame_rate=10.0, round_trip=False, size=None, inset=True):
    """Write a film (.mp4) of ``series`` (the only one that is open, without it) as the scene is seen; returns its path.

    The maps that `hetero path` made have their run's latent space in a corner, in the plane of ``axes`` (its first two
    components, without it). ``size`` is width and height.

    Raises:
        UserError: no series, axes in which the maps have no place, or no ffmpeg.
    """
    series = _one_series(session, series)
    ffmpeg = _ffmpeg()
    if os.path.splitext(path)[1].lower() != ".mp4":
        raise UserError(f"{path} is no name for a film; one that ends with .mp4 was expected.")
    if not os.access(os.path.dirname(path), os.W_OK):
        raise UserError(f"{path} cannot be written: its folder is not there, or is read-only.")
    width, height = (2 * (pixels // 2) for pixels in (size or session.main_view.window_size))  # H.264 wants even ones
    plot = _inset(session, series, axes, int(_SHARE * height)) if inset else None
    n = len(series.maps)
    shown = series.last_shown_time
    with tempfile.TemporaryDirectory(prefix="hetero_") as folder:
        try:
            for i in range(n):
                session.logger.status(f"hetero movie: map {i + 1} of {n}")
                path_of = [os.path.join(folder, f"{number:05d}.png") for number in (i, 2 * n - 2 - i)]
                _picture(session, series, i, (width, height), plot, path_of[0])
                if round_trip and 0 < i < n - 1:
                    shutil.copyfile(*path_of)
        finally:
            _show(session, series, shown)
            session.logger.status("")
        frames = len(os.listdir(folder))
        _encode(ffmpeg, folder, frame_rate, path)
    session.logger.info(f"{path}: {frames} frames of {width} x {height} pixels, {frame_rate:g} a second")
    return path


def _one_series(session, models):
    models = session.models.list() if models is None else models
    found = [model for model in models if isinstance(model, EnsembleModel)]
    if len(found) != 1:
        raise UserError(
            f"{len(found) or 'No'} series {'is' if not found else 'are'} there; say which with 'series #2'."
        )
    if None in found[0].maps:
        raise UserError(f"Some maps of {found[0]} were closed; a whole series was expected.")
    return found[0]


def _inset(session, series, axes, size):
    """The Inset of the run that the maps come from; None where they come from none."""
    run = next((run for run in open_runs(session) if run.point_of(series.maps[0]) is not None), None)
    if run is None:
        if axes is not None:
            raise UserError(
                f"{series} was not decoded from a run that is open, so it has no place in its latent space."
            )
        return None
    places = places_of(session, run)
    names = [places.name_of(name) for name in axes or (places.names[:2] if run.zdim > 1 else ("PC1", "PC1"))]
    points = [run.point_of(volume) for volume in series.maps]
    way = [[None if point is None else point.coordinate(name) for name in names] for point in points]
    if any(None in place for place in way):
        raise UserError(
            f"Maps have no place along {' and '.join(names)}; components (PC1) or numbers (z1) were expected."
        )
    columns = [places.column(name) for name in names]
    return Inset(*columns, np.array(way), [places.title(name) for name in names], size)


def _picture(session, series, i, size, plot, path):
    """One frame, as a file."""
    _show(session, series, i)
    words = f'save "{path}" width {size[0]} height {size[1]} supersample {_SUPERSAMPLE}'
    run_command(session, words, log=False)
    if plot is not None:
        with Image.open(path) as saved:
            image = saved.convert("RGB")
        corner = plot.frame(i)
        margin = corner.height // 12
        image.paste(corner, (size[0] - corner.width - margin, size[1] - corner.height - margin))
        image.save(path)


def _show(session, series, i):
    run_command(session, f"vseries play {series.atomspec} jumpTo {i}", log=False)
    series.maps[i].update_drawings()  # the surface, now and not at the next frame


def _ffmpeg():
    """Path of ChimeraX's own ffmpeg, or of another on the PATH.

    Raises:
        UserError: there is none.
    """
    beside = os.path.dirname(os.path.realpath(sys.executable))
    found = shutil.which("ffmpeg", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if found is None:
        raise UserError("No ffmpeg was found, which makes films of pictures; ChimeraX brings one along.")
    return found


def _encode(ffmpeg, folder, frame_rate, path):
    """H.264 at a quality that shows no blocks, playable everywhere.

    Raises:
        UserError: ffmpeg's last words.
    """
    film = os.path.join(folder, "film.mp4")
    words = [ffmpeg, "-loglevel", "error", "-framerate", f"{frame_rate:g}", "-i", os.path.join(folder, "%05d.png")]
    words += ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", film]
    process = start_process(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, complaints = process.communicate()
    if process.returncode:
        last = (complaints.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"{path} was not made: {last[:200].rstrip('.')}.")
    try:
        shutil.move(film, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}).") from error


def register_command(name, logger):
    """Register `hetero movie`."""
    description = CmdDesc(
        required=[("path", PathArg)],
        keyword=[
            ("series", ModelsArg),
            ("axes", ColumnsArg),
            ("frame_rate", Bounded(FloatArg, min=0.1, max=120)),
            ("round_trip", BoolArg),
            ("size", Int2Arg),
            ("inset", BoolArg),
        ],
        synopsis="write a series as a film, with the latent space as an inset",
    )
    register(name, description, hetero_movie, logger=logger)
