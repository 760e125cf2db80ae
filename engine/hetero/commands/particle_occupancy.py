"""``hetero occupancy RUN BLOCKS --particles all``: a row for each particle of a trained run."""

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hetero
from hetero.commands import check_range
from hetero.commands.particle_measurer import ParticleMeasurer
from hetero.commands.resolve_masks import height_under, resolve_masks, warn_of_frame
from hetero.errors import HeteroError
from hetero.files import atomic_path, check_result
from hetero.foreign import read_csv
from hetero.latent import Run, View
from hetero.locks import hold_result
from hetero.maps import list_maps, read_header
from hetero.parallel import map_chunks
from hetero.parts import keep_parts
from hetero.progress import Progress, silent

CHUNK = 256  # particles; a multiple of the level network's batch, so that chunks and folders of maps are batched alike
MODEL_BOX = 64  # box of the maps that a model's chains are measured in, as published


def measure_run(settings, progress: Progress = silent) -> dict[str, Any]:
    """``{units: "particles", n, columns, mean, unlevelled, left_out, out, written}``; numbers go to the table.

    Finished chunks wait in ``OUT.parts`` until all are there; a run that was stopped goes on from them.

    Raises:
        HeteroError: no run, masks on another grid than its maps, particles it does not have, or a level from a table.
    """
    from hetero.commands.open_run import open_run

    _check(settings)
    opener = partial(open_run, settings.folder, settings.epoch, settings.apix)
    run = opener()
    rows = choose_rows(settings.particles, run)
    view = View(box=_box(settings, run), flip=settings.flip, invert=settings.invert)
    grid = next(run.decode(run.latents[:1], view))
    masks = resolve_masks(settings, grid)
    if masks.density is not None:
        warn_of_frame(settings.model, [height_under(grid.data, masks.density)])
    measurer = ParticleMeasurer(opener, rows, masks, _level(settings), view)
    about = {
        "verb": "occupancy",
        "run": str(Path(settings.folder).resolve()),
        "system": run.system,
        "epoch": run.epoch,
        "masks": str(settings.model or settings.blocks),
        "level": settings.level or ("none" if masks.sums is not None else "predict"),
        "view": asdict(view),
        "hetero": hetero.__version__,
    }
    table = measure_particles(measurer, run, settings.out, about, progress, settings.workers, settings.scheduler)
    values = table.to_numpy()
    with np.errstate(invalid="ignore"):
        unlevelled = int(np.isnan(values).all(axis=1).sum())
    known = values[~np.isnan(values).all(axis=1)]
    return {
        "units": "particles",
        "n": len(table),
        "columns": list(masks.names),
        "mean": [None if np.isnan(m) else float(m) for m in known.mean(axis=0)] if len(known) else [],
        "unlevelled": unlevelled,
        "left_out": list(masks.left_out),
        "out": str(settings.out),
        "written": [str(settings.out), str(sidecar(settings.out))],
    }


def measure_particles(
    measurer: ParticleMeasurer,
    run: Run,
    out: Path,
    about: dict[str, Any],
    progress: Progress = silent,
    workers: int | None = 1,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """Measure, chunk by chunk, and write the table and its sidecar (``OUT.json``): whole or not at all.

    Args:
        measurer: what to measure.
        run: that ``measurer`` opens, for its particle numbers.
        out: ``.csv`` or ``.npz``.
        about: plain values for the sidecar; they also tell this work from another's unfinished parts.
        progress: counts particles.
        workers, scheduler: as :func:`hetero.parallel.map_chunks` takes them.
    """
    from hetero.occupancy import write_occupancy

    n = len(measurer.rows)
    chunks = [(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]
    with hold_result(out), keep_parts(f"{out}.parts", about | _digests(measurer, run)) as parts:
        missing = [chunk for chunk in chunks if chunk[0] // CHUNK not in parts]
        done = n - sum(stop - start for start, stop in missing)
        progress(done, n, "measuring particles")
        for (start, stop), values in map_chunks(measurer, missing, workers, scheduler):
            parts.save(start // CHUNK, values)
            done += stop - start
            progress(done, n, "measuring particles")
        values = np.concatenate([parts.load(i) for i in range(len(chunks))])
        particle = pd.Index(run.particle_index[measurer.rows], name="particle")
        table = pd.DataFrame(values, particle, list(measurer.masks.names))
        write_occupancy(out, table)
        whole = {"particles_in_run": len(run), "particles_numbered_to": int(run.particle_index.max())}
        with atomic_path(sidecar(out), keep=True) as temporary:
            temporary.write_text(json.dumps(about | whole, indent=1) + "\n")
    return table


def sidecar(table: Path) -> Path:
    """Where a file of particles says which run it is of, and how it was made."""
    return Path(f"{table}.json")


def choose_rows(particles: str, run: Run) -> np.ndarray:
    """Rows of the run's latents for ``"all"``, or for a file of particle numbers (.csv, .txt, .npy, .pkl).

    Raises:
        HeteroError: no such file, or particles that the run does not have.
    """
    if particles == "all":
        return np.arange(len(run))
    path = Path(particles)
    if not path.is_file():
        raise HeteroError(f"'{particles}' is no choice of particles; all, or a file of particle numbers, was expected.")
    numbers = read_numbers(path, int(run.particle_index.max()) + 1)
    place = pd.Index(run.particle_index).get_indexer(numbers)
    if (place < 0).any():
        strange = numbers[place < 0]
        raise HeteroError(
            f"{path} names {len(strange):,} particles that {run.folder} was not trained on ({strange[0]} is the first)."
        )
    return place


def read_numbers(path: Path, n: int) -> np.ndarray:
    """Particle numbers from 0 to ``n`` - 1: a column ``particle`` (or the only one) of a .csv or .txt; a .npy or .pkl.

    Raises:
        HeteroError: none there, or one beyond the end or given twice.
    """
    if path.suffix.lower() in (".npy", ".pkl"):
        from hetero.particles import read_indices

        return read_indices(path, n)
    table = read_csv(path, "a table of particle numbers")
    if "particle" not in table:
        table = read_csv(path, "a table of particle numbers", header=None, names=["particle"])
    numbers = table["particle"].to_numpy()
    if numbers.dtype.kind != "i" or not len(numbers) or len(np.unique(numbers)) < len(numbers):
        raise HeteroError(f"{path} holds no particle numbers; whole numbers from 0, each once, were expected.")
    if numbers.min() < 0 or numbers.max() >= n:
        wrong = numbers[(numbers < 0) | (numbers >= n)][0]
        raise HeteroError(f"{path} names particle {wrong:,} (counted from 0); there are {n:,}.")
    return numbers


def _check(settings) -> None:
    if settings.out.suffix.lower() == ".npz":
        if not settings.out.absolute().parent.is_dir():
            raise HeteroError(f"Cannot write {settings.out}: its folder is not there.")
        if settings.out.exists():
            from hetero.occupancy import read_occupancy

            read_occupancy(settings.out)  # only a table of ours may be replaced
    else:
        chosen = None if settings.particles == "all" else Path(settings.particles)
        check_result(settings.out, ("particle",), (chosen,))
    beside = sidecar(settings.out)
    if beside.exists():
        try:
            ours = json.loads(beside.read_text()).get("verb") == "occupancy"
        except (ValueError, AttributeError, OSError):
            ours = False
        if not ours:
            raise HeteroError(f"{beside} is there already and is none of ours; it was kept.")
    check_range("The number of workers", 1 if settings.workers is None else settings.workers, 1, 1024)


def _box(settings, run: Run) -> int | None:
    """The box of the blocks, or as published for a model: maps are decoded on the masks' own grid."""
    if settings.blocks is None:
        box = MODEL_BOX
    else:
        paths = list_maps(settings.blocks)
        box = read_header(paths[0]).shape[0] if paths else run.box  # no masks: the next step says so
    return None if box == run.box or (settings.blocks is None and run.box < box) else box


def _level(settings) -> float | None:
    if settings.level in (None, "predict"):
        return None
    try:
        level = float(settings.level)
    except ValueError:
        level = np.nan
    if not np.isfinite(level):
        raise HeteroError(
            f"'{settings.level}' is no level for particles; a number or predict was expected (no table has theirs)."
        )
    return level


def _digests(measurer: ParticleMeasurer, run: Run) -> dict[str, Any]:
    """What else must be the same where unfinished work is gone on with."""

    def digest(*arrays) -> str:
        total = hashlib.sha256()
        for array in arrays:
            total.update(np.ascontiguousarray(array).tobytes())
        return total.hexdigest()[:16]

    masks = measurer.masks
    return {
        "latents": digest(run.latents[measurer.rows], run.particle_index[measurer.rows]),
        "blocks": ",".join(masks.names),
        "voxels": digest(masks.masks, *([] if masks.sums is None else [masks.sums])),
        "chunk": CHUNK,
    }
