"""Pairs of voxels are queried a row of tiles at a time: here, or shared among processes and kept on disk."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from hetero.parallel import map_chunks
from hetero.parts import Parts
from hetero.progress import Progress, silent

TILE = 2048
"""Voxels along each side of a tile."""

_MESSAGE = "comparing voxels"
_NO_PAIRS = np.zeros((0, 2), dtype=np.int32)


class Query(Protocol):
    """Linked pairs of voxels, a row of tiles at a time."""

    tiles: int

    def __call__(self, row: int) -> np.ndarray:
        """``(e, 2)`` int32: linked pairs whose first voxel is in tile ``row``."""


Gather = Callable[[Query, Progress], np.ndarray]
"""Collects all linked pairs ``(e, 2)`` of a query."""


def gather_here(query: Query, progress: Progress = silent) -> np.ndarray:
    """``(e, 2)`` linked pairs: all rows of tiles, one after the other, in this process."""
    found = [_NO_PAIRS]
    for row in range(query.tiles):
        progress(row, query.tiles, _MESSAGE)
        found.append(query(row))
    return np.concatenate(found)


def gather_kept(parts: Parts, workers: int = 1, scheduler: str | None = None) -> Gather:
    """As :func:`gather_here`, but finished rows are kept in ``parts`` and those there already are not done again.

    Args:
        workers: local processes. One is as fast as many: a product of matrices uses every core already.
        scheduler: address of a Dask scheduler whose workers share the rows; each holds the query.
    """

    def gather(query: Query, progress: Progress = silent) -> np.ndarray:
        missing = [row for row in range(query.tiles) if row not in parts]
        done = query.tiles - len(missing)
        progress(done, query.tiles, _MESSAGE)
        for row, pairs in map_chunks(query, missing, workers, scheduler):
            parts.save(row, pairs)
            done += 1
            progress(done, query.tiles, _MESSAGE)
        return np.concatenate([_NO_PAIRS, *(parts.load(row) for row in range(query.tiles))])

    return gather
