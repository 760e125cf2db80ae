"""``hetero landscape``: the states that the maps of a run fall into."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

import hetero
from hetero.commands import POSITIONAL, check_range
from hetero.commands.analyze_page import DARK, SurfaceSeries
from hetero.commands.assignments import ASSIGNMENT, write_assignment
from hetero.commands.decode import counted
from hetero.commands.open_run import open_run
from hetero.earlier import note
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.latent import View, point_table
from hetero.latent.report import Section, write_report
from hetero.maps import Ensemble, Volume, grid_text, open_ensemble, read_map, same_grid, write_ensemble, write_map
from hetero.progress import Progress, silent

MARK = "landscape.json"
FOLDER = FolderKind(
    MARK, (MARK, "volumes", "states", "sd", "mask.mrc", "particles.csv", ASSIGNMENT, "*.png", "report.html")
)
_BOX = 64


@dataclass(frozen=True)
class Settings:
    """Group the particles of a run by what their maps look like, not by where their latents lie.

    Many maps are decoded, compared voxel by voxel under a mask, and joined into states. Writes volumes/ (the maps),
    states/ and sd/ (mean and s.d. of each state's maps), particles.csv (the state of every particle), assignment.csv
    (the map that stands for it) and pictures.

    Attributes:
        run: Folder of a run of Hetero's, or one that cryoDRGN wrote.
        out: Folder to make.
        volumes: Maps to compare, each at the particle nearest to the mean of a cluster of k-means.
        states: States to join them into.
        components: Components of the voxels that the states are found in.
        linkage: How agglomerative clustering measures two groups.
        mask: A map that is above 0.5 where voxels count; without it, where any map is dense, and 5 Å around.
        dilate: Å around the dense voxels.
        seed: For the clusters.
        epoch: Which epoch, where the run keeps several, as its file names count; without it the newest.
        apix: Å per voxel at the run's own box, for a run that does not say.
        box: Voxels along each side over the same extent, an even number; without it 64, or the run's own if smaller.
        low_pass: Å; finer detail is removed.
        flip: The other hand: mirrored along z.
        invert: The other contrast: values change their sign.
    """

    run: Path = field(metadata=POSITIONAL)
    out: Path
    volumes: int = 500
    states: int = 10
    components: int = 20
    linkage: Literal["average", "ward", "complete", "single"] = "average"
    mask: Path | None = None
    dilate: float = 5.0
    seed: int = 0
    epoch: int | None = None
    apix: float | None = None
    box: int | None = None
    low_pass: float | None = None
    flip: bool = False
    invert: bool = False


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the landscape; ``{out, report, volumes, states, n_voxels, shares, notes}``.

    ``states`` has a row a state: ``{name, n_volumes, n_particles}``; ``shares`` are the voxel components' shares of
    the variance.

    Raises:
        HeteroError: no run, more maps than particles, more states than maps, or a mask on another grid.
    """
    from hetero.latent.clusters import k_means
    from hetero.latent.landscape import group_states, shared_mask, state_statistics, voxel_components

    check_folder(settings.out, FOLDER)
    _check(settings)
    model = open_run(settings.run, settings.epoch, settings.apix)
    if not model.zdim or len(model) < 2:
        raise HeteroError(f"{settings.run} has latents of {len(model)} particles; there is no landscape of these.")
    view = View(settings.box or min(_BOX, model.box), settings.low_pass, settings.flip, settings.invert)
    view.check(model.box, model.apix)
    progress(0, 1, "choosing the maps")
    clusters = k_means(model.latents, settings.volumes, settings.seed)
    weights = clusters.sizes.astype(float)
    with atomic_folder(settings.out, FOLDER) as folder:
        (folder / "volumes").mkdir()
        table = point_table(model.latents[clusters.nearest], model.particle_index[clusters.nearest])
        table["n_particles"] = clusters.sizes
        volumes = counted(model.decode(model.latents[clusters.nearest], view), settings.volumes, progress)
        write_ensemble(folder / "volumes", volumes, table)
        ensemble = open_ensemble(folder / "volumes")
        if settings.mask is None:
            mask = shared_mask((volume.data for volume in ensemble), float(ensemble.apix[0]), settings.dilate)
        else:
            mask = _read_mask(settings.mask, ensemble)
        write_map(folder / "mask.mrc", Volume(mask, ensemble.apix, ensemble.origin, "mask"), dtype=np.int8)
        components = voxel_components(ensemble, mask, weights, settings.components, progress)
        states = group_states(components.scores, settings.states, weights, settings.linkage)
        means, spreads = state_statistics(ensemble, states, weights, progress)
        rows = _write_states(folder, ensemble, states, clusters.sizes, means, spreads)
        _write_tables(folder, table, components, states, clusters.labels, model.particle_index)
        dark = _write_pictures(folder, components, states, clusters.sizes, means)
        result = {
            "out": str(settings.out),
            "report": str(settings.out / "report.html"),
            "volumes": settings.volumes,
            "states": rows,
            "n_voxels": int(mask.sum()),
            "shares": components.shares.tolist(),
            "notes": [*model.notes, *([DARK] if dark else [])],
        }
        _write_page(folder, settings, result)
        record = {"verb": "landscape", "settings": dataclasses.asdict(settings), "epoch": model.epoch, "result": result}
        record["hetero"] = hetero.__version__
        (folder / MARK).write_text(json.dumps(record, indent=1, default=str) + "\n")
    return result


def describe(result: dict[str, Any]) -> str:
    """A line a state."""
    total = sum(row["n_particles"] for row in result["states"])
    lines = [
        f"{result['volumes']} maps compared at {result['n_voxels']:,} voxels: {len(result['states'])} states",
        f"{'state':8}  {'maps':>5}  {'particles':>10}",
    ]
    for row in result["states"]:
        share = 100 * row["n_particles"] / total
        lines.append(f"{row['name']:8}  {row['n_volumes']:5}  {row['n_particles']:10,}  {share:.0f} %")
    lines.append(f"written: {result['out']}; the page about it: {result['report']}")
    return "\n".join(lines + [f"note: {note}" for note in result["notes"]])


def _check(settings: Settings) -> None:
    check_range("The number of maps (volumes)", settings.volumes, 2, 100_000)
    check_range("The number of states", settings.states, 1, settings.volumes)
    check_range("The number of components", settings.components, 1, 10_000)
    check_range("The dilation (dilate)", settings.dilate, 0, 1000)
    check_range("The seed", settings.seed, 0, 2**32 - 1)


def _read_mask(path: Path, ensemble: Ensemble) -> np.ndarray:
    volume = read_map(path)
    if not same_grid(volume, ensemble):
        raise HeteroError(
            f"{path} lies on another grid ({grid_text(volume)}) than the maps to compare ({grid_text(ensemble)})."
        )
    mask = volume.data > 0.5
    if not mask.any():
        raise HeteroError(f"{path} is nowhere above 0.5; a mask was expected.")
    return mask


def _write_states(folder: Path, ensemble: Ensemble, states, sizes, means, spreads) -> list[dict[str, Any]]:
    n = len(means)
    names = [f"state_{i:02d}" for i in range(n)]
    counts = pd.DataFrame(
        {
            "n_volumes": np.bincount(states, minlength=n),
            "n_particles": np.bincount(states, sizes, minlength=n).astype(int),
        },
        index=pd.Index(names, name="name"),
    )
    for place, maps in (("states", means), ("sd", spreads)):
        (folder / place).mkdir()
        volumes = (Volume(d, ensemble.apix, ensemble.origin, name) for d, name in zip(maps, names, strict=True))
        write_ensemble(folder / place, volumes, counts)
    return counts.reset_index().to_dict("records")


def _write_tables(folder: Path, table: pd.DataFrame, components, states, labels, particles) -> None:
    scores = pd.DataFrame(components.scores, index=table.index)
    scores.columns = [f"voxel_pc{i + 1}" for i in range(scores.shape[1])]
    pd.concat([table.assign(state=states), scores], axis=1).to_csv(folder / "volumes" / "ensemble.csv")
    pd.DataFrame({"particle": particles, "state": states[labels]}).to_csv(folder / "particles.csv", index=False)
    for written in (folder / "volumes" / "ensemble.csv", folder / "particles.csv"):
        note(written)
    write_assignment(folder / ASSIGNMENT, particles, table.index.to_numpy()[labels])


def _write_pictures(folder: Path, components, states, sizes, means) -> bool:
    """The pictures; whether the maps are dark."""
    from hetero.latent.picture import draw_plane
    from hetero.maps.picture import draw_series

    axes = [f"voxel component {i + 1} ({100 * share:.0f} %)" for i, share in enumerate(components.shares[:2])]
    largest = [int(np.flatnonzero(states == s)[sizes[states == s].argmax()]) for s in range(len(means))]
    plane = components.scores[:, :2]
    draw_plane(folder / "landscape.png", plane, (axes[0], axes[-1]), {"states": states}, np.array(largest), unit="maps")
    drawn = SurfaceSeries()
    for _ in drawn.watching(Volume(mean) for mean in means):
        pass
    totals = np.bincount(states, sizes, minlength=len(means)).astype(int)
    titles = [f"state_{i:02d}: {n:,} particles" for i, n in enumerate(totals)]
    draw_series(folder / "states.png", drawn.pictures, titles[: len(drawn.pictures)])
    return drawn.dark


def _write_page(folder: Path, settings: Settings, result: dict[str, Any]) -> None:
    table = pd.DataFrame(result["states"]).set_index("name")
    table["share"] = table["n_particles"] / table["n_particles"].sum()
    shares = pd.Series(result["shares"], index=range(1, len(result["shares"]) + 1), name="share of variance")
    facts = (
        f"{settings.run}: {settings.volumes} maps, at the particles nearest to the means of as many clusters, compared "
        f"at {result['n_voxels']:,} voxels."
    )
    sections = [
        Section("The run", "\n".join([facts, *result["notes"]])),
        Section(
            "States",
            "Means of the maps of each state, weighted by the particles that each map stands for; sd/ has their s.d.",
            table,
            (folder / "states.png",),
        ),
        Section(
            "Landscape",
            "Each dot is a map; the numbers are the states, at their largest map.",
            shares.head(8).to_frame().rename_axis("voxel component"),
            (folder / "landscape.png",),
        ),
        Section("What next", code=f"hetero blocks {settings.out}/volumes --out blocks"),
    ]
    write_report(folder / "report.html", f"Landscape of {Path(settings.run).resolve().name}", sections)
