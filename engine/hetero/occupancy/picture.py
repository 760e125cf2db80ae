"""Pictures of occupancy tables."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list

from hetero.files import PICTURE_MARK, atomic_path
from hetero.maps.blocks import PALETTE
from hetero.occupancy.classes import LARGEST, Classes, ward_tree


def draw_heat_map(
    path: Path | str,
    values: np.ndarray,
    names: list[str],
    columns: list[str],
    label: str,
    classes: Classes | None = None,
) -> None:
    """Draw volumes x blocks as a PNG; alike volumes and alike blocks lie side by side (Ward's clustering).

    Args:
        values: ``(n, K)``.
        names: n volumes.
        columns: K blocks.
        label: what the numbers are, for the colour bar.
        classes: of the volumes; then their dendrogram and its cut, or their places along the chain, stand beside the
            map with the classes' numbers.
    """
    from matplotlib.figure import Figure

    rows = leaf_order(values) if classes is None else classes.order
    order = leaf_order(values.T)
    across = max(4.5, 1.8 + 0.45 * len(columns)) + (0 if classes is None else 2.4)
    figure = Figure(figsize=(across, 6.5), layout="constrained")
    if classes is None:
        axes = figure.add_subplot()
    else:
        width = max(2.0, 0.45 * len(columns))
        beside, axes = figure.subplots(1, 2, sharey=True, width_ratios=[2.0, width])
        (_draw_places if classes.tree is None else _draw_tree)(beside, classes)
        _name_classes(beside, classes)
    image = axes.imshow(values[np.ix_(rows, order)], aspect="auto", cmap="viridis", interpolation="nearest")
    axes.set_xticks(range(len(columns)), [columns[i] for i in order], rotation=90)
    if classes is not None:
        for edge in np.flatnonzero(np.diff(classes.labels[rows])):
            axes.axhline(edge + 0.5, color="white", linewidth=1.0)
        axes.tick_params(left=False, labelleft=False)
    elif len(names) <= 40:
        axes.set_yticks(range(len(names)), [names[i] for i in rows])
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(names)} volumes, alike ones together")
    figure.colorbar(image, ax=axes, label=label)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": PICTURE_MARK})


def leaf_order(values: np.ndarray) -> np.ndarray:
    """Rows in the order of their dendrogram's leaves."""
    if len(values) < 3 or len(values) > LARGEST:
        return np.arange(len(values))
    return leaves_list(ward_tree(np.nan_to_num(values)))


def tree_lines(classes: Classes) -> tuple[np.ndarray, np.ndarray]:
    """The dendrogram as ``(n - 1, 4, 2)`` corners (distance, row from the top of the ordered map) of its branches, and
    ``(n - 1,)`` the class each lies in, 0 above the cut."""
    n = len(classes.order)
    place = np.empty(2 * n - 1)
    place[classes.order] = np.arange(n)
    height = np.concatenate([np.zeros(n), classes.tree[:, 2]])
    label = np.concatenate([classes.labels, np.zeros(n - 1, int)])
    lines = np.empty((n - 1, 4, 2))
    for i, (first, second, top, _) in enumerate(classes.tree, start=n):
        a, b = int(first), int(second)
        place[i] = (place[a] + place[b]) / 2
        label[i] = label[a] if top <= classes.height else 0
        lines[i - n] = [(height[a], place[a]), (top, place[a]), (top, place[b]), (height[b], place[b])]
    return lines, label[n:]


def _draw_tree(axes, classes: Classes) -> None:
    """The dendrogram, root to the left, leaves level with the map's rows; below the cut in the classes' colours."""
    from matplotlib.collections import LineCollection

    lines, label = tree_lines(classes)
    colors = [PALETTE[(c - 1) % len(PALETTE)] if c else "#888888" for c in label]
    axes.add_collection(LineCollection(list(lines), colors=colors, linewidths=0.8))
    axes.axvline(classes.height, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlim(1.05 * (lines[..., 0].max() or 1.0), 0)
    axes.set_xlabel("distance (Ward)")


def _draw_places(axes, classes: Classes) -> None:
    """How far along the chain each row of the map is."""
    axes.plot(classes.place[classes.order], np.arange(len(classes.order)), color="#4477aa", linewidth=1.2)
    axes.set_xlabel("place along the chain")


def _name_classes(axes, classes: Classes) -> None:
    rows = classes.labels[classes.order]
    centers = [np.flatnonzero(rows == c).mean() for c in range(1, rows.max() + 1)]
    axes.set_yticks(centers, [f"class {c}" for c in range(1, len(centers) + 1)])
    axes.spines[["top", "right"]].set_visible(False)


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
    what = "volumes" if weights is None and table.index.name == "name" else "particles"
    figure.supylabel(f"share of the {what}", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": PICTURE_MARK})


def _population_title(population) -> str:
    if population.kind == "two":
        low, high = population.interval
        return f"{100 * population.fraction:.0f} % ({100 * low:.0f} - {100 * high:.0f} %)"
    return "one population" if population.kind == "one" else "spread, no two groups"
