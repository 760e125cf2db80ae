"""The heat map of an occupancy table."""

from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

from hetero.files import atomic_path


def draw_heat_map(path: Path | str, values: np.ndarray, names: list[str], columns: list[str], label: str) -> None:
    """Draw volumes x blocks as a PNG; alike volumes and alike blocks lie side by side (Ward's clustering).

    Args:
        values: ``(n, K)``.
        names: n volumes.
        columns: K blocks.
        label: what the numbers are, for the colour bar.
    """
    from matplotlib.figure import Figure

    rows, order = _leaf_order(values), _leaf_order(values.T)
    figure = Figure(figsize=(max(4.5, 1.8 + 0.45 * len(columns)), 6.5), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(values[np.ix_(rows, order)], aspect="auto", cmap="viridis", interpolation="nearest")
    axes.set_xticks(range(len(columns)), [columns[i] for i in order], rotation=90)
    if len(names) <= 40:
        axes.set_yticks(range(len(names)), [names[i] for i in rows])
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(names)} volumes, alike ones together")
    figure.colorbar(image, ax=axes, label=label)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _leaf_order(values: np.ndarray) -> np.ndarray:
    if len(values) < 3:
        return np.arange(len(values))
    return leaves_list(linkage(np.nan_to_num(values), method="ward", optimal_ordering=len(values) <= 500))
