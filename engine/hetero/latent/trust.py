"""How far latents can be believed, without a truth: what else they know, who else finds them, whether they are used."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from hetero.latent.paths import neighbours
from hetero.progress import Progress, silent

MOST = 20_000
"""Particles that a test is made on; of more, so many are taken at random."""
FEWEST = 50
"""Particles below which no test is made."""
_NEAREST = 30
_SHUFFLES = 99
_FOLDS = 5


@dataclass(frozen=True)
class Foretold:
    """How well the nearest particles of a latent space foretell something about a particle.

    Attributes:
        share: of its variance; 0 on average where it has nothing to do with the latents, 1 where they give it away.
        p: chance of such a share among shuffled particles; 0.01 is the smallest that can come out.
    """

    share: float
    p: float


def foretold_by_neighbours(
    latents: np.ndarray, targets: dict[str, np.ndarray], seed: int = 0, progress: Progress = silent
) -> dict[str, Foretold]:
    """Predict targets from the 30 nearest other particles in the latent space, against 99 shuffles.

    With ``m`` the mean of a particle's neighbours, ``share = 1 - sum (t - m)^2 / ((1 + 1/k) sum (t - mean)^2)``: the
    factor is what a mean of k unrelated particles costs.

    Args:
        latents: ``(n, zdim)``.
        targets: name -> ``(n, d)``, its columns on one scale. Those that are the same for all are left out.
        seed: of the sample, where there are more than 20,000 particles, and of the shuffles.
        progress: told of the neighbours and of each target.
    """
    rng = np.random.default_rng(seed)
    some = _sample(len(latents), rng)
    k = min(_NEAREST, len(some) - 1)
    rows, _ = neighbours(np.ascontiguousarray(latents[some]), k, progress)
    means = csr_matrix((np.full(rows.size, 1 / k), rows.ravel(), np.arange(len(some) + 1) * k), shape=(len(some),) * 2)
    found = {}
    for i, (name, values) in enumerate(targets.items()):
        progress(i, len(targets), "testing what the latents know")
        target = np.asarray(values, dtype=float)[some]
        target = target - target.mean(axis=0)
        total = np.square(target).sum()
        if total <= 1e-12 * len(some):
            continue

        def share(t: np.ndarray, total: float = total) -> float:
            return float(1 - np.square(t - means @ t).sum() / ((1 + 1 / k) * total))

        shuffled = [share(target[rng.permutation(len(some))]) for _ in range(_SHUFFLES)]
        true = share(target)
        found[name] = Foretold(true, (1 + sum(s >= true for s in shuffled)) / (1 + _SHUFFLES))
    return found


def imaging_targets(
    rotations: np.ndarray | None, shifts: np.ndarray | None, defocus: np.ndarray | None
) -> dict[str, np.ndarray]:
    """What of pose and CTF latents should not know, as :func:`foretold_by_neighbours` takes it.

    Args:
        rotations: ``(n, 3, 3)`` as poses have them: the view is along the last row. Its square goes in too, so that a
            view and its opposite, which see the same, do not hide each other.
        shifts: ``(n, 2)``.
        defocus: ``(n,)``; its rank counts, so that few extreme values do not.
    """
    from scipy.stats import rankdata

    targets = {}
    if defocus is not None:
        ranks = rankdata(defocus)[:, None] / len(defocus)
        targets["defocus"] = ranks if np.ptp(defocus) > 0 else np.zeros_like(ranks)
    if rotations is not None:
        view = rotations[:, 2]
        square = (view[:, :, None] * view[:, None]).reshape(-1, 9)
        targets["view direction"] = np.concatenate([view, square], axis=1)
        # psi of RELION's Euler angles; the rotation's last column is (-cos psi, sin psi, ...) sin tilt ...
        psi = np.arctan2(rotations[:, 1, 2], -rotations[:, 0, 2])
        targets["in-plane angle"] = np.stack([np.cos(psi), np.sin(psi)], axis=1)
    if shifts is not None:
        targets["shift"] = shifts
    return targets


@dataclass(frozen=True)
class Agreement:
    """Two runs' latents of the same particles.

    Attributes:
        n: particles that both have.
        linear: share of the variance of either that a linear map of the other gives, on particles that the map was not
            found on; of the two directions the mean.
        neighbours: share of a particle's nearest particles in one that are nearest in the other too.
        chance: of the same, for unrelated latents.
    """

    n: int
    linear: float
    neighbours: float
    chance: float


def agreement(first: np.ndarray, second: np.ndarray, seed: int = 0, progress: Progress = silent) -> Agreement:
    """Compare latents ``(n, a)`` and ``(n, b)`` of the same particles, whatever turns one space into the other."""
    some = _sample(len(first), np.random.default_rng(seed))
    a, b = (np.ascontiguousarray(z[some], dtype=np.float64) for z in (first, second))
    k = int(np.clip(len(some) // 100, 10, 100))
    k = min(k, len(some) - 1)
    here, there = (neighbours(z, k, progress)[0] for z in (a, b))
    common = np.mean([len(np.intersect1d(x, y)) for x, y in zip(here, there, strict=True)]) / k
    linear = (_linear_share(a, b, seed) + _linear_share(b, a, seed)) / 2
    return Agreement(len(first), linear, float(common), k / (len(some) - 1))


def _linear_share(known: np.ndarray, wanted: np.ndarray, seed: int) -> float:
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import KFold, cross_val_predict

    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    given = cross_val_predict(LinearRegression(), known, wanted, cv=folds)
    total = np.square(wanted - wanted.mean(axis=0)).sum()
    return float(1 - np.square(wanted - given).sum() / max(total, np.finfo(float).tiny))


def used_numbers(latents: np.ndarray, log_variance: np.ndarray) -> int:
    """How many numbers of a latent tell particles apart: spread of the means above the mean posterior variance."""
    return int((latents.var(axis=0) > np.exp(log_variance).mean(axis=0)).sum())


def map_change(before: np.ndarray, after: np.ndarray) -> float:
    """How much the maps ``(k, z, y, x)`` of k particles changed, as a share of what sets them apart.

    ``rms(after - before) / rms(after - mean of after)``: at 1 the change is as large as the heterogeneity itself.
    """
    apart = np.sqrt(np.square(after - after.mean(axis=0)).mean())
    return float(np.sqrt(np.square(after - before).mean()) / max(apart, np.finfo(np.float32).tiny))


def maps_found_again(first: np.ndarray, second: np.ndarray, first_sizes: np.ndarray, second_sizes: np.ndarray) -> float:
    """How well the maps of one run are found among those of another, and the other way round; the mean of both.

    Every map ``(z, y, x)`` less its run's average, weighted by the particles that it stands for, is correlated with all
    of the other run; the best correlation counts, weighted alike. 1 where the same maps come back.
    """
    deviations = []
    for maps, sizes in ((first, first_sizes), (second, second_sizes)):
        flat = maps.reshape(len(maps), -1).astype(np.float64)
        flat -= np.average(flat, axis=0, weights=sizes)
        deviations.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), np.finfo(float).tiny))
    likeness = deviations[0] @ deviations[1].T
    ways = np.average(likeness.max(axis=1), weights=first_sizes), np.average(likeness.max(axis=0), weights=second_sizes)
    return float(np.mean(ways))


def _sample(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(n) if n <= MOST else np.sort(rng.choice(n, MOST, replace=False))
