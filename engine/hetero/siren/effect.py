"""The effect-size rule: voxels are linked where the correlation of their on/off patterns is large.

Standardise each voxel's pattern; ``phi = Zᵀ Z / N`` is the matrix of phi coefficients. Unlike the published rule it
treats "mostly there" and "mostly absent" alike, uses every voxel, and has no random half.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from hetero.maps import DALTON_PER_A3
from hetero.progress import Progress, silent
from hetero.siren.communities import propagate_labels
from hetero.siren.patterns import Patterns
from hetero.siren.products import pairs_above
from hetero.siren.tiles import TILE, Gather, gather_here

_ROUNDING = 1e-5  # of a correlation summed in float32: equality with a bound counts as reaching it


@dataclass(frozen=True)
class EffectRule:
    """Thresholds of the effect-size rule.

    Attributes:
        phi_near: correlation that links two voxels up to ``near`` Å apart.
        phi_far: the same from ``far`` Å on; linear in between.
        near, far: Å.
        alpha: family-wise error of a link between two unrelated voxels (Bonferroni over all pairs).
        expand: correlation with a block's signature at which a voxel joins it.
        merge: blocks whose signatures correlate more than this are one.
        min_seeds: smallest community that starts a block, voxels.
        min_kda: smallest block that is reported, kDa at 0.81 Da/Å^3: smaller ones are noise at these resolutions.
        seed: for the label propagation.
    """

    phi_near: float = 0.5
    phi_far: float = 0.6
    near: float = 15.0
    far: float = 40.0
    alpha: float = 0.05
    expand: float = 0.5
    merge: float = 0.8
    min_seeds: int = 6
    min_kda: float = 5.0
    seed: int = 0

    def infer_blocks(
        self, patterns: Patterns, progress: Progress = silent, gather: Gather = gather_here
    ) -> list[np.ndarray]:
        """Blocks as arrays of column numbers of ``patterns``, largest first.

        Memory: ``on`` as float32; one tile of ``2048 x 2048``; the edges (8 bytes each, and some 40 while they are
        grouped).

        Args:
            gather: collects the linked pairs from the tiles of :class:`EffectQuery`.
        """
        query = EffectQuery.of(self, patterns)
        edges = gather(query, progress)
        progress(0, 0, "grouping voxels")
        signatures = self.signatures(query.z, self.seeds(edges, query.z.shape[1]))
        tests = len(patterns.voxels) * max(len(signatures), 1)
        blocks = self.members(query.z, patterns.totals, signatures, tests)
        smallest = max(self.min_seeds, 1000 * self.min_kda / (DALTON_PER_A3 * np.prod(patterns.apix)))
        return sorted((b for b in blocks if len(b) >= smallest), key=len, reverse=True)

    def seeds(self, edges: np.ndarray, n_nodes: int) -> list[np.ndarray]:
        """Communities of at least ``min_seeds`` of the ``n_nodes`` columns, from the linked pairs ``(e, 2)``."""
        labels = propagate_labels(edges, n_nodes, np.random.default_rng(self.seed))
        order = np.argsort(labels, kind="stable")
        communities = np.split(order, np.cumsum(np.bincount(labels))[:-1])
        return [c for c in communities if len(c) >= self.min_seeds]

    def signatures(self, z: np.ndarray, seeds: list[np.ndarray]) -> list[np.ndarray]:
        """``(n,)`` mean standardised pattern of each block's seeds, itself standardised.

        Seeds whose signatures correlate more than ``merge`` are taken together, the most alike first.
        """
        seeds = list(seeds)
        signatures = [signature(z, s) for s in seeds]
        while len(signatures) > 1:
            phi = np.corrcoef(signatures)
            np.fill_diagonal(phi, -1)
            i, j = np.unravel_index(np.argmax(phi), phi.shape)
            if phi[i, j] <= self.merge:
                break
            seeds[i] = np.r_[seeds[i], seeds[j]]
            signatures[i] = signature(z, seeds[i])
            del seeds[j], signatures[j]
        return signatures

    def members(self, z: np.ndarray, totals: np.ndarray, signatures: list[np.ndarray], tests: int) -> list[np.ndarray]:
        """Columns of ``z`` that belong to each signature: their correlation with it passes the bound.

        Args:
            z: ``(n, m)``, standardised.
            totals: ``(m,)`` number of volumes in which each voxel is occupied.
            tests: number of correlations that are judged in all, for Bonferroni.
        """
        bound = np.maximum(self.expand, chance_phi(len(z), self.alpha / tests)[totals])
        return [np.flatnonzero(z.T @ s / len(z) >= bound) for s in signatures]

    def phi_at(self, distance: np.ndarray) -> np.ndarray:
        """Correlation that links two voxels ``distance`` Å apart."""
        return np.interp(distance, [self.near, self.far], [self.phi_near, self.phi_far])


@dataclass(frozen=True, eq=False)
class EffectQuery:
    """Linked pairs of voxels, a row of tiles at a time: ``query(i)`` for i = 0 ... ``tiles - 1``.

    Attributes:
        rule: the thresholds.
        z: ``(n, m)`` float32 standardised patterns.
        floor: ``(m,)`` correlation that chance alone may give a voxel.
        positions: ``(m, 3)`` Å.
        columns: ``(c,)`` rising; the voxels that can be linked at all. A single map at a wrong level leaves tens of
            thousands that cannot: all occupied in that map alone, all alike, and none of it proves anything.
    """

    rule: EffectRule
    z: np.ndarray
    floor: np.ndarray
    positions: np.ndarray
    columns: np.ndarray

    @classmethod
    def of(cls, rule: EffectRule, patterns: Patterns) -> "EffectQuery":
        """All pairs of the patterns' voxels."""
        n, m = patterns.on.shape
        floor = chance_phi(n, rule.alpha / max(m * (m - 1) // 2, 1))[patterns.totals]
        return cls(rule, standardise(patterns.on), floor, patterns.positions, np.flatnonzero(np.isfinite(floor)))

    @property
    def tiles(self) -> int:
        """Number of rows of tiles."""
        return -(-len(self.columns) // TILE)

    def __call__(self, row: int) -> np.ndarray:
        """``(e, 2)`` int32: linked pairs of columns of ``z``, the first in tile ``row``, the second after the first."""
        least = max(self.rule.phi_near, float(self.floor.min())) - _ROUNDING
        first = self.columns[row * TILE : (row + 1) * TILE]
        left = self.z[:, first]
        found = []
        for j in range(row * TILE, len(self.columns), TILE):
            second = self.columns[j : j + TILE]
            value, a, b = pairs_above(left, self.z[:, second], least)
            a, b = first[a], second[b]
            if j == row * TILE:
                upper = a < b
                value, a, b = value[upper], a[upper], b[upper]
            needed = self.rule.phi_at(np.linalg.norm(self.positions[a] - self.positions[b], axis=1))
            linked = value >= np.maximum(needed, np.maximum(self.floor[a], self.floor[b])) - _ROUNDING
            found.append(np.stack([a[linked], b[linked]], axis=1).astype(np.int32))
        return np.concatenate(found)


def standardise(on: np.ndarray) -> np.ndarray:
    """``(n, m)`` 0/1 patterns -> float32 columns of mean 0 and s.d. 1. Every column must change."""
    mean = on.mean(axis=0, dtype=np.float64)
    z = on.astype(np.float32)
    z -= mean.astype(np.float32)
    z *= (1 / np.sqrt(mean * (1 - mean))).astype(np.float32)
    return z


def signature(z: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """``(n,)`` mean of some columns of ``z`` ``(n, m)``, of mean 0 and s.d. 1."""
    mean = z[:, columns].mean(axis=1)
    return (mean - mean.mean()) / mean.std()


def mean_phi(on: np.ndarray, columns: np.ndarray) -> float:
    """Effect size of a block: the mean correlation of its voxels' patterns with their mean standardised pattern.

    Args:
        on: ``(n, m)`` 0/1 patterns.
        columns: the block's.
    """
    z = standardise(on[:, columns])
    return float((z.T @ signature(z, np.arange(len(columns)))).mean() / len(z))


def chance_phi(n: int, probability: float) -> np.ndarray:
    """``(n + 1,)``: for k = 0 .. n, the correlation that two unrelated patterns of k ones reach with ``probability``.

    Exact (hypergeometric), because rare events matter: two voxels that are each empty in the same 2 of 100 volumes
    correlate perfectly, and among 10^8 pairs that happens by chance. Above 1, or infinite, where even identical
    patterns prove nothing. A pair of voxels with different k is held to the larger of their two values.
    """
    k = np.arange(n + 1)
    rare = np.minimum(k, n - k)  # "on" and "off" are alike
    together = hypergeom.isf(probability, n, np.arange(n // 2 + 1), np.arange(n // 2 + 1))[rare] + 1
    share = rare / n
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = (together / n - share**2) / (share * (1 - share))
    return np.where(together > rare, np.inf, phi)
