"""Gaussians and their motion as a viewer looks at them: arrows from a file or a run, and the Gaussians at a latent."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from hetero.commands.motion import ARROWS, Settings, motion_path
from hetero.errors import HeteroError
from hetero.foreign import read_csv
from hetero.gmm import PROGRAMS, GaussianModel, read_gui_folder, read_model
from hetero.gmm.motion import motion_between
from hetero.latent import Run
from hetero.maps import Volume, grid_text

__all__ = ["PROGRAMS", "Arrows", "arrows_along", "gaussians_at", "read_arrows", "read_gaussians", "read_gui_folder"]

_COLUMNS = ["x", "y", "z", "dx", "dy", "dz"]


@dataclass(frozen=True, eq=False)
class Arrows:
    """Where Gaussians are and how far they move.

    Attributes:
        centres: ``(g, 3)`` Å along z, y, x in the map's frame.
        displacements: ``(g, 3)`` Å.
        inside: ``(g,)`` bool, the region they were made for; None without one.
    """

    centres: np.ndarray
    displacements: np.ndarray
    inside: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """``(g,)`` Å."""
        return np.linalg.norm(self.displacements, axis=1)

    @property
    def apart(self) -> float:
        """Å from a Gaussian to the next one, median; infinite for a single one."""
        return float(np.median(KDTree(self.centres).query(self.centres, 2)[0][:, -1]))


def read_arrows(path: Path | str) -> Arrows:
    """Arrows of a ``motion.csv``, or of a folder of ``hetero motion``.

    Raises:
        HeteroError: no such table, or a number that is none.
    """
    path = Path(path)
    path = path / ARROWS if path.is_dir() else path
    table = read_csv(path, "a table of arrows")
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        raise HeteroError(f"{path} has no column {missing[0]}; a motion.csv (x, y, z, dx, dy, dz) was expected.")
    numbers = table[_COLUMNS].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    wrong = ~np.isfinite(numbers).all(axis=1)
    if wrong.any() or not len(numbers):
        what = f"no number in row {np.argmax(wrong) + 1}" if len(numbers) else "no rows"
        raise HeteroError(f"{path} has {what}; an arrow a row, in Å, was expected.")
    inside = table["inside"].to_numpy() == 1 if "inside" in table else None
    return Arrows(numbers[:, 2::-1], numbers[:, :2:-1], inside)


def read_gaussians(path: Path | str, program: str | None = None, grid: Volume | None = None) -> GaussianModel:
    """A model from its text; where that does not say in which box it lies (EMAN2's), in that of a map.

    Args:
        program: that wrote it, one of :data:`PROGRAMS`; not needed for a text of ours.
        grid: the map; not needed for a text of ours.

    Raises:
        HeteroError: as :func:`hetero.gmm.read_model`, or a map that is no cube.
    """
    ours = read_model(path) if _is_ours(path) else None
    if ours is not None or grid is None:
        return ours or read_model(path, program)
    if len(set(grid.shape)) > 1 or np.ptp(grid.apix) > 1e-3 * grid.apix.max():
        raise HeteroError(f"{grid.name} ({grid_text(grid)}) is no cube; EMAN2's Gaussians are shares of a cubic box.")
    model = read_model(path, program, grid.shape[0], float(grid.apix[0]))
    return replace(model, centres=model.centres + grid.origin, origin=grid.origin)


def arrows_along(run: Run, n: int, component: int = 1, ends: tuple | None = None) -> tuple:
    """The arrows of ``hetero motion``, and ``(n, zdim)`` latents along the way.

    Args:
        run: of ``hetero train-gmm``.
        n: points along the way.
        component: which principal component, from 1.
        ends: two latents in its place.

    Raises:
        HeteroError: as ``hetero motion``.
    """
    if run.system != "gmm":
        raise HeteroError(f"{run.folder} is a run of '{run.system}'; one of hetero train-gmm has Gaussians that move.")
    values: dict[str, Any] = {"component": component, "steps": n}
    if ends is not None:
        values |= {"start": tuple(map(float, ends[0])), "end": tuple(map(float, ends[1]))}
    path, _ = motion_path(Settings(run=run.folder, out=run.folder, **values), run, None)
    motion = motion_between(run.decoder, path[0], path[-1])
    return Arrows(motion.centres, motion.displacements), path


def gaussians_at(run: Run, z: np.ndarray) -> GaussianModel:
    """The Gaussians of a latent ``(zdim,)`` of a run of ``hetero train-gmm``."""
    return next(run.decoder.models(z))


def _is_ours(path: Path | str) -> bool:
    try:
        with open(path, encoding="utf-8") as text:
            return text.readline().startswith("# hetero gaussians")
    except (OSError, UnicodeDecodeError):
        return False
