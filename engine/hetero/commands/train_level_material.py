"""What ``hetero train-level`` learns from: structures and labelled maps, to train on and held out."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import hetero
from hetero.errors import HeteroError
from hetero.level.plan import TrainingPlan
from hetero.maps import read_structure
from hetero.maps.structures import is_structure_path
from hetero.progress import Progress, silent

if TYPE_CHECKING:
    from hetero.commands.train_level import Settings

_FEWEST_TO_HOLD_OUT = 10  # labelled maps; of fewer all are learned


@dataclass(frozen=True)
class Material:
    """Structures to train on and held out, labelled maps to train on and held out (kept)."""

    training: list
    held_out: list
    labelled: list
    kept: list


def job_of(settings: "Settings", material: Material) -> dict[str, Any]:
    """What tells one training from another; the number of threads and processes does not."""
    values = dataclasses.asdict(settings) | {"start": sha256_of(settings.start), "hetero": hetero.__version__}
    names = [one.name for one in (*material.training, *material.held_out)]
    maps = [str(one.path) for one in (*material.labelled, *material.kept)]
    values = {name: value for name, value in values.items() if name not in ("out", "threads", "processes")}
    return values | {"verb": "train-level", "of": hashlib.sha256(repr((names, maps)).encode()).hexdigest()[:16]}


def split_material(settings: "Settings", structures: list) -> Material:
    """Structures to train on and held out, labelled maps to train on and held out."""
    from hetero.level.examples import split_structures
    from hetero.level.labels import read_emdb_folder, read_labels

    training, held_out = split_structures(structures, TrainingPlan.held_out, settings.seed) if structures else ([], [])
    labelled = read_labels(settings.labels) if settings.labels else []
    labelled += read_emdb_folder(settings.emdb) if settings.emdb else []
    away = round(TrainingPlan.held_out * len(labelled)) if len(labelled) >= _FEWEST_TO_HOLD_OUT else 0
    order = np.random.default_rng([settings.seed, 7]).permutation(len(labelled))
    kept = [labelled[i] for i in sorted(order[:away])]
    return Material(training, held_out, [labelled[i] for i in sorted(order[away:])], kept)


def start_path(start: str) -> Path:
    """The weights file that ``--from`` names."""
    from hetero.level.predict import PACKAGED_WEIGHTS

    return PACKAGED_WEIGHTS if start == "packaged" else Path(start)


def sha256_of(start: str | None) -> str | None:
    """Of that file; None without one."""
    return hashlib.sha256(start_path(start).read_bytes()).hexdigest() if start else None


def read_structures(folder: Path, progress: Progress = silent) -> list:
    """All structures of a folder, in the order of their names.

    Raises:
        HeteroError: not a folder, or fewer than three structures in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise HeteroError(f"{folder} is not a folder; a folder of PDB or mmCIF files was expected.")
    paths = sorted(path for path in folder.iterdir() if is_structure_path(path))
    structures = []
    for i, path in enumerate(paths):
        progress(i, len(paths), f"reading {path.name}")
        structures.append(read_structure(path))
    if len(structures) < 3:
        raise HeteroError(f"{folder} holds {len(structures)} structures; at least 3 were expected.")
    return structures
