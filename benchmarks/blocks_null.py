"""Are blocks found where there are none?   python benchmarks/blocks_null.py ../shared [MAPS [SEEDS]]

Ensembles of one real ribosome map in noise (white, or correlated over several voxels) with random gain, and without any
block: how many candidates the effect rule makes of it, and how many are left after the test against noise.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from hetero.maps import Volume, read_map
from hetero.siren import EffectRule, binarise, noise_p_values

shared = Path(sys.argv[1])
n, seeds = (int(a) for a in (*sys.argv[2:], *("100", "3")[len(sys.argv) - 2 :]))
folder = shared / "data" / "ensembles" / "maven" / "00_aligned"
ribosome = np.mean([read_map(folder / f"vol_{k}.mrc").data for k in (385, 390, 383)], axis=0)


def maps(seed, case):
    """One ensemble, made anew at each call."""
    blur, noise, gain = case
    rng = np.random.default_rng(seed)
    for i in range(n):
        field = gaussian_filter(rng.standard_normal(ribosome.shape, dtype=np.float32), blur)
        data = (ribosome + noise * field / field.std()) * np.exp(gain * rng.standard_normal())
        yield Volume(data, 6.55, name=str(i))


def count(seed, case):
    """Candidates and blocks left, as text."""
    patterns = binarise(maps(seed, case), np.full(n, 1.0))
    found = EffectRule(seed=seed).infer_blocks(patterns)
    p = noise_p_values(maps(seed, case), patterns, patterns.masks(found))
    return f"{len(found)} -> {np.count_nonzero(p <= 0.05)}"


print("blur (voxels)  noise s.d.  gain s.d.  candidates -> left, for each seed")
for case in ((0, 0.25, 0.15), (0.8, 0.25, 0.03), (0.8, 0.25, 0.15), (2, 0.3, 0.05), (3, 0.3, 0.15), (5, 0.3, 0.05)):
    counts = [count(seed, case) for seed in range(seeds)]
    print("{:13}  {:10}  {:9}  ".format(*case) + ", ".join(counts), flush=True)
