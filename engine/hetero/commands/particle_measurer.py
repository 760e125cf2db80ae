"""Occupancy of particles on the fly: decode, level, measure, and keep nothing but the numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hetero.commands.resolve_masks import Masks
from hetero.errors import HeteroError
from hetero.latent import Run, View
from hetero.maps import Volume


@dataclass(frozen=True, eq=False)
class ParticleMeasurer:
    """``measurer((start, stop))``: the occupancies of particles ``rows[start:stop]`` of a run, float64 ``(.., K)``.

    A map is decoded, measured and forgotten. Memory: the masks, and what the decoder and the level network hold in a
    batch. Pickled, it says how to open the run; the run itself stays.

    Attributes:
        open_run: gives the run.
        rows: ``(n,)`` rows of the run's latents.
        masks: on the grid of the decoded maps.
        level: for all maps; None to predict each one's own. A map without a level, or empty at it, gets NaN.
        view: how maps are decoded.
    """

    open_run: Callable[[], Run]
    rows: np.ndarray
    masks: Masks
    level: float | None
    view: View

    def __call__(self, chunk: tuple[int, int]) -> np.ndarray:
        chosen = self.rows[slice(*chunk)]
        volumes = self.run.decode(self.run.latents[chosen], self.view)
        return np.array(list(self._measured(volumes))).reshape(len(chosen), len(self.masks.names))

    @cached_property
    def run(self) -> Run:
        """Opened once in each process."""
        return self.open_run()

    @cached_property
    def _voxels(self):
        from hetero.occupancy import MaskVoxels

        return MaskVoxels.of(self.masks.names, self.masks.masks)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("run", "_voxels")}

    def _measured(self, volumes: Iterator[Volume]) -> Iterator[np.ndarray]:
        from hetero.occupancy import reference_normalised

        if self.masks.sums is not None:
            yield from (reference_normalised(v.data, self.masks.masks, self.masks.sums) for v in volumes)
        elif self.level is not None:
            yield from (self._voxels.share_at_level(v.data, self.level) for v in volumes)
        else:
            yield from self._at_predicted_levels(volumes)

    def _at_predicted_levels(self, volumes: Iterator[Volume]) -> Iterator[np.ndarray]:
        from hetero.level import predict_levels

        waiting: list[Volume] = []  # the network takes a batch of maps before it answers for the first

        def passing():
            for volume in volumes:
                waiting.append(volume)
                yield volume

        for answer in predict_levels(passing()):
            volume = waiting.pop(0)
            if isinstance(answer, HeteroError):
                yield np.full(len(self.masks.names), np.nan)
            else:
                yield self._voxels.share_at_level(volume.data, answer.level)
