"""Moving Gaussians on the simulated tests of e2gmm's supplement, judged by an independent script.

    python benchmarks/gmm.py SHARED OUT [--sets std hard] [--tests a b c d] [--seeds 0 1 2] [--refine-poses]

SHARED holds ``bench/simulate_gmm.py`` and ``bench/evaluate_gmm.py``; particles are made under OUT where they are not
there yet (``std``: their defaults; ``hard``: ``--ctf --snr 0.1 --shift 1 --angerr 2``). No neutral model and no mask is
given to the training: it begins with the particles alone. In d the two domains are the halves (y above and below 0) of
the moving mask: each one's localised motion is looked for, and its arrows in the other domain are measured. In a the
marks of particles whose view hides the motion are judged: by how much a picture of the true ball differs between both
ends of its way, and by what is left of the motion once the latent is known. In the hard set, whose poses have errors,
``turned`` is the median angle to the true ones, in degrees.
"""

import argparse
import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from hetero.commands import train_gmm
from hetero.commands.open_run import open_run
from hetero.gmm.motion import localised_motions, motion_between
from hetero.maps import read_map
from hetero.particles import Poses, open_particles, rotations_from_euler
from hetero.particles.refined_poses import pose_moves

ZDIM = {"a": 1, "b": 2, "c": 2, "d": 4}
HARD = ["--ctf", "--snr", "0.1", "--shift", "1", "--angerr", "2"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", default=["std", "hard"])
    parser.add_argument("--tests", nargs="+", default=list("abcd"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--zdim", type=int)
    parser.add_argument("--refine-poses", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(options.shared / "bench"))
    for kind in options.sets:
        for test in options.tests:
            folder = particles(options, kind, test)
            for seed in options.seeds:
                print(json.dumps(one(options, folder, kind, test, seed)), flush=True)


def particles(options, kind: str, test: str) -> Path:
    """The test's folder, made where it is not there."""
    folder = options.out / kind / test
    if not (folder / "info.json").is_file():
        script = options.shared / "bench" / "simulate_gmm.py"
        more = HARD if kind == "hard" else []
        subprocess.run([sys.executable, script, options.out / kind, "--tests", test, *more], check=True)
    return folder


def one(options, folder: Path, kind: str, test: str, seed: int) -> dict:
    """Train once and judge."""
    from evaluate_gmm import evaluate, load_truth

    zdim = options.zdim or ZDIM[test]
    out = options.out / "runs" / f"{kind}-{test}-z{zdim}-s{seed}{'-poses' if options.refine_poses else ''}"
    settings = train_gmm.Settings(
        folder / "particles.star", out, zdim=zdim, seed=seed, ctf="full" if kind == "hard" else "none",
        threads=options.threads, refine_poses=options.refine_poses,
    )  # fmt: skip
    trained = train_gmm.run(settings)
    run = open_run(out)
    row = {"set": kind, "seed": seed, "seconds": trained["seconds"], "cpu_seconds": trained["cpu_seconds"]}
    row |= {"gaussians": trained["gaussians"]} | evaluate(str(folder), run.latents.astype(float))
    truth = load_truth(str(folder))
    if kind == "hard":
        row["turned"] = pose_errors(folder, out)
    if test == "a":
        row |= marks(folder, out, run.latents[:, 0], truth["t"])
    return row | (domains(folder, run, truth) if test == "d" else {})


def domains(folder: Path, run, truth: dict) -> dict:
    """Each domain's localised motion: how it reads the particles, and its arrows in the other domain over its own."""
    mask = read_map(folder / "moving_mask.mrc")
    frame = run.decoder.frame
    moving, above = frame.inside(mask), frame.centres[:, 1] > frame.middle[1]
    found = {}
    for name, inside, other in (("t", moving & above, moving & ~above), ("t2", moving & ~above, moving & above)):
        motions = localised_motions(run.decoder, run.latents, inside)
        shares = (run.latents - motions.origin) @ np.linalg.pinv(motions.directions)
        path = motions.path(0, run.latents, 2)
        motion = motion_between(run.decoder, path[0], path[1])
        arrows = [
            np.sqrt(np.average(motion.lengths[part] ** 2, weights=motion.masses[part, 0])) for part in (inside, other)
        ]
        found[f"localised_rho_{name}"] = round(abs(float(spearmanr(shares[:, 0], truth[name])[0])), 4)
        found[f"ratio_{name}"] = round(float(motions.ratio[0]), 2)
        found[f"arrows_other_{name}"] = round(float(arrows[1] / arrows[0]), 3)
    return found


def marks(folder: Path, out: Path, z: np.ndarray, t: np.ndarray) -> dict:
    """How detectability goes with what a view shows, and what is left of t for particles below and above 0.5: the
    variance of t around its monotonous course over the latent, as a share of all, and what detectability foretells.
    ``hidden_auc``: how well low detectability finds the tenth of the views that show least."""
    found = pd.read_csv(out / "detectability.csv")["detectability"].to_numpy()
    particles = open_particles(folder / "particles.star")
    shown = np.array([visibility(folder, particles, i) for i in range(len(particles))])
    course = IsotonicRegression(increasing="auto").fit_transform(z, t)
    hidden = shown < np.quantile(shown, 0.1)
    row = {"hidden_auc": round(float(roc_auc_score(hidden, -found)), 3)}
    row |= {"detectability_rho": round(float(spearmanr(found, shown)[0]), 3), "marked": int((found < 0.5).sum())}
    for name, part in (("marked", found < 0.5), ("others", found >= 0.5)):
        if part.any():
            left = ((t - course)[part] ** 2).mean() / t.var()
            row |= {f"left_{name}": round(float(left), 3), f"foretold_{name}": round(float(1 - found[part].mean()), 3)}
    return row


def visibility(folder: Path, particles, i: int) -> float:
    """Squared difference of a particle's picture between both ends of the motion; only the ball (the last 150 atoms)
    differs."""
    box, apix = particles.box, particles.apix
    along = np.arange(box) - box // 2
    ends = []
    for atoms in end_states(folder):
        x, y = (atoms @ particles.poses.rotations[i].T)[:, :2].T - particles.poses.shifts[i][:, None] / apix
        ends.append(np.exp(-((along[:, None] - y) ** 2) / 3.38) @ np.exp(-((along - x[:, None]) ** 2) / 3.38))
    difference = np.fft.rfft2(ends[1] - ends[0])
    if json.loads((folder / "info.json").read_text())["ctf"]:
        difference *= particles.ctf[[i]].images(box, apix)[0]
    return float((abs(difference) ** 2).sum())


@lru_cache
def end_states(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """``(150, 3)`` pixels along x, y, z."""
    return tuple(np.load(folder / "states" / f"atoms_{i:02d}.npy")[-150:] for i in (0, 19))


def pose_errors(folder: Path, out: Path) -> dict:
    """Median angle, degrees, between the true orientations (drawn again as the simulator drew them) and those in the
    star file, and those in the run where they were refined."""
    from simulate_gmm import random_euler

    info = json.loads((folder / "info.json").read_text())
    rng = np.random.RandomState(info["seed"] + ord(info["test"]) * 7)
    rng.permutation(info["n"])
    true = rotations_from_euler(*random_euler(rng, info["n"]).T)
    none = np.zeros((info["n"], 2))
    found = {"given": open_particles(folder / "particles.star").poses}
    if (out / "poses.pkl").is_file():
        found["refined"] = open_particles(folder / "particles.star", poses=out / "poses.pkl").poses
    return {name: round(float(np.median(pose_moves(Poses(true, none), poses)[0])), 2) for name, poses in found.items()}


if __name__ == "__main__":
    main()
