"""Moving Gaussians on the simulated tests of e2gmm's supplement, judged by an independent script.

    python benchmarks/gmm.py SHARED OUT [--sets std hard] [--tests a b c d] [--seeds 0 1 2] [--threads 2]

SHARED holds ``bench/simulate_gmm.py`` and ``bench/evaluate_gmm.py``; particles are made under OUT where they are not
there yet (``std``: their defaults; ``hard``: ``--ctf --snr 0.1 --shift 1 --angerr 2``). No neutral model and no mask is
given to the training: it begins with the particles alone. In d the two domains are the halves (y above and below 0) of
the moving mask: each one's localised motion is looked for, and its arrows in the other domain are measured.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from hetero.commands import train_gmm
from hetero.commands.open_run import open_run
from hetero.gmm.motion import localised_motions, motion_between
from hetero.maps import read_map

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
    out = options.out / "runs" / f"{kind}-{test}-z{zdim}-s{seed}"
    settings = train_gmm.Settings(
        folder / "particles.star", out, zdim=zdim, seed=seed, ctf="full" if kind == "hard" else "none",
        threads=options.threads,
    )  # fmt: skip
    trained = train_gmm.run(settings)
    run = open_run(out)
    row = {"set": kind, "seed": seed, "seconds": trained["seconds"], "cpu_seconds": trained["cpu_seconds"]}
    row |= {"gaussians": trained["gaussians"]} | evaluate(str(folder), run.latents.astype(float))
    return row | (domains(folder, run, load_truth(str(folder))) if test == "d" else {})


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


if __name__ == "__main__":
    main()
