"""The worker's ``peek``: the map of one latent, at its level, quickly."""

import math
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands import check_range
from hetero.commands.decode import rows_of
from hetero.commands.particle_occupancy import read_numbers
from hetero.commands.warm_run import WarmRun, warm_run
from hetero.errors import HeteroError
from hetero.latent import View
from hetero.maps import Volume, write_map
from hetero.progress import Progress, silent

_PLACE = re.compile(r"(pc|z)([1-9]\d{0,4})", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """The map of one latent, named in one of five ways.

    Attributes:
        run: Folder of a run.
        out: Map to write.
        z: zdim numbers.
        at: Places along components or numbers of the latent, {"PC1": 0.5, "PC3": -1} or {"z2": 1}; the others stand
            at the particles' mean.
        particle: A row of the particle file, counted from 0.
        center: A cluster of k-means: its particle nearest to the mean.
        clusters: How many clusters there are.
        mean_of: A file of particle numbers: the mean of their latents.
        level: Choose a level for the map too.
        epoch, apix, box, flip, invert: As for decode.
    """

    run: Path
    out: Path
    z: tuple[float, ...] = ()
    at: dict[str, float] = field(default_factory=dict)
    particle: int | None = None
    center: int | None = None
    clusters: int = 20
    mean_of: Path | None = None
    level: bool = True
    epoch: int | None = None
    apix: float | None = None
    box: int | None = None
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
    z = _latent(settings, warm)
    opened = time.perf_counter()
    (volume,) = model.decode(z[None], View(box=settings.box, flip=settings.flip, invert=settings.invert))
    decoded = time.perf_counter()
    near = warm.nearby.of(z) if model.zdim else None
    level, error = _level(volume) if settings.level else (None, None)
    write_map(settings.out, volume)
    return {
        "z": z.tolist(),
        "scores": warm.components.scores(z[None])[0].tolist() if model.zdim else [],
        "nearest": None if near is None else int(model.particle_index[near.row]),
        "distance": None if near is None else near.distance,
        "beyond": None if near is None else near.beyond,
        "level": level,
        "level_error": error,
        "shape": list(volume.data.shape),
        "apix": volume.apix.tolist(),
        "origin": volume.origin.tolist(),
        "name": _name(settings),
        "out": str(settings.out),
        "seconds": {"open": opened - began, "decode": decoded - opened, "rest": time.perf_counter() - decoded},
    }


def _latent(settings: Settings, warm: WarmRun) -> np.ndarray:
    """``(zdim,)`` the latent that was named."""
    model = warm.run
    given = [bool(settings.z), bool(settings.at)]
    given += [x is not None for x in (settings.particle, settings.center, settings.mean_of)]
    if not model.zdim:
        if any(given):
            raise HeteroError(f"{model.folder} is a homogeneous model: it has a single map and takes no latents.")
        return np.zeros(0, np.float32)
    if sum(given) != 1:
        raise HeteroError("One of z, at, particle, center and mean_of was expected, to say what is decoded.")
    if settings.at:
        return _at(settings.at, warm)
    if settings.particle is not None:
        return model.latents[rows_of(model, np.array([settings.particle]))[0]]
    if settings.center is not None:
        check_range("The number of clusters", settings.clusters, 1, 10_000)
        check_range("The cluster", settings.center, 0, settings.clusters - 1)
        return model.latents[warm.clusters(settings.clusters).nearest[settings.center]]
    if settings.mean_of is not None:
        rows = rows_of(model, np.asarray(read_numbers(settings.mean_of, int(model.particle_index.max()) + 1)))
        return model.latents[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
    if len(settings.z) != model.zdim:
        raise HeteroError(
            f"A latent of {len(settings.z)} numbers was given; {model.folder} has latents of {model.zdim}."
        )
    return np.array(settings.z, dtype=np.float32)


def _at(places: dict[str, float], warm: WarmRun) -> np.ndarray:
    kinds, numbers = set(), {}
    for name, value in places.items():
        match = _PLACE.fullmatch(name)
        if match is None or int(match[2]) > warm.run.zdim or not math.isfinite(value):
            raise HeteroError(
                f"{name} = {value:g} is no place in {warm.run.folder}; PC1 to PC{warm.run.zdim} or z1 to "
                f"z{warm.run.zdim} and a number were expected."
            )
        kinds.add(match[1].lower())
        numbers[int(match[2]) - 1] = value
    if len(kinds) > 1:
        raise HeteroError("Components (PC1 ...) and numbers of the latent (z1 ...) cannot both say where a point is.")
    if kinds == {"z"}:
        z = warm.components.mean.astype(np.float32)
        z[list(numbers)] = list(numbers.values())
        return z
    scores = np.zeros((1, warm.run.zdim))
    scores[0, list(numbers)] = list(numbers.values())
    return warm.components.latents(scores)[0]


def _level(volume: Volume) -> tuple[float | None, str | None]:
    from hetero.level import predict_level

    try:
        return float(predict_level(volume).level), None
    except HeteroError as error:
        return None, str(error)


def _name(settings: Settings) -> str:
    if settings.particle is not None:
        return f"particle {settings.particle}"
    if settings.center is not None:
        return f"center {settings.center}"
    if settings.mean_of is not None:
        return "mean"
    if settings.at:
        return ", ".join(f"{name} {value:.3g}" for name, value in settings.at.items())
    return "z " + ",".join(f"{x:.3g}" for x in settings.z) if settings.z else "map"


def describe(result: dict[str, Any]) -> str:
    """Where the map is, and how near the data."""
    return f"{result['name']}: {result['out']}"
