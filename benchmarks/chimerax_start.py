"""What does the bundle add to ChimeraX's start?

    .venv-chimerax/bin/python benchmarks/chimerax_start.py [TIMES]

Real ChimeraX without a window is started as often with the bundle and without it (its metadata are moved aside and
back, so use an environment that nobody else uses); each start is a process of its own.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests" / "chimerax_bundle"
START = f"""
import sys, time
sys.path.insert(0, {str(TESTS)!r})
import headless
begun = time.perf_counter()
session = headless.start()
took = time.perf_counter() - begun
there = session.toolshed.find_bundle("ChimeraX-Hetero", session.logger) is not None
print(took, there, sum(name.startswith("chimerax.hetero") for name in sys.modules), "torch" in sys.modules)
"""


def start(expected):
    """Seconds of one start; the bundle is there, or not, as ``expected``."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", START], check=True, capture_output=True, text=True)
    took, there, modules, torch = done.stdout.split()[-4:]
    assert there == str(expected) and torch == "False", done.stdout
    return float(took), int(modules)


def main():
    """Measure, by turns."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    (metadata,) = Path(sysconfig.get_path("purelib")).glob("chimerax_hetero-*.dist-info")
    aside = metadata.with_name("aside-of-hetero")
    took, modules = {True: [], False: []}, set()
    for _ in range(times):
        for there in (True, False):
            if not there:
                metadata.rename(aside)
            try:
                seconds, loaded = start(there)
            finally:
                if not there:
                    aside.rename(metadata)
            took[there].append(1000 * seconds)
            modules.add(loaded)
    for there, word in ((True, "with the bundle"), (False, "without")):
        print(f"{word}: median {np.median(took[there]):.0f} ms, {min(took[there]):.0f} - {max(took[there]):.0f}")
    added = np.median(np.subtract(took[True], took[False]))
    print(f"added: median {added:.0f} ms; modules of the bundle that were loaded: {max(modules)}")


if __name__ == "__main__":
    main()
