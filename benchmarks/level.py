"""How good and how fast are contour levels?

    python benchmarks/level.py ../shared OUT [--weights W.pt] [--other OLD.pt] [--maps 300] [--labels 0] [--threads 2]

Prints tables of (1) the real maps in ../shared/data and the ten ribosome volumes beside their stated levels, (2) times
and memory in a warm process, (3) with --labels N, how the simulator's levels compare with those of authors, (4) errors
on simulated maps of structures that training never saw, by the split of train-level's seed 0. OUT/sheet.png shows each
real map twice at its level: its surface, and its fullest section; OUT/quantiles.png the simulated levels against the
authors'. --other are weights to compare with.
"""

import argparse
import csv
import time
import tracemalloc
import warnings
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy import ndimage

from hetero.commands.train_level_material import read_structures
from hetero.errors import HeteroError
from hetero.level import LevelMethod, LevelScale, normalise_level, predict_level, predict_levels
from hetero.level.evaluate import evaluate_levels, simulated_levels
from hetero.level.examples import split_structures
from hetero.level.networks import folded, load_network
from hetero.level.plan import TrainingPlan
from hetero.level.predict import PACKAGED_WEIGHTS, network_levels
from hetero.level.simulate import simulate_map
from hetero.maps import MapWarning, Volume, list_maps, read_map

# data/README.md says who stated them; the last two are users' contours, not the authors'.
STATED = {"emd_6824_diffmodeler": 3.0, "emd_8216": 0.2, "emd_1832": 0.42, "emd_1703": 0.006, "emd_3488": 0.125}
PANEL = 220  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, default=PACKAGED_WEIGHTS)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--maps", type=int, default=300, help="for the errors")
    parser.add_argument("--labels", type=int, default=0, help="simulated maps whose levels to compare with authors'")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", MapWarning)
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(exist_ok=True)
    weights = [arguments.weights, *([arguments.other] if arguments.other else [])]
    folders = [arguments.shared / "data" / "maps", arguments.shared / "data" / "ensembles" / "maven" / "00_aligned"]
    print_real([path for folder in folders for path in list_maps(folder)], weights, arguments.out / "sheet.png")
    print_times(arguments.weights)
    if arguments.labels:
        print_labels(arguments.shared / "data", arguments.labels, arguments.out / "quantiles.png")
    if arguments.maps:
        print_held_out(arguments.shared / "data" / "structures", weights, arguments.maps)


def print_labels(data: Path, maps: int, picture: Path) -> None:
    """Normalised levels of simulated reconstructions beside 3,784 authors' levels, by resolution."""
    with (data / "levels" / "siren_training_labels_updated.csv").open() as file:
        authors = np.array([(float(r["raw_resolution"]), float(r["label_raw_norm"])) for r in csv.DictReader(file)])
    training, _ = split_structures(read_structures(data / "structures"), 0.2, seed=0)
    rows = []
    for i in range(maps):
        rng = np.random.default_rng([3, 77, i])
        simulated = simulate_map(training[rng.integers(len(training))], rng)
        if not simulated.decoder:
            level = normalise_level(simulated.level, LevelScale.of(simulated.data))
            rows.append((simulated.resolution, level))
    ours = np.array(rows)
    print("\n5, 25, 50, 75, 95 % quantiles of normalised levels\n\n| Å | simulated | authors' |\n|---|---|---|")
    for low, high in ((0, 3), (3, 4), (4, 5), (5, 7), (7, 10)):
        cells = [f"{low} - {high}"]
        for resolution, levels in (ours.T, authors.T):
            chosen = levels[(resolution >= low) & (resolution < high)]
            quantiles = np.quantile(chosen, [0.05, 0.25, 0.5, 0.75, 0.95]) if len(chosen) else []
            cells.append(", ".join(f"{q:.2f}" for q in quantiles) + f" ({len(chosen)})")
        print(f"| {' | '.join(cells)} |")
    draw_quantiles(ours, authors, picture)


def draw_quantiles(ours: np.ndarray, authors: np.ndarray, picture: Path) -> None:
    """Simulated against authors' levels, quantile by quantile, in four ranges of resolution; on the line they agree."""
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.6), sharex=True, sharey=True, layout="constrained")
    for axis, (low, high) in zip(axes, ((0, 3.5), (3.5, 4.5), (4.5, 6), (6, 10)), strict=True):
        sides = [x[(x[:, 0] >= low) & (x[:, 0] < high), 1] for x in (authors, ours)]
        quantiles = [np.quantile(side, np.linspace(0.02, 0.98, 49)) for side in sides]
        axis.plot([-1, 0.3], [-1, 0.3], color="0.7", linewidth=1)
        axis.plot(*quantiles, ".", color="#2a6f97")
        axis.set_title(f"{low:g} - {high:g} Å: {len(sides[0])} authors', {len(sides[1])} simulated", fontsize=9)
        axis.set_xlabel("authors' normalised level")
    axes[0].set_ylabel("simulated normalised level")
    figure.savefig(picture, dpi=110)


def print_held_out(folder: Path, weights: list[Path], maps: int) -> None:
    training, held_out = split_structures(read_structures(folder), 0.2, seed=0)
    rules = {"least surface per volume": surface_to_volume_level}
    networks = [load_network(path) for path in weights]
    if len(networks) > 1:
        rules["other weights"] = partial(level_or_maximum, network=folded(networks[1]))
    tuning, tests = (
        simulated_levels(structures, maps, purpose, 0, TrainingPlan.max_box)
        for structures, purpose in ((training, "tuning"), (held_out, "held out"))
    )
    report = evaluate_levels(networks[0], tuning, tests, rules=rules)
    labels, coverage = report.pop("labels"), report.pop("coverage", None)
    print(f"\nHeld-out structures ({len(held_out)}): {', '.join(s.name for s in held_out)}")
    print("labels: " + ", ".join(f"{name} {value:.3f}" for name, value in labels.items()))
    if coverage:
        print(f"true volume inside the stated 68 % range: {coverage['share']:.0%}")
    print("\n| rule | error of the normalised level (95 %) | volume within 25 % (95 %) | maps |\n|---|---|---|---|")
    for rule, row in report.items():
        error = f"{row['mae']:.3f} ({row['mae_low']:.3f} - {row['mae_high']:.3f})"
        within = f"{row['within_25']:.0%} ({row['within_25_low']:.0%} - {row['within_25_high']:.0%})"
        print(f"| {rule} | {error} | {within} | {row['maps']} |")


def level_or_maximum(volume: Volume, network) -> float:
    """The network's level; where it gives none, the map's maximum, which encloses nothing."""
    ((_, level),) = network_levels([volume], network)
    return float(volume.data.max()) if isinstance(level, HeteroError) else level.level


def surface_to_volume_level(volume: Volume) -> float:
    """After Pfab & Si 2019: the level whose region has the least surface per volume.

    The trivial answer, a region as large as the box, is kept out: only levels that enclose 0.1 to 20 % are tried.
    """
    levels = np.quantile(volume.data, 1 - np.geomspace(0.001, 0.2, 24))
    ratios = []
    for level in levels:
        inside = volume.data >= level
        faces = sum(np.count_nonzero(np.diff(inside, axis=axis)) for axis in range(3))
        ratios.append(faces / max(np.count_nonzero(inside), 1))
    return float(levels[int(np.argmin(ratios))])


def print_real(paths: list[Path], weights: list[Path], sheet: Path) -> None:
    print("\n| map | box | level | other weights | stated | volume / stated | enclosed | largest piece |")
    print("|---|---|---|---|---|---|---|---|")
    panels = []
    for path in paths:
        volume = read_map(path)
        name = path.name.split(".")[0]
        try:
            level, *other = [predict_level(volume, LevelMethod(weights=w)).level for w in weights]
        except HeteroError as error:
            print(f"| {name} | {volume.shape} | {error} |")
            continue
        inside = volume.data >= level
        pieces, _ = ndimage.label(inside)
        largest = np.bincount(pieces.ravel())[1:].max(initial=0) / max(np.count_nonzero(inside), 1)
        stated = STATED.get(name)
        ratio = volume.enclosed_volume(level) / volume.enclosed_volume(stated) if stated else None
        cells = [name, " x ".join(map(str, volume.shape)), f"{level:.4g}", f"{other[0]:.4g}" if other else "",
                 f"{stated:g}" if stated else "", f"{ratio:.2f}" if ratio else "", f"{inside.mean():.2%}",
                 f"{largest:.2f}"]  # fmt: skip
        print(f"| {' | '.join(cells)} |")
        panels.append(panel(volume, level, f"{name} {level:.3g}"))
    columns = 4
    rows = -(-len(panels) // columns)
    picture = Image.new("RGB", (columns * panels[0].width, rows * panels[0].height))
    for i, one in enumerate(panels):
        picture.paste(one, (i % columns * one.width, i // columns * one.height))
    picture.save(sheet)


def panel(volume: Volume, level: float, title: str) -> Image.Image:
    """The surface seen along z, and the fullest section with the level's outline."""
    inside = volume.data >= level
    section = volume.data[int(np.argmax(inside.sum(axis=(1, 2))))]
    low, high = np.quantile(section, [0.01, 0.999])
    grey = np.clip((section - low) / max(high - low, 1e-30), 0, 1)
    colour = np.repeat(grey[..., None] * 255, 3, axis=2).astype(np.uint8)
    within = section >= level
    colour[within & ~ndimage.binary_erosion(within)] = (255, 60, 40)
    picture = Image.new("RGB", (2 * PANEL + 6, PANEL + 16))
    for i, pixels in enumerate((shaded(inside), colour)):
        image = Image.fromarray(pixels)
        scale = PANEL / max(image.size)
        size = [max(1, round(side * scale)) for side in image.size]
        picture.paste(image.resize(size, Image.Resampling.NEAREST), (i * (PANEL + 3), 16))
    ImageDraw.Draw(picture).text((2, 2), title, fill=(255, 255, 255))
    return picture


def shaded(inside: np.ndarray) -> np.ndarray:
    """``(y, x, 3)`` bytes: the region from above, brighter where it faces the viewer and where it is nearer."""
    soft = ndimage.gaussian_filter(inside.astype(np.float32), 0.7)
    hit = inside.any(axis=0)
    depth = np.argmax(inside, axis=0)
    slopes = np.gradient(soft)
    at = (depth, *np.indices(hit.shape))
    length = np.sqrt(sum(s[at] ** 2 for s in slopes)) + 1e-6
    facing = np.clip(slopes[0][at] / length, 0, 1) * 0.7 + 0.3 * (1 - depth / len(inside))
    return np.repeat(np.where(hit, 40 + 215 * facing, 0)[..., None], 3, axis=2).astype(np.uint8)


def print_times(weights: Path) -> None:
    print("\n| what | seconds | most memory, times the map |\n|---|---|---|")
    method = LevelMethod(weights=weights)
    for side, repeats in ((64, 7), (256, 3)):
        volume = noisy_ball(side)
        predict_level(volume, method)
        taken = []
        for _ in range(repeats):
            began = time.perf_counter()
            predict_level(volume, method)
            taken.append(time.perf_counter() - began)
        tracemalloc.start()
        predict_level(volume, method)
        peak = tracemalloc.get_traced_memory()[1] / volume.data.nbytes
        tracemalloc.stop()
        print(f"| one map of {side}^3, warm, median of {repeats} | {np.median(taken):.3f} | {1 + peak:.1f} |")
    volume = noisy_ball(64)
    began = time.perf_counter()
    list(predict_levels((volume for _ in range(500)), method))
    print(f"| 500 maps of 64^3 in memory | {time.perf_counter() - began:.1f} | |")


def noisy_ball(side: int) -> Volume:
    place = (np.arange(side) - side / 2) / side
    ball = place[:, None, None] ** 2 + place[:, None] ** 2 + place**2 < 0.06
    return Volume(ball + np.random.default_rng(0).normal(0, 0.1, ball.shape).astype(np.float32))


if __name__ == "__main__":
    main()
