"""The maps read last, of all ensembles that are open: as many as a number of megabytes holds."""

from collections import OrderedDict
from pathlib import Path
from threading import Lock

MEGABYTE = 1 << 20


class MapCache:
    """Least recently used first out; the map read last is kept whatever its size.

    Attributes:
        megabytes: how much may be kept.
    """

    def __init__(self, megabytes: int = 512):
        self.megabytes = megabytes
        self._kept: OrderedDict = OrderedDict()
        self._turn = Lock()  # napari reads in threads, too

    def get(self, path: Path | str, read):
        """The :class:`hetero.maps.Volume` of a file: as kept, or by ``read()`` where it is new or was written anew."""
        key = (str(path), _written(path))
        with self._turn:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        volume = read()
        with self._turn:
            self._kept[key] = volume
            while len(self._kept) > 1 and self.size > self.megabytes * MEGABYTE:
                self._kept.popitem(last=False)
        return volume

    @property
    def size(self) -> int:
        """Bytes kept."""
        return sum(volume.data.nbytes for volume in self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)


def _written(path: Path | str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return -1  # reading it says what is wrong


MAPS = MapCache()
"""The one that all viewers share."""
