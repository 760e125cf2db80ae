"""``hetero train-linear``: a linear model of heterogeneous particles, in seconds."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands import POSITIONAL, check_range
from hetero.files import atomic_folder, check_folder
from hetero.locks import hold_result
from hetero.particles import open_particles
from hetero.progress import Progress, silent

_LARGEST_BOX = 128


@dataclass(frozen=True)
class Settings:
    """Fit a mean map and a few components that vary (probabilistic PCA, with poses and CTFs as given): a run like any
    other, for decode, analyze and occupancy; with a list of particles that do not look like the rest.

    Attributes:
        particles: .star, .cs, .txt or .mrcs, with poses and CTF.
        out: Folder for the run.
        zdim: Components; the answer says how many of them are more than noise.
        poses: cryoDRGN's poses.pkl, in place of those in the file.
        ctf: cryoDRGN's ctf.pkl, in place of those in the file.
        ind: cryoDRGN's ind.pkl (or .npy): which particles to take.
        datadir: Folder that the stacks' names start from.
        box: Voxels along each side of the maps, even; without it as many as the images have, at most 128.
        radius: Detail to which components are first looked for, in cycles per box; without it about 25 Å, or less where
            half sets do not agree.
        iterations: Of expectation maximisation, at most.
        coarse: End with these: a first look, in a quarter of the time, at latents and maps from coarse detail alone.
        invert: Turn the contrast over, for particles that are dark (a .cs file says itself whether they are).
        seed: Same seed, same result.
    """

    particles: Path = field(metadata=POSITIONAL)
    out: Path
    zdim: int = 4
    poses: Path | None = None
    ctf: Path | None = None
    ind: Path | None = None
    datadir: Path | None = None
    box: int | None = None
    radius: int | None = None
    iterations: int = 10
    coarse: bool = False
    invert: bool = False
    seed: int = 0


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Fit, and write the run.

    Returns:
        ``{"out", "n", "zdim", "box", "apix", "components": [{"component", "share", "gain_0", "gain_1", "above_noise",
        "resolution", ...}], "above_noise", "junk", "radius", "final_radius", "resolution", "iterations", "seconds"}``.

    Raises:
        HeteroError: bad particles (:func:`hetero.linear.check.check_particles`), or a folder that holds other files.
    """
    from hetero.linear.check import check_particles
    from hetero.linear.files import FOLDER, component_table, write_linear
    from hetero.linear.fit import Plan, fit_linear

    check_range("The number of components (zdim)", settings.zdim, 1, 32)
    check_range("The number of iterations", settings.iterations, 1)
    check_folder(settings.out, FOLDER)
    particles = open_particles(
        settings.particles, settings.poses, settings.ctf, settings.ind, settings.datadir, settings.invert
    )
    box = settings.box or min(particles.box - particles.box % 2, _LARGEST_BOX)
    plan = Plan(settings.zdim, box, settings.radius, settings.iterations, settings.seed, settings.coarse)
    check_particles(particles, plan)
    apix = particles.apix * particles.box / box
    config = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(settings).items()}
    with hold_result(settings.out, parents=True):
        model = fit_linear(particles, plan, progress)
        with atomic_folder(settings.out, FOLDER) as folder:
            write_linear(folder, model, particles.rows, apix, {"verb": "train-linear", **config})
    table = component_table(model, apix).astype(object)
    agree = int(np.argmax(np.append(model.fsc[0, 1:], -1) < 0.143))
    return {
        "out": str(settings.out),
        "n": len(particles),
        "zdim": settings.zdim,
        "box": box,
        "apix": apix,
        "components": table.where(table.notna(), None).to_dict("records"),
        "above_noise": int(model.real.sum()),
        "junk": int(model.junk.sum()),
        "radius": model.radius,
        "final_radius": model.final_radius,
        "resolution": box * apix / max(agree, 1),
        "iterations": len(model.log),
        "seconds": {name: round(seconds, 2) for name, seconds in model.seconds.items()},
    }


def describe(result: dict[str, Any]) -> str:
    """Components and how sure they are, junk, and times."""
    extent = result["box"] * result["apix"]
    lines = [
        f"{result['out']}: {result['n']:,} particles, {result['zdim']} components, maps of {result['box']} voxels of "
        f"{result['apix']:.4g} Å; the halves' means agree to {result['resolution']:.1f} Å",
        f"components were looked for to {extent / result['radius']:.0f} Å, latents come from detail to "
        f"{extent / result['final_radius']:.0f} Å",
    ]
    for row in result["components"]:
        verdict = "more than noise" if row["above_noise"] else "not told from noise"
        fine = f", to {row['resolution']:.1f} Å" if row["above_noise"] and row["resolution"] else ""
        lines.append(
            f"  {row['component']}: {100 * row['share']:.1f} % of the variance; {row['gain_0']:+.2f} and "
            f"{row['gain_1']:+.2f} nats for an image of the other half: {verdict}{fine}"
        )
    if result["above_noise"] == result["zdim"]:
        lines.append("every component is more than noise: a larger --zdim may show more")
    else:
        lines.append(f"{result['above_noise']} of {result['zdim']} components are more than noise")
    lines.append(f"{result['junk']:,} particles do not look like the rest (particles.csv, column junk)")
    lines.append(", ".join(f"{name} {seconds:.1f} s" for name, seconds in result["seconds"].items()))
    return "\n".join(lines)
