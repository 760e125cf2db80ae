"""Runs that stay open from one request to the next, with what viewers ask of them again and again."""

from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands.open_run import open_run
from hetero.latent import Run

_MOST = 2  # runs kept: each holds its network and its latents
_PARTS = ("config.*", "checkpoint.pt", "latents.npz", "weights*.pkl", "z*.pkl")
_kept: OrderedDict[tuple, "WarmRun"] = OrderedDict()


class WarmRun:
    """An open run, its components, and the particles around a point, each made when it is first asked for."""

    def __init__(self, run: Run):
        self.run = run
        self._clusters = {}

    @cached_property
    def components(self):
        """Principal components of the latents."""
        from hetero.latent.pca import principal_components

        return principal_components(self.run.latents)

    @cached_property
    def nearby(self):
        """Which particles lie around a point."""
        from hetero.latent.nearby import Nearby

        return Nearby(self.run.latents)

    def clusters(self, k: int):
        """k-means into ``k``, as ``hetero analyze`` makes them by its own choices."""
        from hetero.latent.clusters import k_means

        if k not in self._clusters:
            self._clusters[k] = k_means(self.run.latents, k)
        return self._clusters[k]

    def place_of(self, z: np.ndarray) -> dict[str, Any]:
        """``{z, scores, nearest, distance, beyond}`` of one latent, plain values.

        ``scores`` are its places along the components, ``nearest`` is a particle's number, ``distance`` and ``beyond``
        as in :class:`hetero.latent.nearby.Neighbour` (null for a homogeneous model).
        """
        if not self.run.zdim:
            return {"z": [], "scores": [], "nearest": None, "distance": None, "beyond": None}
        near = self.nearby.of(z)
        return {
            "z": z.tolist(),
            "scores": self.components.scores(z[None])[0].tolist(),
            "nearest": int(self.run.particle_index[near.row]),
            "distance": near.distance,
            "beyond": near.beyond,
        }


def warm_run(folder: Path | str, epoch: int | None = None, apix: float | None = None) -> WarmRun:
    """As :func:`hetero.commands.open_run.open_run`; the last two stay open for as long as their files are the same.

    Raises:
        HeteroError: as ``open_run``.
    """
    folder = Path(folder).absolute()
    files = sorted(path for pattern in _PARTS for path in folder.glob(pattern))
    stamp = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    key = (folder, epoch, apix, stamp)
    if key not in _kept:
        _kept[key] = WarmRun(open_run(folder, epoch, apix))
    _kept.move_to_end(key)
    while len(_kept) > _MOST:
        _kept.popitem(last=False)
    return _kept[key]
