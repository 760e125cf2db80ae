"""A second look: by how much the envelope network misjudges the volume of maps like this one.

The network sees averages over the cells of a cube. How steeply a map's values fall off around the level it found, how
much of the noise reaches that far, and how large the cells are, tells whether such a level is usually too high or too
low.
"""

import numpy as np
import scipy.fft

from hetero.level.framing import Frame
from hetero.level.thresholds import FittedLevel

_SHARES = np.array([0.02, 0.1, 0.3, 0.5, 0.7, 0.85, 1.15, 1.4, 1.8, 2.5, 4.0])  # of the enclosed voxels
_SHELLS = 10
FEATURES = len(_SHARES) + _SHELLS + 8
LARGEST = 0.5  # of log volume: no more is ever corrected


def describe_fit(fit: FittedLevel, frame: Frame, inside: np.ndarray) -> np.ndarray:
    """What is looked at: ``(FEATURES,)`` float32.

    The same for a map times any positive number, flipped, or with its axes permuted. Of the solvent only its deviation
    and its part of the spectrum are looked at: its mean, its r.m.s. and the network's own uncertainty depend on how
    the map was cropped.

    Args:
        fit: the level that fits the envelope.
        frame: the map around the molecule.
        inside: ``(n, n, n)`` probabilities in its cube.
    """
    height = fit.level - fit.background
    cell = frame.region.extent / len(inside)
    voxel = float(frame.apix.prod()) ** (1 / 3)
    raised = np.exp(3 * frame.features[2])
    mean, deviation = frame.features[0], (raised - 1 / raised) / 20  # as sinh(...) / 10, in a tenth of the time
    cells, likely = fit.number * (voxel / cell) ** 3, float(inside.sum())
    steep = height / frame.scale
    outside = 1 - inside
    moments = [float((inside * values).sum()) / likely for values in (mean, deviation)]
    moments.append(float((outside * deviation).sum()) / max(float(outside.sum()), 1e-6))
    levels = np.log(np.maximum((fit.other(np.log(_SHARES)) - fit.background) / height, 1e-3))
    sizes = np.log([cell, voxel, cells, likely / cells, steep])
    return np.array([*sizes, *np.arcsinh(10 * np.array(moments) / steep), *levels, *_spectrum(mean)], np.float32)


def _spectrum(mean: np.ndarray) -> np.ndarray:
    """Log power in shells up to the cube's Nyquist frequency, relative to all of it."""
    n = len(mean)
    power = np.abs(scipy.fft.rfftn(mean - mean.mean())) ** 2
    power[..., 1 : (n + 1) // 2] *= 2  # they stand for their opposites too
    k = np.fft.fftfreq(n).astype(np.float32)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k[: n // 2 + 1] ** 2)
    shell = np.minimum((radius * 2 * _SHELLS).astype(np.int32), _SHELLS)
    sums = np.bincount(shell.ravel(), power.ravel(), _SHELLS + 1)[:_SHELLS]
    return np.log(sums / sums.sum() + 1e-9)
