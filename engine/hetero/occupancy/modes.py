"""Is there a valley between two groups? Silverman's test of a single mode."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

_BINS = 512


def single_mode_p(values: np.ndarray, weights: np.ndarray, rng: np.random.Generator, draws: int = 499) -> float:
    """Probability, if the values had one mode, of needing as wide a blur as theirs to see only one (Silverman 1981).

    Small where two groups have a valley between them; large for one group of any shape, and for an even spread.

    Args:
        values: ``(m,)``.
        weights: ``(m,)``; their sum is the number of independent units.
        rng: for the bootstrap.
        draws: bootstrap samples.

    Returns:
        In (0, 1]; 1 where the values are all alike.
    """
    low, high = float(values.min()), float(values.max())
    if high == low:
        return 1.0
    margin = (high - low) / 2
    edges = np.linspace(low - margin, high + margin, _BINS + 1)
    counts = np.histogram(values, edges, weights=weights)[0]
    blur = _critical_blur(counts)
    density = gaussian_filter1d(counts, blur, mode="constant", truncate=6)
    bins = np.arange(_BINS)
    mean = counts @ bins / counts.sum()
    variance = counts @ (bins - mean) ** 2 / counts.sum()
    # Samples of the blurred values spread wider than the values; blurring them by more is the same as shrinking them.
    wider = blur * np.sqrt(1 + blur**2 / variance)
    samples = rng.multinomial(max(2, round(float(weights.sum()))), density / density.sum(), size=draws)
    more = _count_modes(gaussian_filter1d(samples.astype(float), wider, axis=1, mode="constant", truncate=6)) > 1
    return (1 + int(more.sum())) / (1 + draws)


def _critical_blur(counts: np.ndarray) -> float:
    """The least blur, in bins, that leaves one mode."""
    narrow, wide = 0.5, _BINS / 4
    while wide - narrow > 0.02 * wide:
        middle = (narrow * wide) ** 0.5
        if _count_modes(gaussian_filter1d(counts, middle, mode="constant", truncate=6)) > 1:
            narrow = middle
        else:
            wide = middle
    return wide


def _count_modes(density: np.ndarray) -> np.ndarray:
    """``(...)`` local maxima along the last axis of densities ``(..., bins)``."""
    # Far from all values the blurred counts are rounding errors, whose wiggles are no modes.
    floor = 1e-9 * density.max(axis=-1, keepdims=True)
    step = np.sign(np.diff(np.where(density > floor, density, 0.0), axis=-1, prepend=0.0, append=0.0))
    for i in range(1, step.shape[-1]):  # a flat stretch goes on as it came
        np.copyto(step[..., i], step[..., i - 1], where=step[..., i] == 0)
    return ((step[..., :-1] > 0) & (step[..., 1:] < 0)).sum(axis=-1)
