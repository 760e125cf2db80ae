"""What two halves of the particles agree on: shells, a radius, components that are more than noise."""

import numpy as np

from hetero.linear.em import Expectation, LinearMaps
from hetero.linear.posterior import Statistics, posterior

_AGREE = 0.5  # the mean maps' correlation to which a radius is trusted
_SMALLEST = 5
_SIGNIFICANT = 4.0  # standard errors


def split(half_set: np.ndarray | None, n: int) -> np.ndarray:
    """``(n,)`` 0 or 1: the refinement's own halves where they are of similar size, else every other particle."""
    if half_set is not None and 0.4 < np.mean(half_set) < 0.6:
        return np.asarray(half_set, dtype=int)
    return np.arange(n) % 2


def shell_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """FSC of maps ``(..., box, box, box)``: ``(..., box / 2)``, from the shell at 0 to the last below Nyquist."""
    a, b = (np.fft.rfftn(maps, axes=(-3, -2, -1)) for maps in (first, second))
    power = np.sqrt(_by_shell(np.abs(a) ** 2) * _by_shell(np.abs(b) ** 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(power > 0, _by_shell((a * b.conj()).real) / power, 0.0)


def shell_power(maps: np.ndarray) -> np.ndarray:
    """Mean squared amplitude of the transform of maps ``(..., box, box, box)`` in each shell: ``(..., box / 2)``."""
    transforms = np.fft.rfftn(maps, axes=(-3, -2, -1))
    return _by_shell(np.abs(transforms) ** 2) / _by_shell(np.ones(transforms.shape[-3:]))


def _by_shell(values: np.ndarray) -> np.ndarray:
    """Sums over shells of values on the grid of ``rfftn``: ``(..., box, box, box / 2 + 1)`` to ``(..., box / 2)``."""
    box = values.shape[-2]
    along = np.fft.fftfreq(box, 1 / box)
    shell = np.round(np.sqrt(along[:, None, None] ** 2 + along[:, None] ** 2 + along[: box // 2 + 1] ** 2))
    twice = np.full(values.shape[-1], 2.0)
    twice[[0, -1]] = 1  # the others stand for their opposites too
    rows = (values * twice).reshape(-1, shell.size)
    sums = [np.bincount(shell.astype(int).ravel(), weights=row)[: box // 2] for row in rows]
    return np.reshape(sums, (*values.shape[:-3], box // 2))


def trusted_radius(first: np.ndarray, second: np.ndarray, radius: int) -> int:
    """The shell up to which two half maps ``(box, box, box)`` agree, at least 5 and at most ``radius``."""
    low = np.flatnonzero(shell_correlation(first, second)[1 : radius + 1] < _AGREE)
    return radius if not len(low) else max(min(_SMALLEST, radius), int(low[0]))


def merged(first: LinearMaps, second: LinearMaps) -> LinearMaps:
    """The mean of two halves' maps, the second's components turned onto the first's (orthogonal Procrustes)."""
    turned = second.turned(alignment(first.maps[1:], second.maps[1:]))
    return LinearMaps((first.maps + turned.maps) / 2, (first.noise + second.noise) / 2)


def alignment(target: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """``(q, q)`` orthogonal: ``matrix @ maps`` lies nearest to ``target``; components ``(q, box, box, box)`` each."""
    q = len(maps)
    u, _, v = np.linalg.svd(target.reshape(q, -1).astype(float) @ maps.reshape(q, -1).T.astype(float))
    return u @ v


def principal(state: LinearMaps) -> LinearMaps:
    """The same model, its components orthogonal, the largest first, each one's largest value positive."""
    flat = state.maps[1:].reshape(state.zdim, -1).astype(np.float64)
    _, vectors = np.linalg.eigh(flat @ flat.T)
    turn = vectors.T[::-1]
    turned = turn @ flat
    signs = np.sign(turned[np.arange(len(turned)), np.abs(turned).argmax(axis=1)])
    return state.turned(np.where(signs == 0, 1, signs)[:, None] * turn)


def gains(held_out: Expectation) -> tuple[np.ndarray, np.ndarray]:
    """By how much each component raises the log likelihood of images that it was not fitted to.

    Returns:
        ``(q,)`` mean over the images of the log likelihood with all components minus that without the one, and its
        standard error.
    """
    found, n = held_out.statistics, len(held_out.posterior.cost)
    q = found.overlap.shape[1] - 1
    means, errors = np.empty(q), np.empty(q)
    for k in range(q):
        kept = np.delete(np.arange(q + 1), k + 1)
        without = posterior(Statistics(found.gram[:, kept[:, None], kept], found.overlap[:, kept], found.power))
        gain = without.cost - held_out.posterior.cost
        means[k], errors[k] = gain.mean(), gain.std() / np.sqrt(n)
    return means, errors


def above_noise(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """``(q,)`` bool: components whose :func:`gains` in both halves are positive beyond doubt."""
    return np.all([mean > _SIGNIFICANT * np.maximum(error, 1e-12) for mean, error in (first, second)], axis=0)
