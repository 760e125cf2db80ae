"""Masks of the chains of an atomic model on the maps' grid, without any external program."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from hetero.errors import HeteroError
from hetero.maps import Structure, density_from_atoms

RESOLUTION = 12.0
"""Å; that of the masks that come with MAVEn."""

DENSITY_LEVEL = 0.01
"""Electrons per Å^3 at which simulated density is binarised: ``relion_mask_create``'s own default on a ``molmap``."""

_SMALLEST_ELECTRONS = 500.0  # about 1 kDa: chains of ions and small ligands get a mask only when they are asked for


@dataclass(frozen=True, eq=False)
class ModelMasks:
    """Masks of K groups of chains.

    Attributes:
        names: ``chain_A``, or ``chain_A+B`` for two chains under one mask.
        masks: ``(K, z, y, x)``; bool, or float32 in [0, 1] where the edges are soft.
        sums: ``(K,)`` sum over the box of each group's simulated density: MAVEn's reference.
        density: ``(z, y, x)`` of all groups together, electrons per Å^3.
        left_out: chains too small for a mask of their own.
    """

    names: tuple[str, ...]
    masks: np.ndarray
    sums: np.ndarray
    density: np.ndarray
    left_out: tuple[str, ...] = ()


def masks_from_model(
    structure: Structure,
    chains: Sequence[str],
    grid,
    resolution: float = RESOLUTION,
    *,
    level: float = DENSITY_LEVEL,
    extend: float = 0.0,
    soft: float = 0.0,
) -> ModelMasks:
    """A mask for each chain, or group of chains: simulated density, binarised, extended, softened (MAVEn's recipe).

    Args:
        structure: in the maps' frame.
        chains: ``"A"``, or ``"A+B"`` for one mask over both; empty for each chain of at least 1 kDa on its own.
        grid: anything with the maps' ``shape``, ``apix`` and ``origin``.
        resolution: Å of the simulated density.
        level: electrons per Å^3; a voxel is inside where the density reaches it.
        extend: Å by which the mask grows.
        soft: Å over which a cosine edge falls to 0 outside it.

    Raises:
        HeteroError: no such chain, a chain outside the maps' box, or density that nowhere reaches the level.
    """
    groups, left_out = _groups(structure, chains)
    masks, sums = [], []
    whole = np.zeros(grid.shape, dtype=np.float32)
    for group in groups:
        member = np.isin(structure.chains, group)
        _check_inside(structure, member, group, grid)
        density = density_from_atoms(
            structure.positions[member], structure.weights[member], grid.shape, grid.apix, grid.origin, resolution
        )
        mask = density >= level
        if not mask.any():
            raise HeteroError(
                f"The simulated density of {_name(group)} of {structure.name} reaches only {density.max():.2g} "
                f"electrons per Å^3; give a mask level below that, not {level:g}."
            )
        masks.append(soften_mask(mask, grid.apix, extend, soft))
        sums.append(density.sum(dtype=np.float64))
        whole += density
    return ModelMasks(tuple(map(_name, groups)), np.array(masks), np.array(sums), whole, left_out)


def soften_mask(mask: np.ndarray, apix: np.ndarray, extend: float = 0.0, soft: float = 0.0) -> np.ndarray:
    """Grow a mask by ``extend`` Å, then let a cosine edge of ``soft`` Å fall from 1 to 0 outside it.

    Args:
        mask: ``(z, y, x)`` bool.
        apix: ``(3,)`` Å per voxel along z, y, x.

    Returns:
        ``(z, y, x)`` bool where ``soft`` is 0, else float32 in [0, 1].
    """
    if extend == 0 and soft == 0:
        return mask
    outside = distance_transform_edt(~mask, sampling=apix) - extend  # Å beyond the grown mask
    if soft == 0:
        return outside <= 0
    edge = 0.5 + 0.5 * np.cos(np.pi * np.clip(outside / soft, 0, 1))
    return edge.astype(np.float32)


def _groups(structure: Structure, chains: Sequence[str]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    there = list(dict.fromkeys(structure.chains.tolist()))
    if not chains:
        heavy = {c: structure.weights[structure.chains == c].sum() >= _SMALLEST_ELECTRONS for c in there}
        if not any(heavy.values()):
            raise HeteroError(f"{structure.name} has no chain of 1 kDa or more; name the chains to make masks of.")
        return [(c,) for c in there if heavy[c]], tuple(c for c in there if not heavy[c])
    groups = [tuple(group.split("+")) for group in chains]
    for chain in (c for group in groups for c in group):
        if chain not in there:
            some = f"{', '.join(there[:20])}{' ...' if len(there) > 20 else ''}"
            raise HeteroError(f"{structure.name} has no chain {chain}; its chains are {some}.")
    names = [_name(group) for group in groups]
    if len(set(names)) < len(names):
        raise HeteroError(f"{next(n for n in names if names.count(n) > 1)} is asked for twice.")
    return groups, ()


def _name(group: tuple[str, ...]) -> str:
    return "chain_" + "+".join(group)


def _check_inside(structure: Structure, member: np.ndarray, group: tuple[str, ...], grid) -> None:
    voxels = (structure.positions[member] - grid.origin) / grid.apix
    inside = ((voxels >= 0) & (voxels <= np.array(grid.shape) - 1)).all(axis=1).mean()
    if inside < 0.5:
        raise HeteroError(
            f"Only {100 * inside:.0f} % of the atoms of {_name(group)} of {structure.name} lie inside the maps' box; "
            "the model must be fitted into the maps' frame."
        )
