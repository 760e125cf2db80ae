"""What is in the ice: a population of particles that differ, each of which is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hetero.errors import HeteroError
from hetero.particles.project import MapProjector, Points

Spread = Literal["uniform", "cooperative", "non-contiguous"]


@dataclass(frozen=True, eq=False)
class Population:
    """n particles of known shape.

    Attributes:
        project: ``project(i, rotation, box, apix)`` -> transform of particle i's projection, as
            :meth:`Points.transform <hetero.particles.project.Points.transform>`.
        truth: what each particle is, by name: ``(n,)`` or ``(n, k)``.
        examples: name -> ``density(box, apix)`` of states worth a map.
        radius: Å from the centre of rotation within which all of them lie.
    """

    project: Callable[[int, np.ndarray, int, float], np.ndarray]
    truth: dict[str, np.ndarray]
    examples: dict[str, Callable[[int, float], np.ndarray]]
    radius: float

    def __len__(self) -> int:
        return len(next(iter(self.truth.values())))


def mix_of_points(states: Sequence[Points], state: np.ndarray) -> Population:
    """Particle i is ``states[state[i]]``; truth: ``state``."""
    return Population(
        lambda i, rotation, box, apix: states[state[i]].transform(rotation, box, apix),
        {"state": np.asarray(state)},
        {f"state_{k}": points.density for k, points in enumerate(states)},
        max(points.radius for points in states),
    )


def mix_of_maps(maps: Sequence[np.ndarray], state: np.ndarray, apix: float) -> Population:
    """Particle i is the map ``maps[state[i]]``; truth: ``state``.

    Args:
        maps: ``(z, y, x)`` cubes on one grid, centre of rotation at voxel ``box // 2``.
        state: ``(n,)``.
        apix: Å per voxel of the maps, and of the images.

    Raises:
        HeteroError: maps of different boxes.
    """
    if len({m.shape for m in maps}) != 1:
        raise HeteroError(f"The maps have boxes {sorted({m.shape for m in maps})}; one was expected.")
    projectors = [MapProjector(m) for m in maps]
    size = maps[0].shape[0]

    def project(i: int, rotation: np.ndarray, box: int, pixel: float) -> np.ndarray:
        _check_grid(box, pixel)
        return projectors[state[i]].transforms(rotation[None])[0]

    def _check_grid(box: int, pixel: float) -> None:
        if box != size or abs(pixel - apix) > 1e-4 * apix:
            raise HeteroError(f"Maps of {size} voxels of {apix:g} Å give images of the same, not {box} of {pixel:g} Å.")

    def example(data: np.ndarray) -> Callable[[int, float], np.ndarray]:
        return lambda box, pixel: data

    examples = {f"state_{k}": example(m) for k, m in enumerate(maps)}
    return Population(project, {"state": np.asarray(state)}, examples, 0.0)


def parts_come_and_go(points: Points, parts: np.ndarray, present: np.ndarray, names: Sequence[str] = ()) -> Population:
    """Parts of one structure are there or not; truth: ``present`` ``(n, k)`` and ``parts`` (their names).

    Args:
        points: all of the structure.
        parts: ``(k, g)`` bool, the points of each part; points of none are always there.
        present: ``(n, k)`` bool.
        names: of the parts.
    """
    present = np.asarray(present, dtype=bool)

    def those(here: np.ndarray) -> Points:
        return _subset(points, ~(parts & ~here[:, None]).any(axis=0))

    examples = {"all": points.density, "none": those(np.zeros(len(parts), dtype=bool)).density}
    for k in range(len(parts)):
        examples[f"without_{k}"] = those(np.arange(len(parts)) != k).density
    return Population(
        lambda i, rotation, box, apix: those(present[i]).transform(rotation, box, apix),
        {"present": present},
        examples,
        points.radius,
    )


def part_moves(
    points: Points, moving: np.ndarray, motion: Literal["rotate", "slide"], reach: float, amount: np.ndarray
) -> Population:
    """One part of a structure turns about its hinge or slides; truth: ``amount`` in degrees or Å.

    The hinge is where the part touches the rest; the axis lies across the line from there to the part's middle, so a
    rotation is a swing. A slide goes along the same axis, and half of the reach to either side.

    Args:
        points: all of the structure.
        moving: ``(g,)`` bool, the part.
        motion: rotate (``amount`` in degrees, from 0) or slide (Å, from 0).
        reach: largest ``amount``; examples run from 0 to it in quarters.
        amount: ``(n,)``.

    Raises:
        HeteroError: the part is empty or all there is.
    """
    if moving.all() or not moving.any():
        raise HeteroError("The part that moves is empty or the whole structure; a part of it was expected.")
    hinge, axis = _hinge(points, moving)

    def at(value: float) -> Points:
        from scipy.spatial.transform import Rotation

        positions = points.positions.copy()
        if motion == "slide":
            positions[moving] += axis * (value - reach / 2)
        else:
            # Turning z, y, x triples by the mirrored angle turns x, y, z ones by the angle itself.
            turn = Rotation.from_rotvec(-np.radians(value) * axis).as_matrix()
            positions[moving] = (positions[moving] - hinge) @ turn.T + hinge
        return replace(points, positions=positions)

    return Population(
        lambda i, rotation, box, apix: at(amount[i]).transform(rotation, box, apix),
        {"amount": np.asarray(amount)},
        {f"amount_{value:g}": at(value).density for value in np.linspace(0, reach, 5)},
        max(at(value).radius for value in np.linspace(0, reach, 9)),
    )


def draw_states(n: int, shares: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """``(n,)`` states drawn with these shares.

    Raises:
        HeteroError: a share that is not positive.
    """
    shares = np.asarray(shares, dtype=float)
    if not (np.isfinite(shares).all() and (shares > 0).all()):
        raise HeteroError(f"The shares of the states are {shares.tolist()}; positive numbers were expected.")
    return rng.choice(len(shares), n, p=shares / shares.sum())


def draw_amounts(n: int, spread: Spread, rng: np.random.Generator) -> np.ndarray:
    """``(n,)`` places along a motion, 0 to 1.

    uniform: all alike; cooperative: most near either end, with few between (Beta(0.3, 0.3)); non-contiguous: three
    stretches with nothing between, [0, 0.2], [0.4, 0.6] and [0.8, 1].
    """
    if spread == "cooperative":
        return rng.beta(0.3, 0.3, n)
    amount = rng.uniform(0, 1, n)
    if spread == "non-contiguous":
        stretch = np.minimum((amount * 3).astype(int), 2)
        return 0.4 * stretch + 0.2 * (amount * 3 - stretch)
    return amount


def _subset(points: Points, kept: np.ndarray) -> Points:
    sigma = points.sigma if np.ndim(points.sigma) == 0 else points.sigma[kept]
    return Points(points.positions[kept], points.weights[kept], sigma)


def _hinge(points: Points, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the moving part touches the rest, and a unit axis across the part; both z, y, x."""
    from scipy.spatial import cKDTree

    part, rest = points.positions[moving], points.positions[~moving]
    distance, _ = cKDTree(rest).query(part)
    hinge = part[distance <= distance.min() + 3].mean(axis=0)
    arm, inward = part.mean(axis=0) - hinge, rest.mean(axis=0) - hinge
    axis = np.cross(arm, inward)
    if np.linalg.norm(axis) < 1e-3 * np.linalg.norm(arm) * np.linalg.norm(inward) or not arm.any():
        axis = np.cross(arm, np.eye(3)[np.argmin(np.abs(arm))]) if arm.any() else np.array([1.0, 0, 0])
    return hinge, axis / np.linalg.norm(axis)
