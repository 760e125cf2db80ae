"""What a linear model needs of its particles, asked before any work."""

import numpy as np

from hetero.errors import HeteroError
from hetero.linear.fit import Plan
from hetero.linear.full import table_bytes
from hetero.particles import Particles

_FEWEST = 100
_FOR_A_COMPONENT = 40
_LARGEST_TABLES = 10 << 30
_LOOKED_AT = 64


def check_particles(particles: Particles, plan: Plan) -> None:
    """Refuse particles that no linear model can be fitted to.

    Raises:
        HeteroError: no poses or CTF, several pixel sizes, too few particles or too many components for them, images
            without content or all the same, or maps too large for the memory.
    """
    particles.require_poses()
    particles.require_ctf()
    _ = particles.apix  # raises where sizes differ
    n, path = len(particles), particles.path
    if n < _FEWEST:
        raise HeteroError(f"{path} has {n:,} particles; {_FEWEST} or more were expected for a linear model.")
    if n < _FOR_A_COMPONENT * (plan.zdim + 1):
        raise HeteroError(
            f"A zdim of {plan.zdim} was asked for; the {n:,} particles of {path} carry {n // _FOR_A_COMPONENT - 1} "
            f"components at most ({_FOR_A_COMPONENT} particles for each and for the mean)."
        )
    if not 16 <= plan.box <= particles.box or plan.box % 2:
        raise HeteroError(
            f"Maps of {plan.box} voxels were asked for; an even number from 16 to the images' {particles.box} was "
            "expected."
        )
    if plan.radius is not None and not 3 <= plan.radius < plan.box // 2:
        raise HeteroError(
            f"A radius of {plan.radius} was asked for; 3 to {plan.box // 2 - 1} cycles per box were expected."
        )
    need = table_bytes(plan.box, plan.zdim)
    if need > _LARGEST_TABLES:
        raise HeteroError(
            f"A zdim of {plan.zdim} with maps of {plan.box} voxels takes {need / 2**30:.0f} GB of memory; a smaller "
            f"zdim or --box was expected ({_LARGEST_TABLES >> 30} GB at most)."
        )
    _check_content(particles)


def _check_content(particles: Particles) -> None:
    rows = np.unique(np.linspace(0, len(particles) - 1, _LOOKED_AT).astype(int))
    images = particles.stack[rows]
    flat = np.flatnonzero(np.ptp(images, axis=(1, 2)) == 0)
    if len(flat):
        raise HeteroError(f"Image {particles.stack.name(rows[flat[0]])} holds one value alone; a picture was expected.")
    if not np.ptp(images, axis=0).any():
        raise HeteroError(
            f"The images of {particles.path} are all the same ({len(rows)} were looked at); pictures of different "
            "particles were expected."
        )
