"""cryoDRGN's pickles of poses, CTFs and indices, read without running them, and written as it reads them."""

from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.foreign import read_npy
from hetero.particles.ctf import CTF
from hetero.particles.poses import Poses
from hetero.pickles import read_pickles, write_pickle

_CTF_COLUMNS = "box, Å per pixel, defocus U, V, angle, kV, Cs, amplitude contrast, phase shift"


def read_poses(path: Path | str, extent: float | np.ndarray) -> Poses:
    """Read a poses.pkl: rotations ``(n, 3, 3)``, alone or with shifts ``(n, 2)`` as shares of the box.

    Args:
        path: the pickle.
        extent: Å, length of an image's side; one number or ``(n,)``.

    Raises:
        HeteroError: no such pickle, or shifts in pixels (cryoDRGN before 0.3).
    """
    value = _only(path)
    parts = value if isinstance(value, (tuple, list)) else (value,)
    if not 1 <= len(parts) <= 2 or not all(isinstance(p, np.ndarray) and p.dtype.kind == "f" for p in parts):
        raise HeteroError(f"{path} holds no poses; rotations (n, 3, 3) and shifts (n, 2) were expected.")
    rotations = parts[0]
    if rotations.ndim != 3 or rotations.shape[1:] != (3, 3):
        raise HeteroError(f"{path} holds an array of shape {rotations.shape}; rotations (n, 3, 3) were expected.")
    shifts = parts[1] if len(parts) == 2 else np.zeros((len(rotations), 2))
    if shifts.shape != (len(rotations), 2):
        raise HeteroError(f"{path} holds {len(rotations):,} rotations and shifts of shape {shifts.shape}.")
    if np.abs(shifts).max(initial=0) > 1:
        raise HeteroError(
            f"{path} has shifts of up to {np.abs(shifts).max():.1f}; shares of the box (below 1) were expected. Files "
            "of cryoDRGN before 0.3 have pixels: make it anew from the star or .cs file."
        )
    return Poses(rotations, shifts * np.asarray(extent, dtype=float).reshape(-1, 1))


def read_ctf(path: Path | str) -> tuple[CTF, np.ndarray]:
    """Read a ctf.pkl, ``(n, 9)``.

    Returns:
        The CTF, and ``(n,)`` the length of each image's side, Å: that of the images the file was made from, and of any
        that were downsampled from them.

    Raises:
        HeteroError: no such pickle, or a value that makes no sense.
    """
    value = _only(path)
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.shape[1] != 9 or value.dtype.kind != "f":
        found = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else "no array"
        raise HeteroError(f"{path} holds {found}; a table (n, 9) was expected: {_CTF_COLUMNS}.")
    box, apix, u, v, angle, voltage, cs, contrast, phase = value.T.astype(float)
    if not ((box > 0) & (apix > 0)).all():
        raise HeteroError(
            f"{path} gives a box of {box.min():g} pixels of {apix.min():g} Å; positive numbers were expected."
        )
    return CTF(u, v, angle, voltage, cs, contrast, phase), box * apix


def read_indices(path: Path | str, n: int) -> np.ndarray:
    """Read an ind.pkl or .npy: ``(k,)`` places among ``n`` particles, counted from 0.

    Raises:
        HeteroError: no list of whole numbers, one beyond the end, or one that comes twice.
    """
    path = Path(path)
    value = np.array(read_npy(path, "an array of indices") if path.suffix == ".npy" else _only(path), dtype=object)
    if value.ndim != 1 or not value.size or not all(isinstance(i, (int, np.integer)) for i in value.tolist()):
        raise HeteroError(f"{path} holds no list of whole numbers; the indices of particles were expected.")
    value = value.astype(np.int64)
    if value.min() < 0 or value.max() >= n:
        wrong = int(value[(value < 0) | (value >= n)][0])
        raise HeteroError(f"{path} names particle {wrong:,} (counted from 0); there are {n:,}.")
    if len(np.unique(value)) < len(value):
        raise HeteroError(f"{path} names a particle more than once.")
    return value


def write_indices(path: Path | str, indices: np.ndarray) -> None:
    """Write an ind.pkl (or ``.npy``, by the suffix): int64, as cryoDRGN's ``--ind`` reads it."""
    indices = np.asarray(indices, dtype=np.int64)
    if Path(path).suffix == ".npy":
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, indices)
    else:
        write_pickle(path, indices)


def write_poses(path: Path | str, poses: Poses, extent: float | np.ndarray) -> None:
    """Write a poses.pkl. ``extent``: Å, length of an image's side; one number or ``(n,)``."""
    shifts = poses.shifts / np.asarray(extent, dtype=float).reshape(-1, 1)
    write_pickle(path, (poses.rotations.astype(np.float32), shifts.astype(np.float32)))


def write_ctf(path: Path | str, ctf: CTF, box: int, apix: float | np.ndarray) -> None:
    """Write a ctf.pkl. B-factor and scale have no place in it."""
    columns = (
        np.full(len(ctf), box), np.broadcast_to(apix, len(ctf)), ctf.defocus_u, ctf.defocus_v, ctf.angle, ctf.voltage,
        ctf.cs, ctf.amplitude_contrast, ctf.phase_shift,
    )  # fmt: skip
    write_pickle(path, np.stack(columns, axis=1).astype(np.float32))


def _only(path: Path | str):
    values = read_pickles(path)
    if len(values) != 1:
        raise HeteroError(f"{path} holds {len(values)} pickles; one was expected.")
    return values[0]
