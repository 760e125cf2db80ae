"""The worker's ``latents``: where the particles of a run lie, as arrays for a viewer to draw."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hetero.commands import check_range
from hetero.commands.warm_run import warm_run
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.foreign import read_csv
from hetero.progress import Progress, silent

_MOST = 20  # components, and numbers of the latent, that are given away


@dataclass(frozen=True)
class Settings:
    """The particles' places: along components, in the latent's own numbers, and more from tables.

    Attributes:
        run: Folder of a run.
        out: File to write (.npz): particle (n,), and values (columns, n) float32.
        tables: Tables (.csv) with a column particle, such as labels.csv of hetero analyze, or occupancies of particles:
            their columns of numbers come too. Particles without a row have NaN.
        clusters: Groups of k-means, as hetero analyze finds them: a column cluster, and their centres; 0 for none.
        epoch: As for decode.
    """

    run: Path
    out: Path
    tables: tuple[Path, ...] = ()
    clusters: int = 0
    epoch: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{columns, shares, centres, n, zdim, out}``: ``columns`` name the rows of ``values``, ``shares`` are the
    components', ``centres`` the numbers of the particles nearest to the means of the clusters.

    Raises:
        HeteroError: no run, a homogeneous one, or a table that is none of particles.
    """
    warm = warm_run(settings.run, settings.epoch)
    model = warm.run
    if not model.zdim or not len(model):
        raise HeteroError(f"{model.folder} has no latents; it has a single map.")
    some = min(model.zdim, _MOST)
    scores = warm.components.scores(model.latents)[:, :some]
    columns = {f"PC{i + 1}": scores[:, i] for i in range(some)}
    columns |= {f"z{i + 1}": model.latents[:, i] for i in range(some)}
    check_range("The number of clusters", settings.clusters, 0, 10_000)
    groups = warm.clusters(settings.clusters) if settings.clusters else None
    if groups is not None:
        columns["cluster"] = groups.labels.astype(np.float32)
    for path in settings.tables:
        columns |= _read(path, model.particle_index, columns)
    with atomic_path(settings.out) as temporary, open(temporary, "wb") as file:
        np.savez(file, particle=model.particle_index, values=np.array(list(columns.values()), dtype=np.float32))
    return {
        "columns": list(columns),
        "shares": warm.components.shares[:some].tolist(),
        "centres": [] if groups is None else model.particle_index[groups.nearest].tolist(),
        "n": len(model),
        "zdim": model.zdim,
        "out": str(settings.out),
    }


def _read(path: Path, particles: np.ndarray, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns of numbers of one table, in the order of ``particles``."""
    table = read_csv(path)
    if "particle" not in table or not pd.api.types.is_integer_dtype(table["particle"]):
        raise HeteroError(f"{path} has no column particle; a table with a row for each particle was expected.")
    if table["particle"].duplicated().any():
        raise HeteroError(f"{path} has more than one row for a particle.")
    numbers = table.set_index("particle").select_dtypes("number").reindex(particles)
    if len(numbers) and not len(table.merge(pd.DataFrame({"particle": particles}))):
        raise HeteroError(f"{path} has none of the run's particles.")
    taken = {name.lower() for name in known}
    return {str(name): numbers[name].to_numpy(np.float32) for name in numbers if str(name).lower() not in taken}


def describe(result: dict[str, Any]) -> str:
    """What there is."""
    return f"{result['n']:,} particles: {', '.join(result['columns'])}"
