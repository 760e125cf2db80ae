"""Which particles a local reconstruction is made of: those near a point of a run's latent space."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hetero.commands import check_range
from hetero.commands.selection_sources import Extent, check_rows
from hetero.errors import HeteroError
from hetero.latent import Run
from hetero.maps import map_name, read_table
from hetero.particles import Particles

_SHARE, _FEWEST = 0.1, 1000  # of a run's particles that a bandwidth is chosen for


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """How much each particle counts.

    Attributes:
        weights: ``(n,)``.
        z: the point.
        bandwidth: s.d. of the kernel, in whitened units.
        effective: number of particles.
    """

    weights: np.ndarray
    z: np.ndarray
    bandwidth: float
    effective: float


def particles_near(
    particles: Particles, run: Run, z: tuple[float, ...], volume: Path | None, bandwidth: float | None
) -> Neighbourhood:
    """Weights of particles by their distance from a latent.

    Args:
        particles: the images; joined with the run by their rows in the particle file.
        run: the trained model.
        z: the latent, or ...
        volume: a decoded map, whose latent stands in the ensemble.csv beside it.
        bandwidth: of the kernel; without it one that takes a tenth of the run's particles, at least 1,000.

    Raises:
        HeteroError: a run of other particles, no latent or two, or nothing near it.
    """
    from hetero.latent.kernel import bandwidth_of, effective_number, kernel_weights, squared_distances

    if bool(z) == (volume is not None):
        raise HeteroError("One of --z and --around-volume was expected beside --run, to say where the map is wanted.")
    if bandwidth is not None:
        check_range("The bandwidth", bandwidth, 1e-3)
    _check_particles(run, particles)
    if run.has_copies:
        raise HeteroError(
            f"{run.folder} has several latents for each particle, its copies under symmetry, and {particles.path} has "
            "one pose for each; a run without --symmetry was expected."
        )
    point = latent_of(volume, run) if volume is not None else np.asarray(z, dtype=np.float32)
    if point.shape != (run.zdim,) or not run.zdim or not np.isfinite(point).all():
        raise HeteroError(f"A latent of {point.size} numbers was given; {run.folder} has latents of {run.zdim}.")
    squared = squared_distances(run.latents, run.log_variance, point)
    if bandwidth is None:
        bandwidth = bandwidth_of(squared, max(_SHARE * len(run), min(_FEWEST, len(run) / 4)))
    of_row = np.zeros(max(particles.total, int(run.particle_index.max()) + 1))
    of_row[run.particle_index] = kernel_weights(squared, bandwidth)
    weights = of_row[particles.rows]
    if not weights.any():
        raise HeteroError(
            f"No particle of {particles.path} lies within three bandwidths ({bandwidth:.3g}) of that latent; the "
            f"nearest of the run is {np.sqrt(squared.min()):.3g} s.d. away."
        )
    return Neighbourhood(weights, point, float(bandwidth), effective_number(weights))


def latent_of(volume: Path, run: Run) -> np.ndarray:
    """``(zdim,)`` the latent of a decoded map, from the table in its folder.

    Raises:
        HeteroError: no map, no table, or no such latent in it.
    """
    table_path = volume.parent / "ensemble.csv"
    if not volume.is_file() or not table_path.is_file():
        missing = table_path if volume.is_file() else volume
        raise HeteroError(f"{missing} is not there; a map that hetero decode wrote, in its folder, was expected.")
    table, name = read_table(table_path), map_name(volume)
    columns = [f"z{i}" for i in range(1, run.zdim + 1)]
    if name not in table.index or not set(columns) <= set(table) or f"z{run.zdim + 1}" in table:
        raise HeteroError(f"{table_path} has no latent of {run.zdim} numbers for {name}.")
    return table.loc[name, columns].to_numpy(np.float32)


def _check_particles(run: Run, particles: Particles) -> None:
    rows = int(run.particle_index.max()) + 1
    check_rows(particles.path, particles.total, Extent(rows, rows == len(run), str(run.folder), run.folder))
