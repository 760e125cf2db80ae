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

_TILE = 2048
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

    def infer_blocks(self, patterns: Patterns, progress: Progress = silent) -> list[np.ndarray]:
        """Blocks as arrays of column numbers of ``patterns``, largest first."""
        rng = np.random.default_rng(self.seed)
        sample = np.sort(rng.permutation(patterns.on.shape[1])[: patterns.on.shape[1] // self.subsample])
        totals, both_on, both_off = self.cutoffs(patterns, rng, progress)
        edges = find_edges(patterns, sample, totals, both_on, both_off, progress)
        seeds = self.seeds(edges)
        blocks = []
        for number, block in enumerate(seeds):
            progress(number, len(seeds), "expanding blocks")
            blocks.append(np.union1d(block, self._expand(patterns, block, totals, both_on, both_off)))
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


def find_edges(patterns: Patterns, sample, totals, both_on, both_off, progress: Progress = silent) -> np.ndarray:
    """``(e, 2)`` linked pairs among the columns ``sample``, by tiles of matrix products."""
    positions = patterns.positions
    found = []
    tiles = range(0, len(sample), _TILE)
    for number, i in enumerate(tiles):
        progress(number, len(tiles), "querying pairs of voxels")
        rows = sample[i : i + _TILE]
        for j in range(i, len(sample), _TILE):
            columns = sample[j : j + _TILE]
            together, apart = _co_occurrence(patterns, rows, columns)
            cut = both_on[totals[rows][:, None], totals[columns]]
            # 1.25 is the least factor: most pairs end here, before any distance is computed.
            likely = (together > 1.25 * cut) & (apart > both_off[totals[rows][:, None], totals[columns]])
            a, b = np.nonzero(likely & (rows[:, None] < columns))
            factor = locality_factor(np.linalg.norm(positions[rows[a]] - positions[columns[b]], axis=1))
            linked = together[a, b] > factor * cut[a, b]
            found.append(np.stack([rows[a[linked]], columns[b[linked]]], axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2), dtype=int)


def _co_occurrence(patterns: Patterns, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts ``(rows, columns)`` of volumes with both voxels on, and both off. Exact: float32 holds counts to 2^24."""
    left, right = patterns.on[:, rows].astype(np.float32), patterns.on[:, columns].astype(np.float32)
    both = left.T @ right
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
