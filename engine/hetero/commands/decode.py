"""``hetero decode``: maps of a trained model."""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import hetero
from hetero.commands import POSITIONAL, info
from hetero.commands.open_run import open_run
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.latent import Run, View, point_table, read_points
from hetero.maps import Volume, write_ensemble
from hetero.progress import Progress, silent

MARK = "decode.json"
FOLDER = FolderKind(MARK, ("vol_*.mrc", "ensemble.csv", MARK))


@dataclass(frozen=True)
class Settings:
    """Decode latents of a run to maps: an ensemble folder, with the latents in its ensemble.csv.

    Attributes:
        run: Folder of a run of Hetero's, or one that cryoDRGN wrote.
        out: Folder for vol_000.mrc ... and ensemble.csv.
        z: One latent, or several one after the other: zdim numbers each.
        z_file: File of latents: a row of numbers each, a table with columns z1 ..., or .npy.
        particles: Particles whose latents are decoded, as rows of the particle file counted from 0: 5,17 or 0-9.
        epoch: Which epoch, where the run keeps several, as its file names count; without it the newest.
        apix: Å per voxel at the run's own box, for a run that does not say.
        box: Voxels along each side over the same extent, an even number; without it the run's own.
        low_pass: Å; finer detail is removed.
        flip: The other hand: mirrored along z.
        invert: The other contrast: values change their sign.
        crop: Voxels along each side that are kept around the centre.
    """

    run: Path = field(metadata=POSITIONAL)
    out: Path
    z: tuple[float, ...] = ()
    z_file: Path | None = None
    particles: tuple[int | str, ...] = ()
    epoch: int | None = None
    apix: float | None = None
    box: int | None = None
    low_pass: float | None = None
    flip: bool = False
    invert: bool = False
    crop: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the maps; the answer is ``info``'s on the new folder, with ``run`` and ``run_notes``.

    Raises:
        HeteroError: no run, no latents or several kinds of them, latents of another dimension, particles that the run
            does not have, or a box that makes no sense.
    """
    check_folder(settings.out, FOLDER)
    model = open_run(settings.run, settings.epoch, settings.apix)
    latents, rows = _latents(settings, model)
    view = View(settings.box, settings.low_pass, settings.flip, settings.invert, settings.crop)
    volumes = counted(model.decode(latents, view), len(latents), progress)
    record = {
        "verb": "decode",
        "epoch": model.epoch,
        "settings": dataclasses.asdict(settings),
        "hetero": hetero.__version__,
    }
    with atomic_folder(settings.out, FOLDER) as folder:
        write_ensemble(folder, volumes, point_table(latents, None if rows is None else model.particle_index[rows]))
        (folder / MARK).write_text(json.dumps(record, indent=1, default=str) + "\n")
    return info.run(info.Settings(settings.out)) | {"run": str(model.folder), "run_notes": list(model.notes)}


def describe(result: dict[str, Any]) -> str:
    """What was written, and what had to be assumed about the run."""
    return "\n".join([info.describe(result), *(f"note: {note}" for note in result["run_notes"])])


def counted(volumes: Iterable[Volume], total: int, progress: Progress, what: str = "decoding maps") -> Iterator[Volume]:
    """The volumes as they come, each reported."""
    progress(0, total, what)
    for done, volume in enumerate(volumes, start=1):
        yield volume
        progress(done, total, what)


def _latents(settings: Settings, model: Run) -> tuple[np.ndarray, np.ndarray | None]:
    """The latents asked for, and the rows of the run that they are, if they are particles'."""
    given = [bool(settings.z), settings.z_file is not None, bool(settings.particles)]
    if model.zdim == 0:
        if any(given):
            raise HeteroError(f"{model.folder} is a homogeneous model: it has a single map and takes no latents.")
        return np.zeros((1, 0), np.float32), None
    if sum(given) != 1:
        raise HeteroError("One of --z, --z-file and --particles was expected, to say what is decoded.")
    if settings.z_file is not None:
        return read_points(settings.z_file, model.zdim), None
    if settings.particles:
        rows = rows_of(model, parse_particles(settings.particles))
        return model.latents[rows], rows
    if len(settings.z) % model.zdim:
        raise HeteroError(f"--z has {len(settings.z)} numbers; {model.folder} has latents of {model.zdim}.")
    return np.array(settings.z, dtype=np.float32).reshape(-1, model.zdim), None


def parse_particles(words: tuple[int | str, ...]) -> np.ndarray:
    """``(k,)`` numbers from ``5``, ``"5,17"`` and ``"0-9"``, in the order they come.

    Raises:
        HeteroError: a word that is none of these.
    """
    numbers: list[int] = []
    for word in (part.strip() for given in words for part in str(given).split(",")):
        first, _, last = word.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()) or word.endswith("-"):
            raise HeteroError(f"'{word}' names no particle; a number such as 17, or a range such as 0-9, was expected.")
        if last and int(last) - int(first) >= 10_000_000:
            raise HeteroError(f"'{word}' names more than ten million particles.")
        numbers.extend(range(int(first), int(last or first) + 1))
    try:
        return np.array(numbers, dtype=np.int64)
    except OverflowError:
        raise HeteroError(f"Particle {max(numbers)} was asked for; no file has as many.") from None


def rows_of(model: Run, particles: np.ndarray) -> np.ndarray:
    """``(k,)`` rows of a run's latents for ``particles``, which count rows of the particle file from 0.

    Raises:
        HeteroError: particles that the run was not trained on; names the first.
    """
    there = model.particle_index
    order = np.argsort(there, kind="stable")
    rows = order[np.searchsorted(there, particles, sorter=order).clip(max=len(there) - 1)]
    wrong = np.flatnonzero(there[rows] != particles)
    if len(wrong):
        raise HeteroError(
            f"{model.folder} has no particle {particles[wrong[0]]}; it has {len(there):,}, numbered {there.min()} to "
            f"{there.max()}."
        )
    return rows
