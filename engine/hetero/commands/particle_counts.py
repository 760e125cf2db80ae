"""How many particles each row of an occupancy table stands for."""

from pathlib import Path

import numpy as np
import pandas as pd

from hetero.errors import HeteroError
from hetero.maps import read_table
from hetero.maps.ensemble import TABLE


def read_counts(ensemble: Path | None, table: pd.DataFrame, path: Path) -> np.ndarray | None:
    """``(n,)`` column ``n_particles`` of ``ensemble.csv`` for the rows of ``table``, joined by name.

    Args:
        ensemble: folder or its table; None for one particle each.
        table: of occupancies.
        path: of that table, for messages.

    Raises:
        HeteroError: rows that are particles, no such column, or volumes that it does not count.
    """
    if ensemble is None:
        return None
    if table.index.name != "name":
        raise HeteroError(f"{path} has a row for each particle; counts of {ensemble} are for tables of volumes.")
    source = ensemble / TABLE if ensemble.is_dir() else ensemble
    if not source.is_file():
        raise HeteroError(f"{source} is not there; a table with the column n_particles was expected.")
    counts = read_table(source)
    if "n_particles" not in counts:
        raise HeteroError(f"{source} has no column n_particles; it has {', '.join(map(str, counts.columns))}.")
    joined = pd.to_numeric(counts["n_particles"], errors="coerce").reindex(table.index)
    wrong = joined.index[~(joined >= 0)]
    if len(wrong):
        raise HeteroError(
            f"{source} counts no particles for {len(wrong)} of the {len(table)} volumes of {path} ({wrong[0]} is the "
            "first)."
        )
    if joined.sum() == 0:
        raise HeteroError(f"{source} counts no particles at all.")
    return joined.to_numpy(dtype=float)
