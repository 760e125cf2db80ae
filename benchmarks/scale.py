"""What millions of particles cost, calculated from what one machine was measured to need: the tables of docs/scale.md.

    python benchmarks/scale.py [--tflops 10] [--gigabytes 10] [--disk 2]

Nothing here is a measurement. The numbers it starts from are, and each says where (benchmarks/RESULTS.md). No GPU was
at hand: what one sustains is an assumption, given by ``--tflops``, and times go as one over it.
"""

import argparse

import numpy as np

from hetero.drgn.decoder import CoordinateDecoder
from hetero.drgn.half_disc import HalfDisc
from hetero.drgn.presets import PRESETS
from hetero.drgn.shape import DecoderShape
from hetero.training.plan import stage_of

STEP_MS = {"float32": 26.2, "bfloat16": 9.0}  # an image's step, box 64, all pixels, one thread (cryoDRGN)
DECODE_S = {64: 0.31, 128: 2.3}  # CPU s of a map, both cores, of eight (After training: 0.15 and 1.15 s of two)
LEVEL_S = {64: 2 * 0.068, 128: 2 * 0.377, 256: 2 * 0.377}  # CPU s of a level, at most (Levels: 64^3 and 256^3)
RECONSTRUCT_MS = 11.3 / 5  # CPU ms of an image of 128 pixels (Reconstruction)
PARTICLE_BYTES = 200  # of the list of particles, in every process (train-vae)
BOXES, COUNTS, GPUS = (128, 256), (1_000_000, 10_000_000), (1, 4, 16, 64)
ZDIM, EACH = 8, 32  # numbers in a latent; particles a step that a GPU gets: the batch grows with the GPUs


def weights(box: int, width: int) -> int:
    """Numbers of the decoder: multiply-adds for each pixel."""
    shape = DecoderShape(box, ZDIM, width, 3, "gaussian", box // 2, 0.5)
    return sum(p.numel() for p in CoordinateDecoder(shape).parameters())


def pixels(box: int, share: float = 1.0) -> int:
    """Of the half disc, out to a share of Nyquist."""
    return HalfDisc(box, box / 2).count(max(2, round(share * box / 2)))


def work(box: int, width: int, share: float = 1.0) -> float:
    """Floating-point operations of an image's step: forward, and twice that backward."""
    return 6.0 * weights(box, width) * pixels(box, share)


def epochs_of_pixels(box: int) -> list[float]:
    """The share of all pixels that each epoch of the preset sees."""
    preset = PRESETS["ours"]
    shares = tuple(share for share, _ in preset.stages)
    stages = [stage_of(epoch, preset.epochs, shares) for epoch in range(1, preset.epochs + 1)]
    return [pixels(box, preset.stages[stage][1]) / pixels(box) for stage in stages]


def training(options) -> None:
    """Hours of the preset, on a core and on GPUs."""
    rate = {kind: work(64, 256) / (ms / 1000) for kind, ms in STEP_MS.items()}
    single, half = (rate[kind] / 1e9 for kind in STEP_MS)
    print(f"One thread sustains {single:.0f} GFLOP/s in float32, {half:.0f} in bfloat16.\n")
    heads = "".join(f" {n} GPU{'s' * (n > 1)}, h |" for n in GPUS)
    print(f"| particles | D | width | GFLOP an image | core h (bfloat16) |{heads}\n|{'---|' * (5 + len(GPUS))}")
    for count in COUNTS:
        for box in BOXES:
            for width in (256, 1024):
                one, shares = work(box, width), sum(epochs_of_pixels(box))
                core = count * shares * one / rate["bfloat16"] / 3600
                hours = "".join(f" {on_gpus(count, box, width, n, options):.3g} |" for n in GPUS)
                print(f"| 10^{len(str(count)) - 1} | {box} | {width} | {one / 1e9:.1f} | {core:,.0f} |{hours}")


def on_gpus(count: int, box: int, width: int, gpus: int, options) -> float:
    """Hours of all epochs: computing, adding up gradients, and reading where that is slower."""
    steps, seconds = count / (EACH * gpus), 0.0
    together = 2 * (gpus - 1) / gpus * 4 * weights(box, width) / (options.gigabytes * 1e9)
    for share in epochs_of_pixels(box):
        computing = EACH * share * work(box, width) / (options.tflops * 1e12)
        reading = EACH * min(gpus, 8) * share * 8 * pixels(box) / (options.disk * 1e9)  # 8 GPUs share a node's disk
        seconds += steps * (max(computing, reading) + together)
    return seconds / 3600


def memory() -> None:
    """GB of memory and disk."""
    heads = ("particles", "D", "images on disk, GB", "prepared, GB", "list in each process, GB", "latents, GB")
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for count in COUNTS:
        for box in BOXES:
            latents = 3 * 2 * 8 * ZDIM * count  # float64 means and variances: mine, those of all, and the file's
            numbers = (4 * box**2 * count, 8 * pixels(box) * count, PARTICLE_BYTES * count, latents)
            cells = "".join(f" {n / 1e9:,.3g} |" for n in numbers)
            print(f"| 10^{len(str(count)) - 1} | {box} |{cells}")


def others() -> None:
    """Core hours of what runs on Dask or on one machine."""
    print("\n| particles | D of maps | occupancy of every particle, core h | reconstruct, core h |\n|---|---|---|---|")
    for count in COUNTS:
        for box in (64, *BOXES):
            decode = DECODE_S.get(box, DECODE_S[128] * (box / 128) ** 3)
            back = RECONSTRUCT_MS * (box / 128) ** 2 / 1000
            hours = count * np.array([decode + LEVEL_S[box], back]) / 3600
            print(f"| 10^{len(str(count)) - 1} | {box} | {hours[0]:,.0f} | {hours[1]:,.1f} |")


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tflops", type=float, default=10.0, help="that a GPU sustains on these networks: assumed")
    parser.add_argument("--gigabytes", type=float, default=10.0, help="a second between GPUs: assumed")
    parser.add_argument("--disk", type=float, default=2.0, help="GB a second that a node reads: assumed")
    options = parser.parse_args()
    training(options)
    memory()
    others()


if __name__ == "__main__":
    main()
