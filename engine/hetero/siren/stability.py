"""Is a block found again when the volumes change? (Stability selection, Meinshausen & Bühlmann 2010: half-samples.)"""

from dataclasses import replace

import numpy as np
from scipy.ndimage import binary_dilation

from hetero.progress import Progress, silent
from hetero.siren.patterns import Patterns

_VOXELS = 2000  # looked at in each half-sample, over all blocks
_FEWEST, _MOST = 30, 100  # inside each block, and as many again around it
_SHELL = 2  # voxels around a block that it could have swallowed


def stability(
    rule, patterns: Patterns, blocks: list[np.ndarray], resamples: int = 10, seed: int = 0, progress: Progress = silent
) -> np.ndarray:
    """How well each block is found again in random halves of the volumes, without replacement.

    In each half the rule is run anew on a random choice of the blocks' voxels and of those within two voxels of them;
    each block scores its overlap (intersection over union, estimated from that choice) with the found block that fits
    it best.

    Args:
        rule: the rule that found the blocks.
        blocks: K arrays of column numbers.
        resamples: number of halves; none gives NaN.

    Returns:
        ``(K,)`` mean overlap in [0, 1]. A block is judged on half of its evidence: rare ones in few volumes score low.
    """
    if not blocks or not resamples:
        return np.full(len(blocks), np.nan)
    rng = np.random.default_rng(seed)
    rule = replace(rule, min_kda=0.0) if hasattr(rule, "min_kda") else rule
    strata = _strata(patterns, blocks)
    member = np.zeros((len(blocks), len(patterns.voxels)), dtype=bool)
    for row, columns in zip(member, blocks, strict=True):
        row[columns] = True
    scores = np.zeros(len(blocks))
    for number in range(resamples):
        progress(number, resamples, "looking for the blocks in half of the maps")
        columns, weight = _draw(strata, max(_FEWEST, min(_MOST, _VOXELS // (2 * len(blocks)))), rng)
        half = _half(patterns, columns, rng)
        changes = half.on.any(axis=0) & ~half.on.all(axis=0)
        kept = np.flatnonzero(changes)
        found = np.zeros((0, len(columns)), dtype=bool)
        if len(kept) > 1:
            parts = rule.infer_blocks(replace(half, on=half.on[:, kept], voxels=half.voxels[kept]))
            found = np.zeros((len(parts), len(columns)), dtype=bool)
            for row, part in zip(found, parts, strict=True):
                row[kept[part]] = True
        scores += _best_overlap(member[:, columns], found, weight)
    return scores / resamples


def _strata(patterns: Patterns, blocks: list[np.ndarray]) -> list[np.ndarray]:
    """Columns of each block, then of the shell around each, none of them twice."""
    left = np.ones(len(patterns.voxels), dtype=bool)
    strata = []
    for columns in sorted(blocks, key=len):
        strata.append(columns[left[columns]])
        left[columns] = False
    column_of = np.full(patterns.counts.size, -1)
    column_of[patterns.voxels] = np.arange(len(patterns.voxels))
    for mask in patterns.masks(blocks):
        around = column_of[np.flatnonzero(binary_dilation(mask, iterations=_SHELL))]
        around = around[around >= 0]
        strata.append(around[left[around]])
        left[around] = False
    return [s for s in strata if len(s)]


def _draw(strata: list[np.ndarray], most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """At most ``most`` columns of each stratum, rising, and how many columns each stands for."""
    chosen = [s if len(s) <= most else rng.choice(s, most, replace=False) for s in strata]
    weight = np.concatenate([np.full(len(c), len(s) / len(c)) for c, s in zip(chosen, strata, strict=True)])
    columns = np.concatenate(chosen)
    order = np.argsort(columns)
    return columns[order], weight[order]


def _half(patterns: Patterns, columns: np.ndarray, rng: np.random.Generator) -> Patterns:
    rows = np.sort(rng.permutation(len(patterns.on))[: len(patterns.on) // 2])
    on = patterns.on[np.ix_(rows, columns)]
    return replace(patterns, on=on, voxels=patterns.voxels[columns], volumes=tuple(patterns.volumes[i] for i in rows))


def _best_overlap(blocks: np.ndarray, found: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``(K,)`` best weighted intersection over union of each of K sets with any of those found."""
    if len(found) == 0:
        return np.zeros(len(blocks))
    shared = (blocks * weight) @ found.T.astype(float)
    union = (blocks @ weight)[:, None] + found @ weight - shared
    return (shared / union).max(axis=1)
