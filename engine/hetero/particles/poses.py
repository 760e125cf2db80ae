"""Poses: where each particle looks from and where it lies in its image. CONVENTIONS.md has the sense of both."""

from dataclasses import dataclass

import numpy as np

from hetero.errors import HeteroError


@dataclass(frozen=True, eq=False)
class Poses:
    """Orientations and shifts of n particles.

    Attributes:
        rotations: ``(n, 3, 3)``; the point p = (x, y, z) of the map lies at ``rotation @ p`` in the microscope's frame,
            whose z runs along the beam.
        shifts: ``(n, 2)`` Å along x, y: what the image must be moved by to centre the particle.

    Raises:
        HeteroError: shapes that do not fit, a matrix that is no rotation, or a number that is not finite; names the
            first such particle, counted from 1.
    """

    rotations: np.ndarray
    shifts: np.ndarray

    def __post_init__(self):
        rotations = np.array(self.rotations, dtype=float)
        shifts = np.array(self.shifts, dtype=float)
        if rotations.ndim != 3 or rotations.shape[1:] != (3, 3):
            raise HeteroError(f"Rotations have shape {rotations.shape}; (n, 3, 3) was expected.")
        if shifts.shape != (len(rotations), 2):
            raise HeteroError(f"{len(rotations):,} rotations have shifts of shape {shifts.shape}; (n, 2) was expected.")
        wrong = ~np.isfinite(shifts).all(axis=1)
        if wrong.any():
            raise HeteroError(f"The shift of particle {_first(wrong)} is not finite.")
        with np.errstate(invalid="ignore"):
            product = rotations @ rotations.transpose(0, 2, 1)
            wrong = ~(np.abs(product - np.eye(3)).max(axis=(1, 2), initial=0) < 1e-3)
            mirrored = np.linalg.det(rotations) < 0
        if wrong.any():
            raise HeteroError(
                f"The rotation of particle {_first(wrong)} is no rotation matrix (its rows are not unit)."
            )
        if mirrored.any():
            raise HeteroError(
                f"The rotation of particle {_first(mirrored)} mirrors (determinant -1): the other hand is in the map, "
                "never in a pose."
            )
        for name, value in (("rotations", rotations), ("shifts", shifts)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.rotations)

    def __getitem__(self, indices) -> "Poses":
        """The poses of some particles, in the order of ``indices`` (slice, integers or booleans)."""
        return Poses(self.rotations[indices], self.shifts[indices])


def _first(wrong: np.ndarray) -> int:
    return int(np.argmax(wrong)) + 1


def rotations_from_euler(rot: np.ndarray, tilt: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """RELION's Euler angles -> ``(n, 3, 3)`` rotations.

    ``Rz(psi) Ry(tilt) Rz(rot)`` with each turning the frame, not the object: their matrix A, with A p = p'.

    Args:
        rot, tilt, psi: ``(n,)`` degrees, as in rlnAngleRot, rlnAngleTilt, rlnAnglePsi.
    """
    from scipy.spatial.transform import Rotation

    angles = np.stack(np.broadcast_arrays(rot, tilt, psi), axis=-1).astype(float)
    return Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix().swapaxes(-1, -2)


def euler_from_rotations(rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(n, 3, 3)`` rotations -> RELION's rot, tilt, psi, each ``(n,)`` degrees; rot is 0 where tilt is 0 or 180."""
    r = np.asarray(rotations, dtype=float)
    sine = np.hypot(r[:, 2, 0], r[:, 2, 1])
    upright = sine < 1e-7
    rot = np.where(upright, 0.0, np.arctan2(r[:, 2, 1], r[:, 2, 0]))
    tilt = np.arctan2(sine, r[:, 2, 2])
    level = np.arctan2(r[:, 0, 1], np.sign(r[:, 2, 2]) * r[:, 0, 0])
    psi = np.where(upright, level, np.arctan2(r[:, 1, 2], -r[:, 0, 2]))
    return np.degrees(rot), np.degrees(tilt), np.degrees(psi)
