"""``hetero export``: what a run knows of its particles, in other programs' files."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

import hetero
from hetero.commands import POSITIONAL
from hetero.commands.open_run import open_run
from hetero.commands.particle_occupancy import read_numbers
from hetero.commands.select import write_particles
from hetero.commands.selection_sources import Extent, check_extent, check_rows
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, atomic_path, check_folder
from hetero.latent import CHECKPOINT, Run
from hetero.progress import Progress, silent

MARK = "export.json"
LATENTS, INDICES, POSES, CTFS, CONFIG = "latents.csv", "ind.pkl", "poses.pkl", "ctf.pkl", "config.yaml"
LOG = "run.log"
_NUMBERED = ("z.*.pkl", "weights.*.pkl")
FOLDER = FolderKind(
    MARK, (MARK, LATENTS, INDICES, POSES, CTFS, CONFIG, LOG, *_NUMBERED, "particles.star", "particles.cs")
)


@dataclass(frozen=True)
class Settings:
    """Write the particles and latents of a run for cryoDRGN, RELION, cryoSPARC, or as a table.

    Attributes:
        run: Folder of a run of Hetero's, or one that cryoDRGN wrote.
        out: Folder to make.
        format: cryodrgn (config.yaml, weights.N.pkl of our coordinate networks, z.N.pkl, ind.pkl, and with --original
            poses.pkl and ctf.pkl), star or cs (the run's particles from --original, rows as they are), indices
            (ind.pkl), csv (latents.csv); several may be named.
        original: The particle file that the run was trained on.
        poses: cryoDRGN's poses.pkl, in place of those in the original.
        ctf: cryoDRGN's ctf.pkl, in place of those in the original.
        datadir: Folder that the stacks' names start from.
        among: Only these particles: a file of numbers (.csv, .txt, .npy, .pkl), such as a viewer's selection.
        epoch: Which epoch, where the run keeps several; without it the newest.
    """

    run: Path = field(metadata=POSITIONAL)
    out: Path
    format: tuple[Literal["cryodrgn", "star", "cs", "indices", "csv"], ...] = ("cryodrgn", "csv")
    original: Path | None = None
    poses: Path | None = None
    ctf: Path | None = None
    datadir: Path | None = None
    among: Path | None = None
    epoch: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{n, of, zdim, formats, out, written, notes}``.

    Raises:
        HeteroError: no run, an original of other particles or none where one is needed, or no particle left.
    """
    check_folder(settings.out, FOLDER)
    _check_formats(settings)
    model = open_run(settings.run, settings.epoch)
    if not len(model):
        raise HeteroError(f"{settings.run} is a homogeneous model: it has no latents and lists no particles.")
    if model.has_copies and set(settings.format) != {"csv"}:
        raise HeteroError(
            f"{settings.run} has several latents for each particle, its copies under symmetry; particle files list "
            "each once, so --format csv was expected."
        )
    rows = _rows(settings, model)
    particles = model.particle_index[rows]
    opened = _original(settings, model)
    notes: list[str] = list(model.notes)
    with atomic_folder(settings.out, FOLDER) as folder:
        if "csv" in settings.format:
            with atomic_path(folder / LATENTS) as temporary:
                latent_table(model, rows).to_csv(temporary, index_label="particle", float_format="%.7g")
        for kind in ("star", "cs"):
            if kind in settings.format:
                write_particles(folder / f"particles.{kind}", particles, settings.original)
        if {"indices", "cryodrgn"} & set(settings.format):
            write_particles(folder / INDICES, particles)
        if "cryodrgn" in settings.format:
            notes += _write_cryodrgn(folder, settings, model, rows, opened)
        written = sorted(path.name for path in folder.iterdir())
        answer = {
            "n": len(rows), "of": len(model), "zdim": model.zdim, "formats": list(settings.format), "notes": notes,
            "out": str(settings.out), "written": written,
        }  # fmt: skip
        record = {"verb": "export", "settings": dataclasses.asdict(settings), "result": answer}
        (folder / MARK).write_text(json.dumps(record | {"hetero": hetero.__version__}, default=str, indent=1) + "\n")
    return answer


def describe(result: dict[str, Any]) -> str:
    """How many particles, which files, and what could not be written."""
    return "\n".join(
        [
            f"{result['n']:,} of {result['of']:,} particles, {result['zdim']} numbers each",
            *(f"note: {note}" for note in result["notes"]),
            f"written: {', '.join(result['written'])} in {result['out']}",
        ]
    )


def latent_table(model: Run, rows: np.ndarray) -> pd.DataFrame:
    """Columns ``z1`` ... and, where the run knows them, their s.d. ``z1_sd`` ..., indexed by particle."""
    names = [f"z{i}" for i in range(1, model.zdim + 1)]
    table = pd.DataFrame(model.latents[rows], index=model.particle_index[rows], columns=names)
    if model.log_variance is not None:
        sd = np.exp(0.5 * model.log_variance[rows].astype(float))
        table = table.join(pd.DataFrame(sd, index=table.index, columns=[f"{name}_sd" for name in names]))
    return table


def _check_formats(settings: Settings) -> None:
    if not settings.format:
        raise HeteroError("No format was named; cryodrgn, star, cs, indices or csv was expected.")
    original = settings.original
    for kind in ("star", "cs"):
        if kind in settings.format and (original is None or original.suffix.lower() != f".{kind}"):
            found = "none was given" if original is None else f"{original} is another kind of file"
            raise HeteroError(f"A .{kind} file is written from an original of its own kind (--original); {found}.")
    if original is not None and not original.exists():
        raise HeteroError(f"{original} is not there; the original particle file was expected.")


def _rows(settings: Settings, model: Run) -> np.ndarray:
    """Rows of the run that are written, in its order."""
    if settings.among is None:
        return np.arange(len(model))
    named = read_numbers(settings.among, int(model.particle_index.max()) + 1)
    rows = np.flatnonzero(np.isin(model.particle_index, named))
    if not len(rows):
        raise HeteroError(f"None of the {len(model):,} particles of {settings.run} is in {settings.among}.")
    return rows


def _original(settings: Settings, model: Run):
    """The original's particles where cryoDRGN's files are made from them; else only its length is looked at."""
    if settings.original is None:
        return None
    rows = int(model.particle_index.max()) + 1
    extent = Extent(rows, rows == len(model), str(model.folder), model.folder)
    if "cryodrgn" not in settings.format:
        if settings.original.suffix.lower() in (".star", ".cs"):
            check_extent(settings.original, extent)
        return None
    from hetero.particles import open_particles

    particles = open_particles(settings.original, settings.poses, settings.ctf, datadir=settings.datadir)
    check_rows(settings.original, particles.total, extent)
    return particles


def _write_cryodrgn(folder: Path, settings: Settings, model: Run, rows: np.ndarray, particles) -> list[str]:
    """Files as cryoDRGN's own; answers with what could not be written."""
    from hetero.particles import write_ctf, write_poses
    from hetero.pickles import write_pickle

    number = model.epoch or 1
    latents = [model.latents[rows]] if model.log_variance is None else [model.latents[rows], model.log_variance[rows]]
    write_pickle(folder / f"z.{number}.pkl", *(np.array(values) for values in latents))
    notes, names = [], {"ind": INDICES, "particles": None if particles is None else str(particles.path.resolve())}
    if particles is None:
        notes.append("poses.pkl and ctf.pkl were not written: they come from --original.")
    if particles is not None and particles.poses is not None:
        write_poses(folder / POSES, particles.poses, particles.box * particles.stack.apix)
        names["poses"] = POSES
    if particles is not None and particles.ctf is not None:
        write_ctf(folder / CTFS, particles.ctf, particles.box, particles.stack.apix)
        names["ctf"] = CTFS
    if model.system != "drgn":
        notes.append("weights were not written: only coordinate networks of ours have them.")
        return notes
    from hetero.drgn.files import load_checkpoint
    from hetero.drgn.foreign_write import cryodrgn_config, write_config, write_weights

    network, checkpoint = load_checkpoint(model.folder / CHECKPOINT)
    if checkpoint.get("base") is not None:
        notes.append(
            "weights were not written: this network adds to fitted maps, and cryoDRGN's files hold no maps; "
            "a run trained with --base none has weights that it can read."
        )
        return notes
    sd, mean = checkpoint["sd"], checkpoint["mean"]
    write_weights(folder / f"weights.{number}.pkl", network, sd, mean, number)
    # Its `analyze` looks for losses here, and stops where there is no such file.
    (folder / LOG).write_text(f"exported by hetero {hetero.__version__} from {model.folder.resolve()}\n")
    write_config(folder / CONFIG, cryodrgn_config(network, sd, mean, **names))
    return notes
