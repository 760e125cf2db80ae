"""A trained model as a thing in ChimeraX's list of models: a name for a folder, and what was decoded from it."""

import os
from dataclasses import asdict, dataclass

import numpy as np
from chimerax.core.models import Model

_KEPT = ("reading", "images", "tables", "clusters")  # of a run, in sessions


@dataclass(frozen=True)
class Point:
    """A place in a run's latent space, of which a map was decoded.

    Attributes:
        z: its numbers.
        name: what the user called it.
        nearest: number of the nearest particle, None for a homogeneous model.
        beyond: whether it lies farther from the particles than they do from each other.
        scores: its places along the components.
    """

    z: tuple
    name: str
    nearest: int | None = None
    beyond: bool = False
    scores: tuple = ()

    def coordinate(self, name):
        """Its place along ``PC1`` ... or ``z1`` ...; None for any other column."""
        kind, number = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
        values = {"PC": self.scores, "z": self.z}.get(kind, ())
        return values[int(number) - 1] if number and 0 < int(number) <= len(values) else None


class RunModel(Model):
    """A run (a trained model) that is open; it draws nothing.

    Attributes:
        folder: its path.
        info: the engine's answer about it: system, n, zdim, epoch, shape, apix, ...
        reading: how it is read, as far as that was said: epoch, apix, flip, invert.
        images: the particles it was trained on, once a command named them: particles, poses, ctf, datadir.
        tables: paths of tables of its particles; their columns are known beside the latents'.
        clusters: groups of k-means that are shown; 0 for none.
        places: the Places last asked for, see :func:`~.places.places_of`; None before.
        points: map -> Point, for maps decoded from it that are still open.
        chosen: numbers of the particles that are selected, int64, maybe none.
        watchers: functions without arguments, see :meth:`tell`.
    """

    def __init__(self, name, session, folder="", info=None, reading=None):
        super().__init__(name, session)
        self.folder = folder
        self.info = info or {}
        self.reading, self.images = reading or {}, {}
        self.tables, self.clusters, self.places = (), 0, None
        self.points = {}
        self.chosen = np.zeros(0, np.int64)
        self.watchers = []

    @property
    def zdim(self):
        """Numbers in a latent."""
        return self.info.get("zdim", 0)

    def point_of(self, volume):
        """The Point that ``volume`` was decoded from, or None."""
        self.points = {v: p for v, p in self.points.items() if not v.deleted}
        return self.points.get(volume)

    def read_as(self, *names):
        """What was said of ``names`` (of ``reading``), as the engine's settings."""
        return {name: self.reading[name] for name in names if name in self.reading}

    def choose(self, particles):
        """Select particles by their numbers."""
        self.chosen = particles
        self.tell()

    def tell(self):
        """Call the ``watchers``: other particles are selected, or another map was decoded."""
        for watcher in list(self.watchers):
            watcher()

    def describe(self):
        """One line for the log."""
        info = self.info
        epoch = "" if info.get("epoch") is None else f", epoch {info['epoch']}"
        latents = (
            f"{info['n']:,} particles, latents of {info['zdim']}" if info.get("zdim") else "one map without latents"
        )
        return f"a run of {info['system']}{epoch}: {latents}, maps of {info['shape'][0]}\u00b3 voxels"

    def take_snapshot(self, session, flags):
        """Session state: where it lies, what it is, which maps came from it, which particles are selected."""
        points = [(volume, asdict(point)) for volume, point in self.points.items() if not volume.deleted]
        return {
            "model state": Model.take_snapshot(self, session, flags),
            "folder": self.folder,
            "info": self.info,
            "kept": {name: getattr(self, name) for name in _KEPT},
            "points": points,
            "selected": self.chosen,
            "version": 1,
        }

    @classmethod
    def restore_snapshot(cls, session, data):
        """The run of a session file; its folder is looked at when something is asked of it."""
        run = cls("run", session, data["folder"], data["info"])
        Model.set_state_from_snapshot(run, session, data["model state"])
        run.points = {volume: Point(**point) for volume, point in data["points"] if volume is not None}
        run.chosen = np.array(data["selected"], np.int64)
        for name, value in data["kept"].items():
            setattr(run, name, value)
        gone = [path for path in run.tables if not os.path.isfile(path)]
        if gone:
            run.tables = tuple(path for path in run.tables if path not in gone)
            session.logger.warning(f"{run}: {', '.join(gone)} is not there; its columns are gone too")
        if not os.path.isdir(run.folder):
            session.logger.warning(f"{run}: the run's folder {run.folder} is not there; nothing can be decoded from it")
        return run


def open_runs(session):
    """The runs that are open."""
    return [model for model in session.models.list() if isinstance(model, RunModel)]
