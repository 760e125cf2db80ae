"""Particle images with exact truth: projections through a CTF, shifted, in white noise."""

from collections.abc import Iterator

import numpy as np

from hetero.errors import HeteroError
from hetero.particles.ctf import CTF
from hetero.particles.poses import Poses
from hetero.particles.project import images_from_transforms, shift_phases
from hetero.particles.specimens import Population

_PILOT = 256
_PER_MICROGRAPH = 100


def random_poses(n: int, shift: float, rng: np.random.Generator) -> Poses:
    """Orientations uniform over all rotations; shifts normal with s.d. ``shift`` Å, cut at 2.5 s.d."""
    from scipy.spatial.transform import Rotation

    rotations = Rotation.from_quat(rng.standard_normal((n, 4))).as_matrix()
    return Poses(rotations, np.clip(rng.normal(0, 1, (n, 2)), -2.5, 2.5) * shift)


def random_ctf(
    n: int, rng: np.random.Generator, defocus: tuple[float, float] = (10_000.0, 25_000.0), bfactor: float = 0.0
) -> tuple[CTF, np.ndarray]:
    """CTFs as of a session at 300 kV, Cs 2.7 mm, contrast 0.1, with astigmatism up to 400 Å.

    About 100 particles share a micrograph, and differ by 100 Å s.d. in their height.

    Args:
        n: particles.
        rng: the source of chance.
        defocus: Å, least and most.
        bfactor: Å^2, the same for all.

    Returns:
        The CTFs, and ``(n,)`` the micrograph of each particle, ascending.
    """
    micrographs = max(1, n // _PER_MICROGRAPH)
    micrograph = np.sort(rng.integers(0, micrographs, n))
    mean, astigmatism = rng.uniform(*defocus, micrographs), rng.uniform(0, 400, micrographs)
    angle = rng.uniform(0, 180, micrographs)
    height = rng.normal(0, 100, n)
    u, v = (mean[micrograph] + sign * astigmatism[micrograph] / 2 + height for sign in (1, -1))
    return CTF(u, v, angle[micrograph], 300.0, 2.7, 0.1, bfactor=bfactor), micrograph


def signal_scale(population: Population, poses: Poses, ctf: CTF | None, box: int, apix: float, snr: float) -> float:
    """The factor that gives clean images the variance ``snr``, over all pixels, to noise of variance 1.

    Judged on 256 particles spread over all.
    """
    n = len(population)
    part = np.unique(np.linspace(0, n - 1, min(n, _PILOT)).astype(int))
    clean = _clean(population, part, poses[part], None if ctf is None else ctf[part], box, apix)
    variance = float(clean.var())
    if variance == 0:
        raise HeteroError("The projections are empty; a structure inside the box was expected.")
    return float(np.sqrt(snr / variance))


def simulate_images(
    population: Population,
    poses: Poses,
    ctf: CTF | None,
    box: int,
    apix: float,
    scale: float,
    rng: np.random.Generator | None,
    batch: int = 200,
) -> Iterator[np.ndarray]:
    """Images in order, ``batch`` at a time.

    Args:
        population: what they show.
        poses: of each; the particle lies at minus its shift from pixel ``box // 2``.
        ctf: of each, or ``None`` for none.
        box: pixels.
        apix: Å per pixel.
        scale: factor on the projections, from :func:`signal_scale`.
        rng: for noise of s.d. 1; ``None`` for none.

    Yields:
        ``(batch, box, box)`` float32.

    Raises:
        HeteroError: counts that differ, or a particle that may reach beyond the box.
    """
    n = len(population)
    for what, value in (("poses", poses), ("CTFs", ctf)):
        if value is not None and len(value) != n:
            raise HeteroError(f"{n:,} particles are to be made with {len(value):,} {what}; equal counts were expected.")
    if population.radius > box * apix / 2:
        raise HeteroError(
            f"The structure reaches {population.radius:.0f} Å from its centre and does not fit into {box} pixels of "
            f"{apix:.4g} Å; a larger box or pixel was expected."
        )
    for start in range(0, n, batch):
        part = slice(start, min(start + batch, n))
        images = (
            _clean(population, np.arange(n)[part], poses[part], None if ctf is None else ctf[part], box, apix) * scale
        )
        if rng is not None:
            images += rng.standard_normal(images.shape, dtype=np.float32)
        yield images.astype(np.float32)


def _clean(
    population: Population, those: np.ndarray, poses: Poses, ctf: CTF | None, box: int, apix: float
) -> np.ndarray:
    transforms = np.stack(
        [population.project(i, rotation, box, apix) for i, rotation in zip(those, poses.rotations, strict=True)]
    )
    transforms *= shift_phases(-poses.shifts, box, apix)
    if ctf is not None:
        transforms *= ctf.images(box, apix)
    return images_from_transforms(transforms, box)
