"""Atomic structures and the density they would give."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.foreign import check_file, check_gzip

SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")
_LARGEST = 1 << 30  # bytes; the largest ones in the PDB have some 300 MB
_SIGMA_PER_RESOLUTION = 0.225  # as in ChimeraX's molmap: the transform falls to 1/e at 1/resolution
# Of a mean amino acid / nucleotide without hydrogens, when one atom, or the backbone, stands for it.
_RESIDUE_ELECTRONS = {"CA": 51.0, "P": 155.0}
_BACKBONE = {"N", "CA", "C", "O", "OXT"}


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms of one model.

    Attributes:
        positions: ``(n, 3)`` Å along z, y, x.
        weights: ``(n,)`` electrons of each atom; together those of the whole residue in models without side chains.
        chains: ``(n,)`` chain names.
        name: for tables and messages.
    """

    positions: np.ndarray
    weights: np.ndarray
    chains: np.ndarray
    name: str = ""

    def __len__(self) -> int:
        return len(self.positions)


def is_structure_path(path: Path | str) -> bool:
    """Whether the file name ends like a structure's (PDB or mmCIF, also ``.gz``)."""
    return Path(path).name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_structure(path: Path | str) -> Structure:
    """Read the first model of a PDB or mmCIF file (also ``.gz``), without hydrogens and waters.

    In a structure of one atom a residue (C-alpha, P) each atom carries the electrons of its residue, and in one of the
    backbone alone its atoms share them.

    Raises:
        HeteroError: not there, not a structure, or without atoms.
    """
    import gemmi

    path = Path(path)
    if check_file(path, "a PDB or mmCIF structure") > _LARGEST:
        raise HeteroError(f"{path} is larger than any structure is; a PDB or mmCIF structure was expected.")
    if path.name.lower().endswith(".gz"):
        check_gzip(path, "a PDB or mmCIF structure", _LARGEST)
    try:
        model = gemmi.read_structure(str(path))
    except (OSError, RuntimeError, ValueError) as error:
        raise HeteroError(
            f"{path} cannot be read as a PDB or mmCIF structure: {str(error).splitlines()[0]}."
        ) from error
    if len(model) == 0:
        raise HeteroError(f"{path} holds no atoms; a PDB or mmCIF structure was expected.")
    model.remove_hydrogens()
    model.remove_waters()
    try:
        positions, weights, names, chains, residues = _atoms(model[0])
    except UnicodeDecodeError as error:
        raise HeteroError(f"{path} holds names that are no text; a PDB or mmCIF structure was expected.") from error
    if not positions:
        raise HeteroError(f"{path} holds no atoms; a PDB or mmCIF structure was expected.")
    weights = np.array(weights, dtype=float)
    if not (np.isfinite(positions).all() and np.isfinite(weights).all()):
        raise HeteroError(f"{path} holds atoms at places that are no numbers; a PDB or mmCIF structure was expected.")
    if set(names) <= set(_RESIDUE_ELECTRONS):
        weights = np.array([_RESIDUE_ELECTRONS[name] for name in names])
    elif set(names) <= _BACKBONE:
        _, of = np.unique([f"{chain} {number}" for chain, number in residues], return_inverse=True)
        weights *= _RESIDUE_ELECTRONS["CA"] / np.maximum(np.bincount(of, weights), 1e-9)[of]
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return Structure(np.array(positions), weights, np.array(chains), name)


def _atoms(model) -> tuple[list, list, list, list, list]:
    """Places along z, y, x, electrons, names and chains of all atoms, and which residue each is of."""
    positions, weights, names, chains, residues = [], [], [], [], []
    for chain in model:
        for number, residue in enumerate(chain):
            for atom in residue:
                residues.append((chain.name, number))
                positions.append((atom.pos.z, atom.pos.y, atom.pos.x))
                weights.append(atom.element.atomic_number * atom.occ)
                names.append(atom.name)
                chains.append(chain.name)
    return positions, weights, names, chains, residues


def density_from_atoms(
    positions: np.ndarray,
    weights: np.ndarray,
    shape: tuple[int, int, int],
    apix: np.ndarray | float,
    origin: np.ndarray | float,
    resolution: float,
) -> np.ndarray:
    """Density of atoms as Gaussians of s.d. ``0.225 * resolution`` (ChimeraX's ``molmap``), exact up to Nyquist.

    Atoms are spread over their eight nearest voxels and blurred in Fourier space, with the spreading divided out.
    Atoms outside the box are left out.

    Args:
        positions: ``(n, 3)`` Å along z, y, x.
        weights: ``(n,)`` electrons.
        shape: voxels along z, y, x.
        apix: Å per voxel.
        origin: Å, centre of voxel ``(0, 0, 0)``.
        resolution: Å.

    Returns:
        ``shape`` float32, electrons per Å^3.
    """
    apix = np.broadcast_to(np.asarray(apix, dtype=float), (3,))
    counts = _spread(((positions - origin) / apix), np.asarray(weights, dtype=float), shape)
    sigma = _SIGMA_PER_RESOLUTION * resolution
    transform = np.fft.rfftn(counts)
    for axis in range(3):
        frequency = (np.fft.rfftfreq if axis == 2 else np.fft.fftfreq)(shape[axis])  # cycles per voxel
        blur = np.exp(-2 * (np.pi * sigma * frequency / apix[axis]) ** 2) / np.sinc(frequency) ** 2
        transform *= np.expand_dims(blur, [a for a in range(3) if a != axis])
    density = np.fft.irfftn(transform, shape, axes=(0, 1, 2)) / np.prod(apix)
    return density.astype(np.float32)


def _spread(voxels: np.ndarray, weights: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Trilinear histogram: each weight is shared among the eight voxels around ``voxels`` ``(n, 3)``."""
    inside = ((voxels >= 0) & (voxels <= np.array(shape) - 1)).all(axis=1)
    voxels, weights = voxels[inside], weights[inside]
    low = np.minimum(np.floor(voxels).astype(int), np.maximum(np.array(shape) - 2, 0))
    part = voxels - low
    counts = np.zeros(int(np.prod(shape)))
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, part, 1 - part), axis=1)
        index = np.ravel_multi_index(tuple(np.minimum(low + corner, np.array(shape) - 1).T), shape)
        counts += np.bincount(index, weights=weights * share, minlength=counts.size)
    return counts.reshape(shape)
