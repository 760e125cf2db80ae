"""The worker's ``peek``: the map of one latent, at its level, quickly."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hetero.commands.named_latent import NamedLatent
from hetero.commands.warm_run import warm_run
from hetero.errors import HeteroError
from hetero.latent import View
from hetero.maps import Volume, write_map
from hetero.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class Settings(NamedLatent):
    """The map of one latent.

    Attributes:
        run: Folder of a run.
        out: Map to write.
        level: Choose a level for the map too.
        epoch, apix, box, low_pass, flip, invert: As for decode.
    """

    run: Path
    out: Path
    level: bool = True
    epoch: int | None = None
    apix: float | None = None
    box: int | None = None
    low_pass: float | None = None
    flip: bool = False
    invert: bool = False


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{z, scores, nearest, distance, beyond, level, level_error, shape, apix, origin, name, out, seconds}``.

    ``scores`` are its places along the components, ``nearest`` is a particle's number, ``distance`` and ``beyond`` as
    in :class:`hetero.latent.nearby.Neighbour` (null for a homogeneous model); ``level`` is null where none was asked
    for or none can be chosen (``level_error``).

    Raises:
        HeteroError: no run, no latent or two, or one that the run does not have.
    """
    began = time.perf_counter()
    warm = warm_run(settings.run, settings.epoch, settings.apix)
    model = warm.run
    z = settings.of(warm)
    opened = time.perf_counter()
    (volume,) = model.decode(z[None], View(settings.box, settings.low_pass, settings.flip, settings.invert))
    decoded = time.perf_counter()
    level, error = _level(volume) if settings.level else (None, None)
    write_map(settings.out, volume)
    return {
        **warm.place_of(z),
        "level": level,
        "level_error": error,
        "shape": list(volume.data.shape),
        "apix": volume.apix.tolist(),
        "origin": volume.origin.tolist(),
        "name": settings.title,
        "out": str(settings.out),
        "seconds": {"open": opened - began, "decode": decoded - opened, "rest": time.perf_counter() - decoded},
    }


def _level(volume: Volume) -> tuple[float | None, str | None]:
    from hetero.level import predict_level

    try:
        return float(predict_level(volume).level), None
    except HeteroError as error:
        return None, str(error)


def describe(result: dict[str, Any]) -> str:
    """Where the map is, and how near the data."""
    return f"{result['name']}: {result['out']}"
