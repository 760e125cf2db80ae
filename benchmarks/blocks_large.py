"""Large boxes: time, memory, and the known blocks.   python benchmarks/blocks_large.py ../shared FOLDER [N [BOX]]

N maps (500) of BOX^3 voxels (128) on the real ribosome resampled to that box, with the seven blocks of the shared
simulator at that sampling (presence 0.25 0.5 0.5 0.25 0.75 0.5 0.1), noise and gain; kept in FOLDER for another time
(4.2 GB). Of a true block only voxels that the level encloses in the ribosome can come and go, so those are its truth.
``hetero blocks`` runs as its own process, coarse first or, with the word ``--exact``, at full sampling by tiles. Memory
is the largest sum over the process and its workers, looked at twice a second.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from blocks import judge
from scipy.ndimage import gaussian_filter, zoom

from hetero.maps import Volume, read_map, resample_fourier, write_map

LEVEL = 1.0
OFTEN = (0.25, 0.5, 0.5, 0.25, 0.75, 0.5, 0.1)


def make(shared: Path, folder: Path, n: int, box: int) -> None:
    """The ensemble and its truth, ``gt.npz``, unless it is there."""
    if (folder / "gt.npz").is_file():
        return
    small = folder.with_name(folder.name + "_masks")
    subprocess.run([sys.executable, shared / "bench" / "make_ensemble.py", small, "2"], check=True, capture_output=True)
    masks = np.load(small / "gt.npz")["masks"].astype(bool)
    real = shared / "data" / "ensembles" / "maven" / "00_aligned"
    ribosome = np.mean([read_map(real / f"vol_{k}.mrc").data for k in (385, 390, 383)], axis=0)
    scale = box / ribosome.shape[0]
    ribosome = resample_fourier(ribosome, (box,) * 3)
    masks = np.array([zoom(m.astype(float), scale, order=1, grid_mode=True, mode="nearest") > 0.5 for m in masks])
    soft = np.maximum(masks, gaussian_filter(masks.astype(np.float32), (0, 1.2, 1.2, 1.2))).astype(np.float32)
    rng = np.random.default_rng(0)
    present = rng.random((n, len(masks))) < OFTEN
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        data = ribosome.copy()
        for k in np.flatnonzero(~present[i]):
            data *= 1 - 0.97 * soft[k]
        noise = gaussian_filter(rng.standard_normal(data.shape, dtype=np.float32), 0.8)
        data = (data + 0.25 * noise / noise.std()) * np.exp(0.03 * rng.standard_normal())
        write_map(folder / f"vol_{i:03d}.mrc", Volume(data, 6.55 / scale, name=f"vol_{i:03d}"))
    np.savez_compressed(folder / "gt.npz", masks=masks & (ribosome >= LEVEL), pres=present)


def find(maps: Path, out: Path, *flags: str) -> tuple[float, float, float]:
    """``hetero blocks`` as a process of its own: wall seconds, CPU seconds, peak GB, all with its workers."""
    command = [sys.executable, "-m", "hetero", "blocks", maps, "--level", str(LEVEL), "--out", out, "--quiet", *flags]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, peak = time.perf_counter(), 0
    process = psutil.Popen([str(c) for c in command])
    while process.poll() is None:
        now = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                now += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, now)
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime - before.ru_utime + used.ru_stime - before.ru_stime
    return time.perf_counter() - started, cpu, peak / 1e9


def main() -> None:
    """Make, find, judge."""
    words = [word for word in sys.argv[1:] if word != "--exact"]
    shared, folder = Path(words[0]), Path(words[1])
    n, box = (int(a) for a in (*words[2:], *("500", "128")[len(words) - 2 :]))
    make(shared, folder, n, box)
    out = folder.with_name(folder.name + "_blocks")
    flags = ["--coarse", "0"] if "--exact" in sys.argv else []
    wall, cpu, peak = find(folder, out, *flags)
    overlap, stray, found = judge(folder, out)
    print(f"{n} maps of {box}^3: {found} blocks, {stray} stray; IoU {' '.join(f'{x:.2f}' for x in overlap)};", end=" ")
    print(f"{wall:.0f} s wall, {cpu:.0f} s CPU, peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
