"""The map last decoded of a run, as an ensemble of one: whatever serves an ensemble serves it too."""

from napari_hetero.ensemble_model import SHARED, EnsembleModel, ShownLevel


class DecodedModel(EnsembleModel):
    """Holds its one volume in memory; all maps of a run are on one scale and share a level.

    Args:
        folder: of the run.
        volume: the first :class:`hetero.maps.Volume`.
        level: of that map.
    """

    def __init__(self, folder, volume, level: float):
        super().__init__(_ensemble_of(folder, volume))
        self._levels[self._key] = ShownLevel(float(level), SHARED)
        self._decoded = volume

    @property
    def name(self) -> str:
        """What the map is of."""
        return self._decoded.name

    @property
    def path(self) -> None:
        """None: it lies in no file."""

    @property
    def title(self) -> str:
        """The run's folder."""
        return self.ensemble.folder.resolve().name

    @property
    def volume(self):
        """The map last decoded."""
        return self._decoded

    def put(self, volume) -> None:
        """Show another map of the same run; its grid may be another."""
        self.ensemble = _ensemble_of(self.ensemble.folder, volume)
        self._decoded = volume
        self.changed.emit()

    @property
    def _key(self) -> str:
        return self.ensemble.names[0]


def _ensemble_of(folder, volume):
    import pandas as pd

    from hetero.maps import Ensemble, MapHeader, map_name

    header = MapHeader(volume.shape, volume.apix, volume.origin, "float32", ())
    return Ensemble(folder, (folder,), header, pd.DataFrame(index=pd.Index([map_name(folder)], name="name")))
