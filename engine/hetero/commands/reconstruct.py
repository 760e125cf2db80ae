"""``hetero reconstruct``: a map from particle images, all of them or those near a latent, with half maps and FSC."""

import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import hetero
from hetero.commands import POSITIONAL, check_range
from hetero.commands.fsc import sentence, summary
from hetero.commands.near_latent import Neighbourhood, particles_near
from hetero.commands.open_run import open_run
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.maps import Volume, write_map
from hetero.maps.fsc_files import draw_fsc, write_fsc
from hetero.particles import Particles, open_particles
from hetero.particles.symmetry import symmetry_rotations
from hetero.progress import Progress, silent

CONFIG, MAP, HALVES, TABLE, PICTURE = "config.json", "map.mrc", ("half1.mrc", "half2.mrc"), "fsc.csv", "fsc.png"
FOLDER = FolderKind(CONFIG, (CONFIG, MAP, *HALVES, TABLE, PICTURE))


@dataclass(frozen=True)
class Settings:
    """Reconstruct a map from particle images with their poses and CTFs: a filtered map, two half maps and their FSC.

    With --run, particles count by how near they lie to a latent: a check of a decoded map against the images alone.

    Attributes:
        particles: .star, .cs, .txt or .mrcs.
        out: Folder to make: map.mrc, half1.mrc, half2.mrc, fsc.csv, fsc.png, config.json.
        poses: cryoDRGN's poses.pkl, in place of those in the file.
        ctf: cryoDRGN's ctf.pkl, in place of those in the file.
        ind: cryoDRGN's ind.pkl (or .npy): which particles to take.
        datadir: Folder that the stacks' names start from.
        run: A run that was trained on these particles: only those near a latent are taken.
        z: The latent, zdim numbers.
        around_volume: Or a map that hetero decode made of the run: its latent is taken.
        bandwidth: Width of the Gaussian by which nearness counts, in standard deviations of the latents (whitened);
            without it one that takes a tenth of the particles, at least 1,000.
        epoch: Which epoch of the run, where it keeps several, as its file names count; without it the newest.
        symmetry: C1, C2 ..., D2 ..., T, O or I: the map is made symmetric. Cn and Dn turn about z.
        invert: Turn the contrast over, for particles that are dark (a .cs file says itself whether they are).
        threads: Processors to use; without it all.
    """

    particles: Path = field(metadata=POSITIONAL)
    out: Path
    poses: Path | None = None
    ctf: Path | None = None
    ind: Path | None = None
    datadir: Path | None = None
    run: Path | None = None
    z: tuple[float, ...] = ()
    around_volume: Path | None = None
    bandwidth: float | None = None
    epoch: int | None = None
    symmetry: str = "C1"
    invert: bool = False
    threads: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the folder; the answer has ``n`` (particles that count), ``effective``, ``half_sets`` and whose they are,
    ``box``, ``apix``, the numbers of the FSC (as in ``hetero fsc``), ``z``, ``bandwidth``, ``seconds``, ``out``.

    Memory: 300 bytes for each voxel of the map and 40 MB a thread; images are read a few at a time.

    Raises:
        HeteroError: bad particles, no poses, an unknown symmetry, a run of other particles, or no particle near enough.
    """
    from hetero.particles.reconstruct import reconstruct, split_halves

    check_folder(settings.out, FOLDER)
    check_range("The number of threads", settings.threads or 1, 1)
    symmetry = symmetry_rotations(settings.symmetry)
    about_run = (settings.z or None, settings.around_volume, settings.bandwidth, settings.epoch)
    if settings.run is None and any(value is not None for value in about_run):
        raise HeteroError(
            "--z, --around-volume, --bandwidth and --epoch speak of a run's latents; --run was expected too."
        )
    started = time.perf_counter()
    particles = open_particles(
        settings.particles, settings.poses, settings.ctf, settings.ind, settings.datadir, settings.invert
    )
    particles.require_poses()
    near = None
    if settings.run is not None:
        model = open_run(settings.run, settings.epoch)
        near = particles_near(particles, model, settings.z, settings.around_volume, settings.bandwidth)
    half_set, whose = split_halves(particles)
    weights = np.ones(len(particles)) if near is None else near.weights
    result = reconstruct(particles, half_set, weights, symmetry, settings.threads, progress)
    answer = _answer(particles, half_set, weights, near) | summary(result.fsc)
    answer |= {"halves_of": whose, "symmetry": settings.symmetry.upper(), "out": str(settings.out)}
    with atomic_folder(settings.out, FOLDER) as folder:
        maps = zip((MAP, *HALVES), (result.data, *result.halves), strict=True)
        for name, data in maps:
            write_map(folder / name, Volume(data, particles.apix))
        write_fsc(folder / TABLE, result.fsc)
        draw_fsc(folder / PICTURE, result.fsc, f"half maps of {answer['n']:,} particles")
        answer["seconds"] = time.perf_counter() - started
        record = {"verb": "reconstruct", "settings": dataclasses.asdict(settings), "result": answer}
        record["hetero"] = hetero.__version__
        (folder / CONFIG).write_text(json.dumps(record, default=str, indent=1) + "\n")
    return answer


def describe(result: dict[str, Any]) -> str:
    """What it is made of, how far the halves agree, and where it lies."""
    lines = [f"a map of {result['box']}^3 voxels of {result['apix']:.4g} Å from {result['n']:,} particles"]
    if result["symmetry"] != "C1":
        lines[0] += f", {result['symmetry']}"
    if not result["ctf"]:
        lines.append("note: the particles have no CTF; it was taken as 1.")
    if result["z"] is not None:
        lines.append(
            f"near a latent: as good as {result['effective']:,.0f} particles of equal weight (bandwidth "
            f"{result['bandwidth']:.3g} s.d.)"
        )
    halves = {"file": "the refinement's own", "odd-even": "odd and even particles"}[result["halves_of"]]
    lines.append(f"half sets ({halves}): {result['half_sets'][0]:,} and {result['half_sets'][1]:,}")
    lines.append(f"{sentence(result)}, corrected for the mask")
    lines.append(f"written: {result['out']} in {result['seconds']:.1f} s")
    return "\n".join(lines)


def _answer(
    particles: Particles, half_set: np.ndarray, weights: np.ndarray, near: Neighbourhood | None
) -> dict[str, Any]:
    return {
        "n": int(np.count_nonzero(weights)),
        "effective": float(len(particles)) if near is None else near.effective,
        "half_sets": [int(np.count_nonzero(weights[half_set == half])) for half in (0, 1)],
        "box": particles.box,
        "apix": particles.apix,
        "ctf": particles.ctf is not None,
        "z": None if near is None else near.z.tolist(),
        "bandwidth": None if near is None else near.bandwidth,
    }
