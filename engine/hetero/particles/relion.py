"""RELION's words for particles (3.0, 3.1, 5) to ours, and back."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from hetero.errors import HeteroError
from hetero.particles.ctf import CTF
from hetero.particles.locate import locate_stacks
from hetero.particles.particles import Particles, ParticleWarning
from hetero.particles.poses import Poses, euler_from_rotations, rotations_from_euler
from hetero.particles.stack import ParticleStack, open_files
from hetero.particles.star import IMAGE, particle_block, read_block, scan_star

_GROUP = "rlnOpticsGroup"
_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_ABERRATIONS = {
    "beam tilt": (("rlnBeamTiltX", "rlnBeamTiltY"), 0.0),
    "odd Zernike terms": (("rlnOddZernike",), 0.0),
    "even Zernike terms": (("rlnEvenZernike",), 0.0),
    "anisotropic magnification": (("rlnMagMat00", "rlnMagMat11"), 1.0),
    "anisotropic magnification ": (("rlnMagMat01", "rlnMagMat10"), 0.0),
}
_COLUMNS = {
    IMAGE, _GROUP, *_ANGLES, "rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginX", "rlnOriginY", "rlnDefocusU",
    "rlnDefocusV", "rlnDefocusAngle", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnPhaseShift",
    "rlnCtfBfactor", "rlnCtfScalefactor", "rlnImagePixelSize", "rlnPixelSize", "rlnDetectorPixelSize",
    "rlnMagnification", "rlnRandomSubset", "rlnCtfDataAreCtfPremultiplied", "rlnTomoName",
    *(c for columns, _ in _ABERRATIONS.values() for c in columns),
}  # fmt: skip
_OF_THE_IMAGE = {"rlnImageSize", "rlnImageDimensionality", "rlnImageOriginalName", "rlnOriginalImageSize"}


def particles_from_star(path: Path, datadir: Path | None = None, with_ctf: bool = True) -> Particles:
    """Open a star file.

    Args:
        path: RELION 3.0, 3.1 or 5.
        datadir: where the stacks are, if not where the file says.
        with_ctf: without it the CTF columns are not looked at, for files whose CTF comes from elsewhere.

    Raises:
        HeteroError: a missing or damaged stack, a value that makes no sense, tomograms, CTF-premultiplied images.

    Warns:
        ParticleWarning: aberrations that are ignored, or a value that had to be assumed.
    """
    table = _Table(path)
    if "rlnTomoName" in table:
        raise HeteroError(f"{path} lists particles of tomograms; single particles were expected.")
    if np.any(table.numbers("rlnCtfDataAreCtfPremultiplied", 0)):
        raise HeteroError(f"{path} says that its images are multiplied by their CTF; plain images were expected.")
    stack = _stack(table, datadir)
    poses = _poses(table, stack.apix)
    ctf = _ctf(table) if with_ctf else None
    if with_ctf:
        _warn_of_aberrations(table)
    half = table.numbers("rlnRandomSubset", None)
    if half is not None:
        half = (half.astype(int) - 1) if np.isin(half, (1, 2)).all() else None
    n = len(stack)
    return Particles(stack, poses, ctf, Path(path), np.arange(n), n, half)


class _Table:
    """The particle rows, with the columns of their optics groups beside them."""

    def __init__(self, path: Path):
        self.path = path
        blocks = scan_star(path)
        self.rows = read_block(path, particle_block(path, blocks), _COLUMNS)
        optics = next((b for b in blocks if b.name == "optics"), None)
        self.optics: pd.DataFrame | None = None
        if optics is not None and _GROUP in optics.columns and _GROUP in self.rows:
            groups = read_block(path, optics, _COLUMNS).set_index(_GROUP)
            if not groups.index.is_unique:
                raise HeteroError(
                    f"{path}: data_optics lists group {groups.index[groups.index.duplicated()][0]} twice."
                )
            self.place = groups.index.get_indexer(self.rows[_GROUP])
            if (self.place < 0).any():
                i = int(np.argmax(self.place < 0))
                raise HeteroError(
                    f"{path}: particle {i + 1:,} is of optics group {self.rows[_GROUP].iloc[i]}, which data_optics "
                    "does not list."
                )
            self.optics = groups

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, column: str) -> bool:
        return column in self.rows or (self.optics is not None and column in self.optics)

    def raw(self, column: str) -> np.ndarray:
        if column in self.rows:
            return self.rows[column].to_numpy()
        return self.optics[column].to_numpy()[self.place]

    def numbers(self, column: str, default: float | None) -> np.ndarray | None:
        """``(n,)`` float64 of a column of the particles or of their optics groups; ``default`` where there is none."""
        if column not in self:
            return None if default is None else np.full(len(self), float(default))
        raw = self.raw(column)
        values = pd.to_numeric(pd.Series(raw), errors="coerce").to_numpy(dtype=float)
        if not np.isfinite(values).all():
            i = int(np.argmin(np.isfinite(values)))
            raise HeteroError(f"{self.path}: {column} of particle {i + 1:,} is '{raw[i]}'; a number was expected.")
        return values


def _stack(table: _Table, datadir: Path | None) -> ParticleStack:
    images = table.rows[IMAGE].astype(str)
    parts = images.str.split("@", n=1, expand=True)
    number = pd.to_numeric(parts[0], errors="coerce") if parts.shape[1] == 2 else pd.Series(np.nan, images.index)
    whole = (number >= 1) & (number < 2**53) & (number % 1 == 0)
    wrong = ~whole | (parts[1].fillna("") == "" if parts.shape[1] == 2 else True)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise HeteroError(
            f"{table.path}: {IMAGE} of particle {i + 1:,} is '{images.iloc[i]}'; number@stack was expected."
        )
    file, names = pd.factorize(parts[1])
    files = open_files(locate_stacks([str(name) for name in names], table.path, datadir))
    apix = _pixel_sizes(table)
    if apix is None:
        apix = pixel_sizes_of_files(table.path, files)[file]
    return ParticleStack(files, file, number.to_numpy(dtype=np.int64) - 1, apix, 1)


def _pixel_sizes(table: _Table) -> np.ndarray | None:
    for column in ("rlnImagePixelSize", "rlnPixelSize"):
        if column in table:
            return table.numbers(column, None)
    detector, magnification = (table.numbers(c, None) for c in ("rlnDetectorPixelSize", "rlnMagnification"))
    if detector is None or magnification is None or (magnification <= 0).any():
        return None
    return detector * 1e4 / magnification


def pixel_sizes_of_files(path: Path, files) -> np.ndarray:
    """``(files,)`` Å per pixel from the stacks' headers, for a listing that has none.

    Warns:
        ParticleWarning: a header has none either, so 1 Å is assumed.
    """
    if any(f.apix is None for f in files):
        warnings.warn(f"{path} gives no pixel size, nor do its stacks; 1 Å is assumed.", ParticleWarning, stacklevel=2)
    return np.array([f.apix or 1.0 for f in files])


def _poses(table: _Table, apix: np.ndarray) -> Poses | None:
    if not all(column in table for column in _ANGLES):
        return None
    shifts = np.zeros((len(table), 2))
    for axis, name in enumerate("XY"):
        if f"rlnOrigin{name}Angst" in table:
            shifts[:, axis] = table.numbers(f"rlnOrigin{name}Angst", 0)
        else:
            shifts[:, axis] = table.numbers(f"rlnOrigin{name}", 0) * apix
    return Poses(rotations_from_euler(*(table.numbers(c, 0) for c in _ANGLES)), shifts)


def _ctf(table: _Table) -> CTF | None:
    if "rlnDefocusU" not in table:
        return None
    for column, what in (("rlnVoltage", "voltage"), ("rlnSphericalAberration", "spherical aberration")):
        if column not in table:
            raise HeteroError(f"{table.path} gives a defocus but no {what} ({column}); give the CTF in a --ctf file.")
    if "rlnAmplitudeContrast" not in table:
        warnings.warn(f"{table.path} gives no amplitude contrast; 0.1 is assumed.", ParticleWarning, stacklevel=2)
    u = table.numbers("rlnDefocusU", 0)
    v = table.numbers("rlnDefocusV", None)
    bfactor = table.numbers("rlnCtfBfactor", 0)
    if (bfactor < 0).any():
        warnings.warn(
            f"{table.path} has negative B-factors, which strengthen high frequencies (Warp and M write the dose so); "
            "they are taken as they are.",
            ParticleWarning,
            stacklevel=2,
        )
    return CTF(
        u,
        u if v is None else v,
        table.numbers("rlnDefocusAngle", 0),
        table.numbers("rlnVoltage", 0),
        table.numbers("rlnSphericalAberration", 0),
        table.numbers("rlnAmplitudeContrast", 0.1),
        table.numbers("rlnPhaseShift", 0),
        bfactor,
        table.numbers("rlnCtfScalefactor", 1),
    )


def _warn_of_aberrations(table: _Table) -> None:
    found = []
    for what, (columns, neutral) in _ABERRATIONS.items():
        for column in columns:
            if column in table and what.strip() not in found and _differs(table.raw(column), neutral):
                found.append(what.strip())
    if found:
        warnings.warn(f"{table.path} has {', '.join(found)}; these are ignored.", ParticleWarning, stacklevel=2)


def _differs(values: np.ndarray, neutral: float) -> bool:
    """Whether any value (a number, or a list in brackets) is not ``neutral``."""
    for value in pd.unique(pd.Series(values)):
        parts = str(value).strip("[] ").split(",")
        numbers = pd.to_numeric(pd.Series(parts), errors="coerce").fillna(neutral)
        if (np.abs(numbers - neutral) > 1e-6).any():
            return True
    return False


def other_columns(path: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of a star file's particles that stay true when the images are resampled and are no part of our nouns:
    micrograph, coordinates, class, group, ...

    Args:
        path: star file.
        rows: ``(n,)`` which particles, in which order.

    Returns:
        RELION's name -> ``(n,)``.
    """
    block = particle_block(path)
    kept = [c for c in block.columns if c not in _COLUMNS | _OF_THE_IMAGE]
    table = read_block(path, block, kept)
    return {column: table[column].to_numpy()[rows] for column in table}


def star_tables(
    images: list[str],
    box: int,
    apix: np.ndarray,
    poses: Poses | None,
    ctf: CTF | None,
    half_set: np.ndarray | None = None,
    extra: dict[str, np.ndarray] | None = None,
) -> dict[str, pd.DataFrame]:
    """Our particles as the tables of a RELION 3.1 star file: one optics group for each kind of microscope and pixel.

    Args:
        images: ``number@stack`` of each particle.
        box: pixels along each side.
        apix: ``(n,)`` Å per pixel.
        poses, ctf, half_set: as in :class:`~hetero.particles.Particles`.
        extra: more columns, by their RELION names.
    """
    n = len(images)
    optics = pd.DataFrame({"rlnImagePixelSize": np.round(np.broadcast_to(apix, n), 6)})
    if ctf is not None:
        optics["rlnVoltage"] = ctf.voltage
        optics["rlnSphericalAberration"] = ctf.cs
        optics["rlnAmplitudeContrast"] = ctf.amplitude_contrast
    group = optics.groupby(list(optics.columns), sort=False).ngroup().to_numpy() + 1
    optics = optics.drop_duplicates().reset_index(drop=True)
    optics.insert(0, _GROUP, np.arange(1, len(optics) + 1))
    optics.insert(1, "rlnOpticsGroupName", [f"opticsGroup{i}" for i in optics[_GROUP]])
    optics["rlnImageSize"] = box
    optics["rlnImageDimensionality"] = 2
    particles = pd.DataFrame({IMAGE: images, _GROUP: group} | (extra or {}))
    if poses is not None:
        for column, values in zip(_ANGLES, euler_from_rotations(poses.rotations), strict=True):
            particles[column] = values
        particles["rlnOriginXAngst"], particles["rlnOriginYAngst"] = poses.shifts.T
    if ctf is not None:
        particles["rlnDefocusU"], particles["rlnDefocusV"] = ctf.defocus_u, ctf.defocus_v
        particles["rlnDefocusAngle"], particles["rlnPhaseShift"] = ctf.angle, ctf.phase_shift
        particles["rlnCtfBfactor"], particles["rlnCtfScalefactor"] = ctf.bfactor, ctf.scale
    if half_set is not None:
        particles["rlnRandomSubset"] = np.asarray(half_set) + 1
    return {"optics": optics, "particles": particles}
