"""One point of a run's latent space, as viewers name it."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hetero.commands import check_range
from hetero.commands.decode import rows_of
from hetero.commands.particle_occupancy import read_numbers
from hetero.commands.warm_run import WarmRun
from hetero.errors import HeteroError

_PLACE = re.compile(r"(pc|z)([1-9]\d{0,4})", re.IGNORECASE)


@dataclass(frozen=True)
class NamedLatent:
    """A latent, named in one of five ways; in none for a homogeneous model.

    Attributes:
        z: zdim numbers.
        at: Places along components or numbers of the latent, {"PC1": 0.5, "PC3": -1} or {"z2": 1}; the others stand
            at the particles' mean.
        particle: A row of the particle file, counted from 0.
        center: A cluster of k-means: its particle nearest to the mean.
        clusters: How many clusters there are.
        mean_of: A file of particle numbers: the mean of their latents.
    """

    z: tuple[float, ...] = ()
    at: dict[str, float] = field(default_factory=dict)
    particle: int | None = None
    center: int | None = None
    clusters: int = 20
    mean_of: Path | None = None

    @property
    def title(self) -> str:
        """What a screen calls it."""
        if self.particle is not None:
            return f"particle {self.particle}"
        if self.center is not None:
            return f"center {self.center}"
        if self.mean_of is not None:
            return "mean"
        if self.at:
            return ", ".join(f"{name} {value:.3g}" for name, value in self.at.items())
        return "z " + ",".join(f"{x:.3g}" for x in self.z) if self.z else "map"

    def of(self, warm: WarmRun) -> np.ndarray:
        """``(zdim,)`` float32 in the latent space of ``warm``.

        Raises:
            HeteroError: no name or two, or one that the run does not have.
        """
        model = warm.run
        given = [bool(self.z), bool(self.at)]
        given += [x is not None for x in (self.particle, self.center, self.mean_of)]
        if not model.zdim:
            if any(given):
                raise HeteroError(f"{model.folder} is a homogeneous model: it has a single map and takes no latents.")
            return np.zeros(0, np.float32)
        if sum(given) != 1:
            raise HeteroError("One of z, at, particle, center and mean_of was expected, to say what is decoded.")
        if self.at:
            return _at(self.at, warm)
        if self.particle is not None:
            return model.latents[rows_of(model, np.array([self.particle]))[0]]
        if self.center is not None:
            check_range("The number of clusters", self.clusters, 1, 10_000)
            check_range("The cluster", self.center, 0, self.clusters - 1)
            return model.latents[warm.clusters(self.clusters).nearest[self.center]]
        if self.mean_of is not None:
            rows = rows_of(model, np.asarray(read_numbers(self.mean_of, int(model.particle_index.max()) + 1)))
            return model.latents[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
        if len(self.z) != model.zdim:
            raise HeteroError(
                f"A latent of {len(self.z)} numbers was given; {model.folder} has latents of {model.zdim}."
            )
        return np.array(self.z, dtype=np.float32)


def _at(places: dict[str, float], warm: WarmRun) -> np.ndarray:
    kinds, numbers = set(), {}
    for name, value in places.items():
        match = _PLACE.fullmatch(name)
        if match is None or int(match[2]) > warm.run.zdim or not math.isfinite(value):
            raise HeteroError(
                f"{name} = {value:g} is no place in {warm.run.folder}; PC1 to PC{warm.run.zdim} or z1 to "
                f"z{warm.run.zdim} and a number were expected."
            )
        kinds.add(match[1].lower())
        numbers[int(match[2]) - 1] = value
    if len(kinds) > 1:
        raise HeteroError("Components (PC1 ...) and numbers of the latent (z1 ...) cannot both say where a point is.")
    if kinds == {"z"}:
        z = warm.components.mean.astype(np.float32)
        z[list(numbers)] = list(numbers.values())
        return z
    scores = np.zeros((1, warm.run.zdim))
    scores[0, list(numbers)] = list(numbers.values())
    return warm.components.latents(scores)[0]
