"""Are blocks found where there are none, or beside true ones?

    python benchmarks/blocks_null.py ../shared [MAPS [SEEDS]]

Ensembles of one real ribosome map in noise (white, or correlated over several voxels) with random gain: without any
block, and with three spheres of 60, 120 and 250 voxels that come and go. How many candidates the effect rule makes of
each, and how many are left after the test against noise; beside the true blocks, also how well these are found.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from hetero.maps import Volume, read_map
from hetero.siren import EffectRule, binarise, noise_p_values

CASES = ((0, 0.25, 0.15), (0.8, 0.25, 0.03), (0.8, 0.25, 0.15), (2, 0.3, 0.05), (3, 0.3, 0.15), (5, 0.3, 0.05))
SIZES, OFTEN = (60, 120, 250), (0.5, 0.25, 0.75)
LEVEL = 1.0


def ribosome_and_blocks(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """The mean of three real maps, and spheres at its surface, far from each other."""
    folder = shared / "data" / "ensembles" / "maven" / "00_aligned"
    ribosome = np.mean([read_map(folder / f"vol_{k}.mrc").data for k in (385, 390, 383)], axis=0)
    inside = np.argwhere(ribosome > LEVEL)
    apart = np.linalg.norm(inside - inside.mean(axis=0), axis=1)
    rim = inside[(apart > np.percentile(apart, 75)) & (apart < np.percentile(apart, 95))]
    places = [rim[0]]
    while len(places) < len(SIZES):
        places.append(rim[np.argmax(np.min([np.linalg.norm(rim - p, axis=1) for p in places], axis=0))])
    masks = np.zeros((len(SIZES), *ribosome.shape), dtype=bool)
    for mask, place, size in zip(masks, places, SIZES, strict=True):
        mask[tuple(inside[np.argsort(np.linalg.norm(inside - place, axis=1))[:size]].T)] = True
    return ribosome, masks


def make(ribosome: np.ndarray, masks: np.ndarray, case: tuple[float, float, float], n: int, seed: int) -> list[Volume]:
    """One ensemble; ``masks`` may be none."""
    blur, noise, gain = case
    rng = np.random.default_rng(seed)
    maps = []
    for i in range(n):
        field = gaussian_filter(rng.standard_normal(ribosome.shape, dtype=np.float32), blur)
        data = ribosome.copy()
        for mask, often in zip(masks, OFTEN, strict=False):
            if rng.random() >= often:
                data[mask] *= 0.03
        data = (data + noise * field / field.std()) * np.exp(gain * rng.standard_normal())
        maps.append(Volume(data, 6.55, name=str(i)))
    return maps


def count(maps: list[Volume], masks: np.ndarray, seed: int) -> tuple[int, int, list[float]]:
    """Candidates, stray blocks that are left, and the overlap of each true block with its best found one."""
    patterns = binarise(maps, np.full(len(maps), LEVEL))
    found = patterns.masks(EffectRule(seed=seed).infer_blocks(patterns))
    left = found[noise_p_values(maps, patterns, found) <= 0.05]
    stray = sum((block & masks.any(axis=0)).sum() < 0.5 * block.sum() for block in left)
    overlap = [max([(m & b).sum() / (m | b).sum() for b in left], default=0.0) for m in masks]
    return len(found), int(stray), overlap


def main() -> None:
    """A row for each kind of noise."""
    ribosome, masks = ribosome_and_blocks(Path(sys.argv[1]))
    n, seeds = (int(a) for a in (*sys.argv[2:], *("100", "20")[len(sys.argv) - 2 :]))
    print("| noise blurred by | s.d. | gain s.d. | without blocks: ensembles with a block | candidates", end=" | ")
    print("with blocks: ensembles with a stray | overlap of the true ones, least and mean |")
    for case in CASES:
        none = [count(make(ribosome, masks[:0], case, n, seed), masks[:0], seed) for seed in range(seeds)]
        three = [count(make(ribosome, masks, case, n, seed), masks, seed) for seed in range(seeds)]
        wrong, beside = sum(stray > 0 for _, stray, _ in none), sum(stray > 0 for _, stray, _ in three)
        candidates = [c for c, _, _ in none]
        overlap = np.array([o for _, _, o in three])
        row = [f"{case[0]} voxels", case[1], f"{case[2]:.0%}", f"{wrong} of {seeds}"]
        row += [f"{min(candidates)}-{max(candidates)}", f"{beside} of {seeds}"]
        print("|", " | ".join(map(str, row)), f"| {overlap.min():.2f}, {overlap.mean():.2f} |", flush=True)


if __name__ == "__main__":
    main()
