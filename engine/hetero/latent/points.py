"""Points of a latent space, from a file."""

from pathlib import Path

import numpy as np
import pandas as pd

from hetero.errors import HeteroError
from hetero.foreign import read_csv, read_npy


def read_points(path: Path | str, zdim: int) -> np.ndarray:
    """Latents, a row each: a table with columns ``z1`` ... , numbers between spaces or commas, or an ``.npy``.

    Returns:
        ``(n, zdim)`` float32.

    Raises:
        HeteroError: not there, not such a file, or rows of another length.
    """
    path = Path(path)
    if not path.is_file():
        raise HeteroError(f"{path} is not there; a file of latents was expected.")
    try:
        points = (
            np.atleast_2d(read_npy(path, f"rows of {zdim} numbers"))
            if path.suffix == ".npy"
            else _read_text(path, zdim)
        )
        points = points.astype(np.float32)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise HeteroError(f"{path} cannot be read as rows of {zdim} numbers.") from error
    if not len(points):
        raise HeteroError(f"{path} holds no latents; rows of {zdim} numbers were expected.")
    if points.ndim != 2 or points.shape[1] != zdim:
        found = f"rows of {points.shape[1]}" if points.ndim == 2 else f"shape {points.shape}"
        raise HeteroError(f"{path} holds {found} numbers; the run has latents of {zdim}.")
    if not np.isfinite(points).all():
        raise HeteroError(f"{path} holds latents that are not numbers (NaN or infinite).")
    return points


def _read_text(path: Path, zdim: int) -> np.ndarray:
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if line.strip() and not line.startswith("#")]
    if not lines:
        return np.zeros((0, zdim))
    names = [word.strip().strip('"') for word in lines[0].split(",")]
    if "z1" in names:
        table = read_csv(path, comment="#")
        return table[[name for name in table if str(name)[:1] == "z" and str(name)[1:].isdigit()]].to_numpy(float)
    return np.array([[float(word) for word in line.replace(",", " ").split()] for line in lines])


def point_table(points: np.ndarray, particles: np.ndarray | None = None) -> pd.DataFrame:
    """A row a latent, indexed by the names that :meth:`hetero.latent.Run.decode` gives their maps.

    Args:
        points: ``(b, zdim)``: the columns ``z1`` ...
        particles: ``(b,)``: the column ``particle``, where the latents are particles'.
    """
    digits = max(3, len(str(len(points) - 1)))
    names = [f"vol_{i:0{digits}d}" for i in range(len(points))]
    table = pd.DataFrame(
        points, index=pd.Index(names, name="name"), columns=[f"z{i + 1}" for i in range(points.shape[1])]
    )
    return table if particles is None else table.assign(particle=particles)
