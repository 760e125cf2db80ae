"""``hetero analyze``: a latent space and what is in it."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hetero
from hetero.commands import POSITIONAL, check_range
from hetero.commands.analyze_page import DARK, SurfaceSeries, write_page, write_planes
from hetero.commands.assignments import ASSIGNMENT, write_assignment
from hetero.commands.decode import counted
from hetero.commands.open_run import open_run
from hetero.earlier import note
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.latent import Run, View, point_table
from hetero.maps import write_ensemble
from hetero.progress import Progress, silent

MARK = "analysis.json"
FOLDER = FolderKind(MARK, (MARK, "report.html", "labels.csv", ASSIGNMENT, "ensemble", "pc[0-9]*", "*.png"))


@dataclass(frozen=True)
class Settings:
    """Look at the latents of a run: components, UMAP, clusters, paths along components, maps, and one page about it.

    Writes report.html, labels.csv (a row a particle), ensemble/ (a map for each cluster, with n_particles),
    assignment.csv (the map that stands for each particle, as other verbs' --labels takes it), pc1/ ... (maps along each
    component) and the pictures.

    Attributes:
        run: Folder of a run of Hetero's, or one that cryoDRGN wrote.
        out: Folder to make.
        k: Clusters of k-means, and maps of the ensemble; each is decoded at the particle nearest to its mean.
        mixture: Gaussians of a second set of labels.
        components: Components that maps are made along, from the 5th to the 95th percentile of the particles.
        per_component: Maps along each.
        skip_umap: Leave the UMAP out; it takes about a minute for 100,000 particles.
        particles: The particle file that the run was trained on: the latents are tested for knowing pose and CTF.
        poses: cryoDRGN's poses.pkl, where the particle file has none.
        ctf: cryoDRGN's ctf.pkl, where the particle file has none.
        against: A second run of the same particles (or of the other half of them), to compare.
        seed: For clusters, mixture and UMAP.
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
    k: int = 20
    mixture: int = 5
    components: int = 2
    per_component: int = 10
    skip_umap: bool = False
    particles: Path | None = None
    poses: Path | None = None
    ctf: Path | None = None
    against: Path | None = None
    seed: int = 0
    epoch: int | None = None
    apix: float | None = None
    box: int | None = None
    low_pass: float | None = None
    flip: bool = False
    invert: bool = False
    crop: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the analysis; ``{out, report, ensemble, labels, n, zdim, shares, sizes, mixture_sizes, trust, notes}``.

    ``shares`` are the components' shares of the variance, ``sizes`` the clusters' numbers of particles; ``trust`` has
    ``sentences`` and ``warnings`` for people, and the numbers behind them.

    Raises:
        HeteroError: no run, a homogeneous one, more clusters than particles, or another's particle file.
    """
    from hetero.commands.analyze_trust import gather, judge
    from hetero.latent.clusters import k_means, mixture_labels
    from hetero.latent.pca import principal_components

    check_folder(settings.out, FOLDER)
    _check(settings)
    model = open_run(settings.run, settings.epoch, settings.apix)
    if not model.zdim or len(model) < 2:
        raise HeteroError(f"{settings.run} has latents of {len(model)} particles; there is nothing to analyse.")
    view = View(settings.box, settings.low_pass, settings.flip, settings.invert, settings.crop)
    view.check(model.box, model.apix)
    evidence = gather(model, settings.particles, settings.poses, settings.ctf, settings.against, settings.apix)
    progress(0, 1, "finding components and clusters")
    components = principal_components(model.latents)
    scores = components.scores(model.latents)
    clusters = k_means(model.latents, settings.k, settings.seed)
    mixture = mixture_labels(model.latents, settings.mixture, settings.seed)
    embedding = _embedding(settings, model, progress)
    trust = judge(evidence, model, clusters.nearest, mixture, settings.seed, progress)
    with atomic_folder(settings.out, FOLDER) as folder:
        labels = _labels(model, scores, embedding, clusters.labels, mixture)
        labels.to_csv(folder / "labels.csv", index=False, float_format="%.6g")
        note(folder / "labels.csv")
        table = point_table(model.latents[clusters.nearest], model.particle_index[clusters.nearest])
        table = table.assign(cluster=np.arange(settings.k), n_particles=clusters.sizes)
        write_assignment(folder / ASSIGNMENT, model.particle_index, table.index.to_numpy()[clusters.labels])
        drawn = _write_maps(
            folder, "ensemble", model, table, [f"{n:,} particles" for n in clusters.sizes], view, progress
        )
        _write_paths(folder, settings, model, components, view, progress)
        result = {
            "out": str(settings.out),
            "report": str(settings.out / "report.html"),
            "ensemble": str(settings.out / "ensemble"),
            "labels": str(settings.out / "labels.csv"),
            "n": len(model),
            "zdim": model.zdim,
            "shares": components.shares.tolist(),
            "sizes": clusters.sizes.tolist(),
            "mixture_sizes": np.bincount(mixture, minlength=settings.mixture).tolist(),
            "trust": trust.as_dict(),
            "notes": list(model.notes) + _remarks(settings, model, embedding, drawn.dark),
        }
        write_planes(folder, scores, components.shares, embedding, clusters, mixture)
        write_page(folder, settings, model, table, result)
        record = {"verb": "analyze", "settings": dataclasses.asdict(settings), "epoch": model.epoch, "result": result}
        record["hetero"] = hetero.__version__
        (folder / MARK).write_text(json.dumps(record, indent=1, default=str) + "\n")
    return result


def describe(result: dict[str, Any]) -> str:
    """What was found and where it is."""
    shares = ", ".join(f"{100 * share:.0f} %" for share in result["shares"][:4])
    sizes = sorted(result["sizes"], reverse=True)
    lines = [
        f"{result['n']:,} particles, latents of {result['zdim']}; variance along the first components: {shares}",
        f"{len(sizes)} clusters of {sizes[-1]:,} to {sizes[0]:,} particles, a map each: {result['ensemble']}",
        f"the page about it: {result['report']}; a row a particle: {result['labels']}",
    ]
    lines += [f"warning: {sentence}" for sentence in result["trust"]["warnings"]]
    return "\n".join(lines + [f"note: {note}" for note in [*result["trust"]["sentences"], *result["notes"]]])


def _check(settings: Settings) -> None:
    check_range("The number of clusters (k)", settings.k, 1, 10_000)
    check_range("The number of Gaussians (mixture)", settings.mixture, 1, 1000)
    check_range("The number of components", settings.components, 0, 100)
    check_range("The number of maps along a component", settings.per_component, 2, 1000)
    check_range("The seed", settings.seed, 0, 2**32 - 1)


def _embedding(settings: Settings, model: Run, progress: Progress) -> np.ndarray | None:
    from hetero.latent.embedding import FEWEST, umap_embedding

    if settings.skip_umap or model.zdim < 2 or len(model) < FEWEST:
        return None
    return umap_embedding(model.latents, seed=settings.seed, progress=progress)


def _remarks(settings: Settings, model: Run, embedding: np.ndarray | None, dark: bool) -> list[str]:
    remarks = [DARK] if dark else []
    if embedding is None and not settings.skip_umap:
        few = f"latents of {model.zdim} number" if model.zdim < 2 else f"{len(model)} particles"
        remarks.append(f"no UMAP was made: {few} need none.")
    return remarks


def _labels(model: Run, scores, embedding, clusters, mixture) -> pd.DataFrame:
    columns = {"particle": model.particle_index}
    columns |= {f"pc{i + 1}": scores[:, i] for i in range(min(scores.shape[1], 4))}
    if embedding is not None:
        columns |= {"umap1": embedding[:, 0], "umap2": embedding[:, 1]}
    return pd.DataFrame(columns | {"cluster": clusters, "mixture": mixture})


def _write_paths(folder: Path, settings: Settings, model: Run, components, view: View, progress: Progress) -> None:
    """Maps along each of the first components: pc1 ..."""
    from hetero.latent.paths import component_path

    scores = components.scores(model.latents)
    for number in range(1, min(settings.components, model.zdim) + 1):
        path = component_path(components, scores, number - 1, settings.per_component)
        places = components.scores(path)[:, number - 1]
        titles = [f"pc{number} = {place:.3g}" for place in places]
        table = point_table(path).assign(**{f"pc{number}": places})
        _write_maps(folder, f"pc{number}", model, table, titles, view, progress)


def _write_maps(
    folder: Path, name: str, model: Run, table: pd.DataFrame, titles: list[str], view: View, progress: Progress
) -> SurfaceSeries:
    """An ensemble folder ``name`` and the picture of its maps beside it, all at one level."""
    from hetero.maps.picture import draw_series

    (folder / name).mkdir()
    latents = table.filter(regex=r"^z\d+$").to_numpy(np.float32)
    drawn = SurfaceSeries()
    volumes = counted(model.decode(latents, view), len(table), progress, f"decoding {name}")
    write_ensemble(folder / name, drawn.watching(volumes), table)
    captions = [f"{at}: {title}" for at, title in zip(table.index, titles, strict=True)]
    draw_series(folder / f"{name}.png", drawn.pictures, captions[: len(drawn.pictures)])
    return drawn
