"""Blocks of an ensemble with their evidence."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hetero.maps import Volume
from hetero.progress import Progress, silent
from hetero.siren.effect import EffectRule, mean_phi
from hetero.siren.evidence import noise_p_values
from hetero.siren.motion import find_chains
from hetero.siren.patterns import Patterns
from hetero.siren.published import PublishedRule
from hetero.siren.stability import stability
from hetero.siren.tiles import Gather, gather_here


@dataclass(frozen=True, eq=False)
class Found:
    """K blocks.

    Attributes:
        masks: ``(K, z, y, x)`` bool.
        columns: K arrays of column numbers of the patterns in which they were found.
        evidence: column of ``blocks.csv`` -> K values: ``mean_occupancy``, ``phi``, ``p_noise``, ``stability`` (NaN
            where it was not measured), ``chain`` (name, or None) and ``place`` in it (from 0, or NaN).
        noise: how many candidates were dropped because they vary no more than noise does.
    """

    masks: np.ndarray
    columns: list[np.ndarray]
    evidence: dict[str, list]
    noise: int


def find_blocks(
    patterns: Patterns,
    volumes: Iterable[Volume],
    rule: EffectRule | PublishedRule,
    alpha: float | None = 0.05,
    resamples: int = 10,
    progress: Progress = silent,
    gather: Gather = gather_here,
) -> Found:
    """Blocks by ``rule``, largest first, each held against the ensemble's noise and looked for again in half of it.

    Args:
        volumes: the maps of ``patterns``, in order.
        alpha: blocks whose variance noise reaches with more than this probability are dropped; None drops none.
        resamples: halves of the ensemble in which each block is looked for again.
        gather: collects the linked pairs of voxels.
    """
    candidates = rule.infer_blocks(patterns, progress, gather)
    p_noise = noise_p_values(volumes, patterns, patterns.masks(candidates), progress)
    kept = np.flatnonzero(p_noise <= (1.0 if alpha is None else alpha))
    columns = [candidates[i] for i in kept]
    again = stability(rule, patterns, columns, resamples, rule.seed, progress)
    chain, place = _chains(patterns, columns, rule.seed)
    evidence = {
        "mean_occupancy": [float(patterns.on[:, c].mean()) for c in columns],
        "phi": [mean_phi(patterns.on, c) for c in columns],
        "p_noise": p_noise[kept].tolist(),
        "stability": again.tolist(),
        "chain": chain,
        "place": place,
    }
    return Found(patterns.masks(columns), columns, evidence, len(candidates) - len(columns))


def _chains(patterns: Patterns, columns: list[np.ndarray], seed: int) -> tuple[list[str | None], list[float]]:
    name: list[str | None] = [None] * len(columns)
    place = [np.nan] * len(columns)
    if not columns:
        return name, place
    occupancy = np.stack([patterns.on[:, c].mean(axis=1) for c in columns], axis=1)
    centers = np.array([patterns.positions[c].mean(axis=0) for c in columns])
    for number, chain in enumerate(find_chains(occupancy, patterns.masks(columns), centers, seed), start=1):
        for step, block in enumerate(chain):
            name[block], place[block] = f"chain_{number}", float(step)
    return name, place
