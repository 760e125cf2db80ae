"""Which volume stands for each particle."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from hetero.earlier import note
from hetero.errors import HeteroError
from hetero.foreign import read_csv, read_npy
from hetero.latent import Run
from hetero.maps import map_name, read_table

ASSIGNMENT = "assignment.csv"
"""What verbs that make a volume for many particles call the table of these."""


def read_assignment(path: Path, volumes: pd.Index) -> pd.Series:
    """Volume name of each particle, indexed by ``particle``.

    A ``.csv`` names the volumes. K-means labels as cryoDRGN keeps them (``.pkl``, ``.npy``: a number from 0 for each
    particle) are joined by the number that each volume's name ends with; cryoDRGN counts volumes from 0 or from 1.

    Args:
        path: the file.
        volumes: names that are known.

    Raises:
        HeteroError: no such file, other volumes, or numbers that do not fit the labels one to one.
    """
    if not path.is_file():
        raise HeteroError(f"{path} is not there; a table of particles and their volumes was expected.")
    if path.suffix.lower() == ".csv":
        return _named(path, volumes)
    labels = _labels(path)
    names = _by_number(path, volumes, int(labels.max()) + 1)
    return pd.Series(names[labels], index=pd.RangeIndex(len(labels), name="particle"), name="name")


def write_assignment(path: Path, particles: np.ndarray, volumes: np.ndarray) -> None:
    """A table that :func:`read_assignment` reads: ``(n,)`` particle numbers and names of their volumes."""
    pd.DataFrame({"particle": particles, "name": volumes}).to_csv(path, index=False)
    note(path)


def nearest_volumes(run: Run, path: Path, volumes: pd.Index) -> pd.Series:
    """Volume name of each particle of a run: the one nearest to it in latent space, indexed by ``particle``.

    Args:
        run: trained model.
        path: ``ensemble.csv`` with columns ``z1``, ``z2`` ...
        volumes: names to choose from.

    Raises:
        HeteroError: a volume whose latent is not there.
    """
    table = read_table(path)
    columns = [f"z{i}" for i in range(1, run.zdim + 1)]
    missing = [c for c in columns if c not in table]
    if missing or f"z{run.zdim + 1}" in table or not run.zdim:
        raise HeteroError(f"{path} does not hold the {run.zdim} latents of {run.folder} as columns z1 to z{run.zdim}.")
    centers = table[columns].apply(pd.to_numeric, errors="coerce").reindex(volumes)
    unknown = centers.index[centers.isna().any(axis=1)]
    if len(unknown):
        raise HeteroError(f"{path} has no latent for {len(unknown)} of {len(volumes)} volumes ({unknown[0]} is one).")
    _, nearest = cKDTree(centers.to_numpy(float)).query(run.latents)
    return pd.Series(volumes.to_numpy()[nearest], pd.Index(run.particle_index, name="particle"), name="name")


def _named(path: Path, volumes: pd.Index) -> pd.Series:
    table = read_csv(path, dtype={"name": str})
    if not {"particle", "name"} <= set(table.columns):
        found = ", ".join(map(str, table.columns))
        raise HeteroError(f"{path} has the columns {found}; particle and name were expected.")
    if table["particle"].dtype.kind != "i" or (table["particle"] < 0).any() or table["particle"].duplicated().any():
        raise HeteroError(f"{path} does not number its particles; whole numbers from 0, each once, were expected.")
    names = table["name"].map(map_name, na_action="ignore")
    unknown = names[~names.isin(volumes)]
    if len(unknown):
        raise HeteroError(
            f"{path} gives {len(unknown):,} particles volumes that the table of occupancies does not have "
            f"({unknown.iloc[0]} is one)."
        )
    return pd.Series(names.to_numpy(), index=pd.Index(table["particle"], name="particle"), name="name")


def _labels(path: Path) -> np.ndarray:
    from hetero.pickles import read_pickles

    try:
        values = (
            read_npy(path, "an array of k-means labels") if path.suffix == ".npy" else np.asarray(read_pickles(path)[0])
        )
    except (OSError, ValueError, EOFError) as error:
        raise HeteroError(f"{path} cannot be read; k-means labels (.npy or .pkl) were expected.") from error
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "iu" or values.min() < 0:
        raise HeteroError(f"{path} holds no list of labels; one whole number from 0 for each particle was expected.")
    return values


def _by_number(path: Path, volumes: pd.Index, clusters: int) -> np.ndarray:
    """``(clusters,)`` volume names; cluster k is the volume with the number first + k."""
    ends = [re.search(r"(\d+)$", name) for name in volumes]
    numbers = [int(end[1]) if end else -1 for end in ends]
    first = min(numbers)
    if sorted(numbers) != list(range(first, first + clusters)) or first not in (0, 1):
        raise HeteroError(
            f"{path} has labels of {clusters} clusters, and the {len(volumes)} volumes are numbered {first} to "
            f"{max(numbers)}; a volume for each cluster, numbered from 0 or 1 without a gap, was expected (a .csv with "
            "particle and name says it without numbers)."
        )
    order = np.argsort(numbers)
    return np.asarray(volumes, dtype=object)[order]
