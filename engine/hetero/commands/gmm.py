"""``hetero gmm``: a neutral model of Gaussians."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hetero.commands import POSITIONAL, check_range
from hetero.errors import HeteroError
from hetero.gmm import GaussianModel, write_model
from hetero.maps import Volume, grid_text, read_map
from hetero.maps.mrc import is_map_path
from hetero.particles import open_particles
from hetero.progress import Progress, silent

_VIEWS = 400  # projections of a map


@dataclass(frozen=True)
class Settings:
    """Fit Gaussians to a map or straight to particles: the neutral model that hetero train-gmm moves.

    Starts with 256 Gaussians at 50 Å; doubles them until their projections agree with the data (Fourier ring
    correlation above 0.95 at every ring), then raises the resolution, to the target. The text opens in EMAN2.

    Attributes:
        source: A map (.mrc), or particles with poses (.star, .cs, ...).
        out: Model text (.txt) to write.
        resolution: Å, the target.
        low: Å; coarser rings are left out.
        most: Gaussians allowed.
        mask: Map that is over 0.5 where Gaussians may lie.
        ctf: Of particles: full as they were recorded, flipped phases already, or none.
        program: Which of EMAN2's programs shall read the text: new (e2gmm_refine_new, _jax), refine or point.
        seed: Of the start.
        threads: Processors to use; without it all.
    """

    source: Path = field(metadata=POSITIONAL)
    out: Path
    resolution: float
    low: float = 500.0
    most: int = 8192
    mask: Path | None = None
    ctf: Literal["full", "flipped", "none"] = "full"
    program: Literal["new", "refine", "point"] = "new"
    seed: int = 0
    threads: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{"out", "gaussians", "resolution", "agreement", "reached", "sigma", "rounds", "seconds", "cpu_seconds"}``.

    Raises:
        HeteroError: no map or particles, a target beyond Nyquist's, more Gaussians than voxels, or a bad mask.
    """
    import time

    import torch

    from hetero.gmm.neutral import fit_neutral

    check_range("The number of threads", settings.threads or 1, 1)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    wall, cpu = time.perf_counter(), time.process_time()
    data, frame = _data(settings, progress)
    check_gaussians(settings.most, frame)
    keep = None
    if settings.mask is not None:
        mask = read_map(settings.mask)
        frame.check_grid(mask)
        keep = partial(GaussianModel.inside, mask=mask)
    model, rounds = fit_neutral(data, frame, settings.most, settings.seed, keep=keep, progress=progress)
    write_model(settings.out, model, settings.program)
    last = rounds[-1]
    return {
        "out": str(settings.out), "gaussians": len(model), "resolution": last.resolution,
        "agreement": last.agreement, "reached": last.agreement > 0.95, "sigma": float(model.sigmas[0]),
        "rounds": [vars(r) for r in rounds], "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }  # fmt: skip


def check_gaussians(most: int, frame: GaussianModel) -> None:
    """Refuse more Gaussians than voxels, or none.

    Raises:
        HeteroError: how many there are of either.
    """
    check_range("The number of Gaussians", most, 1)
    if most > frame.box**3:
        raise HeteroError(
            f"{most:,} Gaussians are allowed and the box has {frame.box**3:,} voxels; fewer Gaussians were expected."
        )


def empty_frame(box: int, apix: float, origin=(0.0, 0.0, 0.0), name: str = "model") -> GaussianModel:
    """A model of one Gaussian that only says in which map others lie."""
    return GaussianModel(np.zeros((1, 3)), 1.0, 1.0, box, apix, origin, name)


def _data(settings: Settings, progress: Progress):
    from hetero.gmm.images import load_spectra
    from hetero.gmm.rings import rings_between

    if is_map_path(settings.source):
        return map_data(read_map(settings.source), settings.resolution, settings.low)
    particles = open_particles(settings.source)
    rings = rings_between(particles.box, particles.apix, settings.resolution, settings.low)
    ctf = "none" if particles.ctf is None else settings.ctf
    return load_spectra(particles, rings, ctf, progress), empty_frame(particles.box, particles.apix)


def map_data(volume: Volume, resolution: float, low: float):
    """Projections of a map in the place of particles, and its frame.

    Raises:
        HeteroError: a map that is no cube of cubic voxels, or a resolution that it does not reach.
    """
    from hetero.gmm.images import map_spectra
    from hetero.gmm.rings import rings_between

    if len(set(volume.shape)) > 1 or np.ptp(volume.apix) > 1e-3 * volume.apix[0]:
        raise HeteroError(f"{volume.name} has {grid_text(volume)}; a cube of cubic voxels was expected.")
    box, apix = volume.shape[0], float(volume.apix[0])
    rings = rings_between(box, apix, resolution, low)
    return map_spectra(volume, rings, _VIEWS), empty_frame(box, apix, volume.origin, volume.name)


def describe(result: dict[str, Any]) -> str:
    """How many Gaussians, how well they agree, and what came of each round."""
    rounds = "\n".join(
        f"  {r['gaussians']:6,} Gaussians at {r['resolution']:5.1f} Å: agreement {r['agreement']:.3f}"
        for r in result["rounds"]
    )
    verdict = "" if result["reached"] else " (below 0.95: what differs between particles, or noise, cannot be fitted)"
    return (
        f"{result['gaussians']:,} Gaussians of s.d. {result['sigma']:.1f} Å were chosen for "
        f"{result['resolution']:.1f} Å; lowest ring's correlation {result['agreement']:.3f}{verdict}\n{rounds}\n"
        f"{result['seconds']:.0f} s ({result['cpu_seconds']:.0f} s of processors); written: {result['out']}"
    )
