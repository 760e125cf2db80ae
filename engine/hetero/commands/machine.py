"""The worker's ``machine``: what the engine runs on."""

import platform
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

import hetero
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Nothing to set."""


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{hetero, python, numpy, torch, executable, device, free, total}``: bytes of the GPU's memory, or the machine's.

    ``torch`` is null where it is not installed, ``free`` and ``total`` where nothing tells them.
    """
    free, total, device = *_memory(), "CPU"
    try:
        import torch
    except ImportError:
        version = None
    else:
        version = torch.__version__
        if torch.cuda.is_available():
            device = torch.cuda.get_device_name(0)
            free, total = torch.cuda.mem_get_info(0)
    return {
        "hetero": hetero.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": version,
        "executable": sys.executable,
        "device": device,
        "free": free,
        "total": total,
    }


def describe(result: dict[str, Any]) -> str:
    """One line."""
    return f"hetero {result['hetero']}, torch {result['torch']}, {result['device']}"


def _memory() -> tuple[int | None, int | None]:
    """Bytes of memory that are free and in all, as Linux tells them."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return tuple(int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))
    except (OSError, KeyError, ValueError):
        return None, None
