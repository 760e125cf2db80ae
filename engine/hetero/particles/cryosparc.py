"""cryoSPARC's words for particles (.cs of versions 2 to 4) to ours, and subsets of its files."""

import warnings
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.foreign import read_npy
from hetero.particles.ctf import CTF
from hetero.particles.locate import locate_stacks
from hetero.particles.particles import Particles, ParticleWarning
from hetero.particles.poses import Poses
from hetero.particles.stack import ParticleStack, open_files
from hetero.particles.star import checked_selection

_UID = "uid"
_ABERRATIONS = {
    "beam tilt": "ctf/tilt_A",
    "trefoil": "ctf/trefoil_A",
    "tetrafoil": "ctf/tetra_A",
    "anisotropic magnification": "ctf/anisomag",
}


def read_cs(path: Path | str) -> np.ndarray:
    """The records of a .cs file: a one-dimensional structured array.

    Raises:
        HeteroError: not there, cut short, or no .cs file. Nothing in it is unpickled.
    """
    path = Path(path)
    records = read_npy(path, "a cryoSPARC .cs file")
    if not isinstance(records, np.ndarray) or records.dtype.names is None or records.ndim != 1 or not len(records):
        raise HeteroError(f"{path} holds no records; the particles of a cryoSPARC .cs file were expected.")
    return records


def particles_from_cs(path: Path, datadir: Path | None = None, with_ctf: bool = True) -> Particles:
    """Open a .cs file; fields that it lacks come from a ``*passthrough*.cs`` beside it, joined by uid.

    Args:
        path: .cs of particles.
        datadir: where the stacks are, if not where the file says.
        with_ctf: without it the CTF fields are not looked at.

    Raises:
        HeteroError: no images named, a missing or damaged stack, a value that makes no sense.

    Warns:
        ParticleWarning: aberrations that are ignored.
    """
    fields = _Fields(path)
    for name in ("blob/path", "blob/idx"):
        if name not in fields:
            raise HeteroError(f"{path} names no images (no field {name}); a .cs file of particles was expected.")
    stack = _stack(fields, datadir)
    split = fields.get("alignments3D/split")
    half = None if split is None or not np.isin(split, (0, 1)).all() else split.astype(int)
    n = len(stack)
    ctf = _ctf(fields) if with_ctf else None
    return Particles(stack, _poses(fields, stack.apix), ctf, Path(path), np.arange(n), n, half)


def write_cs_subset(original: Path | str, indices, out: Path | str) -> None:
    """Write the .cs file of some of the particles of ``original``, in the order of ``indices``, every field kept.

    Args:
        original: .cs file.
        indices: integers counted from 0, or booleans, one a particle.
        out: ``.cs`` to write; appears whole or not at all.

    Raises:
        HeteroError: as :func:`read_cs`; an index beyond the end or given twice, or none chosen.
    """
    records = read_cs(original)
    chosen = checked_selection(indices, len(records), original)
    with atomic_path(out) as temporary, open(temporary, "wb") as file:  # numpy would add .npy to a name
        np.save(file, records[chosen], allow_pickle=False)


class _Fields:
    """Fields of a .cs file and of its passthrough file, looked up as one."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self._records = read_cs(path)
        self._more: list[tuple[np.ndarray, np.ndarray]] = []  # records, and which of them belong to ours
        if _UID in self._records.dtype.names:
            for other in sorted(self.path.absolute().parent.glob("*passthrough*.cs")):
                if other.name != self.path.name and (place := self._join(other)) is not None:
                    self._more.append(place)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> np.ndarray | None:
        """``(n, ...)`` or ``None``."""
        if name in self._records.dtype.names:
            return self._records[name]
        return next((records[name][place] for records, place in self._more if name in records.dtype.names), None)

    def floats(self, name: str, default: float = 0.0, shape: tuple[int, ...] | None = ()) -> np.ndarray:
        """``(n, *shape)`` of a field of numbers; of any shape where that is None."""
        values = self.get(name)
        if values is None:
            return np.full((len(self._records), *(shape or ())), default)
        if values.dtype.kind not in "fiub" or (shape is not None and values.shape[1:] != shape):
            found = f"{values.dtype} of shape {values.shape[1:]}"
            raise HeteroError(f"{self.path} has {name} as {found}; numbers of shape {shape or ()} were expected.")
        return values.astype(float)

    def _join(self, other: Path) -> tuple[np.ndarray, np.ndarray] | None:
        """The other file's records and the place of each of our particles there, if it has them all."""
        records = read_cs(other)
        if _UID not in records.dtype.names:
            return None
        order = np.argsort(records[_UID])
        place = np.searchsorted(records[_UID], self._records[_UID], sorter=order)
        place = order[np.minimum(place, len(order) - 1)]
        return (records, place) if (records[_UID][place] == self._records[_UID]).all() else None


def _stack(fields: _Fields, datadir: Path | None) -> ParticleStack:
    raw, index = fields.get("blob/path"), fields.floats("blob/idx")
    if not ((index >= 0) & (index < 2**53) & (index % 1 == 0)).all():
        raise HeteroError(f"{fields.path} has a blob/idx that is no whole number from 0.")
    names, file = np.unique(raw, return_inverse=True)
    texts = [(n.decode(errors="replace") if isinstance(n, bytes) else str(n)).lstrip(">") for n in names]
    files = open_files(locate_stacks(texts, fields.path, datadir))
    if "blob/psize_A" in fields:
        apix = fields.floats("blob/psize_A")
    else:
        from hetero.particles.relion import pixel_sizes_of_files

        apix = pixel_sizes_of_files(fields.path, files)[file]
    sign = np.where(fields.floats("blob/sign", 1.0) < 0, -1, 1)
    return ParticleStack(files, file, index.astype(np.int64), apix, sign)


def _poses(fields: _Fields, apix: np.ndarray) -> Poses | None:
    """The pose of the 3-D refinement, else that of the likeliest class."""
    from scipy.spatial.transform import Rotation

    groups = ["alignments3D"] if "alignments3D/pose" in fields else _classes(fields)
    if not groups:
        return None
    best = np.zeros(len(apix), dtype=int)
    if len(groups) > 1:
        best = np.argmax([fields.floats(f"{g}/class_posterior") for g in groups], axis=0)
    vectors, shifts = np.zeros((len(apix), 3)), np.zeros((len(apix), 2))
    for i, group in enumerate(groups):
        mine = best == i
        vectors[mine] = fields.floats(f"{group}/pose", shape=(3,))[mine]
        size = fields.floats(f"{group}/psize_A")
        size = np.where(size > 0, size, apix)  # the alignment may have run on smaller images
        if f"{group}/shift" in fields:
            shifts[mine] = (fields.floats(f"{group}/shift", shape=(2,)) * size[:, None])[mine]
    return Poses(Rotation.from_rotvec(vectors).as_matrix().transpose(0, 2, 1), shifts)


def _classes(fields: _Fields) -> list[str]:
    groups = []
    while f"alignments_class_{len(groups)}/pose" in fields:
        groups.append(f"alignments_class_{len(groups)}")
    return groups


def _ctf(fields: _Fields) -> CTF | None:
    if "ctf/df1_A" not in fields:
        return None
    found = [what for what, name in _ABERRATIONS.items() if np.any(np.abs(fields.floats(name, shape=None)) > 1e-6)]
    if found:
        warnings.warn(f"{fields.path} has {', '.join(found)}; these are ignored.", ParticleWarning, stacklevel=2)
    return CTF(
        fields.floats("ctf/df1_A"),
        fields.floats("ctf/df2_A"),
        np.degrees(fields.floats("ctf/df_angle_rad")),
        fields.floats("ctf/accel_kv"),
        fields.floats("ctf/cs_mm"),
        fields.floats("ctf/amp_contrast"),
        np.degrees(fields.floats("ctf/phase_shift_rad")),
        fields.floats("ctf/bfactor"),
        fields.floats("ctf/scale", 1.0),
    )
