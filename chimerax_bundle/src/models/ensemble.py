"""An ensemble: a map series whose maps each stand at their own level."""

import math

from chimerax.core.models import Model
from chimerax.map_series import MapSeries

from ..palette import class_rgba

_COLOR = (0.70, 0.78, 0.88, 1.0)  # one colour for all: it is one molecule that moves


class EnsembleModel(MapSeries):
    """A map series that remembers the folder it came from and keeps each map at its own level.

    `vseries play` and the slider give each map the level of the one before, and throw surfaces away that are not shown;
    here a map that comes back stands where it stood.

    Attributes:
        folder: path of the folder.
        classes: map -> its class, from 1, in whose colour it stands; maps without one share a colour.
    """

    def __init__(self, name, maps, session, folder=""):
        self.classes = {}
        self._kept = {}  # map -> level, for maps whose surface was thrown away
        self._borrowed = {}  # map -> level of the map shown before it, for maps that had none of their own
        self._saved = ()  # (number, level, class) of each map in a session file, until the maps are there too
        super().__init__(name, maps, session)
        self.folder = folder

    @property
    def levels(self):
        """The level of each open map, None where ChimeraX has yet to choose its first one."""
        return [self.level_of(volume) for volume in self.maps if volume is not None]

    def level_of(self, volume):
        """The level at which a map of ours stands, None where ChimeraX has yet to choose its first one."""
        return volume.surfaces[0].level if volume.surfaces else self._kept.get(volume)

    def has_own_level(self, volume):
        """Whether a level was meant for a map: it is neither that of the map before nor ChimeraX's first one."""
        level = self.level_of(volume)
        if level is None:
            return False
        if volume in self._borrowed:
            return not math.isclose(level, self._borrowed[volume], rel_tol=1e-4)
        first = volume.initial_surface_levels()[0] if volume.surfaces else ()
        return not any(math.isclose(level, one, rel_tol=1e-4) for one in first)

    def unshow_time(self, time, cache_rendering=True):
        """Hide a map; its level is remembered when its surface goes."""
        volume = self.maps[time]
        if volume is not None:
            self._kept[volume] = self.level_of(volume)
        super().unshow_time(time, cache_rendering)

    def copy_display_parameters(self, t1, t2, normalize_thresholds=False):
        """Give map ``t2`` the looks of ``t1``, but not its level, nor one that `normalize` makes from it."""
        volume = self.maps[t2]
        level = None if volume is None else self.level_of(volume)
        super().copy_display_parameters(t1, t2, normalize_thresholds=False)
        if level is not None:
            volume.set_parameters(surface_levels=[level])
        elif volume is not None and volume.surfaces:
            self._borrowed[volume] = volume.surfaces[0].level
        if volume in self.classes:
            volume.set_parameters(surface_colors=[class_rgba(self.classes[volume])] * len(volume.surfaces))

    def volume_closed(self, v):
        """Forget a map that was closed."""
        self._kept.pop(v, None)
        self._borrowed.pop(v, None)
        self.classes.pop(v, None)
        super().volume_closed(v)

    def added_to_session(self, session):
        """Say what was opened. MapSeries would also describe the first map, whose data may not be read yet."""
        Model.added_to_session(self, session)
        if self._saved:
            self._take_maps()
        if self.maps:
            session.logger.info(f"{self}: an ensemble of {len(self.maps)} maps, each at its own level")

    def take_snapshot(self, session, flags):
        """Session state: the folder, and what is known of each map. The maps save themselves."""
        maps = [
            # the number alone: of a session that is opened beside another the rest of the id changes
            (volume.id[-1], self.level_of(volume), self.classes.get(volume))
            for volume in self.maps
            if volume is not None
        ]
        state = Model.take_snapshot(self, session, flags)
        return {"model state": state, "folder": self.folder, "maps": maps, "version": 1}

    @staticmethod
    def restore_snapshot(session, data):
        """The ensemble of a session file; its maps are put in once they are restored."""
        ensemble = EnsembleModel("ensemble", [], session, data["folder"])
        Model.set_state_from_snapshot(ensemble, session, data["model state"])
        ensemble._saved = data["maps"]
        return ensemble

    def _take_maps(self):
        children = {child.id[-1]: child for child in self.child_models()}
        found = [(children[number], level, label) for number, level, label in self._saved if number in children]
        self._saved = ()
        self.set_maps([volume for volume, _, _ in found])
        self._kept = {volume: level for volume, level, _ in found}
        self.classes = {volume: label for volume, _, label in found if label is not None}


def ensemble_from_files(session, folder, name, rows, kept=True):
    """An ensemble model, not yet added to the session; the first map is displayed and no other map's data is read.

    Args:
        folder: path the maps came from.
        rows: dicts ``{name, path, level}``; level in the map's own values, or None for ChimeraX's first guess.
        kept: whether the files stay; of files that go away all values are read at once.

    Raises:
        UserError: a file cannot be opened.
    """
    from .grids import draw_in_script, open_kept, volume_from_grid

    volumes = []
    for row in rows:
        grid = open_kept(row["path"], row["name"], kept)
        grid.rgba = _COLOR
        volumes.append(volume_from_grid(session, grid, row["level"], display=False))
    ensemble = EnsembleModel(name, volumes, session, folder if kept else "")
    draw_in_script(volumes[0])
    return ensemble
