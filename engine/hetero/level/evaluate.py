"""How good are levels? Measured on maps whose levels are known, against simple rules."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from hetero.errors import HeteroError
from hetero.level.labels import LabelledMap
from hetero.level.normalise import LevelScale, normalise_level
from hetero.level.predict import NetworkLevel, network_levels
from hetero.level.side_by_side import in_order
from hetero.level.simulate import simulate_map
from hetero.maps import Structure, Volume
from hetero.progress import Progress, silent

CONSTANT = -0.62  # median of 3,784 authors' levels, normalised
_PERCENTILES = np.array([90, 92, 94, 95, 96, 97, 97.5, 98, 98.5, 99, 99.25, 99.5, 99.75])
_PURPOSES = {"training": 1, "tuning": 3, "held out": 4, "uncertainty": 5, "correction": 8}
_WITHIN = 0.68  # of true volumes lie inside the stated error


@dataclass(frozen=True, eq=False)
class KnownLevel:
    """A map and its true level, in the map's own values; ``molecule`` is what it shows."""

    volume: Volume
    level: float
    molecule: str = ""

    @property
    def normalised(self) -> float:
        """The level on the map's scale from -1 to 1."""
        return float(normalise_level(self.level, LevelScale.of(self.volume.data)))


def simulated_levels(
    structures: Sequence[Structure], maps: int, purpose: str, seed: int, max_box: int, processes: int = 1
) -> Iterator[KnownLevel]:
    """``maps`` new simulated maps, other ones for each purpose (``"training"``, ``"tuning"``, ``"held out"``,
    ``"uncertainty"``, ``"correction"``); the same ones with any number of processes."""
    return in_order(partial(_simulated_level, structures, (seed, _PURPOSES[purpose]), max_box), maps, processes)


def _simulated_level(structures: Sequence[Structure], seeds: tuple[int, int], max_box: int, i: int) -> KnownLevel:
    structure = structures[i % len(structures)]
    simulated = simulate_map(structure, np.random.default_rng([*seeds, i]), max_box)
    return KnownLevel(Volume(simulated.data, simulated.apix), simulated.level, structure.name)


def labelled_levels(labelled: Iterable[LabelledMap]) -> Iterator[KnownLevel]:
    """Maps with levels that people chose."""
    return (KnownLevel(one.read(), one.level, str(one.path)) for one in labelled)


def found_levels(
    network, maps: Iterable[KnownLevel], progress: Progress, doing: str
) -> Iterator[tuple[KnownLevel, NetworkLevel]]:
    """Each map with what the network finds in it; without those in which it finds nothing."""
    from hetero.level.networks import folded

    waiting: deque[KnownLevel] = deque()  # the network takes a batch of maps before it answers for the first

    def passing() -> Iterator[Volume]:
        for i, known in enumerate(maps):
            progress(i, 0, doing)
            waiting.append(known)
            yield known.volume

    for _, answer in network_levels(passing(), folded(network)):
        known = waiting.popleft()
        if not isinstance(answer, HeteroError):
            yield known, answer


def evaluate_levels(
    network,
    tuning: Iterable[KnownLevel],
    tests: Iterable[KnownLevel],
    *,
    seed: int = 0,
    rules: dict[str, Callable[[Volume], float]] | None = None,
    progress: Progress = silent,
) -> dict[str, dict[str, float]]:
    """Errors of the network and of simple rules on ``tests``.

    Args:
        network: any level network.
        tuning: other maps; the tuned percentile is the one with the smallest error on these.
        tests: maps that the network has never seen.
        seed: of the bootstrap.
        rules: further rules by their names, each a level for a map.

    Returns:
        For each rule ``{"mae", "mae_low", "mae_high", "within_25", "within_25_low", "within_25_high", "maps"}``: mean
        absolute error of the normalised level and the share of maps whose enclosed volume is within 25 % of the true
        one, each with the 95 % interval of a bootstrap over maps. Maps for which ours gives no level count for no
        rule; ``maps`` is what is left. Nothing at all where ours gave no level for any map.
        Under ``"labels"``: the 5, 25, 50, 75 and 95 % quantiles of the true normalised levels. Under ``"coverage"``:
        the share of true volumes inside the network's stated error (0.68 where it is honest), if it states one.
    """
    tuned = _tuned_percentile(tuning, progress)
    rows: dict[str, list] = {"ours": [], "constant": [], "percentile 99": [], f"percentile {tuned:g}": []}
    rows |= {name: [] for name in rules or {}}
    labels, covered = [], []
    for known, answer in found_levels(network, tests, progress, "measuring on held-out maps"):
        data, scale, true_level = known.volume.data, LevelScale.of(known.volume.data), known.normalised
        constant = (CONSTANT + 1) / 2 * (scale.maximum - scale.minimum) + scale.minimum
        simple = [answer.level, constant, *np.percentile(data, [99, tuned])]
        true = np.count_nonzero(data >= known.level)
        labels.append(true_level)
        if answer.error is not None:
            covered.append(abs(_log_ratio(data, answer.level, known.level)) <= answer.error)
        others = (rule(known.volume) for rule in (rules or {}).values())
        for row, level in zip(rows.values(), chain(simple, others), strict=True):
            enclosed = np.count_nonzero(data >= level)
            row.append((abs(normalise_level(level, scale) - true_level), abs(enclosed / true - 1) <= 0.25))
    if not labels:
        return {}
    report = {rule: _summary(np.array(row, dtype=float), seed) for rule, row in rows.items()}
    quantiles = np.quantile(labels, [0.05, 0.25, 0.5, 0.75, 0.95])
    report["labels"] = dict(zip(("q05", "q25", "q50", "q75", "q95"), map(float, quantiles), strict=True))
    if covered:
        report["coverage"] = {"share": float(np.mean(covered)), "maps": len(covered)}
    return report


def calibrate_error(network, maps: Iterable[KnownLevel], progress: Progress = silent) -> float:
    """What ``network.volume_error`` should be, so that the stated error is a 68 % interval of log enclosed volume.

    1 where none of the maps gets a level.
    """
    ratios = []
    for known, answer in found_levels(network, maps, progress, "measuring the uncertainty"):
        if answer.error > 0:  # of a network hardly trained it may round to 0
            ratios.append(abs(_log_ratio(known.volume.data, answer.level, known.level)) / answer.error)
    return float(np.quantile(ratios, _WITHIN)) * float(network.volume_error) if ratios else 1.0


def _log_ratio(data: np.ndarray, level: float, true: float) -> float:
    """Log of the volume that ``level`` encloses over the one that ``true`` does."""
    return float(np.log(max(np.count_nonzero(data >= level), 1) / max(np.count_nonzero(data >= true), 1)))


def _tuned_percentile(maps: Iterable[KnownLevel], progress: Progress) -> float:
    errors = []
    for i, known in enumerate(maps):
        progress(i, 0, "tuning the percentile rule")
        data = known.volume.data
        levels = normalise_level(np.percentile(data, _PERCENTILES), LevelScale.of(data))
        errors.append(np.abs(levels - known.normalised))
    return float(_PERCENTILES[int(np.argmin(np.mean(errors, axis=0)))])


def _summary(row: np.ndarray, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    means = row[rng.integers(0, len(row), (1000, len(row)))].mean(axis=1)
    (mae, within), (lows, highs) = row.mean(axis=0), np.quantile(means, [0.025, 0.975], axis=0)
    return {
        "mae": float(mae), "mae_low": float(lows[0]), "mae_high": float(highs[0]),
        "within_25": float(within), "within_25_low": float(lows[1]), "within_25_high": float(highs[1]),
        "maps": len(row),
    }  # fmt: skip
