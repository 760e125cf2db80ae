"""How good are levels? Measured on simulated maps of structures that training never saw, against simple rules."""

from collections.abc import Callable

import numpy as np

from hetero.errors import HeteroError
from hetero.level.normalise import LevelScale, normalise_level
from hetero.level.predict import network_levels
from hetero.level.simulate import simulate_map
from hetero.maps import Structure, Volume
from hetero.progress import Progress, silent

CONSTANT = -0.62  # median of 3,784 authors' levels, normalised
_PERCENTILES = np.array([90, 92, 94, 95, 96, 97, 97.5, 98, 98.5, 99, 99.25, 99.5, 99.75])
_SEEDS = {"tuning": 3, "held out": 4}


def evaluate_levels(
    network,
    training: list[Structure],
    held_out: list[Structure],
    *,
    maps: int,
    seed: int,
    max_box: int = 128,
    rules: dict[str, Callable[[Volume], float]] | None = None,
    progress: Progress = silent,
) -> dict[str, dict[str, float]]:
    """Errors of the network and of simple rules on ``maps`` new maps of the held-out structures.

    The tuned percentile is the one with the smallest error on as many maps of the training structures. ``rules`` are
    further ones by their names, each a level for a map.

    Returns:
        For each rule ``{"mae", "mae_low", "mae_high", "within_25", "maps"}``: mean absolute error of the normalised
        level with the 95 % interval of a bootstrap over maps, and the share of maps whose enclosed volume is within
        25 % of the true one. Maps for which ours gives no level count for no rule; ``maps`` is what is left.
        Nothing at all where ours gave no level for any map.
        Under ``"labels"``: the 5, 25, 50, 75 and 95 % quantiles of the true normalised levels.
    """
    tuning = _percentile_levels(training, maps, [seed, _SEEDS["tuning"]], max_box, progress)
    tuned = int(np.argmin(np.abs(tuning["normalised"] - tuning["label"][:, None]).mean(axis=0)))
    rows: dict[str, list] = {"ours": [], "constant": [], "percentile 99": [], f"percentile {_PERCENTILES[tuned]:g}": []}
    rows |= {name: [] for name in rules or {}}
    labels = []
    for i, simulated, scale in _simulations(held_out, maps, [seed, _SEEDS["held out"]], max_box):
        progress(i, maps, "measuring on held-out structures")
        volume = Volume(simulated.data, simulated.apix)
        ((_, answer),) = network_levels([volume], network)
        if isinstance(answer, HeteroError):
            continue
        percentiles = np.percentile(simulated.data, [99, _PERCENTILES[tuned]])
        constant = (CONSTANT + 1) / 2 * (scale.maximum - scale.minimum) + scale.minimum
        true = np.count_nonzero(simulated.data >= simulated.level)
        others = [rule(volume) for rule in (rules or {}).values()]
        labels.append(normalise_level(simulated.level, scale))
        for row, level in zip(rows.values(), (answer, constant, *percentiles, *others), strict=True):
            enclosed = np.count_nonzero(simulated.data >= level)
            row.append((abs(normalise_level(level, scale) - labels[-1]), abs(enclosed / true - 1) <= 0.25))
    if not labels:
        return {}
    report = {rule: _summary(np.array(row, dtype=float), seed) for rule, row in rows.items()}
    quantiles = np.quantile(labels, [0.05, 0.25, 0.5, 0.75, 0.95])
    report["labels"] = dict(zip(("q05", "q25", "q50", "q75", "q95"), map(float, quantiles), strict=True))
    return report


def _summary(row: np.ndarray, seed: int) -> dict[str, float]:
    errors = row[:, 0]
    rng = np.random.default_rng(seed)
    means = errors[rng.integers(0, len(errors), (1000, len(errors)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "mae": float(errors.mean()),
        "mae_low": float(low),
        "mae_high": float(high),
        "within_25": float(row[:, 1].mean()),
        "maps": len(errors),
    }


def _simulations(structures, maps, seed, max_box):
    for i in range(maps):
        simulated = simulate_map(structures[i % len(structures)], np.random.default_rng([*seed, i]), max_box)
        yield i, simulated, LevelScale.of(simulated.data)


def _percentile_levels(structures, maps, seed, max_box, progress) -> dict[str, np.ndarray]:
    normalised, labels = [], []
    for i, simulated, scale in _simulations(structures, maps, seed, max_box):
        progress(i, maps, "tuning the percentile rule")
        normalised.append(normalise_level(np.percentile(simulated.data, _PERCENTILES), scale))
        labels.append(normalise_level(simulated.level, scale))
    return {"normalised": np.array(normalised), "label": np.array(labels)}
