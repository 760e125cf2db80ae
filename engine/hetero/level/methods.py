"""Ways to choose a contour level: which one, with what numbers, and those that need no network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import norm

from hetero.errors import HeteroError
from hetero.level.framing import inside_constant_borders
from hetero.maps import DALTON_PER_A3, Volume

METHODS = ("cnn", "percentile", "fdr", "mass")
_FACE_DEPTH = 0.05  # of the box: solvent in which the false-discovery rule measures noise
_TO_SD = 1.4826  # s.d. of a normal distribution whose median absolute deviation is 1


@dataclass(frozen=True)
class LevelMethod:
    """How a level is chosen.

    Attributes:
        name: ``"cnn"``: the level that encloses what a network takes for the molecule; ``"percentile"``: the value that
            ``percentile`` % of the voxels do not exceed; ``"fdr"``: above it at most a share ``fdr`` of the voxels are
            noise (Beckers et al. 2019); ``"mass"``: encloses ``mass_kda`` at 0.81 Da/Å^3.
        weights: for ``"cnn"``: weights of a network, ours or a published SIREn checkpoint; the packaged ones where not
            given.
        percentile: 0 to 100, both excluded.
        fdr: 0 to 1, both excluded.
        mass_kda: kDa.

    Raises:
        HeteroError: unknown name, a number out of range, or ``"mass"`` without one.
    """

    name: str = "cnn"
    weights: Path | None = None
    percentile: float = 99.0
    fdr: float = 0.01
    mass_kda: float | None = None

    def __post_init__(self):
        if self.name not in METHODS:
            raise HeteroError(f"There is no level method '{self.name}'; expected one of: {', '.join(METHODS)}.")
        if not 0 < self.percentile < 100:
            raise HeteroError(
                f"A percentile of {self.percentile:g} was given; a number between 0 and 100 was expected."
            )
        if not 0 < self.fdr < 1:
            raise HeteroError(f"A false discovery rate of {self.fdr:g} was given; between 0 and 1 was expected.")
        if self.name == "mass" and self.mass_kda is None:
            raise HeteroError("The method mass needs the molecule's mass in kDa.")
        if self.mass_kda is not None and not 0 < self.mass_kda < np.inf:
            raise HeteroError(f"A mass of {self.mass_kda:g} kDa was given; a positive number was expected.")


def simple_level(volume: Volume, method: LevelMethod) -> float:
    """Level of a map by a method that needs no network.

    Raises:
        HeteroError: the method has no answer for this map.
    """
    if method.name == "percentile":
        return float(np.percentile(volume.data, method.percentile))
    if method.name == "fdr":
        return false_discovery_level(volume.data, method.fdr)
    return mass_level(volume, method.mass_kda)


def mass_level(volume: Volume, mass_kda: float) -> float:
    """The level that encloses ``mass_kda`` at 0.81 Da/Å^3, counting every voxel at or above it.

    Raises:
        HeteroError: the box is smaller than that.
    """
    voxels = round(1000 * mass_kda / (DALTON_PER_A3 * float(np.prod(volume.apix))))
    if not 1 <= voxels < volume.data.size:
        held = volume.data.size * float(np.prod(volume.apix)) * DALTON_PER_A3 / 1000
        raise HeteroError(f"{mass_kda:g} kDa are {voxels:,} voxels, but the map's whole box holds {held:,.4g} kDa.")
    return float(np.partition(volume.data, volume.data.size - voxels, axis=None)[volume.data.size - voxels])


def false_discovery_level(data: np.ndarray, rate: float) -> float:
    """Least value that stands out from solvent noise at a false discovery rate (Beckers, Jakobi & Sachse 2019).

    Noise is taken to be normal, with the median and the median absolute deviation of a shell at the map's faces, the
    test to be one-sided, and voxels to depend on each other in any way (Benjamini & Yekutieli 2001):

        level = smallest v_(k) with P(noise >= v_(k)) <= k / (m sum_{i<=m} 1/i) * rate

    where ``v_(k)`` is the k-th largest of ``m`` values.

    Args:
        data: ``(z, y, x)``.
        rate: share of false voxels above the level, e.g. 0.01.

    Raises:
        HeteroError: no noise at the faces (a masked map), or no voxel stands out.
    """
    kept = data[inside_constant_borders(data)]
    shell = np.ones(kept.shape, bool)
    shell[tuple(slice(d, n - d) for n, d in ((n, max(2, round(_FACE_DEPTH * n))) for n in kept.shape))] = False
    noise = kept[shell]
    middle = float(np.median(noise))
    spread = _TO_SD * float(np.median(np.abs(noise - middle)))
    if spread == 0:
        raise HeteroError("The map has no noise at its faces (it is masked), so no false discovery rate can be told.")
    m = kept.size
    # Only these can pass: even the m-th largest value needs a p-value of rate / harmonic.
    harmonic = np.log(m) + np.euler_gamma + 1 / (2 * m)
    values = np.sort(kept[kept > middle + spread * norm.isf(rate / harmonic)])[::-1].astype(float)
    passed = norm.sf(values, middle, spread) <= np.arange(1, len(values) + 1) / (m * harmonic) * rate
    if not passed.any():
        raise HeteroError(f"Nothing in the map stands out from its noise at a false discovery rate of {rate:g}.")
    return float(values[np.flatnonzero(passed)[-1]])
