"""Which Gaussians are meant: those in a mask, or those at chains of an atomic model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.gmm import GaussianModel
from hetero.maps import Volume, read_map, read_structure


def read_region(mask: Path | None, model: Path | None, chains: Sequence[str], frame: GaussianModel) -> Volume | None:
    """A map that is over 0.5 where the Gaussians are meant; None where neither a mask nor a model is given.

    Args:
        mask: a map on the frame's grid, whatever its sampling.
        model: a structure in the frame, whose chains are measured as in ``hetero occupancy``.
        chains: of it; ``A,B`` and ``A+B`` mean the same here. Without them all of at least 1 kDa.
        frame: the grid; its Gaussians do not matter.

    Raises:
        HeteroError: both of them, chains without a model, another grid, or no such chain.
    """
    if mask is not None and model is not None:
        raise HeteroError(f"A mask ({mask}) and a model ({model}) were given; one of them was expected.")
    if chains and model is None:
        raise HeteroError("--chains goes with --model, and no model was given.")
    if mask is not None:
        volume = read_map(mask)
        frame.check_grid(volume)
        return volume
    if model is None:
        return None
    from hetero.occupancy.masks import masks_from_model

    grid = Volume(np.zeros((frame.box,) * 3, np.float32), frame.apix, frame.origin, frame.name)
    named = [chain for given in chains for chain in given.split(",") if chain]
    made = masks_from_model(read_structure(model), named, grid)
    return Volume(made.masks.any(axis=0).astype(np.float32), grid.apix, grid.origin, "+".join(made.names))
