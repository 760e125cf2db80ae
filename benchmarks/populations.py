"""Is the fraction of particles that have a block told truly?   python benchmarks/populations.py [RUNS [VOLUMES]]

A chain of the packaged ribosome (6ZU5), and its first 8 and 16 kDa, present in 25, 50, 75 and 90 % of the volumes:
density at 2.5 voxels of 6.5 Å, noise correlated over a voxel with an s.d. of 15 % of the level, 3 % random gain. Each
volume's occupancy of the block is measured at one level, the populations are fitted, and the 95 % interval is compared
with the true share. The noise is made in the box around the block only: nothing else is looked at.
"""

import sys
import time

import numpy as np
from scipy.ndimage import gaussian_filter

from hetero.commands.simulate import PACKAGED_STRUCTURE
from hetero.maps import density_from_atoms, read_structure
from hetero.occupancy import MaskVoxels
from hetero.occupancy.populations import fit_population

runs, volumes = (int(a) for a in (*sys.argv[1:], *("40", "500")[len(sys.argv) - 1 :]))
APIX, BOX, MARGIN, BLUR, NOISE, GAIN = 6.5, 64, 6, 0.8, 0.15, 0.03
DALTON_PER_ELECTRON, DALTON_PER_A3 = 2.1, 0.81

structure = read_structure(PACKAGED_STRUCTURE)
names = np.unique(structure.chains)
mass = {c: structure.weights[structure.chains == c].sum() * DALTON_PER_ELECTRON / 1000 for c in names}
chain = min(names, key=lambda c: abs(mass[c] - 30))  # as heavy as uL2
origin = structure.positions.mean(axis=0) - APIX * (BOX - 1) / 2


def density(atoms):
    where, weights = structure.positions[atoms], structure.weights[atoms]
    return density_from_atoms(where, weights, (BOX,) * 3, APIX, origin, 2.5 * APIX)


whole = density(slice(None))
enclosed = int(structure.weights.sum() * DALTON_PER_ELECTRON / DALTON_PER_A3 / APIX**3)
level = np.partition(whole.ravel(), -enclosed)[-enclosed]
print(f"chain {chain}, {mass[chain]:.0f} kDa of {sum(mass.values()):.0f}; {runs} runs of {volumes} volumes")
print("kDa   voxels  present  covered  two populations  mean error  mean width")
for kda in (8, 16, mass[chain]):
    atoms = np.flatnonzero(structure.chains == chain)
    atoms = atoms[: np.searchsorted(np.cumsum(structure.weights[atoms]) * DALTON_PER_ELECTRON / 1000, kda) + 1]
    part = density(atoms)
    block = (part > whole / 2) & (whole >= level)
    low, high = np.argwhere(block).min(axis=0) - MARGIN, np.argwhere(block).max(axis=0) + MARGIN + 1
    box = tuple(slice(max(0, a), b) for a, b in zip(low, high, strict=True))
    masks = MaskVoxels.of(["block"], block[box][None])
    scale = NOISE * level / gaussian_filter(np.random.default_rng(0).standard_normal((48,) * 3), BLUR).std()
    for share in (0.25, 0.5, 0.75, 0.9):
        rng = np.random.default_rng(round(1000 * share + kda))
        started, answers = time.perf_counter(), []
        for _ in range(runs):
            present = rng.random(volumes) < share
            occupancy = np.empty(volumes)
            for i, here in enumerate(present):
                noise = gaussian_filter(rng.standard_normal(part[box].shape, dtype=np.float32), BLUR)
                data = (whole[box] - (not here) * part[box] + scale * noise) * np.exp(GAIN * rng.standard_normal())
                occupancy[i] = masks.occupied_share(data, level)[0]
            found = fit_population(occupancy, None, rng)
            answers.append((found.kind == "two", found.fraction, *found.interval))
        two, fraction, lower, upper = np.array(answers).T
        covered = (lower <= share) & (share <= upper)
        print(
            f"{kda:4.0f}  {block.sum():6d}  {share:6.0%}  {covered.sum():3d} of {runs}  {int(two.sum()):6d} of {runs}"
            f"  {np.nanmean(fraction - share):+11.4f}  {np.nanmean(upper - lower):10.3f}"
            f"   ({time.perf_counter() - started:.0f} s)",
            flush=True,
        )
