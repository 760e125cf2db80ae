"""Pictures of occupancy tables."""

from pathlib import Path

import numpy as np
import pandas as pd
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


def draw_populations(path: Path | str, table: pd.DataFrame, found: dict, weights: np.ndarray | None) -> None:
    """Draw a histogram for each block with its fitted populations, as a PNG.

    Args:
        table: units x blocks.
        found: the :class:`~hetero.occupancy.populations.Population` of each block.
        weights: particles each unit stands for; None for one each.
    """
    from matplotlib.figure import Figure

    across = min(4, len(found))
    down = -(-len(found) // across)
    figure = Figure(figsize=(3.2 * across, 2.4 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for ax in axes[len(found) :]:
        ax.axis("off")
    for ax, (block, population) in zip(axes, found.items(), strict=False):
        values = table[block].to_numpy()
        known = np.isfinite(values)
        share = np.ones(len(values)) if weights is None else weights
        total = share[known].sum() or 1.0
        counts, edges, _ = ax.hist(values[known], bins=40, weights=share[known] / total, color="#bbbbbb")
        ax.set_title(f"{block}: {_population_title(population)}", fontsize=8)
        ax.tick_params(labelsize=7)
        if population.kind == "two":
            x = np.linspace(edges[0], edges[-1], 200)
            sd = max(population.sd, edges[1] - edges[0])
            for mean, part, color in (
                (population.low, 1 - population.fraction, "#4477aa"),
                (population.high, population.fraction, "#ee6677"),
            ):
                density = np.exp(-((x - mean) ** 2) / (2 * sd**2)) / (sd * np.sqrt(2 * np.pi))
                ax.plot(x, part * density * (edges[1] - edges[0]), color=color)
            ax.axvline(population.cut, color="black", linewidth=0.8, linestyle=":")
            ax.set_ylim(0, 1.15 * counts.max())
    figure.supxlabel("occupancy", fontsize=9)
    figure.supylabel("share of the particles", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _population_title(population) -> str:
    if population.kind == "two":
        low, high = population.interval
        return f"{100 * population.fraction:.0f} % ({100 * low:.0f} - {100 * high:.0f} %)"
    return "one population" if population.kind == "one" else "spread, no two groups"
