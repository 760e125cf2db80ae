"""The published rule (Kinman & Carreira 2025), as its program runs it.

Two voxels are linked when they are both occupied, and both empty, more often than 1,000 resamplings of two independent
voxels ever were, "both occupied" by a factor that grows with their distance. (The p-values that the paper states have
no effect at 1,000 resamplings: the cut-off is the largest draw.)
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from hetero.progress import Progress, silent
from hetero.siren.patterns import Patterns
from hetero.siren.products import product
from hetero.siren.tiles import TILE, Gather, gather_here

_DRAWS = 1000


@dataclass(frozen=True)
class PublishedRule:
    """Settings of the published rule.

    Attributes:
        subsample: one in this many voxels is queried for seeds.
        bootstrap: True draws the published table of cut-offs anew; False takes its exact limit, the median largest of
            1,000 binomial draws.
        min_seeds: smallest community that starts a block, voxels.
        expand: a voxel joins a block when linked to at least this share of its seeds.
        seed: for the random half and the table.
    """

    subsample: int = 2
    bootstrap: bool = False
    min_seeds: int = 6
    expand: float = 0.25
    seed: int = 0

    def infer_blocks(
        self, patterns: Patterns, progress: Progress = silent, gather: Gather = gather_here
    ) -> list[np.ndarray]:
        """Blocks as arrays of column numbers of ``patterns``, largest first.

        Args:
            gather: collects the linked pairs from the tiles of :class:`PublishedQuery`.
        """
        query = PublishedQuery.of(self, patterns, progress)
        seeds = self.seeds(gather(query, progress))
        blocks = []
        for number, block in enumerate(seeds):
            progress(number, len(seeds), "expanding blocks")
            blocks.append(np.union1d(block, self._expand(patterns, block, query.rows, query.both_on, query.both_off)))
        return sorted(blocks, key=len, reverse=True)

    def seeds(self, edges: np.ndarray) -> list[np.ndarray]:
        """Communities of at least ``min_seeds`` columns, from the linked pairs ``(e, 2)``.

        The order of the pairs counts: it numbers the labels, and the largest label wins a tie.
        """
        import networkx as nx

        graph = nx.Graph()
        graph.add_edges_from(edges.tolist())
        communities = nx.algorithms.community.label_propagation_communities(graph)
        return [np.array(sorted(c)) for c in communities if len(c) >= self.min_seeds]

    def cutoffs(self, patterns: Patterns, rng: np.random.Generator, progress: Progress = silent):
        """Each voxel's row in the table ``(m,)``, and its ``(U, U)`` cut-offs of "both on" and "both off" counts."""
        n = len(patterns.on)
        values, rows = np.unique(patterns.totals, return_inverse=True)
        share = values / n
        tables = []
        for number, part in enumerate((share, 1 - share)):
            progress(number, 2, "computing cut-offs")
            chance = np.multiply.outer(part, part)
            tables.append(_largest_draw(n, chance, rng) if self.bootstrap else binom.isf(np.log(2) / _DRAWS, n, chance))
        return rows, *tables

    def _expand(self, patterns: Patterns, block: np.ndarray, totals, both_on, both_off) -> np.ndarray:
        positions = patterns.positions
        distance = np.linalg.norm(positions - np.median(positions[block], axis=0), axis=1)
        factor = np.where(distance == 0, 1.0, locality_factor(distance))
        together, apart = _co_occurrence(patterns, np.arange(patterns.on.shape[1]), block)
        linked = together > factor[:, None] * both_on[totals[:, None], totals[block]]
        linked &= apart > both_off[totals[:, None], totals[block]]
        return np.flatnonzero(linked.mean(axis=1) >= self.expand)


def locality_factor(distance: np.ndarray) -> np.ndarray:
    """Factor on the "both on" cut-off for voxels ``distance`` Å apart: 1.25 to 15 Å, rising to 1.75 at 40 Å."""
    return np.where(distance < 40, np.maximum(1.25, 0.02 * distance + 0.95), 1.75)


@dataclass(frozen=True, eq=False)
class PublishedQuery:
    """Linked pairs among the sampled voxels, a row of tiles at a time: ``query(i)`` for i = 0 ... ``tiles - 1``.

    Attributes:
        patterns: of all voxels.
        sample: ``(s,)`` columns of ``patterns`` that are queried, rising.
        rows: ``(m,)`` row of each column in the tables.
        both_on: ``(U, U)`` cut-offs of the number of volumes with both voxels occupied.
        both_off: ``(U, U)`` the same for both empty.
    """

    patterns: Patterns
    sample: np.ndarray
    rows: np.ndarray
    both_on: np.ndarray
    both_off: np.ndarray

    @classmethod
    def of(cls, rule: PublishedRule, patterns: Patterns, progress: Progress = silent) -> "PublishedQuery":
        """A random half (or other part) of the patterns' voxels, and the tables, both from the rule's seed."""
        rng = np.random.default_rng(rule.seed)
        m = patterns.on.shape[1]
        sample = np.sort(rng.permutation(m)[: m // rule.subsample])
        return cls(patterns, sample, *rule.cutoffs(patterns, rng, progress))

    @property
    def tiles(self) -> int:
        """Number of rows of tiles."""
        return -(-len(self.sample) // TILE)

    def __call__(self, row: int) -> np.ndarray:
        """``(e, 2)`` int32: linked pairs of columns, the first in tile ``row`` of the sample, the second after it."""
        positions = self.patterns.positions
        first = self.sample[row * TILE : (row + 1) * TILE]
        found = []
        for j in range(row * TILE, len(self.sample), TILE):
            second = self.sample[j : j + TILE]
            together, apart = _co_occurrence(self.patterns, first, second)
            cut = self.both_on[self.rows[first][:, None], self.rows[second]]
            cut_off = self.both_off[self.rows[first][:, None], self.rows[second]]
            # 1.25 is the least factor: most pairs end here, before any distance is computed.
            likely = (together > 1.25 * cut) & (apart > cut_off)
            a, b = np.nonzero(likely & (first[:, None] < second))
            factor = locality_factor(np.linalg.norm(positions[first[a]] - positions[second[b]], axis=1))
            linked = together[a, b] > factor * cut[a, b]
            found.append(np.stack([first[a[linked]], second[b[linked]]], axis=1).astype(np.int32))
        return np.concatenate(found)


def _co_occurrence(patterns: Patterns, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts ``(rows, columns)`` of volumes with both voxels on, and both off. Exact: float32 holds counts to 2^24."""
    left, right = patterns.on[:, rows].astype(np.float32), patterns.on[:, columns].astype(np.float32)
    both = product(left, right)
    return both, len(left) - left.sum(axis=0)[:, None] - right.sum(axis=0) + both


def _largest_draw(n: int, chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Largest of 1,000 binomial draws for each entry of a symmetric table."""
    upper = np.triu_indices(len(chance))
    largest = np.zeros(len(upper[0]))
    for _ in range(_DRAWS):
        np.maximum(largest, rng.binomial(n, chance[upper]), out=largest)
    table = np.empty_like(chance)
    table[upper] = table.T[upper] = largest
    return table
