"""Tables of occupancies: a row a volume or a particle, a column a block."""

from pathlib import Path

import numpy as np
import pandas as pd

from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.foreign import read_csv, read_npz
from hetero.maps import map_name

VOLUMES, PARTICLES = "name", "particle"
"""The first column, and with it what a row is: a volume's name, or a particle's row in the particle file from 0."""


def read_occupancy(path: Path | str) -> pd.DataFrame:
    """Read a table of occupancies (``.csv``, or ``.npz`` for particles), every column but the first a block.

    Returns:
        Indexed by volume name (``index.name == "name"``) or particle (``"particle"``, int64); float64 columns.

    Raises:
        HeteroError: not there, no such table, rows without names, a name twice, or cells that are not numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise HeteroError(f"{path} is not there; a table of occupancies (.csv or .npz) was expected.")
    table = _read_npz(path) if path.suffix.lower() == ".npz" else _read_csv(path)
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise HeteroError(f"{path} has two rows for {table.index.name} {twice}.")
    if not len(table) or not len(table.columns):
        raise HeteroError(f"{path} has {len(table)} rows of {len(table.columns)} blocks; a filled table was expected.")
    for column in table.columns:
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = table.index[numbers.isna() & table[column].notna()]
        if len(wrong) or not np.isfinite(numbers.dropna()).all():
            where = wrong[0] if len(wrong) else numbers.index[np.isinf(numbers)][0]
            raise HeteroError(f"{path} has {column} of {where} as '{table[column][where]}'; a number was expected.")
        table[column] = numbers.astype(float)
    return table


def write_occupancy(path: Path | str, table: pd.DataFrame) -> None:
    """Write a table as :func:`read_occupancy` reads it; whole or not at all."""
    path = Path(path)
    with atomic_path(path, keep=True) as temporary:
        if path.suffix.lower() == ".npz":
            with open(temporary, "wb") as file:
                np.savez(
                    file,
                    particle=table.index.to_numpy(np.int64),
                    blocks=np.array(table.columns, dtype=str),
                    occupancy=table.to_numpy(np.float64),
                )
        else:
            table.to_csv(temporary, index_label=table.index.name)


def _read_csv(path: Path) -> pd.DataFrame:
    table = read_csv(path, dtype={VOLUMES: str})
    key = table.columns[0] if len(table.columns) else ""
    if key not in (VOLUMES, PARTICLES):
        found = ", ".join(str(c) for c in table.columns[:5])
        raise HeteroError(f"{path} begins with the columns {found}; 'name' or 'particle' was expected first.")
    if table[key].isna().any():
        raise HeteroError(f"{path} has a row without a {key}.")
    if key == VOLUMES:
        table[key] = table[key].map(map_name)
    elif table[key].dtype.kind != "i" or (table[key] < 0).any():
        raise HeteroError(f"{path} has particles that are no whole numbers from 0.")
    return table.set_index(key)


def _read_npz(path: Path) -> pd.DataFrame:
    arrays = read_npz(path, ("particle", "blocks", "occupancy"), "a table of occupancies (.npz)")
    try:
        index = pd.Index(arrays["particle"].astype(np.int64), name=PARTICLES)
        return pd.DataFrame(arrays["occupancy"], index=index, columns=[str(c) for c in arrays["blocks"]])
    except KeyError as error:
        raise HeteroError(
            f"{path} lacks particle, blocks or occupancy; a table of occupancies was expected."
        ) from error
    except (ValueError, TypeError) as error:
        raise HeteroError(f"{path} cannot be read as a table of occupancies (.npz).") from error
