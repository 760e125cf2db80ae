"""How fast Gaussians become images, are compared, and get their gradients; against the plain form.

    python benchmarks/gmm_projector.py [--box 128] [--gaussians 300 1000 3000] [--threads N] [--device cpu|cuda]
    python benchmarks/gmm_projector.py --box 256 --gaussians 20000

Each way runs in a process of its own, so that its peak of memory is its own. The plain form is the published program's:
all Gaussians on all pixels, one graph (here in float32 and complex64, its gradient by autograd). A peak is over what
the process held before, for each image of the batch. CPU seconds count all threads.
"""

import argparse
import json
import resource
import subprocess
import sys
import threading
import time

WAYS = ("plain", "exact", "spread")
BATCH = {"plain": 4, "exact": 64, "spread": 64}


def measure(way: str, box: int, gaussians: int, threads: int, device: str) -> dict:
    """Images a second and memory of one way, forward and backward."""
    import torch

    from hetero.gmm.exact import ExactProjector
    from hetero.gmm.fused import losses_of_gaussians
    from hetero.gmm.losses import FRC, Images
    from hetero.gmm.rings import Rings

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    rings, b = Rings(box, 1.0, 1, box // 2 - 1), BATCH[way] * (16 if device == "cuda" and way != "plain" else 1)
    xy = (torch.randn(b, gaussians, 2, device=device) * box / 8).requires_grad_()
    masses = torch.rand(b, gaussians, device=device).requires_grad_()
    sigmas = torch.tensor(1.0, device=device)
    spectra = torch.randn(b, 2, len(rings.ring), device=device)
    images = Images(spectra, None, torch.ones(1, rings.count, device=device))
    if way == "spread":
        from hetero.gmm.spread import SpreadProjector

        projector = SpreadProjector(rings)
    else:
        projector = ExactProjector(rings)
        if device == "cuda":
            projector.images_at_once = 256

    def step(part: slice) -> None:
        if way == "plain":
            plain_loss(xy[part], masses[part], sigmas, images[part], rings).backward()
        else:
            losses_of_gaussians(projector, FRC(rings), xy[part], masses[part], sigmas, images[part]).sum().backward()
        if device == "cuda":
            torch.cuda.synchronize()

    step(slice(0, 2))
    before, peak = resident(), Peak()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    with peak:
        step(slice(0, b))
    top = torch.cuda.max_memory_allocated() if device == "cuda" else peak.value
    n, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < 5:
        step(slice(0, b))
        n += b
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    total = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "way": way, "gaussians": gaussians, "images_per_s": n / wall, "images_per_cpu_s": n / cpu,
        "mb_per_image": max(0.0, (top - before) / b / 2**20), "process_mb": total,
    }  # fmt: skip


def plain_loss(xy, masses, sigmas, images, rings):
    """The published program's way: phases of every Gaussian at every pixel in one complex array."""
    import math

    import torch

    from hetero.gmm.losses import frc

    k = torch.as_tensor(rings.pixels / rings.extent, dtype=xy.dtype, device=xy.device)
    fall = torch.exp(-2 * math.pi**2 * sigmas**2 * (k**2).sum(1))
    phase = -2 * math.pi * xy @ k.T
    seen = (masses[..., None] * fall * torch.exp(1j * phase)).sum(1)
    return -frc(torch.view_as_real(seen).transpose(1, 2), images.spectra, rings).mean(1).sum()


def resident() -> int:
    """Bytes that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Peak:
    """The most that this process holds while inside, looked at every millisecond."""

    def __enter__(self):
        self.value, self._stop = resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._stop.wait(0.001):
            self.value = max(self.value, resident())

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--box", type=int, default=128)
    parser.add_argument("--gaussians", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        answer = measure(options.one, options.box, options.gaussians[0], options.threads, options.device)
        print(json.dumps(answer))
        return
    print(f"box {options.box}, all rings, {options.threads} threads, {options.device}, forward and backward")
    print("| Gaussians | way | images/s | images / CPU s | MB an image | process, MB |\n|---|---|---|---|---|---|")
    for gaussians in options.gaussians:
        for way in options.ways:
            if way == "spread" and options.device != "cpu":
                continue
            values = ["--one", way, "--gaussians", str(gaussians), "--box", str(options.box)]
            values += ["--threads", str(options.threads), "--device", options.device]
            run = subprocess.run([sys.executable, __file__, *values], capture_output=True, text=True, check=False)
            if run.returncode:
                print(f"| {gaussians:,} | {way} | did not run: {run.stderr.strip().splitlines()[-1:]} | | | |")
                continue
            found = json.loads(run.stdout)
            print(
                f"| {gaussians:,} | {way} | {found['images_per_s']:.1f} | {found['images_per_cpu_s']:.1f} | "
                f"{found['mb_per_image']:.2f} | {found['process_mb']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
