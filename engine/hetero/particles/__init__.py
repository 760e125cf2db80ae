"""Particles: the nouns ParticleStack, Poses, CTF and Particles, and the files they come from."""

from hetero.particles.cryodrgn import read_indices, write_ctf, write_indices, write_poses
from hetero.particles.cryosparc import read_cs, write_cs_subset
from hetero.particles.ctf import CTF, electron_wavelength
from hetero.particles.mrcs import read_stack_header, write_stack
from hetero.particles.open import is_particle_folder, is_particle_path, open_particles
from hetero.particles.particles import Particles, ParticleWarning
from hetero.particles.poses import Poses, euler_from_rotations, rotations_from_euler
from hetero.particles.stack import ParticleStack, check_images
from hetero.particles.star import particle_block, read_block, scan_star, write_star, write_star_subset

__all__ = [
    "CTF", "ParticleStack", "ParticleWarning", "Particles", "Poses", "check_images", "electron_wavelength",
    "euler_from_rotations", "is_particle_folder", "is_particle_path", "open_particles", "particle_block",
    "read_block", "read_cs", "read_indices", "read_stack_header", "rotations_from_euler", "scan_star",
    "write_cs_subset", "write_ctf", "write_indices", "write_poses", "write_stack", "write_star",
    "write_star_subset",
]  # fmt: skip
