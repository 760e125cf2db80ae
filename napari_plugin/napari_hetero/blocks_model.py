"""What the Blocks widget shows, without Qt or napari: which blocks are ticked and how much of each the current
volume has."""

from pathlib import Path

import numpy as np
from psygnal import Signal

from napari_hetero.layers import paint_labels
from napari_hetero.preferences import recolored


class BlocksModel:
    """Blocks over an ensemble. ``changed`` is emitted when other blocks are ticked.

    Attributes:
        blocks: the :class:`hetero.maps.Blocks`.
        shown: ``(K,)`` bool, the ticked ones.
        occupancy: ``(K,)`` share of each block in the current volume, NaN where nothing was measured.
    """

    changed = Signal()

    def __init__(self, blocks, folder: Path | str):
        self._own = blocks  # in the colours of their table
        self.blocks = recolored(blocks)
        self.folder = Path(folder)
        self.shown = np.ones(len(blocks), dtype=bool)
        self.occupancy = np.full(len(blocks), np.nan)
        self._labels: np.ndarray | None = None
        self._grown: np.ndarray | None = None

    @property
    def grown_labels(self) -> np.ndarray:
        """:attr:`labels` grown by a voxel and a half: at a lower level than the blocks were found at, the map's
        surface runs outside their voxels and would show them in patches."""
        if self._grown is None:
            from skimage.segmentation import expand_labels

            self._grown = expand_labels(self.labels, distance=1.5)
        return self._grown

    @property
    def labels(self) -> np.ndarray:
        """``(z, y, x)`` number of the ticked block at each voxel (k + 1; 0 for none)."""
        if self._labels is None:
            self._labels = paint_labels(self.blocks.masks, self.shown)
        return self._labels

    def recolor(self) -> None:
        """Take the colours that are set now."""
        self.blocks = recolored(self._own)

    def show(self, shown: np.ndarray) -> None:
        """Tick the blocks in ``shown`` ``(K,)`` bool and no others."""
        shown = np.broadcast_to(np.asarray(shown, dtype=bool), self.shown.shape)
        if (shown != self.shown).any():
            self.shown = shown.copy()
            self._labels = self._grown = None
            self.changed.emit()

    def misfit(self, ensemble) -> str:
        """One sentence where the blocks do not lie on the ensemble's grid, else an empty string."""
        from hetero.maps import same_grid

        if same_grid(ensemble, self.blocks):
            return ""
        return (
            f"{self.folder.name} lies on another grid ({_grid(self.blocks)}) than the maps in "
            f"{ensemble.folder.resolve().name} ({_grid(ensemble)}), so it cannot be laid over them; "
            "open the blocks that were made from these maps."
        )

    def measure(self, data: np.ndarray, level: float) -> None:
        """Measure the occupancy of each block in a map ``(z, y, x)`` at its level."""
        from hetero.commands import occupancy

        self.occupancy = occupancy.measure(data, level, self.blocks.masks)

    def forget(self) -> None:
        """No volume is under the blocks."""
        self.occupancy = np.full(len(self.blocks), np.nan)


def _grid(thing) -> str:
    box = " x ".join(str(n) for n in thing.shape)
    return f"{box} voxels of {thing.apix[0]:.4g} Å"
