"""cryoDRGN: time to quality on simulated particles with a known truth, each idea on and off, upstream beside it.

    python benchmarks/drgn.py SHARED OUT [--ideas NAME ...] [--upstream .../bin/cryodrgn]

SHARED holds ``bench/simulate_drgn.py``; OUT keeps the data and the runs. The linear models come first (coarse: the
first look alone); their seconds are not part of those of the runs that start from the whole one. Quality is the
adjusted Rand index of 3 k-means clusters (discrete) or the best Spearman correlation of 4 principal components
(continuous), after each epoch; at the end the area under per-image FSC to each image's own truth. Seconds are the
wall's, then those of processors (other work on the machine changes the first only); scoring is not counted.
"""

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

# name -> whether it starts from the linear run, and what is chosen
IDEAS = {
    "ours": (True, {}),
    "whole maps": (True, {"base": "none"}),
    "table": (True, {"latents": "table"}),
    "float32": (True, {"precision": "float32"}),
    "no start": (False, {}),
    "no start, no marching": (False, {"marching": "off"}),
    "paper": (False, {"preset": "paper"}),
    "as upstream": (
        False,
        {"preset": "cryodrgn", "width": 256, "encoder_width": 256, "batch": 8, "precision": "float32"},
    ),  # what upstream() asks of cryoDRGN
}
REACH = {"discrete": 0.9, "continuous": 0.95}


def simulator(shared: Path, box: int = 64):
    """The script as a module that makes images of 256 Å in ``box`` pixels."""
    spec = importlib.util.spec_from_file_location("simulate_drgn", shared / "bench" / "simulate_drgn.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.D, module.APIX = box, 256 / box
    module.volume = partial(module.volume, D=box, apix=256 / box)
    module.write_mrc = partial(module.write_mrc, apix=256 / box)
    return module


def quality(kind: str, z: np.ndarray, truth) -> float:
    """Adjusted Rand index, or the best |Spearman| of 4 principal components."""
    from scipy.stats import spearmanr
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    if kind == "discrete":
        return float(adjusted_rand_score(truth["label"], KMeans(3, n_init=4, random_state=0).fit_predict(z)))
    z = z - z.mean(axis=0)
    components = z @ np.linalg.svd(z, full_matrices=False)[2][:4].T
    return float(max(abs(spearmanr(c, truth["t"])[0]) for c in components.T))


def fsc_area(kind: str, run, truth, sim, images: int = 50) -> float:
    """Mean over images and shells, to Nyquist, of the FSC between a decoded latent and that image's own truth."""
    parts, areas = sim.model(), []
    chosen = np.random.default_rng(0).choice(len(run), min(images, len(run)), replace=False)
    box = run.box
    k = np.fft.fftfreq(box, 1 / box)
    shell = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.fft.rfftfreq(box, 1 / box) ** 2).round().astype(int)

    def sums(values):
        return np.bincount(shell.ravel(), values.ravel())[1 : box // 2 + 1]

    for i, volume in zip(chosen, run.decode(run.latents[chosen]), strict=True):
        row = run.particle_index[i]
        discrete = kind == "discrete"
        atoms = sim.atoms_discrete(truth["label"][row], parts) if discrete else sim.atoms_cont(truth["t"][row], parts)
        a, b = np.fft.rfftn(volume.data), np.fft.rfftn(sim.volume(atoms, D=box, apix=256 / box))
        areas.append(np.mean(sums((a * b.conj()).real) / np.sqrt(sums(np.abs(a) ** 2) * sums(np.abs(b) ** 2))))
    return float(np.mean(areas))


def ours(kind: str, data: Path, out: Path, epochs: int | None, sim, seed: int, **choices) -> dict:
    """Train with our engine, scoring the latents after every epoch outside of the clock."""
    from hetero.commands import train_vae
    from hetero.commands.open_run import open_run
    from hetero.drgn.training import DrgnTask

    truth = np.load(data / "ground_truth.npz")
    scores, spent = [], [0.0, 0.0]
    began, began_cpu = time.perf_counter(), time.process_time()
    plain = DrgnTask.end_epoch

    def scored(self, epoch):
        plain(self, epoch)
        now, cpu = time.perf_counter(), time.process_time()
        seconds, cpu_seconds = now - began - spent[0], cpu - began_cpu - spent[1]
        scores.append((epoch, seconds, cpu_seconds, quality(kind, np.load(out / "latents.npz")["z_mean"], truth)))
        spent[0] += time.perf_counter() - now
        spent[1] += time.process_time() - cpu

    DrgnTask.end_epoch = scored
    try:
        settings = train_vae.Settings(data / "particles.star", out, epochs=epochs, seed=seed, **choices)
        answer = train_vae.run(settings)
    finally:
        DrgnTask.end_epoch = plain
    area = fsc_area(kind, open_run(out), truth, sim)
    return {"scores": scores, "fsc_area": area, "reason": answer["reason"], "precision": answer["precision"]}


def linear(kind: str, data: Path, out: Path, sim, coarse: bool = False) -> dict:
    """The linear model, zdim 4; with ``coarse`` from coarse detail alone."""
    from hetero.commands import train_linear
    from hetero.commands.open_run import open_run

    began, began_cpu = time.perf_counter(), time.process_time()
    train_linear.run(train_linear.Settings(data / "particles.star", out, coarse=coarse))
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    run, truth = open_run(out), np.load(data / "ground_truth.npz")
    scores = [(1, seconds, cpu_seconds, quality(kind, run.latents, truth))]
    return {"scores": scores, "fsc_area": fsc_area(kind, run, truth, sim), "reason": "", "precision": "float32"}


def upstream(kind: str, data: Path, out: Path, epochs: int, program: Path, sim, seed: int) -> dict:
    """The same particles through cryoDRGN itself, 256x3, batch 8; its epochs' times from the files it writes."""
    from hetero.commands.open_run import open_run

    truth = np.load(data / "ground_truth.npz")
    star = data / "particles.star"
    for what, more in (("pose", []), ("ctf", ["--Apix", sim.APIX])):
        command = [program, f"parse_{what}_star", star, "-o", data / f"{what}.pkl", "-D", sim.D, *more]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    widths = [word for part in ("enc", "dec") for word in (f"--{part}-dim", "256", f"--{part}-layers", "3")]
    files = ["--poses", data / "pose.pkl", "--ctf", data / "ctf.pkl", "--no-analysis", "--seed", str(seed)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    command = [program, "train_vae", data / "particles.mrcs", "-o", out, "--zdim", "8", "-n", str(epochs), "-b", "8"]
    subprocess.run([*map(str, [*command, *widths, *files])], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    scores = []
    for epoch in range(1, epochs + 1):
        run = open_run(out, epoch=epoch, apix=sim.APIX)
        seconds = os.stat(out / f"weights.{epoch}.pkl").st_mtime - began
        scores.append((epoch, seconds, cpu * epoch / epochs, quality(kind, run.latents, truth)))
    return {"scores": scores, "fsc_area": fsc_area(kind, run, truth, sim), "reason": "", "precision": "float32"}


def line(kind: str, name: str, result: dict) -> str:
    reached = next((s for s in result["scores"] if s[3] > REACH[kind]), None)
    time_to = f"{reached[1]:7.0f} {reached[2]:7.0f}" if reached else f"{'-':>7} {'-':>7}"
    last = result["scores"][-1]
    row = f"{kind:10} {name:22} {last[0]:6d} {last[1]:7.0f} {last[2]:7.0f} {last[3]:8.3f} {time_to}"
    return f"{row} {result['fsc_area']:8.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kinds", nargs="+", default=list(REACH), choices=list(REACH))
    parser.add_argument("--ideas", nargs="*", default=list(IDEAS), choices=list(IDEAS))
    parser.add_argument("--epochs", type=int, help="of every run of ours; without it the preset's")
    parser.add_argument("--particles", type=int, default=6000)
    parser.add_argument("--box", type=int, default=64, help="pixels, even")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=1, help="of ours and of upstream's")
    parser.add_argument("--upstream", type=Path, help="the program cryodrgn, in an environment of its own")
    parser.add_argument("--upstream-epochs", type=int, default=20)
    options = parser.parse_args()
    sim, results = simulator(options.shared, options.box), {}
    print(f"{'':33} {'epochs':>6} {'s':>7} {'CPU s':>7} {'score':>8} {'s to':>7} {'CPU to':>7} {'FSC area':>8}")
    for kind in options.kinds:
        data = options.out / f"{kind}_{options.box}"
        before, look = (data.with_name(f"{data.name}_{name}") for name in ("linear", "coarse"))
        if not (data / "particles.star").is_file():
            with patch.object(sys, "argv", ["simulate_drgn.py", kind, "-o", str(data), "-n", str(options.particles)]):
                sim.main()
        for name, folder in (("linear, coarse", look), ("linear", before)):
            results[kind, name] = linear(kind, data, folder, sim, coarse=folder == look)
            print(line(kind, name, results[kind, name]), flush=True)
        for name in options.ideas:
            warm, choices = IDEAS[name]
            choices = choices | {"threads": options.threads, "start": before if warm else None}
            out = data.with_name(f"{data.name}_{name.replace(' ', '_').replace(',', '')}_{options.seed}")
            results[kind, name] = ours(kind, data, out, options.epochs, sim, options.seed, **choices)
            print(line(kind, name, results[kind, name]), flush=True)
        if options.upstream:
            out = data.with_name(f"{data.name}_upstream_{options.seed}")
            found = upstream(kind, data, out, options.upstream_epochs, options.upstream, sim, options.seed)
            results[kind, "upstream"] = found
            print(line(kind, "upstream 256x3", found), flush=True)
    plain = {f"{kind}, {name}": result for (kind, name), result in results.items()}
    (options.out / "drgn.json").write_text(json.dumps(plain, indent=1))


if __name__ == "__main__":
    main()
