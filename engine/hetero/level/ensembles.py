"""Levels of the maps of one ensemble, looked at together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hetero.errors import HeteroError

if TYPE_CHECKING:
    from hetero.level.predict import LevelAnswer

FEWEST = 8  # maps; fewer tell nothing about what is usual
_COMPONENTS, _POINTS = 8, 200
_TO_SD = 1.4826  # s.d. of a normal distribution whose median absolute deviation is 1


def outliers(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which levels lie far from the others.

    Args:
        levels: ``(n,)``.

    Returns:
        Two ``(n,)`` bool: by the paper's rule, more than 2 s.d. (ddof 0) from the mean (as about 5 % of ordinary levels
        are); and by a robust one, more than 3.5 times the normalised median absolute deviation from the median
        (0.05 %).
    """
    levels = np.asarray(levels, dtype=float)
    published = np.abs(levels - levels.mean()) > 2 * levels.std()
    away = np.abs(levels - np.median(levels))
    return published, away > 3.5 * _TO_SD * np.median(away)


def share_levels(answers: Sequence["LevelAnswer"]) -> list[tuple[float, float, float]]:
    """Levels that change smoothly where the maps of an ensemble do.

    Each map's level, relative to the map's own scale, is one noisy measurement of a function of what the map looks
    like. The function is found by Bayesian regression: a Gaussian process over the first principal components of the
    maps (200-point Nyström approximation), with its noise estimated from the levels themselves.

    Args:
        answers: of the network, for maps on one grid.

    Returns:
        For each map ``(level, low, high)`` in its own units; low to high is where the level lies with 68 %.

    Raises:
        HeteroError: fewer than 8 maps, or levels that are not the network's.
    """
    from sklearn.decomposition import PCA
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import BayesianRidge

    if len(answers) < FEWEST:
        raise HeteroError(f"Levels are shared between {FEWEST} maps or more; {len(answers)} have one.")
    if any(answer.outline is None for answer in answers):
        raise HeteroError("Levels can be shared only where the network of ours found them (method cnn).")
    background = np.array([answer.outline.background for answer in answers])
    scale = np.array([answer.outline.scale for answer in answers])
    measured = np.log((np.array([answer.level for answer in answers]) - background) / scale)
    pictures = np.stack([answer.outline.picture.ravel() for answer in answers]).astype(np.float32)
    places = PCA(min(_COMPONENTS, len(answers) - 1), random_state=0).fit_transform(pictures)
    width = np.median(((places - np.median(places, axis=0)) ** 2).sum(axis=1))
    points = min(_POINTS, len(answers))
    features = Nystroem(gamma=0.5 / max(float(width), 1e-12), n_components=points, random_state=0).fit_transform(places)
    model = BayesianRidge().fit(features, measured)
    mean, spread = model.predict(features, return_std=True)
    spread = np.sqrt(np.maximum(spread**2 - 1 / model.alpha_, 0))  # of the function, without the measurements' noise
    ends = [background + scale * np.exp(mean + k * spread) for k in (0, -1, 1)]
    return list(zip(*(end.tolist() for end in ends), strict=True))
