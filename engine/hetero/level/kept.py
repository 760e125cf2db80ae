"""What a training of the level network goes on from when it was cut short.

This module imports torch.
"""

import time
from pathlib import Path
from typing import Any

import torch

from hetero.checkpoints import CHECKPOINT, newest_whole, read_checkpoint, write_checkpoint

FORMAT = "hetero level training 2"
_MINUTES = 5.0  # of work that a crash may cost


class KeptTraining:
    """The state of a training, in a folder or nowhere.

    Args:
        folder: usually of :func:`hetero.parts.keep_parts`; None to keep nothing.

    Attributes:
        state: tensors and plain values by name, as last saved; empty in a training that begins.
    """

    def __init__(self, folder: Path | None = None):
        self._path = None if folder is None else Path(folder) / CHECKPOINT
        found = None if folder is None else newest_whole(self._path, _read)
        self.state: dict[str, Any] = found or {}
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether so much was done since the last time that it should be saved."""
        return time.monotonic() - self._saved > 60 * _MINUTES

    def save(self, **values: Any) -> None:
        """Keep these values, and all that were kept before under other names."""
        self.state |= values
        self._saved = time.monotonic()
        if self._path is not None:
            write_checkpoint(self._path, {"format": FORMAT, **self.state})

    def save_network(self, network: torch.nn.Module, **values: Any) -> None:
        """The same, with a network's state as ``network``."""
        state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        self.save(network=state, **values)


def _read(path: Path) -> dict[str, Any]:
    return read_checkpoint(path, FORMAT, "training of levels", "train-level")
