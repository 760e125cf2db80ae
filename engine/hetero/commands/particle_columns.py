"""Columns of tables that have a row a particle, in the order of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hetero.errors import HeteroError
from hetero.foreign import read_csv
from hetero.latent import Run

_MOST_CLASSES = 30


@dataclass(frozen=True, eq=False)
class Column:
    """A number of every particle, from a table.

    Attributes:
        values: ``(n,)`` float32 in the run's order; NaN where the table has none. Of classes, their place in
            ``classes``.
        classes: names, where there are a few distinct values; else empty.
    """

    values: np.ndarray
    classes: tuple[str, ...] = ()


def columns_of(path: Path | str, run: Run) -> dict[str, Column]:
    """The columns of a table of particles (.csv with a column ``particle``, or an occupancy .npz).

    Raises:
        HeteroError: no such table, or one without any of this run's particles.
    """
    path = Path(path)
    table = _read_table(path)
    place = pd.Index(run.particle_index)
    known = table.index.isin(place)
    if not known.any():
        raise HeteroError(
            f"{path} names none of the {len(run):,} particles of {run.folder}; a table of this run's particles was "
            "expected."
        )
    table = table[known].reindex(place)
    return {str(name): _column(table[name]) for name in table.columns}


def _read_table(path: Path) -> pd.DataFrame:
    if path.suffix.lower() == ".npz":
        from hetero.occupancy import read_occupancy

        table = read_occupancy(path)
    else:
        table = read_csv(path)
        if "particle" not in table:
            found = ", ".join(map(str, table.columns[:5]))
            raise HeteroError(f"{path} has the columns {found}; one of particle numbers, 'particle', was expected.")
        table = table.set_index("particle")
    if table.index.name != "particle" or table.index.has_duplicates:
        raise HeteroError(f"{path} has no row a particle; each particle's number once was expected.")
    return table


def _column(cells: pd.Series) -> Column:
    numbers = pd.to_numeric(cells, errors="coerce")
    known = cells.dropna()
    whole = numbers.notna().sum() == len(known) and np.equal(np.mod(numbers.dropna(), 1), 0).all()
    if numbers.notna().sum() == len(known) and not (whole and known.nunique() <= _MOST_CLASSES):
        return Column(numbers.to_numpy(np.float32))
    codes, classes = pd.factorize(numbers if whole else cells, sort=True)
    names = tuple(f"{c:g}" if whole else str(c) for c in classes)
    return Column(np.where(codes < 0, np.nan, codes).astype(np.float32), names)
