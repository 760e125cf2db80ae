"""The one door to particles, whichever program wrote them."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.foreign import check_file
from hetero.particles import cryodrgn
from hetero.particles.cryosparc import particles_from_cs
from hetero.particles.ctf import CTF
from hetero.particles.eman import particles_from_lst
from hetero.particles.locate import locate_stacks
from hetero.particles.mrcs import SUFFIXES as STACK_SUFFIXES
from hetero.particles.particles import Particles, ParticleWarning
from hetero.particles.poses import Poses
from hetero.particles.relion import particles_from_star, pixel_sizes_of_files
from hetero.particles.stack import ParticleStack, check_images, open_files

LISTING = "particles.star"
"""What lists the particles in a folder of ours."""


def is_particle_path(path: Path | str) -> bool:
    """Whether a file is a list or a stack of particles, by name; a ``.txt`` by whether its first line names a stack.

    A bare ``.mrc`` counts as a map, though :func:`open_particles` takes it as a stack.
    """
    path = Path(path)
    if path.suffix.lower() == ".txt":
        if not path.is_file():  # a pipe would keep us waiting
            return False
        with open(path, "rb") as file:
            return file.readline(4096).strip().lower().endswith((b".mrcs", b".mrc"))
    return path.suffix.lower() in (".star", ".cs", ".lst", ".mrcs")


def is_particle_folder(path: Path | str) -> bool:
    """Whether a folder is one of particles that Hetero made (``hetero downsample``, ``simulate --particles``)."""
    return (Path(path) / LISTING).is_file()


def open_particles(
    path: Path | str,
    poses: Path | str | None = None,
    ctf: Path | str | None = None,
    ind: Path | str | None = None,
    datadir: Path | str | None = None,
    invert: bool = False,
) -> Particles:
    """Open particles; images stay on disk, and a few are looked at.

    Args:
        path: ``.star`` (RELION 3.0, 3.1, 5), ``.cs`` (cryoSPARC 2 to 4), ``.lst`` (EMAN2), ``.txt`` (a list of stacks),
            a stack, or a folder of particles that Hetero made.
        poses: cryoDRGN's poses.pkl, in place of those in ``path``.
        ctf: cryoDRGN's ctf.pkl, in place of those in ``path``; its pixel sizes count.
        ind: cryoDRGN's ind.pkl, or ``.npy``: which particles, counted from 0 in the order of ``path``.
        datadir: folder that the stacks' names start from.
        invert: turn the contrast over, for particles that are dark on disk where the file does not say so.

    Returns:
        Particles in the order of ``path``, or of ``ind``.

    Raises:
        HeteroError: a file that is missing, damaged or disagrees with the others; one sentence says which and how.

    Warns:
        ParticleWarning: a value that had to be assumed or is ignored.
    """
    path = Path(path) / LISTING if is_particle_folder(path) else Path(path)
    particles = _read(path, None if datadir is None else Path(datadir), with_ctf=ctf is None)
    rows = np.arange(len(particles)) if ind is None else cryodrgn.read_indices(ind, len(particles))
    if ind is not None:
        particles = particles.subset(rows)
    if ctf is not None:
        values, extent = cryodrgn.read_ctf(ctf)
        values, extent = (_matching(v, ctf, rows, particles) for v in (values, extent))
        particles = replace(particles, ctf=values, stack=_resized(particles.stack, extent / particles.box, path))
    if poses is not None:
        extent = particles.stack.apix * particles.box
        # the pickle may list all particles or those of ind alone, so shares of the box come first
        shares = _matching(cryodrgn.read_poses(poses, 1.0), poses, rows, particles)
        particles = replace(particles, poses=Poses(shares.rotations, shares.shifts * extent[:, None]))
    if invert:
        particles = replace(particles, stack=particles.stack.inverted())
    check_images(particles.stack)
    return particles


def _read(path: Path, datadir: Path | None, with_ctf: bool) -> Particles:
    suffix = path.suffix.lower()
    check_file(path, "a .star, .cs, .lst, .txt or .mrcs file of particles")
    if suffix == ".star":
        return particles_from_star(path, datadir, with_ctf)
    if suffix == ".cs":
        return particles_from_cs(path, datadir, with_ctf)
    if suffix == ".lst":
        return particles_from_lst(path, datadir)
    if suffix == ".txt":
        return _bare(path, locate_stacks(_lines(path), path, datadir))
    if suffix in STACK_SUFFIXES:
        return _bare(path, [path])
    raise HeteroError(f"{path} is no list of particles; .star, .cs, .lst, .txt or .mrcs was expected.")


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise HeteroError(f"{path} is empty; the names of stacks, one a line, were expected.")
    return lines


def _bare(path: Path, stacks: list[Path]) -> Particles:
    """Stacks one after the other, without poses or CTF."""
    files = open_files(stacks)
    apix = pixel_sizes_of_files(path, files)
    counts = [len(f) for f in files]
    file = np.repeat(np.arange(len(files)), counts)
    index = np.concatenate([np.arange(n) for n in counts])
    stack = ParticleStack(files, file, index, apix[file], 1)
    return Particles(stack, None, None, path, np.arange(len(stack)), len(stack))


def _matching(value: Poses | CTF | np.ndarray, source: Path | str, rows: np.ndarray, particles: Particles):
    """The entries of a cryoDRGN pickle that belong to the particles: it may list all of the file, or those of ind."""
    if len(value) == particles.total:
        return value[rows]
    if len(value) == len(particles):
        return value
    chosen = f" ({len(particles):,} chosen)" if len(particles) != particles.total else ""
    raise HeteroError(
        f"{source} is for {len(value):,} particles, {particles.path} has {particles.total:,} images{chosen}; equal "
        "counts were expected."
    )


def _resized(stack: ParticleStack, apix: np.ndarray, path: Path) -> ParticleStack:
    off = np.abs(apix / stack.apix - 1).max()
    if off > 0.01 and path.suffix.lower() in (".star", ".cs"):
        warnings.warn(
            f"{path} has pixels of {stack.apix[0]:.4g} Å, the CTF file of {apix[0]:.4g} Å; the latter is taken.",
            ParticleWarning,
            stacklevel=2,
        )
    return replace(stack, apix=apix)
