"""The map last decoded of a run, as an ensemble of one: whatever serves an ensemble serves it too."""

from pathlib import Path

import numpy as np

from napari_hetero.ensemble_model import SHARED, EnsembleModel, ShownLevel, ensemble_of_one


class DecodedModel(EnsembleModel):
    """Holds its one volume in memory; all maps of a run are on one scale and share a level.

    Args:
        folder: of the run.
        volume: the first :class:`hetero.maps.Volume`.
        level: of that map.
    """

    def __init__(self, folder, volume, level: float):
        super().__init__(_ensemble_of(folder, volume))
        self._levels[self.ensemble.names[0]] = ShownLevel(float(level), SHARED)
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

    def volume_at(self, index: int):
        """The map last decoded."""
        return self._decoded

    def put(self, volume) -> None:
        """Show another map of the same run; its grid may be another."""
        self.ensemble = _ensemble_of(self.ensemble.folder, volume)
        self._decoded = volume
        self.changed.emit()


def _ensemble_of(folder, volume):
    import pandas as pd

    from hetero.maps import Ensemble, MapHeader, map_name

    header = MapHeader(volume.shape, volume.apix, volume.origin, "float32", ())
    return Ensemble(folder, (folder,), header, pd.DataFrame(index=pd.Index([map_name(folder)], name="name")))


def model_of(layer) -> EnsembleModel:
    """The model of a layer of ours: an ensemble, a map, or the map of a run.

    Raises:
        HeteroError: its files are gone, or cannot be read.
    """
    from hetero.maps import Volume, open_ensemble
    from napari_hetero import layers

    tag = layers.tag(layer)
    path = Path(tag["path"])
    if tag["kind"] == "run":
        centre = Volume(np.asarray(layer.data), np.array(layer.scale), np.array(layer.translate), "centre of the run")
        return DecodedModel(path, centre, tag["level"])
    return EnsembleModel(open_ensemble(path) if tag["kind"] == "ensemble" else ensemble_of_one(path))
