"""``hetero traverse``: maps along a path through a latent space."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

import hetero
from hetero.commands import POSITIONAL, check_range, info
from hetero.commands.decode import counted, parse_particles, rows_of
from hetero.commands.open_run import open_run
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.latent import Run, View, point_table, read_points
from hetero.maps import write_ensemble
from hetero.progress import Progress, silent

MARK = "path.csv"
FOLDER = FolderKind(MARK, (MARK, "vol_*.mrc", "ensemble.csv", "traverse.json", "path.png"))


@dataclass(frozen=True)
class Settings:
    """Decode maps along a path: an ensemble in the path's order, the path itself in path.csv, and its picture.

    Attributes:
        run: Folder of a run of Hetero's, or one that cryoDRGN wrote.
        out: Folder to make.
        how: pc goes along a component of the latents; direct goes straight from anchor to anchor; graph goes from
            particle to near particle, so that every map is one that the data hold.
        component: For pc: which one, from 1.
        span: For pc: percentiles of the particles where the path starts and ends.
        particles: For direct and graph: the anchors, as rows of the particle file counted from 0: 5,17,80.
        z_file: For direct: a file of latents as anchors instead.
        n: For pc and graph: maps in all (graph decodes the whole way without it); for direct: maps from an anchor to
            the next. Without it 10 and 6.
        loop: For direct: back to the first anchor.
        neighbours: For graph: neighbours of a particle on average; it has at most twice as many.
        epoch: Which epoch, where the run keeps several, as its file names count; without it the newest.
        apix: Å per voxel at the run's own box, for a run that does not say.
        box: Voxels along each side over the same extent, an even number; without it the run's own.
        low_pass: Å; finer detail is removed.
        flip: The other hand: mirrored along z.
        invert: The other contrast: values change their sign.
        crop: Voxels along each side that are kept around the centre.
    """

    run: Path = field(metadata=POSITIONAL)
    out: Path
    how: Literal["pc", "direct", "graph"] = "pc"
    component: int = 1
    span: tuple[float, float] = (5.0, 95.0)
    particles: tuple[int | str, ...] = ()
    z_file: Path | None = None
    n: int | None = None
    loop: bool = False
    neighbours: int = 5
    epoch: int | None = None
    apix: float | None = None
    box: int | None = None
    low_pass: float | None = None
    flip: bool = False
    invert: bool = False
    crop: int | None = None


@dataclass(frozen=True, eq=False)
class _Path:
    """``latents`` ``(m, zdim)``, their ``rows`` where they are particles', which are ``decoded``, what to ``say``."""

    latents: np.ndarray
    rows: np.ndarray | None
    decoded: np.ndarray
    say: tuple[str, ...] = ()


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the ensemble and the path; the answer is ``info``'s on the new folder, with what is known of the path.

    ``z`` and ``scores`` are the maps' latents and places along the components; ``length`` is the path's in the latent
    space; ``path_notes`` say where a graph was not connected.

    Raises:
        HeteroError: no run, no anchors, or anchors and components that the run does not have.
    """
    from hetero.latent.pca import principal_components

    check_folder(settings.out, FOLDER)
    _check(settings)
    model = open_run(settings.run, settings.epoch, settings.apix)
    if not model.zdim:
        raise HeteroError(f"{settings.run} is a homogeneous model: there is no path through a single map.")
    view = View(settings.box, settings.low_pass, settings.flip, settings.invert, settings.crop)
    view.check(model.box, model.apix)
    path = {"pc": _along_component, "direct": _direct, "graph": _along_graph}[settings.how](settings, model, progress)
    particles = None if path.rows is None else model.particle_index[path.rows]
    steps = np.linalg.norm(np.diff(path.latents, axis=0), axis=1)
    way = np.concatenate([[0], np.cumsum(steps)])
    table = point_table(path.latents[path.decoded], None if particles is None else particles[path.decoded])
    volumes = counted(model.decode(path.latents[path.decoded], view), len(table), progress)
    with atomic_folder(settings.out, FOLDER) as folder:
        write_ensemble(folder, volumes, table.assign(distance=way[path.decoded]))
        names = np.full(len(way), "", dtype=object)
        names[path.decoded] = table.index
        everything = point_table(path.latents, particles).assign(distance=way, volume=names)
        everything.reset_index(drop=True).to_csv(folder / MARK, index_label="step")
        components = principal_components(model.latents)
        _draw(folder / "path.png", model, components, path)
        record = {"verb": "traverse", "settings": dataclasses.asdict(settings), "epoch": model.epoch}
        record |= {"hetero": hetero.__version__, "notes": path.say}
        (folder / "traverse.json").write_text(json.dumps(record, indent=1, default=str) + "\n")
    answer = info.run(info.Settings(settings.out))
    notes = {"path_notes": list(path.say), "run_notes": list(model.notes)}
    decoded = path.latents[path.decoded]
    places = {"z": decoded.tolist(), "scores": components.scores(decoded).tolist()}
    return answer | notes | places | {"run": str(model.folder), "length": float(way[-1]), "steps": len(way)}


def describe(result: dict[str, Any]) -> str:
    """What was written, and where the path left the data."""
    lines = [
        info.describe(result),
        f"a path of {result['steps']} points, {result['length']:.4g} long; path.csv has all of them, path.png shows it",
    ]
    return "\n".join(lines + [f"note: {note}" for note in (*result["path_notes"], *result["run_notes"])])


def _check(settings: Settings) -> None:
    if settings.how != "direct" and settings.z_file is not None:
        raise HeteroError(f"--z-file gives the anchors of --how direct; --how {settings.how} takes none.")
    if settings.how == "pc" and settings.particles:
        raise HeteroError("--particles gives the anchors of --how direct and --how graph; --how pc takes none.")
    check_range("The number of maps (n)", 2 if settings.n is None else settings.n, 1, 100_000)
    check_range("The number of neighbours", settings.neighbours, 1, 1000)
    check_range("The first percentile of the span", settings.span[0], 0, 100)
    check_range("The last percentile of the span", settings.span[1], 0, 100)


def _along_component(settings: Settings, model: Run, progress: Progress) -> _Path:
    from hetero.latent.paths import component_path
    from hetero.latent.pca import principal_components

    if not 1 <= settings.component <= model.zdim:
        raise HeteroError(f"There is no component {settings.component}; {settings.run} has {model.zdim}, from 1.")
    components = principal_components(model.latents)
    n = settings.n or 10
    scores = components.scores(model.latents)
    return _Path(component_path(components, scores, settings.component - 1, n, settings.span), None, np.arange(n))


def _direct(settings: Settings, model: Run, progress: Progress) -> _Path:
    from hetero.latent.paths import straight_path

    if (settings.z_file is None) == (not settings.particles):
        raise HeteroError("--particles or --z-file was expected, to say where the path goes.")
    if settings.z_file is not None:
        anchors = read_points(settings.z_file, model.zdim)
    else:
        anchors = model.latents[rows_of(model, parse_particles(settings.particles))]
    _check_anchors(len(anchors))
    latents = straight_path(anchors, settings.n or 6, settings.loop)
    return _Path(latents, None, np.arange(len(latents)))


def _along_graph(settings: Settings, model: Run, progress: Progress) -> _Path:
    from hetero.latent.paths import graph_path, neighbour_graph

    anchors = rows_of(model, parse_particles(settings.particles))
    _check_anchors(len(anchors))
    if settings.loop:
        anchors = np.concatenate([anchors, anchors[:1]])
    graph = neighbour_graph(model.latents, settings.neighbours, 2 * settings.neighbours, progress)
    path = graph_path(graph, anchors, progress)
    decoded = np.arange(len(path.rows))
    if settings.n is not None and settings.n < len(decoded):
        decoded = np.unique(np.linspace(0, len(decoded) - 1, settings.n).round().astype(int))
    return _Path(model.latents[path.rows], path.rows, decoded, _gaps(model, graph, path))


def _gaps(model: Run, graph, path) -> tuple[str, ...]:
    if not path.jumps:
        return ()
    parts = pd.Series(graph.parts).value_counts()
    widest = max(path.jumps, key=lambda jump: jump.length)
    gaps = "a gap" if len(path.jumps) == 1 else f"{len(path.jumps)} gaps, the widest"
    start, end = (model.particle_index[row] for row in (widest.start, widest.end))
    return (
        f"the graph is not connected ({len(parts):,} parts, {parts.iloc[0]:,} particles in the largest); the nearest "
        f"way steps over {gaps} from particle {start} to {end}: {widest.length:.3g}, where "
        f"neighbours are at most {graph.longest:.3g} apart. More --neighbours join more.",
    )


def _check_anchors(n: int) -> None:
    if n < 2:
        raise HeteroError(f"{n or 'No'} anchor{'s were' if n != 1 else ' was'} given; a path needs two or more.")


def _draw(file: Path, model: Run, components, path: _Path) -> None:
    from hetero.latent.picture import draw_plane

    scores = components.scores(model.latents)[:, :2]
    names = [f"component {i + 1} ({100 * share:.0f} %)" for i, share in enumerate(components.shares[:2])]
    draw_plane(file, scores, (names[0], names[-1]), line=components.scores(path.latents)[:, :2])
