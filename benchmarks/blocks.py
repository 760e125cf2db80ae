"""How well and how fast are known blocks found?   python benchmarks/blocks.py ../shared [N ...]

For each N: the shared, independent simulator makes an ensemble of N maps on a real ribosome with seven known blocks,
`hetero blocks` runs as its own process by both rules, and the shared judge compares. Wall time and peak memory are of
the whole process, start of Python included. The published program's numbers stand in benchmarks/RESULTS.md.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

shared, sizes = Path(sys.argv[1]), [int(n) for n in sys.argv[2:]] or [300]
for n in sizes:
    with tempfile.TemporaryDirectory() as scratch:
        maps = Path(scratch) / "maps"
        make = [sys.executable, shared / "bench" / "make_ensemble.py", maps, str(n)]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        for rule in ("effect", "published"):
            out = Path(scratch) / rule
            command = [sys.executable, "-m", "hetero", "blocks", maps, "--level", "1.0", "--rule", rule, "--out", out]
            started = time.perf_counter()
            process = subprocess.Popen([*command, "--quiet"])
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            print(f"\n{n} volumes, rule {rule}: {wall:.2f} s wall, peak {usage.ru_maxrss / 1e6:.2f} GB, exit {status}")
            subprocess.run([sys.executable, shared / "bench" / "evaluate_blocks.py", maps, out], check=True)
