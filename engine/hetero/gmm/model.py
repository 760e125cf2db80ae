"""A molecule as a sum of Gaussians: the noun."""

from dataclasses import dataclass, field, replace

import numpy as np

from hetero.errors import HeteroError
from hetero.maps import Volume, grid_text

_AT_ONCE = 1 << 24  # values of Gaussians x voxels of a section in hand while a map is made: 64 MB


@dataclass(frozen=True, eq=False)
class GaussianModel:
    """``M(x) = sum_j A_j exp(-|x - c_j|^2 / (2 s_j^2))`` (Chen & Ludtke 2021, eq. 1), in the frame of a cubic map.

    Attributes:
        centres: ``(g, 3)`` Å along z, y, x, in the map's frame: voxel ``(k, j, i)`` is at ``origin + apix (k, j, i)``.
        amplitudes: ``(g,)`` densities at the centres, in any unit, none negative.
        sigmas: ``(g,)`` Å, standard deviations.
        box: voxels along each side of the map.
        apix: Å per voxel.
        origin: ``(3,)`` Å along z, y, x of the map's first voxel.
        name: what screens call it.

    Raises:
        HeteroError: shapes that do not fit, a number that is not finite, a negative amplitude or a width that is not
            positive; names the first such Gaussian, counted from 1.
    """

    centres: np.ndarray
    amplitudes: np.ndarray
    sigmas: np.ndarray
    box: int
    apix: float
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    name: str = "model"

    def __post_init__(self):
        centres = np.array(self.centres, dtype=float)
        if centres.ndim != 2 or centres.shape[1] != 3 or not len(centres):
            raise HeteroError(f"{self.name} has centres of shape {centres.shape}; (Gaussians, 3) was expected.")
        arrays = {"centres": centres}
        for what in ("amplitudes", "sigmas"):
            arrays[what] = np.broadcast_to(np.asarray(getattr(self, what), dtype=float), (len(centres),)).copy()
        for what, values in arrays.items():
            wrong = ~np.isfinite(values.reshape(len(centres), -1)).all(axis=1)
            self._refuse(wrong, f"has {what} that are no number")
        self._refuse(arrays["amplitudes"] < 0, "has a negative amplitude")
        self._refuse(arrays["sigmas"] <= 0, "has a width that is not positive")
        if not (self.box >= 2 and np.isfinite(self.apix) and self.apix > 0):
            raise HeteroError(f"{self.name} lies in a box of {self.box} voxels of {self.apix} Å; that is no map.")
        arrays["origin"] = np.broadcast_to(np.asarray(self.origin, dtype=float), (3,)).copy()
        for what, values in arrays.items():
            values.flags.writeable = False
            object.__setattr__(self, what, values)

    def _refuse(self, wrong: np.ndarray, what: str) -> None:
        if wrong.any():
            raise HeteroError(
                f"{self.name} {what} in {np.count_nonzero(wrong):,} of {len(wrong):,} Gaussians; number "
                f"{np.argmax(wrong) + 1} is the first."
            )

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def middle(self) -> np.ndarray:
        """``(3,)`` Å along z, y, x: the point about which particles turn, voxel ``box // 2``."""
        return self.origin + self.box // 2 * self.apix

    @property
    def masses(self) -> np.ndarray:
        """``(g,)`` integrals: amplitude x Å^3."""
        return self.amplitudes * (2 * np.pi * self.sigmas**2) ** 1.5

    def with_masses(self, masses: np.ndarray) -> "GaussianModel":
        """The same centres and widths with other integrals."""
        return replace(self, amplitudes=np.asarray(masses, dtype=float) / (2 * np.pi * self.sigmas**2) ** 1.5)

    def subset(self, chosen: np.ndarray) -> "GaussianModel":
        """Some of the Gaussians (integers or booleans)."""
        return replace(
            self, centres=self.centres[chosen], amplitudes=self.amplitudes[chosen], sigmas=self.sigmas[chosen]
        )

    def on_grid(self, box: int, apix: float) -> "GaussianModel":
        """The same Gaussians in another grid about the same middle."""
        return replace(self, box=box, apix=apix, origin=self.middle - box // 2 * apix)

    def density(self, box: int | None = None) -> Volume:
        """The sum on the map's grid; ``box`` voxels over the same extent, if given.

        Memory: the map and 64 MB. Exact: every Gaussian reaches every voxel.
        """
        box = box or self.box
        apix = self.apix * self.box / box
        along = apix * np.arange(box)
        reduced = (self.centres - self.origin)[:, :, None] - along  # (g, 3, box)
        tables = np.exp(-(reduced**2) / (2 * self.sigmas[:, None, None] ** 2)).astype(np.float32)
        data = np.zeros((box, box * box), dtype=np.float32)
        step = max(1, _AT_ONCE // box**2)
        for start in range(0, len(self), step):
            z, y, x = tables[start : start + step].transpose(1, 0, 2)
            sections = np.einsum("gy,gx->gyx", y, x).reshape(len(y), -1)
            data += (z * self.amplitudes[start : start + step, None].astype(np.float32)).T @ sections
        return Volume(data.reshape((box,) * 3), apix, self.origin, self.name)

    def inside(self, mask: Volume) -> np.ndarray:
        """``(g,)`` whether each centre lies in a voxel of a mask that is over one half.

        Raises:
            HeteroError: a mask on another grid, or without any Gaussian in it.
        """
        self.check_grid(mask)
        place = np.rint((self.centres - mask.origin) / mask.apix).astype(int)
        within = ((place >= 0) & (place < mask.shape)).all(axis=1)
        chosen = np.zeros(len(self), dtype=bool)
        chosen[within] = mask.data[tuple(place[within].T)] > 0.5
        if not chosen.any():
            raise HeteroError(f"None of the {len(self):,} Gaussians of {self.name} lies in the mask {mask.name}.")
        return chosen

    def check_grid(self, volume: Volume) -> None:
        """Refuse a map that does not cover the same cube, whatever its sampling.

        Raises:
            HeteroError: tells both.
        """
        extent = self.box * self.apix
        fits = np.allclose(np.array(volume.shape) * volume.apix, extent, rtol=0.01)
        if not fits or np.abs(volume.origin - self.origin).max() > 0.01 * extent:
            raise HeteroError(
                f"{volume.name} has {grid_text(volume)}; the grid of {self.name}, {extent:.4g} Å cubed from "
                f"{', '.join(f'{o:.4g}' for o in self.origin)} Å, was expected."
            )
