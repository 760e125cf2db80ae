"""``hetero downsample``: particle images made small, centred and windowed once, for all that reads them often."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import hetero
from hetero.commands import POSITIONAL, check_range, info
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.locks import hold_result
from hetero.parallel import processors
from hetero.particles import Particles, Poses, open_particles, write_indices, write_star
from hetero.particles.growing import grow_stack
from hetero.particles.open import LISTING
from hetero.particles.relion import other_columns, star_tables
from hetero.particles.resample import Sampling, common_sampling, resample_images
from hetero.parts import keep_parts
from hetero.progress import Progress, silent

CONFIG, STACK, INDICES = "downsample.json", "particles.mrcs", "ind.pkl"
FOLDER = FolderKind(CONFIG, (CONFIG, STACK, LISTING, INDICES))
_BATCH_BYTES = 32 << 20


@dataclass(frozen=True)
class Settings:
    """Make particle images smaller, once: windowed, centred, Fourier-cropped, at one pixel size.

    The folder holds particles.mrcs and particles.star, which RELION and every verb here open like any other; particles
    keep their order. Optics groups with different pixel sizes are brought to one. What was stopped goes on when the
    same command is given again.

    Attributes:
        particles: .star, .cs, .txt or .mrcs.
        out: Folder to make.
        box: Pixels along each side, even, at most as many as now.
        poses: cryoDRGN's poses.pkl, in place of those in the file.
        ctf: cryoDRGN's ctf.pkl, in place of those in the file.
        ind: cryoDRGN's ind.pkl (or .npy): which particles to take.
        datadir: Folder that the stacks' names start from.
        window: Where a soft circular window begins, as a share of half the box, the background taken off; 1 for none.
        keep_shifts: Leave particles where they lie in their images, and keep their shifts.
        invert: Turn the contrast over, for particles that are dark (a .cs file says itself whether they are).
        half: Store 16-bit floats: half the size, read by RELION 4 and later.
        threads: Processors to use; without it all.
    """

    particles: Path = field(metadata=POSITIONAL)
    out: Path
    box: int = 128
    poses: Path | None = None
    ctf: Path | None = None
    ind: Path | None = None
    datadir: Path | None = None
    window: float = 0.85
    keep_shifts: bool = False
    invert: bool = False
    half: bool = False
    threads: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the folder; the answer is ``info``'s on it, with ``seconds``, ``centred`` and ``bytes`` of the stack.

    Memory: 0.2 GB for each thread, and what the list of particles takes.

    Raises:
        HeteroError: bad particles, or a box that is odd or larger than theirs.
    """
    check_folder(settings.out, FOLDER)
    check_range("The number of threads", settings.threads or 1, 1)
    started = time.perf_counter()
    particles = open_particles(
        settings.particles, settings.poses, settings.ctf, settings.ind, settings.datadir, settings.invert
    )
    sampling = common_sampling(particles.stack.apix, particles.box, settings.box, settings.window)
    centred = particles.poses is not None and not settings.keep_shifts
    n = len(particles)
    shifts = particles.poses.shifts if centred else np.zeros((n, 2))
    with (
        hold_result(settings.out, parents=True),
        keep_parts(f"{settings.out}.parts", _job(settings, particles)) as parts,
    ):
        stack = parts.folder / STACK
        with grow_stack(stack, n, sampling.box, sampling.apix, half=settings.half) as writer:
            progress(writer.n, n, "downsampling")
            for images in _resampled(particles, shifts, sampling, settings.threads or processors(), writer.n):
                writer.append(images)
                progress(writer.n, n, "downsampling")
        with atomic_folder(settings.out, FOLDER) as folder:
            _place(stack, folder / STACK)
            _write_list(folder, particles, sampling, centred)
            config = dataclasses.asdict(settings) | {"apix": sampling.apix, "centred": centred}
            about = {"verb": "downsample", "settings": config, "hetero": hetero.__version__}
            (folder / CONFIG).write_text(json.dumps(about, default=str, indent=1))
    answer = info.run(info.Settings(settings.out))
    return answer | {
        "centred": centred,
        "bytes": os.path.getsize(settings.out / STACK),
        "seconds": time.perf_counter() - started,
    }


def describe(result: dict[str, Any]) -> str:
    """What was made, and how fast."""
    where = "particles in the middle" if result["centred"] else "particles where they were"
    speed = result["n"] / max(result["seconds"], 1e-9)
    return (
        f"{info.describe(result)}\n{where}; {result['bytes'] / 1e9:.2f} GB in {result['seconds']:.1f} s "
        f"({speed:,.0f} images/s)"
    )


def _job(settings: Settings, particles: Particles) -> dict[str, Any]:
    """What tells one stack from another; the number of threads does not."""
    values = {name: value for name, value in dataclasses.asdict(settings).items() if name not in ("out", "threads")}
    of = hashlib.sha256(particles.rows.tobytes())
    for array in (particles.stack.file, particles.stack.index, particles.stack.apix, particles.stack.sign):
        of.update(np.ascontiguousarray(array).tobytes())
    if particles.poses is not None:
        of.update(particles.poses.shifts.tobytes())
    return values | {"verb": "downsample", "of": of.hexdigest()[:16], "hetero": hetero.__version__}


def _place(stack: Path, path: Path) -> None:
    """The finished stack under a second name: the first stays until the folder is in its place."""
    try:
        os.link(stack, path)
    except OSError:  # a file system without links
        os.replace(stack, path)


def _resampled(
    particles: Particles, shifts: np.ndarray, sampling: Sampling, threads: int, first: int
) -> Iterator[np.ndarray]:
    """Small images from ``first`` on, in order, a batch at a time; ``threads`` batches are worked on at once."""
    stack = particles.stack
    size = max(1, _BATCH_BYTES // (4 * stack.box**2))
    parts = [slice(start, min(start + size, len(stack))) for start in range(first, len(stack), size)]

    def work(part: slice) -> np.ndarray:
        return resample_images(stack[part], stack.apix[part], shifts[part], sampling)

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(parts), threads):  # no further ahead: memory stays bounded
            yield from pool.map(work, parts[start : start + threads])


def _write_list(folder: Path, particles: Particles, sampling: Sampling, centred: bool) -> None:
    n = len(particles)
    poses = particles.poses
    if centred:
        poses = Poses(poses.rotations, np.zeros((n, 2)))
    names = [f"{i:06d}@{STACK}" for i in range(1, n + 1)]
    extra = other_columns(particles.path, particles.rows) if particles.path.suffix.lower() == ".star" else {}
    extra["rlnImageOriginalName"] = [particles.stack.name(i) for i in range(n)]
    tables = star_tables(
        names, sampling.box, np.full(n, sampling.apix), poses, particles.ctf, particles.half_set, extra
    )
    write_star(folder / LISTING, tables)
    if n != particles.total:
        write_indices(folder / INDICES, particles.rows)
