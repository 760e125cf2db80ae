"""Do we decode cryoDRGN's own runs to its own volumes, and how fast?

    python benchmarks/decode.py ../shared [path/to/cryodrgn]

With cryoDRGN's command (PyPI, in an environment of its own): a tiny network of each kind is trained for two epochs on
the 100 images of a hand, its program and ours decode the same three latents at the full and at half the box, and the
largest difference is given as a share of the map's range. A network of 256 x 3 is then timed in both programs (20 maps;
the slope against 2 maps, so that the start of the program does not count). Without the command only ours is timed, and
the latent space's tools on a million particles.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hetero.commands.open_run import open_run
from hetero.latent import View
from hetero.maps import read_map

KINDS = [("fourier", kind) for kind in ("gaussian", "geom_ft", "geom_full", "geom_lowf", "geom_nohighf", "linear_lowf")]
KINDS += [("hartley", "gaussian"), ("hartley", "geom_lowf")]
LATENTS = np.array([[0.5, -0.3, 1.0], [0, 0, 0], [-1.5, 0.2, 0.7]], np.float32)


def train(program: Path, data: Path, out: Path, *options) -> None:
    """Two epochs of a VAE on the hand."""
    base = [program, "train_vae", data / "hand.mrcs", "--poses", data / "hand_rot.pkl", "-o", out, "--zdim", "3"]
    base += ["-n", "2", "-b", "10", "--lr", "0.001", "--enc-dim", "16", "--enc-layers", "1", "--no-analysis"]
    subprocess.run([*base, *options], check=True, capture_output=True)


def evaluate(program: Path, out: Path, latents: np.ndarray, *options) -> tuple[list[np.ndarray], float]:
    """The maps of cryoDRGN's own program, and its wall time."""
    np.savetxt(out / "z.txt", latents)
    started = time.perf_counter()
    command = [program, "eval_vol", out / "weights.pkl", "-c", out / "config.yaml", "--zfile", out / "z.txt"]
    subprocess.run([*command, "-o", out / "maps", *options], check=True, capture_output=True)
    seconds = time.perf_counter() - started
    return [read_map(path).data for path in sorted((out / "maps").glob("*.mrc"))][: len(latents)], seconds


def agreement(program: Path, data: Path, scratch: Path) -> None:
    print("| family | encoding | 64^3 | 32^3 |\n|---|---|---|---|")
    for domain, kind in KINDS:
        out = scratch / f"{domain}_{kind}"
        waves = [] if kind == "linear_lowf" else ["--pe-dim", "9"]
        train(program, data, out, "--dec-dim", "24", "--dec-layers", "2", "--pe-type", kind, "--domain", domain, *waves)
        errors = []
        for box in (64, 32):
            theirs, _ = evaluate(program, out, LATENTS, *([] if box == 64 else ["-d", str(box)]))
            ours = open_run(out).decode(LATENTS, View(box=box))
            scale = (64 / box) ** 3  # theirs grows as the box shrinks
            pairs = zip(ours, theirs, strict=True)
            errors.append(max(np.abs(a.data * scale - b).max() / np.ptp(b) for a, b in pairs))
        print(f"| {domain} | {kind} | {errors[0]:.1e} | {errors[1]:.1e} |", flush=True)


def speed_of_both(program: Path, data: Path, scratch: Path) -> None:
    out = scratch / "large"
    train(program, data, out, "--dec-dim", "256", "--dec-layers", "3", "-n", "1")
    latents = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    few, many = (evaluate(program, out, latents[:n])[1] for n in (2, 20))
    run = open_run(out)
    next(run.decode(latents[0]))
    started = time.perf_counter()
    list(run.decode(latents))
    ours = time.perf_counter() - started
    print(f"\n64^3, 256 x 3, 20 maps, s a map: cryoDRGN {(many - few) / 18:.3f}, ours {ours / 20:.3f}", flush=True)


def speed_of_ours() -> None:
    from hetero.drgn.decoder import CoordinateDecoder
    from hetero.drgn.shape import DecoderShape
    from hetero.drgn.volumes import VolumeDecoder

    for box in (64, 128):
        decoder = VolumeDecoder(CoordinateDecoder(DecoderShape(box, 8, per_axis=box // 2)))
        times = []
        for n in (1, 1, 1, 8):
            started = time.perf_counter()
            list(decoder(np.zeros((n, 8), np.float32), box))
            times.append((time.perf_counter() - started) / n)
        text = f"first {times[0]:.3f} s, then {times[2]:.3f}, of eight {times[3]:.3f}"
        print(f"{box}^3, 256 x 3 on {decoder.device}: {text}")


def latent_tools() -> None:
    from hetero.latent.clusters import k_means, mixture_labels
    from hetero.latent.density import density_raster
    from hetero.latent.embedding import umap_embedding
    from hetero.latent.paths import neighbour_graph
    from hetero.latent.pca import principal_components

    rng = np.random.default_rng(0)
    centres = rng.normal(0, 4, (12, 8))
    z = (centres[rng.integers(0, 12, 1_000_000)] + rng.standard_normal((1_000_000, 8))).astype(np.float32)
    for name, work in (
        ("principal components of 1,000,000 x 8", lambda: principal_components(z)),
        ("k-means of them, 20 clusters", lambda: k_means(z, 20)),
        ("mixture of 5 Gaussians of them", lambda: mixture_labels(z, 5)),
        ("density raster of 1,000,000 points", lambda: density_raster(z[:, :2])),
        ("neighbour graph of 100,000 x 8", lambda: neighbour_graph(z[:100_000])),
        ("UMAP of 100,000 x 8, compiling included", lambda: umap_embedding(z[:100_000])),
    ):
        started, used = time.perf_counter(), time.process_time()
        work()
        print(
            f"{name}: {time.perf_counter() - started:.1f} s, {time.process_time() - used:.1f} s of processor",
            flush=True,
        )


def main() -> None:
    data = Path(sys.argv[1]) / "data" / "particles" / "cryodrgn_tests"
    speed_of_ours()
    latent_tools()
    if len(sys.argv) > 2:
        with tempfile.TemporaryDirectory() as scratch:
            agreement(Path(sys.argv[2]).absolute(), data, Path(scratch))
            speed_of_both(Path(sys.argv[2]).absolute(), data, Path(scratch))


if __name__ == "__main__":
    main()
