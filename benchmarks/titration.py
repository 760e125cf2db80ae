"""A subunit cut short and titrated: found, and measured?

    python benchmarks/titration.py ../shared [RUNS [MAPS]]

After the paper's test with uL2: of yeast RNA polymerase I (5M64, 499 kDa) the first 8 kDa, the first 16 kDa and the
whole (23 kDa) of subunit E are absent from some maps and present in 25, 50, 75 or 90 % of them, each map for itself.
Maps: 64^3 voxels of 4 Å, 8 Å resolution, noise of a quarter of the level correlated as the signal is, 5 % gain. True
block: the voxels that the level encloses only where the part is there. For each cell and run: overlap of the true block
with the found one that fits it best, blocks beside it, and the fraction of maps that have it, with its 95 % interval,
held against the probability with which it was put in.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from hetero.maps import DALTON_PER_A3, Volume, density_from_atoms, read_structure
from hetero.occupancy import MaskVoxels
from hetero.occupancy.populations import fit_population
from hetero.siren import EffectRule, binarise, find_blocks

BOX, APIX, RESOLUTION, NOISE, GAIN = 64, 4.0, 8.0, 0.25, 0.05
DALTON_PER_ELECTRON = 2.1
KDA, OFTEN = (8, 16, None), (0.25, 0.5, 0.75, 0.9)


def densities(shared: Path) -> tuple[np.ndarray, list[tuple[float, np.ndarray]], float]:
    """The whole complex, each part (its kDa, its density), and the level that encloses the complex's mass."""
    structure = read_structure(shared / "data" / "structures" / "5m64.pdb.gz")
    middle = (structure.positions.min(axis=0) + structure.positions.max(axis=0)) / 2
    origin = middle - APIX * (BOX - 1) / 2

    def density(of: np.ndarray) -> np.ndarray:
        atoms = structure.positions[of], structure.weights[of]
        return density_from_atoms(*atoms, (BOX,) * 3, APIX, origin, RESOLUTION)

    whole = density(np.ones(len(structure), dtype=bool))
    voxels = int(structure.weights.sum() * DALTON_PER_ELECTRON / DALTON_PER_A3 / APIX**3)
    level = float(np.partition(whole.ravel(), -voxels)[-voxels])
    atoms = np.flatnonzero(structure.chains == "E")  # in the order of the chain
    mass = np.cumsum(structure.weights[atoms]) * DALTON_PER_ELECTRON / 1000
    parts = []
    for kda in KDA:
        of = np.zeros(len(structure), dtype=bool)
        of[atoms[mass <= (kda or np.inf)]] = True
        parts.append((float(mass[mass <= (kda or np.inf)][-1]), density(of)))
    return whole, parts, level


def make(whole: np.ndarray, part: np.ndarray, level: float, present: np.ndarray, rng) -> list[Volume]:
    """One map for each of ``present``."""
    maps = []
    for number, there in enumerate(present):
        noise = gaussian_filter(rng.standard_normal(whole.shape, dtype=np.float32), 0.8, mode="wrap")
        data = whole - (0 if there else 1) * part + noise * (NOISE * level / noise.std())
        maps.append(Volume(data * np.exp(GAIN * rng.standard_normal()), APIX, name=f"vol_{number:03d}"))
    return maps


def fraction_present(maps: list[Volume], level: float, mask: np.ndarray, rng) -> tuple[float, float, float]:
    """Fraction of the maps in the high population of one block's occupancy, and its 95 % interval."""
    voxels = MaskVoxels.of(("block",), mask[None])
    found = fit_population(np.array([voxels.occupied_share(v.data, level)[0] for v in maps]), None, rng)
    return found.fraction, *found.interval


def main() -> None:
    """A row for each cell."""
    runs, n = (int(a) for a in (*sys.argv[2:], *("4", "200")[len(sys.argv) - 2 :]))
    whole, parts, level = densities(Path(sys.argv[1]))
    inside = covered = total = 0
    print("| part | voxels | present in | overlap, least and mean | other blocks | fraction, each run | covered |")
    for kda, part in parts:
        true = (whole >= level) & (whole - part < level)
        for often in OFTEN:
            overlap, other, fractions, covers = [], 0, [], 0
            for run in range(runs):
                rng = np.random.default_rng([run, int(100 * often), int(kda)])
                maps = make(whole, part, level, rng.random(n) < often, rng)
                patterns = binarise(maps, np.full(n, level))
                found = find_blocks(patterns, maps, EffectRule(), resamples=0).masks
                scores = [(true & m).sum() / (true | m).sum() for m in found]
                overlap.append(max(scores, default=0.0))
                other += len(found) - (overlap[-1] > 0)
                total += 1
                if overlap[-1] > 0.5:
                    fraction, low, high = fraction_present(maps, level, found[int(np.argmax(scores))], rng)
                    fractions.append(f"{fraction:.2f}")
                    covers += low <= often <= high
            inside += sum(o > 0.5 for o in overlap)
            covered += covers
            row = [f"{kda:.0f} kDa", true.sum(), f"{often:.0%}", f"{min(overlap):.2f}, {np.mean(overlap):.2f}", other]
            print("|", " | ".join(map(str, [*row, " ".join(fractions), f"{covers} of {runs}"])), "|", flush=True)
    print(f"found in {inside} of {total} runs; the interval covers the truth in {covered} of {total}")


if __name__ == "__main__":
    main()
