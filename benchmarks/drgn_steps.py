"""Is it the same model? cryoDRGN and ours from the same weights, the same particles in the same order, step for step.

    python benchmarks/drgn_steps.py SHARED OUT --upstream .../bin/cryodrgn [--particles 800] [--threads 1]

SHARED holds ``bench/simulate_drgn.py``. cryoDRGN's own command trains one epoch (the paper's preset: 256 x 3, batch 8,
``--pe-type geom_ft``), but its torch gives it the particles in order and zeros for noise; once more at ``--lr 0`` shows
the weights that it began with. Ours goes on from those. Columns: how far the latents of the first weights differ from
theirs, and those of the last (largest difference over largest latent), and the weights after the epoch: the difference
over how far theirs have moved, for decoder and encoder. Rows: the particles as they are; with what cryoDRGN does to
them (it moves images by (box + 1) / box of their shifts, and its scale is that of another measure); and this again with
noise of 1e-7 in the images, compared with the row before: what rounding alone does.
"""

import argparse
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from drgn import simulator

from hetero.drgn.foreign_files import read_config
from hetero.drgn.foreign_weights import load_checkpoint, network_of
from hetero.drgn.half_disc import HalfDisc
from hetero.drgn.images import PreparedImages, prepare_images
from hetero.drgn.presets import PRESETS
from hetero.drgn.training import DrgnTask, Model
from hetero.particles import Particles, open_particles
from hetero.training.team import join_team

BATCH, ZDIM = 8, 8
IN_ORDER_WITHOUT_NOISE = """
import runpy, sys, torch
torch.randn_like = lambda values, **options: torch.zeros_like(values)
torch.utils.data.RandomSampler.__iter__ = lambda sampler: iter(range(len(sampler.data_source)))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def upstream(program: Path, data: Path, out: Path, *more: str) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """Weights and latents after one epoch of cryoDRGN, in order and without noise."""
    widths = [word for part in ("enc", "dec") for word in (f"--{part}-dim", "256", f"--{part}-layers", "3")]
    files = [data / "particles.mrcs", "-o", out, "--poses", data / "pose.pkl", "--ctf", data / "ctf.pkl"]
    command = [program.parent / "python", "-c", IN_ORDER_WITHOUT_NOISE, program, "train_vae", *files, *widths]
    command += ["--zdim", ZDIM, "-n", 1, "-b", BATCH, "--pe-type", "geom_ft", "--no-analysis", "--seed", 1, *more]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    latents = pickle.loads((out / "z.1.pkl").read_bytes())  # of the program that this script has just run
    return load_checkpoint(out / "weights.1.pkl")["model_state_dict"], latents


def take(task: DrgnTask, weights: dict[str, torch.Tensor]) -> None:
    """Put cryoDRGN's weights into our model; its encoder has a row of pixels after the other, ours pairs by radius."""
    decoder = network_of({"model_state_dict": weights}, task.model.decoder.shape, Path("weights"))
    task.model.decoder.load_state_dict(decoder.state_dict())
    disc: HalfDisc = task.images.disc
    line = range(-disc.box // 2, disc.box // 2 + 1)
    theirs = [(x, y) for y in line for x in line if 0 < np.hypot(x, y) <= disc.radius]
    column = {place: i for i, place in enumerate(theirs)}
    order = [column[side * x, side * y] for side in (1, -1) for x, y in disc.points.tolist()]
    encoder = task.model.encoder
    layers = [("0", encoder.first)]
    layers += [(f"{2 * i}.linear", layer) for i, layer in enumerate(encoder.residual, start=1)]
    layers.append((f"{2 * len(layers)}", encoder.last))
    with torch.no_grad():
        for name, layer in layers:
            weight = weights[f"encoder.main.{name}.weight"]
            layer.weight.copy_(weight[:, order] if layer is encoder.first else weight)
            layer.bias.copy_(weights[f"encoder.main.{name}.bias"])


def ours(images: PreparedImages, before: dict, out: Path) -> tuple[np.ndarray, DrgnTask]:
    """Latents of the weights ``before``, and the task after an epoch from there, in order and without noise."""
    with join_team("cpu") as team:
        task = DrgnTask(out, images, Model(ZDIM, 1, PRESETS["paper"]), team)
        take(task, before)
        first = task.latents().mean
        task.begin_epoch(1)
        task.model.train()
        for start in range(0, len(images), BATCH):
            items = np.arange(start, min(start + BATCH, len(images)))
            for optimiser in task.optimisers:
                optimiser.zero_grad()
            task.model(task.load(items, np.zeros((len(items), ZDIM), np.float32), 0))["loss"].backward()
            for optimiser in task.optimisers:
                optimiser.step()
    return first, task


def as_upstream(particles: Particles, sd: float) -> PreparedImages:
    """The images as cryoDRGN moves them, divided by its ``sd``."""
    box, poses = particles.box, particles.require_poses()
    images = prepare_images(replace(particles, poses=replace(poses, shifts=poses.shifts * (box + 1) / box)))
    return replace(images, sd=sd, read=lambda items, count: images.read(items, count) * np.float32(images.sd / sd))


def weights_of(task: DrgnTask, part: str) -> torch.Tensor:
    return torch.cat([value.detach().ravel() for value in getattr(task.model, part).parameters()])


def line(name: str, first: float, images: PreparedImages, task: DrgnTask, other, start: DrgnTask) -> str:
    """A row; ``other`` are the latents and the task to compare with, ``start`` has the first weights."""
    latents, other_task = other
    last = np.abs(task.latents().mean - latents).max() / np.abs(latents).max()
    moved = [
        float(
            (weights_of(task, part) - weights_of(other_task, part)).norm()
            / (weights_of(other_task, part) - weights_of(start, part)).norm()
        )
        for part in ("decoder", "encoder")
    ]
    return f"{name:34} {images.sd:8.3f} {first:10.1e} {last:10.1e} {moved[0]:10.1e} {moved[1]:10.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--upstream", type=Path, required=True, help="the program cryodrgn, in an environment of its own"
    )
    parser.add_argument("--particles", type=int, default=800)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sim, data = simulator(options.shared), options.out / "particles"
    with patch.object(sys, "argv", ["simulate_drgn.py", "discrete", "-o", str(data), "-n", str(options.particles)]):
        sim.main()
    for what, more in (("pose", []), ("ctf", ["--Apix", sim.APIX])):
        command = [
            options.upstream,
            f"parse_{what}_star",
            data / "particles.star",
            "-o",
            data / f"{what}.pkl",
            "-D",
            sim.D,
        ]
        subprocess.run([str(word) for word in (*command, *more)], check=True, capture_output=True)
    before, first = upstream(options.upstream, data, options.out / "before", "--lr", "0")
    after, last = upstream(options.upstream, data, options.out / "after")
    particles = open_particles(data / "particles.star")
    plain, same = prepare_images(particles), as_upstream(particles, read_config(options.out / "after").sd)
    rng = np.random.default_rng(0)

    def noisy(items, count):
        values = same.read(items, count)
        return values * (1 + 1e-7 * rng.standard_normal(values.shape)).astype(np.complex64)

    with join_team("cpu") as team:
        start, theirs = (DrgnTask(options.out, same, Model(ZDIM, 1, PRESETS["paper"]), team) for _ in range(2))
        take(start, before)
        take(theirs, after)
    print(f"{'':34} {'scale':>8} {'first z':>10} {'last z':>10} {'decoder':>10} {'encoder':>10}")
    for name, images in (("as they are", plain), ("as cryoDRGN moves and scales them", same)):
        found, task = ours(images, before, options.out)
        difference = np.abs(found - first).max() / np.abs(first).max()
        print(line(name, difference, images, task, (last, theirs), start), flush=True)
    images = replace(same, read=noisy)
    again, other = ours(images, before, options.out)
    difference = np.abs(again - found).max() / np.abs(found).max()
    print(line("with noise of 1e-7, from the last", difference, images, other, (task.latents().mean, task), start))


if __name__ == "__main__":
    main()
