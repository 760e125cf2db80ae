"""The pictures and the page of ``hetero analyze``."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hetero.latent import Run
from hetero.latent.report import Section, write_report
from hetero.maps import Volume

DARK = "the maps' density is negative, as that of a run on particles of the other contrast; --invert turns it over."
"""Said where it is so."""
_VIEW = ("epoch", "apix", "box", "low_pass", "crop")
_MANY = 100  # maps that one picture holds


class SurfaceSeries:
    """Pictures of the first maps that pass, all at the level that 2 % of the first map's voxels reach.

    Attributes:
        pictures: of :func:`hetero.maps.picture.surface_picture`.
        dark: whether the first map's density is negative.
    """

    def __init__(self):
        self.pictures: list[np.ndarray] = []
        self.dark = False
        self._level: float | None = None

    def watching(self, volumes: Iterable[Volume]) -> Iterator[Volume]:
        """The volumes as they come."""
        from hetero.maps.picture import surface_picture

        nothing = np.zeros((0, 3))
        for volume in volumes:
            if self._level is None:
                low, self._level, high = np.percentile(volume.data, (0.1, 98, 99.9)).tolist()
                self.dark = -low > 1.5 * high
            if len(self.pictures) < _MANY:
                step = max(1, round(max(volume.shape) / 64))
                data = volume.data[::step, ::step, ::step]
                masks = np.zeros((0, *data.shape), bool)
                self.pictures.append(surface_picture(data, self._level, masks, nothing, pixels=128))
            yield volume


def write_planes(folder: Path, scores, shares, embedding, clusters, mixture) -> None:
    """The particles along two components, and on the UMAP where there is one; clusters numbered as their maps are."""
    from hetero.latent.picture import draw_plane

    labels = {"k-means": clusters.labels, "mixture of Gaussians": mixture}
    axes = [f"component {i + 1} ({100 * share:.0f} %)" for i, share in enumerate(shares[:2])]
    draw_plane(folder / "components.png", scores[:, :2], (axes[0], axes[-1]), labels, clusters.nearest)
    if embedding is not None:
        draw_plane(folder / "umap.png", embedding, ("UMAP 1", "UMAP 2"), labels, clusters.nearest)


def write_page(folder: Path, settings: Any, model: Run, table: pd.DataFrame, result: dict[str, Any]) -> None:
    """report.html, from the pictures in ``folder`` and the verb's settings and result."""
    out = settings.out
    share = pd.Series(result["shares"], index=range(1, model.zdim + 1), name="share of variance")
    clusters = table.assign(share=table["n_particles"] / len(model))
    sections = [
        Section("The run", "\n".join([_facts(settings, model), *result["notes"]])),
        Section("Trust", "\n".join(result["trust"]["sentences"]), warnings=tuple(result["trust"]["warnings"])),
        Section(
            "Components",
            "How the particles spread along the main axes of the latent space. Distances in the latent space have no "
            "physical unit: look at the maps before you believe a group. The numbers are those of the clusters below.",
            share.head(8).to_frame().rename_axis("component"),
            (folder / "components.png",),
        ),
        *_umap(folder, len(model)),
        Section(
            "Clusters",
            f"k-means with {settings.k} clusters. Each map is decoded at the particle that is nearest to its cluster's "
            "mean; n_particles is the size of the cluster. All maps are drawn from +z, at the value that 2 % of the "
            f"first one's voxels reach. The mixture's {settings.mixture} groups have "
            f"{', '.join(f'{n:,}' for n in result['mixture_sizes'])} particles.",
            clusters[["cluster", "particle", "n_particles", "share"]],
            (folder / "ensemble.png",),
        ),
        *_along(folder, settings, model),
        Section("What next", code=_commands(settings, out, table["particle"])),
    ]
    write_report(folder / "report.html", f"Latents of {Path(settings.run).resolve().name}", sections)


def _facts(settings: Any, model: Run) -> str:
    epoch = "" if model.epoch is None else f", epoch {model.epoch}"
    return (
        f"{settings.run}: a run of {model.system}{epoch}; {len(model):,} particles, latents of {model.zdim} numbers, "
        f"maps of {model.box} voxels of {model.apix:.4g} Å."
    )


def _umap(folder: Path, n: int) -> list[Section]:
    from hetero.latent.embedding import MOST

    if not (folder / "umap.png").is_file():
        return []
    text = "Neighbours stay neighbours; sizes of groups and distances between them mean little."
    if n > MOST:
        text += f" {MOST:,} particles were laid out, the others placed among their nearest of these."
    return [Section("UMAP", text, pictures=(folder / "umap.png",))]


def _along(folder: Path, settings: Any, model: Run) -> list[Section]:
    text = (
        "From the 5th to the 95th percentile of the particles, all other components at their mean; where no particle "
        "lies near, a map may be of a structure that none has."
    )
    numbers = range(1, min(settings.components, model.zdim) + 1)
    return [Section(f"Along component {i}", text, pictures=(folder / f"pc{i}.png",)) for i in numbers]


def _commands(settings: Any, out: Path, particles: pd.Series) -> str:
    same = [f"--{name.replace('_', '-')} {value}" for name in _VIEW if (value := getattr(settings, name)) is not None]
    same += [f"--{name}" for name in ("flip", "invert") if getattr(settings, name)]
    ensemble, run = shlex.quote(f"{out}/ensemble"), shlex.quote(str(settings.run))
    first, last = particles.iloc[0], particles.iloc[-1]
    traverse = f"hetero traverse {run} --how graph --particles {first} {last} --out path"
    return (
        f"hetero level {ensemble} --out {shlex.quote(f'{out}/ensemble/ensemble.csv')}\n"
        f"hetero blocks {ensemble} --out blocks\n{' '.join([traverse, *same])}"
    )
