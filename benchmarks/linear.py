"""The linear model on particles with a known truth: do its latents and maps say what is there, and after how long?

    python benchmarks/linear.py ../shared OUT [discrete continuous]

Makes the sets of ``../shared/bench/simulate_drgn.py`` (6,000 particles of 64 pixels, SNR 0.1) in OUT where they are not
there yet, fits each (zdim 4, seed 0) in a process of its own, and prints a row a set:

- score: ARI of k-means (3) with the true states, or Spearman's |rho| of the true angle with what 30 nearest
  neighbours in the latents say (cross-validated), and of the first latent alone;
- FSC area: mean over 100 particles of the FSC between the map of a particle's latent and its own true structure,
  without a mask, averaged over all shells below Nyquist;
- seconds, wall and CPU: importing and opening; reading; EM (latents are known then); all radii; last latents.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

_JUDGED = 100


def measure(shared: Path, folder: Path, kind: str) -> dict:
    """Fit one set and judge it."""
    began, used = time.perf_counter(), time.process_time()
    from hetero.linear.fit import Plan, fit_linear
    from hetero.linear.kernels import gather, scatter
    from hetero.particles import open_particles

    particles = open_particles(folder / "particles.star")
    opened, marks = time.perf_counter() - began, {}
    # numba compiles at its first use on a machine, and loads what it compiled after that
    began = time.perf_counter()
    table = np.zeros((8 * 8 * 5, 2), np.float32)
    scatter(np.ones((1, 3), np.float32), 8, gather(np.ones((1, 3), np.float32), 8, table), table)
    warm_up = time.perf_counter() - began

    def watch(done: int, total: int, message: str) -> None:
        marks.setdefault(message, time.process_time())

    cpu = time.process_time()
    model = fit_linear(particles, Plan(zdim=4, box=64), watch)
    ended = time.process_time()
    truth = np.load(folder / "ground_truth.npz")
    return {
        "kind": kind,
        "score": score(kind, model.latents, truth),
        "area": fsc_area(shared, kind, model, truth),
        "above_noise": model.real.tolist(),
        "junk": int(model.junk.sum()),
        "opening": opened,
        "warm_up": warm_up,
        "seconds": model.seconds,
        "cpu_latents": marks["fitting all radii"] - cpu,
        "cpu_all": ended - cpu,
        "cpu_process": ended - used,
    }


def score(kind: str, latents: np.ndarray, truth) -> list[float]:
    """ARI, or |rho| by neighbours and of the first latent."""
    if kind == "discrete":
        from sklearn.cluster import KMeans
        from sklearn.metrics import adjusted_rand_score

        return [adjusted_rand_score(truth["label"], KMeans(3, n_init=10, random_state=0).fit_predict(latents))]
    from scipy.stats import spearmanr
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import KNeighborsRegressor

    guess = cross_val_predict(KNeighborsRegressor(30), latents, truth["t"], cv=5)
    return [abs(spearmanr(truth["t"], values).statistic) for values in (guess, latents[:, 0])]


def fsc_area(shared: Path, kind: str, model, truth) -> tuple[float, float]:
    """Mean area under the per-image FSC, and Å where the mean curve falls below 0.5."""
    from hetero.linear.halves import shell_correlation

    sys.path.insert(0, str(shared / "bench"))
    import simulate_drgn as simulator

    parts, curves = simulator.model(), []
    for i in np.linspace(0, len(model.latents) - 1, _JUDGED).astype(int):
        if kind == "discrete":
            atoms = simulator.atoms_discrete(truth["label"][i], parts)
        else:
            atoms = simulator.atoms_cont(truth["t"][i], parts)
        own = model.mean + np.tensordot(model.latents[i], model.components, axes=1)
        curves.append(shell_correlation(own, simulator.volume(atoms)))
    mean = np.mean(curves, axis=0)
    low = int(np.argmax(np.append(mean[1:], -1) < 0.5)) + 1
    return float(mean[1:].mean()), simulator.D * simulator.APIX / low


def main() -> None:
    shared, out = Path(sys.argv[1]), Path(sys.argv[2])
    kinds = sys.argv[3:] or ["discrete", "continuous"]
    if len(kinds) == 1 and "HETERO_BENCH" in os.environ:
        print(json.dumps(measure(shared, out / kinds[0], kinds[0])))
        return
    print("| set | score | FSC area, 0.5 at | above noise | wall: open, warm-up, read, EM, radii, z | CPU: to z, all |")
    print("|---|---|---|---|---|---|")
    for kind in kinds:
        if not (out / kind / "particles.star").exists():
            simulator = [sys.executable, shared / "bench" / "simulate_drgn.py", kind, "-o", out / kind]
            subprocess.run(list(map(str, simulator)), check=True)
        command = [sys.executable, __file__, str(shared), str(out), kind]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | {"HETERO_BENCH": "1"}
        )
        row = json.loads(done.stdout)
        wall = [row["opening"], row["warm_up"], *row["seconds"].values()]
        print(
            f"| {kind} | {', '.join(f'{s:.3f}' for s in row['score'])} | {row['area'][0]:.3f}, {row['area'][1]:.1f} Å "
            f"| {sum(row['above_noise'])} of 4 | {', '.join(f'{s:.1f}' for s in wall)} s "
            f"| {row['cpu_latents']:.1f}, {row['cpu_all']:.1f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
