"""Blocks: known blocks, ensembles without any, and what must not matter."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import hypergeom

from hetero.errors import HeteroError
from hetero.maps import Volume
from hetero.siren import EffectRule, Patterns, PublishedRule, binarise, noise_p_values
from hetero.siren.communities import propagate_labels
from hetero.siren.effect import chance_phi
from hetero.siren.published import locality_factor

SHAPE, APIX = (8, 9, 10), np.array([6.0, 6.0, 6.0])


def make_patterns(n=80, seed=0, blocks=((0.5, 40), (0.3, 30), (0.75, 35)), flips=0.03) -> Patterns:
    """Voxels of a small grid: some follow their block's on/off with a few flips, the rest are independent."""
    rng = np.random.default_rng(seed)
    on = (rng.random((n, int(np.prod(SHAPE)))) < rng.uniform(0.1, 0.9, int(np.prod(SHAPE)))).astype(np.uint8)
    start = 0
    for probability, size in blocks:
        state = rng.random(n) < probability
        on[:, start : start + size] = state[:, None] ^ (rng.random((n, size)) < flips)
        start += size + 20
    counts = on.sum(axis=0)
    changes = (counts > n / 100) & (counts < n)
    return Patterns(
        on[:, changes], np.flatnonzero(changes), counts.reshape(SHAPE), np.zeros(SHAPE), APIX, tuple(map(str, range(n)))
    )


@pytest.fixture
def patterns() -> Patterns:
    return make_patterns()


def test_chance_phi_is_the_exact_tail():
    """At the returned correlation the hypergeometric tail is within the probability; one volume less, it is not."""
    n, probability = 120, 1e-8
    phi = chance_phi(n, probability)
    for k in (20, 37, 60, 90):
        together = phi[k] * k / n * (1 - k / n) * n + k * k / n
        off_or_on = round(together) if k <= n / 2 else round(together - 2 * k + n)
        rare = min(k, n - k)
        assert hypergeom.sf(off_or_on - 1, n, rare, rare) <= probability < hypergeom.sf(off_or_on - 2, n, rare, rare)
    assert np.isinf(phi[[1, 2, 118]]).all(), "the same two volumes out of 120 prove nothing among 10^8 pairs"


def test_bootstrap_table_scatters_about_its_limit(patterns):
    """The published Monte-Carlo table against the median largest draw that replaces it: no bias, some noise."""
    _, exact_on, exact_off = PublishedRule().cutoffs(patterns, np.random.default_rng(0))
    _, drawn_on, drawn_off = PublishedRule(bootstrap=True).cutoffs(patterns, np.random.default_rng(0))
    for exact, drawn in ((exact_on, drawn_on), (exact_off, drawn_off)):
        assert abs((drawn - exact).mean()) < 0.6
        assert (drawn - exact).std() < 2.5
        np.testing.assert_array_equal(drawn, drawn.T)


@pytest.mark.parametrize(
    ("distance", "factor"), [(0, 1.25), (15, 1.25), (27.5, 1.5), (39.999, 1.75), (40, 1.75), (300, 1.75)]
)
def test_locality_factor(distance, factor):
    assert locality_factor(np.array(distance)) == pytest.approx(factor, abs=1e-3)


def test_label_propagation_finds_cliques_that_networkx_finds():
    graph = nx.ring_of_cliques(12, 15)
    labels = propagate_labels(np.array(graph.edges), graph.number_of_nodes(), np.random.default_rng(0))
    ours = {frozenset(np.flatnonzero(labels == k).tolist()) for k in set(labels)}
    theirs = {frozenset(c) for c in nx.algorithms.community.label_propagation_communities(graph)}
    assert ours == theirs == {frozenset(range(15 * i, 15 * i + 15)) for i in range(12)}


def test_label_propagation_without_edges():
    assert propagate_labels(np.zeros((0, 2), int), 4, np.random.default_rng(0)).tolist() == [0, 1, 2, 3]


def overlap(found: set[int], true: set[int]) -> float:
    return len(found & true) / len(found | true)


@pytest.mark.parametrize("seed", range(3))
def test_effect_rule_finds_known_blocks_and_nothing_else(seed):
    patterns = make_patterns(n=150, seed=seed)
    blocks = [set(patterns.voxels[b].tolist()) for b in EffectRule(seed=seed, min_kda=1.0).infer_blocks(patterns)]
    truth = [set(range(0, 40)), set(range(60, 90)), set(range(110, 145))]
    assert len(blocks) == 3
    for true in truth:
        assert max(overlap(b, true) for b in blocks) > 0.9


@pytest.mark.parametrize("n", [40, 100, 300])
def test_independent_voxels_give_no_block(n):
    assert EffectRule(min_kda=0).infer_blocks(make_patterns(n=n, seed=n, blocks=())) == []


def test_effect_rule_is_blind_to_the_sign():
    """Swapping occupied and empty everywhere changes nothing: "mostly there" is as good as "mostly absent"."""
    patterns = make_patterns(n=150)
    swapped = replace(patterns, on=1 - patterns.on, counts=150 - patterns.counts)
    rule = EffectRule(min_kda=1.0)
    for a, b in zip(rule.infer_blocks(patterns), rule.infer_blocks(swapped), strict=True):
        np.testing.assert_array_equal(a, b)


def test_order_of_volumes_does_not_matter():
    patterns = make_patterns(n=150)
    order = np.random.default_rng(5).permutation(150)
    shuffled = replace(patterns, on=patterns.on[order])
    rule = EffectRule(min_kda=1.0)
    assert [b.tolist() for b in rule.infer_blocks(patterns)] == [b.tolist() for b in rule.infer_blocks(shuffled)]


def test_published_rule_repeats_with_its_seed(patterns):
    first, again = (PublishedRule(seed=4).infer_blocks(patterns) for _ in range(2))
    assert [b.tolist() for b in first] == [b.tolist() for b in again]
    assert len(first) >= 1


def volumes(on: np.ndarray) -> list[Volume]:
    return [Volume(row.reshape(2, 2, 2), 2.0, name=f"v{i}") for i, row in enumerate(on)]


def test_binarise_takes_each_map_at_its_own_level():
    values = np.array([[1, 2, 3, 4, 5, 6, 7, 8], [10, 20, 30, 40, 50, 60, 70, 80], [0] * 8], float)
    patterns = binarise(volumes(values), np.array([5.0, 70.0, 3.0]))
    # voxels 4 and 5 differ between the first two; 6 and 7 are always on; the third map is empty at its level
    assert patterns.voxels.tolist() == [4, 5]
    assert patterns.on.tolist() == [[1, 1], [0, 0]]
    assert (patterns.volumes, patterns.empty) == (("v0", "v1"), ("v2",))


def test_binarise_refuses_what_cannot_tell_anything():
    same = np.tile(np.arange(8.0), (4, 1))
    with pytest.raises(HeteroError, match="all maps are alike"):
        binarise(volumes(same), np.full(4, 3.0))
    with pytest.raises(HeteroError, match="Only 1 of 4 maps"):
        binarise(volumes(same), np.array([3.0, 99, 99, 99]))


def noisy_maps(n: int, blur: float, block: np.ndarray | None, seed: int = 0) -> list[Volume]:
    """A ball in noise correlated over ``blur`` voxels, of random gain; ``block`` is there in half of the maps."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((40, 40, 40)) - 19.5
    ball = 3 / (1 + np.exp(np.sqrt(z**2 + y**2 + x**2) - 11))
    maps = []
    for i in range(n):
        noise = gaussian_filter(rng.standard_normal(ball.shape), blur)
        data = ball + 0.3 * noise / noise.std()
        if block is not None and i % 2:
            data = np.where(block, 0.1 * data, data)
        maps.append(Volume(data * np.exp(0.1 * rng.standard_normal()), 6.0, name=str(i)))
    return maps


@pytest.mark.parametrize("blur", [0.8, 2.0, 3.0])
def test_correlated_noise_and_random_gain_are_no_blocks(blur):
    """Without a block nothing is left, though correlated noise makes communities; a true block beside it is kept."""
    place = np.zeros((40, 40, 40), bool)
    place[17:21, 17:21, 26:30] = True
    for block in (None, place):
        maps = noisy_maps(100, blur, block)
        patterns = binarise(maps, np.ones(100))
        candidates = EffectRule().infer_blocks(patterns)
        p = noise_p_values(maps, patterns, patterns.masks(candidates))
        kept = [set(patterns.voxels[c].tolist()) for c, x in zip(candidates, p, strict=True) if x <= 0.05]
        if block is None:
            assert kept == []
            assert blur < 3 or len(candidates) > 3, "the test would be empty without candidates"
        else:
            assert len(kept) == 1 and overlap(kept[0], set(np.flatnonzero(place).tolist())) > 0.8


def test_without_any_place_for_noise_nothing_is_dropped():
    """Maps cropped so tightly that every voxel comes and goes: no noise can be measured, and none is claimed."""
    rng = np.random.default_rng(0)
    states = rng.random((60, 2)) < 0.5
    half = np.indices((12, 12, 12))[2] < 6
    maps = [Volume(np.where(half, *state) + 0.1 * rng.standard_normal((12, 12, 12)), 6.0) for state in states]
    patterns = binarise(maps, np.full(60, 0.5))
    assert (patterns.counts > 0.01 * 60).all() and (patterns.counts < 0.99 * 60).all()
    blocks = EffectRule().infer_blocks(patterns)
    assert sorted(map(len, blocks)) == [864, 864]
    p = noise_p_values(maps, patterns, patterns.masks(blocks))
    assert p.tolist() == [0, 0]
