"""Poses that a training refined: how far they moved, and their files."""

from pathlib import Path

import numpy as np

from hetero.files import atomic_path
from hetero.particles.cryodrgn import write_poses
from hetero.particles.particles import Particles
from hetero.particles.poses import Poses

REFINED = ("poses.pkl", "poses.npz")
_SUMMARIES = {"median": np.median, "largest": np.max}


def pose_moves(given: Poses, refined: Poses) -> tuple[np.ndarray, np.ndarray]:
    """How far each pose moved: ``(n,)`` degrees and ``(n,)`` Å."""
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_matrix(refined.rotations @ given.rotations.swapaxes(1, 2))
    return np.degrees(turns.magnitude()), np.linalg.norm(refined.shifts - given.shifts, axis=1)


def summary_of_moves(given: Poses, refined: Poses) -> dict[str, float]:
    """``{"median_degrees", "largest_degrees", "median_angstrom", "largest_angstrom"}``."""
    ways = dict(zip(("degrees", "angstrom"), pose_moves(given, refined), strict=True))
    return {f"{how}_{what}": float(f(moved)) for what, moved in ways.items() for how, f in _SUMMARIES.items()}


def describe_moves(moves: dict[str, float]) -> str:
    """A line about them."""
    return (
        f"poses moved by {moves['median_degrees']:.2f} degrees and {moves['median_angstrom']:.2f} Å (medians; at most "
        f"{moves['largest_degrees']:.1f} and {moves['largest_angstrom']:.1f}): {', '.join(REFINED)}"
    )


def write_refined_poses(folder: Path, particles: Particles, refined: Poses) -> None:
    """Write ``poses.pkl``, as ``--poses`` and cryoDRGN read it, and ``poses.npz``.

    The second holds ``rotations``, ``shifts`` (Å), ``particle_index``, ``moved_degrees`` and ``moved_angstrom``. Both
    have a row for each particle that was trained on, in their order.
    """
    degrees, angstrom = pose_moves(particles.require_poses(), refined)
    write_poses(folder / REFINED[0], refined, particles.box * particles.stack.apix)
    with atomic_path(folder / REFINED[1]) as temporary, open(temporary, "wb") as file:
        np.savez(
            file, rotations=refined.rotations, shifts=refined.shifts, particle_index=particles.rows,
            moved_degrees=degrees, moved_angstrom=angstrom,
        )  # fmt: skip
