"""EMAN2's lists of particles (``.lst``), read only."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from hetero.errors import HeteroError
from hetero.particles.locate import locate_stacks
from hetero.particles.mrcs import SUFFIXES
from hetero.particles.particles import Particles
from hetero.particles.poses import Poses, rotations_from_euler
from hetero.particles.relion import pixel_sizes_of_files
from hetero.particles.stack import ParticleStack, open_files

_POSE = "xform.projection"
_NUMBER = re.compile(r"[0-9]{1,15}")


def particles_from_lst(path: Path, datadir: Path | None = None) -> Particles:
    """Open a list: a line a particle, ``number <TAB> stack <TAB> {what is known}``, numbers counted from 0.

    Poses come from ``xform.projection`` (a 3 x 4 matrix) or, in old lists, from EMAN's Euler angles; a ``class`` of 0
    or 1 throughout is the half set. There is no CTF in such a list: EMAN2's programs work on phase-flipped images.

    Args:
        path: ``.lst``.
        datadir: where the stacks are, if not where the file says.

    Raises:
        HeteroError: a line that is none of a list, a stack that is missing or not of MRC's kind, or a pose that is none
            or that only some particles have.
    """
    path = Path(path)
    numbers, names, known = _read_lines(path)
    stacks, file = np.unique(names, return_inverse=True)
    foreign = [name for name in stacks if Path(name).suffix.lower() not in SUFFIXES]
    if foreign:
        raise HeteroError(
            f"{path} names images in {foreign[0]}; MRC stacks were expected (EMAN2's e2proc2d.py {foreign[0]} "
            f"{Path(foreign[0]).stem}.mrcs makes one)."
        )
    files = open_files(locate_stacks(stacks.tolist(), path, datadir))
    apix = pixel_sizes_of_files(path, files)[file]
    half, n = np.array([_half_set(values) for values in known]), len(numbers)
    return Particles(
        ParticleStack(files, file, np.array(numbers), apix, 1), _poses(path, known, apix), None, path, np.arange(n), n,
        half if (half >= 0).all() else None,
    )  # fmt: skip


def _read_lines(path: Path) -> tuple[list[int], list[str], list[dict[str, Any]]]:
    """Number, stack and what is known of each particle."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HeteroError(f"{path} cannot be read as a list of particles of EMAN2.") from error
    numbers, names, known = [], [], []
    for i, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        number, _, rest = line.rstrip().partition("\t")
        name, _, comment = rest.partition("\t")
        if not _NUMBER.fullmatch(number.strip()) or not name.strip():
            raise HeteroError(
                f"Line {i} of {path} is no particle: number, stack and {{...}} between tabs were expected."
            )
        numbers.append(int(number))
        names.append(name.strip())
        known.append(_read_comment(comment.strip()))
    if not numbers:
        raise HeteroError(f"{path} lists no particles.")
    return numbers, names, known


def _read_comment(text: str) -> dict[str, Any]:
    """A dictionary as JSON or, in old lists, as Python writes it; nothing where it is neither."""
    if not text.startswith("{"):
        return {}
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, dict) else {}
    return {}


def _half_set(values: dict[str, Any]) -> int:
    found = values.get("class")
    return int(found) if isinstance(found, (int, float)) and found in (0, 1) else -1


def _poses(path: Path, known: list[dict[str, Any]], apix: np.ndarray) -> Poses | None:
    there = [_POSE in values or "alt" in values for values in known]
    if not any(there):
        return None
    if not all(there):
        raise HeteroError(f"{path} gives no pose for particle {there.index(False) + 1:,} and others have one.")
    matrices = np.empty((len(known), 3, 4))
    for i, values in enumerate(known):
        try:
            matrices[i] = _matrix(values)
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
            raise HeteroError(
                f"{path} has no 3 x 4 matrix and no Euler angles as the pose of particle {i + 1:,}."
            ) from None
    # EMAN2 moves the projection to where the particle lies; our shift brings it back.
    return Poses(matrices[:, :, :3], -matrices[:, :2, 3] * apix[:, None])


def _matrix(values: dict[str, Any]) -> np.ndarray:
    """``(3, 4)`` rotation as RELION's A, and where the particle lies in pixels."""
    if _POSE in values:
        return np.array(json.loads(values[_POSE]["matrix"]), dtype=float).reshape(3, 4)
    az, alt, phi = (float(values[name]) for name in ("az", "alt", "phi"))
    place = [[float(values.get(name, 0))] for name in ("tx", "ty", "tz")]
    return np.hstack([rotations_from_euler(az - 90, alt, phi + 90).reshape(3, 3), place])
