"""Blocks of a moving body are a chain in the order of its places; blocks without a common motion are none."""

import numpy as np
import pytest

from hetero.maps import Volume
from hetero.siren import EffectRule, Patterns, find_blocks, find_chains, stability
from hetero.siren.effect import mean_phi

SHAPE = (12, 40, 40)


def make_patterns(on: np.ndarray) -> Patterns:
    """Patterns of ``(n, *SHAPE)`` bool maps at 4 Å."""
    flat = on.reshape(len(on), -1)
    counts = flat.sum(axis=0)
    voxels = np.flatnonzero((counts > 0.01 * len(on)) & (counts < len(on)))
    zeros = np.zeros(SHAPE)
    names = tuple(f"v{i:03d}" for i in range(len(on)))
    return Patterns(flat[:, voxels].astype(np.uint8), voxels, counts.reshape(SHAPE), zeros, np.full(3, 4.0), names)


def swinging_ball(n: int, degrees: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A ball on an arm, at a random angle in each map, and the angle as a share of the whole; 2 % of voxels err."""
    z, y, x = np.indices(SHAPE)
    share = rng.random(n)
    angle = np.deg2rad(degrees) * share
    on = np.array([(z - 6) ** 2 + (y - 3 - 26 * np.sin(a)) ** 2 + (x - 5 - 26 * np.cos(a)) ** 2 < 30 for a in angle])
    return on ^ (on.any(axis=0) & (rng.random(on.shape) < 0.02)), share


def cubes(states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``(n, K)`` states -> maps with K cubes in a row that touch; 2 % of voxels err."""
    on = np.zeros((len(states), *SHAPE), dtype=bool)
    for k in range(states.shape[1]):
        on[:, 3:9, 10:16, 2 + 6 * k : 8 + 6 * k] = states[:, k, None, None, None]
    return on ^ (on.any(axis=0) & (rng.random(on.shape) < 0.02))


def chains_of(on: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], Patterns]:
    patterns = make_patterns(on)
    columns = EffectRule().infer_blocks(patterns)
    occupancy = np.array([patterns.on[:, c].mean(axis=1) for c in columns]).T
    centers = np.array([patterns.positions[c].mean(axis=0) for c in columns])
    return find_chains(occupancy, patterns.masks(columns), centers), columns, patterns


@pytest.mark.parametrize("degrees", [60, 90])
def test_places_of_a_swinging_ball_are_one_chain_in_order(degrees):
    on, share = swinging_ball(300, degrees, np.random.default_rng(degrees))
    (chain,), columns, patterns = chains_of(on)
    assert len(chain) >= 4
    occupancy = np.array([patterns.on[:, columns[k]].mean(axis=1) for k in chain]).T
    mean_share = (occupancy.T**2 @ share) / (occupancy**2).sum(axis=0)
    assert (np.diff(mean_share) > 0).all() or (np.diff(mean_share) < 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_independent_blocks_that_touch_are_no_chain(seed):
    rng = np.random.default_rng(seed)
    chains, columns, _ = chains_of(cubes(rng.random((200, 5)) < 0.4, rng))
    assert len(columns) == 5
    assert chains == []


@pytest.mark.parametrize("seed", range(5))
def test_states_without_anything_between_have_no_order(seed):
    """Each map has one of five cubes: they exclude each other, but nothing says which comes after which."""
    rng = np.random.default_rng(seed)
    chains, columns, _ = chains_of(cubes(np.eye(5, dtype=bool)[rng.integers(5, size=200)], rng))
    assert len(columns) == 5
    assert chains == []


def test_an_assembly_is_no_motion():
    """Each cube needs the one before it: an order in time, but no cube excludes another."""
    rng = np.random.default_rng(0)
    stage = rng.choice(4, size=400, p=[0.15, 0.35, 0.35, 0.15])
    chains, columns, _ = chains_of(cubes(np.arange(3) < stage[:, None], rng))
    assert len(columns) == 3
    assert chains == []


def test_chain_and_place_stand_in_the_evidence():
    on, _ = swinging_ball(300, 75, np.random.default_rng(1))
    patterns = make_patterns(on)
    maps = (Volume(one.astype(float), 4.0) for one in on)
    found = find_blocks(patterns, maps, EffectRule(), alpha=None, resamples=0)
    assert set(found.evidence["chain"]) == {"chain_1"}
    assert sorted(found.evidence["place"]) == list(range(len(found.columns)))
    assert np.isnan(found.evidence["stability"]).all()


def test_stability_tells_a_block_from_a_mixture():
    rng = np.random.default_rng(0)
    patterns = make_patterns(cubes(rng.random((120, 3)) < 0.5, rng))
    columns = EffectRule().infer_blocks(patterns)
    assert len(columns) == 3
    mixed = np.sort(np.concatenate([c[::3] for c in columns]))  # overlaps each block by a fifth
    scores = stability(EffectRule(min_kda=0.0), patterns, [*columns, mixed])
    assert (scores[:3] > 0.95).all() and scores[3] == pytest.approx(0.2, abs=0.05)
    np.testing.assert_array_equal(scores, stability(EffectRule(min_kda=0.0), patterns, [*columns, mixed]))


def test_half_of_a_swallowed_neighbour_lowers_the_stability():
    """A block reported with as many voxels again that do not belong to it is found again at half its size."""
    rng = np.random.default_rng(0)
    patterns = make_patterns(cubes(rng.random((200, 2)) < 0.5, rng))
    both = np.sort(np.concatenate(EffectRule().infer_blocks(patterns)))
    assert stability(EffectRule(min_kda=0.0), patterns, [both])[0] == pytest.approx(0.5, abs=0.06)


def test_mean_phi_is_one_for_a_rigid_block_and_falls_with_flips():
    rng = np.random.default_rng(0)
    state = rng.random(4000) < 0.5
    assert mean_phi(np.tile(state[:, None], 30), np.arange(30)) == pytest.approx(1, abs=1e-5)
    flipped = state[:, None] ^ (rng.random((4000, 300)) < 0.1)
    # One flip in ten leaves a correlation of 0.8 with the state, which the mean of 300 voxels nearly is.
    assert mean_phi(flipped, np.arange(300)) == pytest.approx(0.8, abs=0.01)
