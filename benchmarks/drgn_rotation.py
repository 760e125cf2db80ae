"""A large rotation, which no few linear components describe: the linear model and the VAE that starts from it.

    python benchmarks/drgn_rotation.py SHARED OUT [--threads N] [--epochs N] [--zdim N ...]

SHARED holds ``bench/simulate_gmm.py`` and ``bench/evaluate_gmm.py``; the particles of test b (a rod that turns all the
way round, CTF, SNR 0.1, shifts, poses 2 degrees off) are made under OUT where they are not there yet. Latents are
judged by the independent script: the angle's median error, by neighbours and along the ring. Maps: one particle of each
of the 36 states is decoded; over the voxels where the states differ, ``map`` is the mean correlation with that state's
true map, ``change`` the correlation of all that sets the maps apart from their mean with what truly does. ``mean map``
says what has been reached by whoever does not see the motion.
"""

import argparse
import shutil
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from gmm import particles

from hetero.commands import train_linear, train_vae
from hetero.commands.open_run import open_run
from hetero.maps import read_map


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--zdim", type=int, nargs="+", default=[1, 2, 4], help="of linear models; VAEs have 8")
    options = parser.parse_args()
    sys.path.insert(0, str(options.shared / "bench"))
    folder = particles(options, "hard", "b")
    truth = np.stack([read_map(folder / "states" / f"map_{state:02d}.mrc").data for state in range(36)])
    mask = read_map(folder / "moving_mask.mrc").data > 0.5
    mean = np.broadcast_to(truth.mean(axis=0), truth.shape)
    print(f"{'':28} {'CPU s':>6} {'neighbours':>10} {'ring':>6} {'map':>6} {'change':>6}")
    print(f"{'mean map':28} {'':24} {agreement(mean, truth, mask)[0]:6.3f}")

    def linear(zdim):
        out = options.out / f"linear_{zdim}"
        train_linear.run(train_linear.Settings(folder / "particles.star", out, zdim=zdim))
        return out

    def vae(start):
        out = options.out / f"vae_{start.name if start else 'alone'}"
        shutil.rmtree(out, ignore_errors=True)  # it would go on with what is there
        choices = {"start": start, "epochs": options.epochs, "threads": options.threads, "seed": 1}
        train_vae.run(train_vae.Settings(folder / "particles.star", out, **choices))
        return out

    for zdim in options.zdim:
        start = report(f"linear, zdim {zdim}", folder, partial(linear, zdim), truth, mask)
    report(f"VAE from zdim {options.zdim[-1]}", folder, partial(vae, start), truth, mask)
    report("VAE, no start", folder, partial(vae, None), truth, mask)


def report(name: str, folder: Path, train, truth: np.ndarray, mask: np.ndarray) -> Path:
    """Train, print what has been reached, and say where the run is."""
    from evaluate_gmm import evaluate, load_truth

    began = time.process_time()
    out = train()
    seconds = time.process_time() - began
    run = open_run(out)
    found = evaluate(str(folder), run.latents.astype(float))
    state = load_truth(str(folder))["state"].astype(int)[run.particle_index]
    first = np.array([np.flatnonzero(state == i)[0] for i in range(len(truth))])
    maps = np.stack([volume.data for volume in run.decode(run.latents[first])])
    correlation, change = agreement(maps, truth, mask)
    ring = found.get("ring_median_err_deg", np.nan)
    angles = f"{found['knn_median_err_deg']:10.1f} {ring:6.1f}"
    print(f"{name:28} {seconds:6.0f} {angles} {correlation:6.3f} {change:6.3f}", flush=True)
    return out


def agreement(maps: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Mean correlation of maps ``(states, z, y, x)`` with the true ones in the mask, and that of their changes."""
    maps, truth = maps[:, mask].astype(float), truth[:, mask].astype(float)
    each = [np.corrcoef(found, true)[0, 1] for found, true in zip(maps, truth, strict=True)]
    changes = [(values - values.mean(axis=0)).ravel() for values in (maps, truth)]
    return float(np.mean(each)), float(np.dot(*changes) / max(np.prod([np.linalg.norm(c) for c in changes]), 1e-30))


if __name__ == "__main__":
    main()
