"""A domain that turns: are its blocks a chain in the right order, and does a map's block tell where the domain is?

    python benchmarks/turning.py ../shared [SEEDS [DEGREES ...]]

One Fab arm of an antibody (1IGT) turns about its hinge through DEGREES (100, 150 and 180), away from the rest, evenly
over 400 maps in random order (64^3 voxels of 4 Å, 9 Å resolution, noise of 15 % of the level, 3 % gain). Each map's
true fifth of the way is compared with (1) its most occupied block, which stands for the fifth in which the middle of
its maps lies when the maps are counted along the chain; (2) its class by its place along the chain, by ``hetero
classes --along``. Of the chain's two ends, the one that agrees better is the first. Last, place against angle
(Spearman).
"""

import sys
from pathlib import Path

import gemmi
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from scipy.stats import spearmanr

from hetero.maps import DALTON_PER_A3, Volume, density_from_atoms
from hetero.occupancy.classes import chain_place, sort_along
from hetero.siren import EffectRule, binarise, find_blocks

BOX, APIX, RESOLUTION, NOISE, GAIN, MAPS = 64, 4.0, 9.0, 0.15, 0.03, 400
DALTON_PER_ELECTRON = 2.1


def antibody(shared: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions ``(n, 3)`` z, y, x, electrons ``(n,)``, which atoms turn ``(n,)``, and the hinge ``(3,)``."""
    model = gemmi.read_structure(str(shared / "data" / "structures" / "1igt.pdb.gz"))
    model.remove_hydrogens()
    model.remove_waters()
    atoms = [(c.name, r.seqid.num, a) for c in model[0] for r in c for a in r]
    positions = np.array([(a.pos.z, a.pos.y, a.pos.x) for _, _, a in atoms])
    electrons = np.array([a.element.atomic_number for _, _, a in atoms], dtype=float)
    arm = np.array([chain == "A" or (chain == "B" and number <= 232) for chain, number, _ in atoms])
    hinge = np.array([chain == "B" and abs(number - 236) < 4 for chain, number, _ in atoms])
    return positions, electrons, arm, positions[hinge].mean(axis=0)


def make(shared: Path, degrees: float, seed: int) -> tuple[list[Volume], float, np.ndarray]:
    """Maps, the level that encloses the molecule's mass, and how far the arm has turned in each, 0 to 1."""
    positions, electrons, arm, hinge = antibody(shared)
    axis = np.cross(positions[arm].mean(axis=0) - hinge, hinge - positions[~arm].mean(axis=0))
    axis /= np.linalg.norm(axis)

    def turned(share: float) -> np.ndarray:
        return hinge + Rotation.from_rotvec(np.deg2rad(degrees * share) * axis).apply(positions[arm] - hinge)

    swept = np.concatenate([positions[~arm], turned(0.0), turned(0.5), turned(1.0)])
    origin = (swept.min(axis=0) + swept.max(axis=0)) / 2 - APIX * (BOX - 1) / 2

    def density(of: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return density_from_atoms(of, weights, (BOX,) * 3, APIX, origin, RESOLUTION)

    rest = density(positions[~arm], electrons[~arm])
    voxels = int(electrons.sum() * DALTON_PER_ELECTRON / DALTON_PER_A3 / APIX**3)
    level = float(np.partition((rest + density(turned(0.0), electrons[arm])).ravel(), -voxels)[-voxels])
    rng = np.random.default_rng(seed)
    shares = rng.permutation((np.arange(MAPS) + 0.5) / MAPS)
    maps = []
    for number, share in enumerate(shares):
        noise = gaussian_filter(rng.standard_normal(rest.shape, dtype=np.float32), 0.8, mode="wrap")
        data = rest + density(turned(share), electrons[arm]) + noise * (NOISE * level / noise.std())
        maps.append(Volume(data * np.exp(GAIN * rng.standard_normal()), APIX, origin, f"vol_{number:03d}"))
    return maps, level, shares


def fifths(order: np.ndarray, occupancy: np.ndarray) -> np.ndarray:
    """``(n,)`` the fifth, 0 to 4 along the chain, of each map's most occupied block."""
    place = np.argmax(occupancy[:, order], axis=1)
    counts = np.bincount(place, minlength=len(order))
    middle = (np.cumsum(counts) - counts / 2) / len(place)
    return np.minimum((5 * middle).astype(int), 4)[place]


def main() -> None:
    """A row for each ensemble."""
    shared, seeds = Path(sys.argv[1]), int((*sys.argv[2:], "2")[0])
    print(
        "| degrees | seed | blocks | in one chain | right order | fifth by most occupied | by place | place and angle |"
    )
    for degrees in [float(a) for a in sys.argv[3:]] or [100.0, 150.0, 180.0]:
        for seed in range(seeds):
            maps, level, shares = make(shared, degrees, seed)
            patterns = binarise(maps, np.full(MAPS, level))
            found = find_blocks(patterns, maps, EffectRule(seed=seed), resamples=0)
            occupancy = np.stack([patterns.on[:, c].mean(axis=1) for c in found.columns], axis=1)
            place = np.array(found.evidence["place"])
            order = np.argsort(place)[: np.isfinite(place).sum()]
            chains = {c for c in found.evidence["chain"] if c}
            true_place = (occupancy**2).T @ shares / (occupancy**2).sum(axis=0)
            step = np.diff(true_place[order])
            truth = np.floor(5 * shares)
            agree = max(np.mean(fifths(o, occupancy) == truth) for o in (order, order[::-1]))
            along = chain_place(occupancy[:, order], place[order])
            fifth = sort_along(along).labels - 1
            by_place = max(np.mean(fifth == truth), np.mean(4 - fifth == truth))
            row = [f"{degrees:.0f}", seed, len(found.columns), f"{len(order)} ({len(chains)} chain)"]
            row += ["yes" if (step > 0).all() or (step < 0).all() else "no", f"{agree:.1%}", f"{by_place:.1%}"]
            print("|", " | ".join(map(str, [*row, f"{abs(spearmanr(along, shares)[0]):.3f}"])), "|", flush=True)


if __name__ == "__main__":
    main()
