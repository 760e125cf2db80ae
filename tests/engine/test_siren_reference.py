"""Both rules from start to end against plain loops: equal edges, equal seeds, equal blocks."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from hetero.siren import EffectRule, Patterns, PublishedRule, products
from hetero.siren.effect import EffectQuery, chance_phi, standardise
from hetero.siren.published import PublishedQuery
from hetero.siren.tiles import gather_here

SHAPE, APIX = (6, 6, 7), np.array([6.0, 6.0, 6.0])
BLOCKS = ((0.25, 30), (0.4, 24), (0.6, 36))


def make_patterns(n=60, seed=0, flips=0.04) -> Patterns:
    """Three blocks among independent voxels."""
    rng = np.random.default_rng(seed)
    m = math.prod(SHAPE)
    on = (rng.random((n, m)) < rng.uniform(0.1, 0.9, m)).astype(np.uint8)
    start = 0
    for probability, size in BLOCKS:
        state = rng.random(n) < probability
        on[:, start : start + size] = state[:, None] ^ (rng.random((n, size)) < flips)
        start += size + 15
    counts = on.sum(axis=0)
    keep = (counts > n / 100) & (counts < n)
    names = tuple(f"v{i}" for i in range(n))
    return Patterns(on[:, keep], np.flatnonzero(keep), counts.reshape(SHAPE), np.zeros(SHAPE), APIX, names)


def distance(p: Patterns, i: int, j: int) -> float:
    places = []
    for voxel in (int(p.voxels[i]), int(p.voxels[j])):
        plane, column = divmod(voxel, SHAPE[2])
        places.append((plane // SHAPE[1], plane % SHAPE[1], column))
    return 6.0 * math.dist(*places)


def pearson(a: list[float], b: list[float]) -> float:
    n, mean_a, mean_b = len(a), math.fsum(a) / len(a), math.fsum(b) / len(b)
    covariance = math.fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True)) / n
    spread = [math.sqrt(math.fsum((x - m) ** 2 for x in v) / n) for v, m in ((a, mean_a), (b, mean_b))]
    return covariance / (spread[0] * spread[1])


def neighbours_of(edges: set[tuple[int, int]], nodes) -> dict[int, list[int]]:
    near = {node: [] for node in nodes}
    for i, j in edges:
        near[i].append(j)
        near[j].append(i)
    return near


def winner(node: int, labels: dict[int, int], near: dict[int, list[int]]) -> int:
    """The label most neighbours have; in a tie the present one, else the largest."""
    if not near[node]:
        return labels[node]
    frequency = Counter(labels[k] for k in near[node])
    best = [label for label, count in frequency.items() if count == max(frequency.values())]
    return labels[node] if labels[node] in best else max(best)


# --- the effect-size rule


def plain_effect_edges(p: Patterns, rule: EffectRule) -> set[tuple[int, int]]:
    n, m = p.on.shape
    sets = [set(np.flatnonzero(p.on[:, k]).tolist()) for k in range(m)]
    floor = chance_phi(n, rule.alpha / (m * (m - 1) / 2))
    edges = set()
    for i in range(m):
        for j in range(i + 1, m):
            a, b = len(sets[i]) / n, len(sets[j]) / n
            phi = (len(sets[i] & sets[j]) / n - a * b) / math.sqrt(a * (1 - a) * b * (1 - b))
            far = min(max((distance(p, i, j) - 15) / 25, 0), 1)
            if phi >= max(0.5 + 0.1 * far, floor[len(sets[i])], floor[len(sets[j])]) - 1e-6:
                edges.add((i, j))
    return edges


def plain_effect_seeds(edges: set[tuple[int, int]], m: int, rule: EffectRule) -> list[list[int]]:
    rng = np.random.default_rng(rule.seed)
    near, labels = neighbours_of(edges, range(m)), {k: k for k in range(m)}
    while True:
        before, first = dict(labels), rng.random(m) < 0.5
        for half in (True, False):
            labels |= {k: winner(k, labels, near) for k in range(m) if first[k] == half}
        if labels == before:
            break
    communities = [[k for k in range(m) if labels[k] == label] for label in sorted(set(labels.values()))]
    return [c for c in communities if len(c) >= rule.min_seeds]


def plain_effect_blocks(p: Patterns, rule: EffectRule, seeds: list[list[int]]) -> list[list[int]]:
    n, m = p.on.shape
    z = [
        [(x - sum(c) / n) / math.sqrt(sum(c) / n * (1 - sum(c) / n)) for x in c] for c in p.on.T.astype(float).tolist()
    ]
    seeds = list(seeds)

    def signature(seed):
        return [math.fsum(z[k][v] for k in seed) / len(seed) for v in range(n)]

    while len(seeds) > 1:
        pairs = [
            (pearson(signature(a), signature(b)), i, j)
            for i, a in enumerate(seeds)
            for j, b in enumerate(seeds)
            if i < j
        ]
        phi, i, j = max(pairs)
        if phi <= rule.merge:
            break
        seeds[i] = seeds[i] + seeds[j]
        del seeds[j]
    bound = chance_phi(n, rule.alpha / (m * max(len(seeds), 1)))
    blocks = []
    for seed in seeds:
        pattern = signature(seed)
        blocks.append([k for k in range(m) if pearson(z[k], pattern) >= max(rule.expand, bound[int(p.on[:, k].sum())])])
    smallest = max(rule.min_seeds, rule.min_kda * 1000 / (0.81 * 6.0**3))
    return sorted((b for b in blocks if len(b) >= smallest), key=len, reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_effect_rule_equals_plain_loops(seed):
    patterns, rule = make_patterns(seed=seed), EffectRule(seed=seed)
    edges = plain_effect_edges(patterns, rule)
    seeds = plain_effect_seeds(edges, patterns.on.shape[1], rule)
    blocks = plain_effect_blocks(patterns, rule, seeds)
    assert len(seeds) >= 3 and len(blocks) == 2, "the third is below 5 kDa"
    found = gather_here(EffectQuery.of(rule, patterns))
    assert set(map(tuple, found.tolist())) == edges
    assert [s.tolist() for s in rule.seeds(found, patterns.on.shape[1])] == seeds
    assert [b.tolist() for b in rule.infer_blocks(patterns)] == blocks


def test_what_one_map_alone_has_is_never_compared():
    """A map at a wrong level: thousands of voxels occupied in it alone, all alike. Chance does that too."""
    patterns = make_patterns()
    alone = np.zeros((len(patterns.on), 5000), np.uint8)
    alone[7] = 1
    # The voxels are numbered on, far from the others: only the numbers' order matters here.
    more = replace(
        patterns,
        on=np.hstack([patterns.on, alone]),
        voxels=np.r_[patterns.voxels, 252 + np.arange(5000)],
        counts=np.zeros((6, 6, 146)),
    )
    query = EffectQuery.of(EffectRule(), more)
    assert query.tiles == 1 and len(query.columns) <= 252
    m = patterns.on.shape[1]
    strict = EffectRule(alpha=0.05 * m * (m - 1) / ((m + 5000) * (m + 4999)))  # corrected for as many pairs
    known = {frozenset(map(int, e)) for e in gather_here(EffectQuery.of(strict, patterns))}
    assert {frozenset(map(int, e)) for e in gather_here(query)} == known and known


def test_seeds_of_one_block_merge_as_in_plain_loops():
    """The block's voxels are given as two communities; both ways join them and keep the third apart."""
    patterns, rule = make_patterns(), EffectRule()
    seeds = [list(range(0, 12)), list(range(84, 100)), list(range(12, 28))]
    z = standardise(patterns.on)
    ours = rule.members(z, patterns.totals, rule.signatures(z, [np.array(s) for s in seeds]), 2 * z.shape[1])
    plain = plain_effect_blocks(patterns, rule, seeds)
    assert len(plain) == 2
    assert sorted(b.tolist() for b in ours) == sorted(plain)


# --- the published rule


def plain_published_cutoffs(p: Patterns, rule: PublishedRule, rng: np.random.Generator) -> dict:
    """``{(ones, ones): (both on, both off)}``: largest of 1,000 draws, or the median of that."""
    n, values = len(p.on), sorted({int(t) for t in p.on.sum(axis=0)})
    pairs = [(a, b) for i, a in enumerate(values) for b in values[i:]]
    tables = []
    for chance in ({(a, b): a / n * (b / n) for a, b in pairs}, {(a, b): (1 - a / n) * (1 - b / n) for a, b in pairs}):
        if rule.bootstrap:
            largest = dict.fromkeys(pairs, 0)
            for _ in range(1000):
                for pair in pairs:
                    largest[pair] = max(largest[pair], rng.binomial(n, chance[pair]))
        else:  # half of all largest draws are at most this
            largest = {q: int(np.argmax(binom.cdf(range(n + 1), n, chance[q]) ** 1000 >= 0.5)) for q in pairs}
        tables.append(largest)
    return {q: (tables[0][q], tables[1][q]) for q in pairs}


def plain_linked(p: Patterns, i: int, j: int, factor: float, cutoffs: dict) -> bool:
    a, b = p.on[:, i].tolist(), p.on[:, j].tolist()
    both = sum(x and y for x, y in zip(a, b, strict=True))
    neither = sum(not x and not y for x, y in zip(a, b, strict=True))
    cut_on, cut_off = cutoffs[tuple(sorted((sum(a), sum(b))))]
    return both > factor * cut_on and neither > cut_off


def plain_factor(angstrom: float) -> float:
    return 1.75 if angstrom >= 40 else max(1.25, 0.02 * angstrom + 0.95)


def plain_published_seeds(edges: list[tuple[int, int]], rule: PublishedRule) -> list[list[int]]:
    """Semi-synchronous label propagation on a greedy colouring, nodes in the order in which the edges name them."""
    nodes = list(dict.fromkeys(k for edge in edges for k in edge))
    near = neighbours_of(set(edges), nodes)
    color = {}
    for node in sorted(nodes, key=lambda k: len(near[k]), reverse=True):
        color[node] = next(c for c in range(len(nodes)) if c not in {color.get(k) for k in near[node]})
    labels = {node: number for number, node in enumerate(nodes)}
    while any(winner(k, labels, near) != labels[k] for k in nodes):
        for c in range(max(color.values()) + 1):
            labels |= {k: winner(k, labels, near) for k in nodes if color[k] == c}
    communities = {}
    for node in nodes:
        communities.setdefault(labels[node], []).append(node)
    return [sorted(c) for c in communities.values() if len(c) > 5]


def plain_published_block(p: Patterns, rule: PublishedRule, seed: list[int], cutoffs: dict) -> list[int]:
    place = np.array([np.array(np.unravel_index(p.voxels[k], SHAPE)) * 6.0 for k in range(p.on.shape[1])])
    center = [float(np.median(place[seed, axis])) for axis in range(3)]
    joined = set(seed)
    for i in range(p.on.shape[1]):
        apart = math.dist(place[i], center)
        factor = 1.0 if apart == 0 else plain_factor(apart)
        if sum(plain_linked(p, i, k, factor, cutoffs) for k in seed) >= 0.25 * len(seed):
            joined.add(i)
    return sorted(joined)


def few_totals(n=120) -> Patterns:
    """Two blocks among independent voxels, with few different numbers of ones: plain loops draw a table of these."""
    rng, m = np.random.default_rng(1), math.prod(SHAPE)
    on = np.array([rng.permutation(n) < rng.choice([30, 40, 60]) for _ in range(m)]).T.astype(np.uint8)
    for start, ones in ((0, 30), (60, 40)):
        on[:, start : start + 40] = (rng.permutation(n) < ones)[:, None]
        on[rng.integers(n, size=40), np.arange(start, start + 40)] ^= 1
    zeros = np.zeros(SHAPE)
    return Patterns(on, np.arange(m), on.sum(axis=0).reshape(SHAPE), zeros, APIX, tuple(f"v{i}" for i in range(n)))


@pytest.mark.parametrize("bootstrap", [False, True])
def test_published_rule_equals_plain_loops(bootstrap):
    patterns, rule = few_totals(), PublishedRule(seed=2, bootstrap=bootstrap)
    rng = np.random.default_rng(2)
    m = patterns.on.shape[1]
    sample = sorted(rng.permutation(m)[: m // 2].tolist())
    cutoffs = plain_published_cutoffs(patterns, rule, rng)
    edges = [
        (i, j)
        for number, i in enumerate(sample)
        for j in sample[number + 1 :]
        if plain_linked(patterns, i, j, plain_factor(distance(patterns, i, j)), cutoffs)
    ]
    seeds = plain_published_seeds(edges, rule)
    blocks = sorted((plain_published_block(patterns, rule, s, cutoffs) for s in seeds), key=len, reverse=True)
    assert len(blocks) >= 2

    query = PublishedQuery.of(rule, patterns)
    assert query.sample.tolist() == sample
    found = gather_here(query)
    assert [tuple(e) for e in found.tolist()] == edges
    assert [s.tolist() for s in rule.seeds(found)] == seeds
    assert [b.tolist() for b in rule.infer_blocks(patterns)] == blocks


def test_binomial_draws_are_the_published_resampling():
    """Two voxels resampled with replacement and apart: their largest "both on" of 1,000 is what the table draws."""
    n, rng = 60, np.random.default_rng(0)
    a, b = np.arange(n) < 24, np.arange(n) < 33
    literal = [
        (a[rng.integers(n, size=(1000, n))] & b[rng.integers(n, size=(1000, n))]).sum(axis=1).max() for _ in range(60)
    ]
    drawn = rng.binomial(n, 24 / 60 * 33 / 60, size=(60, 1000)).max(axis=1)
    error = math.hypot(np.std(literal), np.std(drawn)) / math.sqrt(60)
    assert abs(np.mean(literal) - np.mean(drawn)) < 4 * error
    limit = binom.isf(math.log(2) / 1000, n, 24 / 60 * 33 / 60)
    assert abs(np.median(literal) - limit) <= 0.5


# --- on a GPU


@pytest.mark.parametrize("rule", [EffectRule(min_kda=1.0), PublishedRule(seed=2)])
def test_torch_gives_the_same_edges_and_blocks(monkeypatch, rule):
    """The path of a GPU, on the GPU where there is one and else on the CPU."""
    torch = pytest.importorskip("torch", reason="a GPU is used through torch")
    patterns = few_totals()
    query = (EffectQuery if isinstance(rule, EffectRule) else PublishedQuery).of(rule, patterns)
    found = []
    for device in (None, "cuda" if torch.cuda.is_available() else "cpu"):
        monkeypatch.setattr(products, "_device", lambda device=device: device)
        found.append((gather_here(query).tolist(), [b.tolist() for b in rule.infer_blocks(patterns)]))
    assert found[0] == found[1]
    assert len(found[0][0]) > 100 and len(found[0][1]) >= 2
