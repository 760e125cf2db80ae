"""Products of patterns: by numpy, or by torch where there is a GPU."""

import os
from functools import cache
from importlib.util import find_spec

import numpy as np


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``(a, b)`` float32: ``leftᵀ right``.

    Args:
        left: ``(n, a)`` float32.
        right: ``(n, b)`` float32.
    """
    device = _device()
    if device is None:
        return left.T @ right
    return _on_device(left, right, device).cpu().numpy()


def pairs_above(left: np.ndarray, right: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where ``leftᵀ right / n`` reaches ``least``: its values there, their rows and their columns, row by row.

    Only these leave the GPU.

    Args:
        left: ``(n, a)`` float32.
        right: ``(n, b)`` float32.
    """
    device = _device()
    if device is None:
        phi = left.T @ right / len(left)
        rows, columns = np.nonzero(phi >= least)
        return phi[rows, columns], rows, columns
    phi = _on_device(left, right, device) / len(left)
    rows, columns = (phi >= least).nonzero(as_tuple=True)
    return phi[rows, columns].cpu().numpy(), rows.cpu().numpy(), columns.cpu().numpy()


def _on_device(left: np.ndarray, right: np.ndarray, device: str):
    import torch

    left, right = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (left, right))
    return left.T @ right


@cache
def _device() -> str | None:
    """The GPU, or None. Importing torch takes seconds: not where the driver's device is not there."""
    if not (os.path.exists("/dev/nvidia0") or os.path.exists("/dev/dxg")) or find_spec("torch") is None:
        return None
    import torch

    return "cuda" if torch.cuda.is_available() else None
