"""Whether a point of a latent space is one that the particles know anything about."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

_NEAREST = 30  # particles around a point
_ASKED = 2000  # particles that are asked how lonely particles are
_USUAL = 99.0  # per cent of them are less lonely than a point beyond the data


@dataclass(frozen=True)
class Neighbour:
    """The particle nearest to a point.

    Attributes:
        row: of the latents.
        distance: in the latent space as it is, as for clusters and paths.
        beyond: the point lies farther from its 30th particle than 99 % of the particles do from theirs: a map decoded
            there is the model's invention.
    """

    row: int
    distance: float
    beyond: bool


class Nearby:
    """The particles around any point; made once for a run, then a question takes less than a millisecond.

    Distances are those of the space as it is: whitening would bring groups that lie apart nearer to each other.

    Args:
        latents: ``(n, zdim)``, one at least.
    """

    def __init__(self, latents: np.ndarray):
        self._tree = KDTree(latents)
        self._k = max(1, min(_NEAREST, len(latents) // 3))
        some = self._tree.data[:: max(1, len(latents) // _ASKED)]
        # a particle finds itself too
        usual = self._tree.query(some, min(self._k + 1, len(latents)), workers=-1)[0].reshape(len(some), -1)[:, -1]
        self._limit = float(np.percentile(usual, _USUAL))

    def of(self, z: np.ndarray) -> Neighbour:
        """The particle nearest to ``z`` ``(zdim,)``."""
        far, rows = (np.atleast_1d(x) for x in self._tree.query(np.asarray(z, float), self._k))
        return Neighbour(int(rows[0]), float(far[0]), bool(far[-1] > self._limit))
