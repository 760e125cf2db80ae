"""What the networks are trained on: simulated maps and maps with levels that people chose, in the networks' frames.

This module imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from hetero.errors import HeteroError
from hetero.level.framing import (
    CHANNELS,
    COARSE,
    GRID,
    Frame,
    Region,
    frame_map,
    frame_weights,
    molecule_region,
    zoom_frame,
)
from hetero.level.labels import LabelledMap
from hetero.level.plan import TrainingPlan
from hetero.level.side_by_side import in_order
from hetero.level.simulate import simulate_map
from hetero.maps import Structure
from hetero.progress import Progress, silent

_MOST_VIEWS, _ENOUGH = 8, 4000  # of each labelled map, as long as they are not more than enough in all


def split_structures(structures: list[Structure], share: float, seed: int) -> tuple[list[Structure], list[Structure]]:
    """Structures to train on and structures held out, relatives on the same side.

    Two structures are taken for relatives (states of one complex, homologues) when their electrons agree to 10 % and
    their radii of gyration to 5 %; relatives of relatives are relatives.

    Returns:
        (training, held out); the latter has at least one structure where there are two families.
    """
    size = np.log([s.weights.sum() for s in structures])
    radius = np.log([np.sqrt(s.positions.var(axis=0).sum()) for s in structures])
    family = np.arange(len(structures))
    for i in range(len(structures)):
        for j in range(i):
            if abs(size[i] - size[j]) < 0.1 and abs(radius[i] - radius[j]) < 0.05:
                family[family == family[i]] = family[j]
    names = np.random.default_rng(seed).permutation(np.unique(family))
    away: list[int] = []
    for name in names[:-1]:
        if len(away) >= max(1, round(share * len(structures))):
            break
        members = np.flatnonzero(family == name)
        if len(members) <= max(1, share * len(structures)):  # a family as large as Pol I's stays in training
            away += members.tolist()
    return [s for i, s in enumerate(structures) if i not in away], [structures[i] for i in sorted(away)]


@dataclass(frozen=True)
class Examples:
    """Maps as the two networks see them, all float16; ``m`` maps.

    Attributes:
        coarse: ``(m, 3, COARSE, COARSE, COARSE)`` features of the whole maps.
        coarse_envelopes: ``(m, COARSE, COARSE, COARSE)``.
        fine: ``(m, 3, GRID, GRID, GRID)`` features around the molecule.
        fine_envelopes: ``(m, GRID, GRID, GRID)``.
    """

    coarse: torch.Tensor
    coarse_envelopes: torch.Tensor
    fine: torch.Tensor
    fine_envelopes: torch.Tensor


def simulate_examples(structures: list[Structure], plan: TrainingPlan, progress: Progress = silent) -> Examples:
    """``plan.maps`` simulated maps of ``structures``."""
    shapes = [(CHANNELS, *[COARSE] * 3), (COARSE,) * 3, (CHANNELS, *[GRID] * 3), (GRID,) * 3]
    arrays = [np.empty((plan.maps, *shape), np.float16) for shape in shapes]
    for i, example in enumerate(in_order(partial(_simulated_example, structures, plan), plan.maps, plan.processes)):
        if i % 20 == 0:
            progress(i, plan.maps, "simulating maps")
        for array, part in zip(arrays, example, strict=True):
            array[i] = part
    return Examples(*map(torch.from_numpy, arrays))


def labelled_examples(labelled: Sequence[LabelledMap], plan: TrainingPlan, progress: Progress = silent) -> Examples:
    """Maps with levels that people chose, each seen several times, a little misplaced.

    Their envelope is where the map is at or above the level.

    Raises:
        HeteroError: a map cannot be read, its level lies outside its values, or nothing in it stands out.
    """
    views = int(np.clip(_ENOUGH // max(len(labelled), 1), 1, _MOST_VIEWS))
    found = []
    for i, one in enumerate(labelled):
        progress(i, len(labelled), f"reading {one.path.name}")
        volume = one.read()
        for view in range(views):
            rng = np.random.default_rng([plan.seed, 6, i, view])
            try:
                example = example_of(volume.data, volume.apix, volume.data >= one.level, rng)
            except HeteroError as error:
                raise HeteroError(f"{one.path}: {error}") from error
            found.append([part.astype(np.float16) for part in example])
    return Examples(*(torch.from_numpy(np.stack(parts)) for parts in zip(*found, strict=True)))


def joined(first: Examples, second: Examples) -> Examples:
    """The maps of both."""
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return Examples(*(torch.cat(pair) for pair in pairs))


def _simulated_example(structures: list[Structure], plan: TrainingPlan, i: int) -> tuple[np.ndarray, ...]:
    """Map ``i`` in its two cubes: features and envelope of each."""
    rng = np.random.default_rng([plan.seed, 1, i])
    while True:  # a map in which nothing stands out above its faces teaches nothing
        simulated = simulate_map(structures[rng.integers(len(structures))], rng, plan.max_box)
        try:
            return example_of(simulated.data, np.full(3, simulated.apix), simulated.envelope, rng)
        except HeteroError:
            continue


def example_of(data: np.ndarray, apix: np.ndarray, envelope: np.ndarray, rng) -> tuple[np.ndarray, ...]:
    """A map ``(z, y, x)`` and its envelope in the two cubes, the finer one about as well placed as prediction does it.

    Returns:
        coarse features and envelope, fine features and envelope, as in :class:`Examples`, float32.
    """
    whole = frame_map(data, apix)
    coarse = frame_weights(envelope, whole)
    around = zoom_frame(data, whole, _misplaced(molecule_region(coarse, whole), whole, rng))
    return whole.features, coarse, around.features, frame_weights(envelope, around)


def _misplaced(region: Region, frame: Frame, rng) -> Region:
    """The region as a finder that errs a little would place it."""
    extent = min(region.extent * float(np.exp(rng.uniform(-0.1, 0.3))), frame.region.extent)
    shift = rng.normal(0, 0.03, 3) * extent / frame.apix
    return Region(region.centre + (shift if extent < frame.region.extent else 0), extent)
