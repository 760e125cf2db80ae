"""Do the arrows of moving Gaussians point where adenylate kinase really goes?

    python benchmarks/gmm_adk.py SHARED OUT [--particles 4000] [--snr 0.1] [--zdim 4] [--seeds 0] [--threads 2]

SHARED holds ``data/structures/hetero_adk``: a transition from closed to open, frame by frame (``adk_dims.dcd``). Each
particle is one of its frames, all alike often; ``hetero simulate`` makes the images (64 pixels of 2 Å, CTF, shifts).
The training begins with the particles alone. The region is where residues lie whose CA moves by more than 5 Å between
the 5th and the 95th percentile of the frames; the arrows are those of the region's first localised motion, and each of
those CA is given the mean arrow of the Gaussians around it, weighted by mass and distance (s.d. 3 Å).
"""

import argparse
import contextlib
import json
from pathlib import Path

import gemmi
import numpy as np
import pandas as pd
from scipy.io import FortranEOFError, FortranFile
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from hetero.commands import motion, simulate, train_gmm
from hetero.commands.open_run import open_run
from hetero.gmm.motion import localised_motions
from hetero.maps import Volume, read_map, write_map

BOX, APIX = 64, 2.0
FAR = 5.0  # Å that a CA moves, to count
AROUND = 6.0  # Å around atoms that the region reaches
NEAR = 3.0  # Å, s.d. of the weights around a CA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--zdim", type=int, default=4)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    frames, ca = transition(options.shared / "data" / "structures" / "hetero_adk")
    folder = particles(options, frames)
    for seed in options.seeds:
        print(json.dumps(one(options, folder, seed, ca)), flush=True)


def transition(folder: Path) -> tuple[list[gemmi.Structure], np.ndarray]:
    """The frames as structures without hydrogens, and ``(frames, residues, 3)`` CA in Å along x, y, z, about the middle
    that ``hetero simulate`` gives them."""
    structure = gemmi.read_structure(str(folder / "adk_open.pdb"))
    atoms = [site.atom for site in structure[0].all()]
    with FortranFile(folder / "adk_dims.dcd") as file:
        header, _, count = file.read_record("i4"), file.read_record("u1"), file.read_ints()[0]
        assert count == len(atoms), f"{count} atoms in the path, {len(atoms)} in the structure"
        places = []
        with contextlib.suppress(FortranEOFError):  # the header promises more frames than there are
            while True:
                if header[11]:
                    file.read_record("u1")  # the unit cell
                places.append(np.stack([file.read_reals("f4") for _ in range(3)], axis=1))
    places = np.array(places, dtype=float)
    heavy = np.array([not atom.is_hydrogen() for atom in atoms])
    middle = (places[:, heavy].min((0, 1)) + places[:, heavy].max((0, 1))) / 2
    frames = []
    for frame in places:
        for atom, place in zip(atoms, frame, strict=True):
            atom.pos = gemmi.Position(*place)
        frames.append(structure.clone())
    return frames, places[:, [atom.name == "CA" for atom in atoms]] - middle


def particles(options, frames: list[gemmi.Structure]) -> Path:
    """Simulated, where they are not there yet."""
    out = options.out / f"particles-{options.particles}-{options.snr:g}"
    if not out.is_dir():
        (options.out / "frames").mkdir(parents=True, exist_ok=True)
        paths = [options.out / "frames" / f"frame_{i:03d}.pdb" for i in range(len(frames))]
        for frame, path in zip(frames, paths, strict=True):
            frame.write_pdb(str(path))
        simulate.run(
            simulate.Settings(
                out, states=tuple(paths), particles=options.particles, snr=options.snr, box=BOX, apix=APIX
            )
        )
    return out


def one(options, folder: Path, seed: int, ca: np.ndarray) -> dict:
    """Train, look at the first localised motion, and compare."""
    out = options.out / f"run-{folder.name}-z{options.zdim}-s{seed}"
    settings = train_gmm.Settings(folder / "particles.star", out, zdim=options.zdim, seed=seed, threads=options.threads)
    trained = train_gmm.run(settings)
    with np.load(folder / "truth.npz") as truth:
        state = truth["state"]
    low, high = np.percentile(state, [5, 95]).round().astype(int)
    far = np.linalg.norm(ca[high] - ca[low], axis=1) > FAR
    mask = region(ca[:, far])
    write_map(out.parent / "region.mrc", mask)
    motion.run(motion.Settings(out, out.parent / f"motion-{out.name}", mask=out.parent / "region.mrc", steps=0))
    arrows = pd.read_csv(out.parent / f"motion-{out.name}" / "motion.csv")
    run = open_run(out)
    found = localised_motions(run.decoder, run.latents, run.decoder.frame.inside(read_map(out.parent / "region.mrc")))
    shares = (run.latents - found.origin) @ np.linalg.pinv(found.directions)
    rho = float(spearmanr(shares[:, 0], state)[0])
    start, end = (low, high) if rho > 0 else (high, low)
    cosines, lengths = compared(arrows, ca[start, far], ca[end, far] - ca[start, far])
    return {
        "seed": seed, "gaussians": trained["gaussians"], "resolution": round(trained["resolution"], 1),
        "cpu_seconds": trained["cpu_seconds"], "far": int(far.sum()), "rho": round(abs(rho), 3),
        "ratio": round(float(found.ratio[0]), 2), "median_cosine": round(float(np.median(cosines)), 3),
        "above_0.9": round(float((cosines > 0.9).mean()), 3), "length_ratio": round(float(np.median(lengths)), 3),
    }  # fmt: skip


def region(ca: np.ndarray) -> Volume:
    """1 within 6 Å of these CA in any frame."""
    grid = np.indices((BOX,) * 3).reshape(3, -1).T[:, ::-1] * APIX - BOX // 2 * APIX
    near = cKDTree(ca.reshape(-1, 3)).query(grid, distance_upper_bound=AROUND)[0] < np.inf
    return Volume(near.reshape((BOX,) * 3).astype(np.float32), APIX, np.zeros(3), "region")


def compared(arrows: pd.DataFrame, start: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines between the arrows around each CA and its true way, and the ratios of their lengths."""
    places = arrows[["x", "y", "z"]].to_numpy() - BOX // 2 * APIX
    squares = ((start[:, None] - places) ** 2).sum(2)
    weights = arrows["mass_start"].to_numpy() * np.exp(-squares / (2 * NEAR**2))
    found = weights @ arrows[["dx", "dy", "dz"]].to_numpy() / weights.sum(1, keepdims=True)
    lengths, true = np.linalg.norm(found, axis=1), np.linalg.norm(moved, axis=1)
    return (found * moved).sum(1) / (lengths * true), lengths / true


if __name__ == "__main__":
    main()
