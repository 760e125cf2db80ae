"""What the Motion widget shows, without Qt or napari: which arrows, how long, in what colour; Gaussians as balls."""

import numpy as np
from psygnal import Signal

ALL = "everywhere"
REGION = "the motion's own region"
_FWHM = 2.3548  # width of a Gaussian at half its height, in s.d.
_DIMMEST = 0.3
_THIN = 0.45  # a shaft's width, of the median distance to the next Gaussian: heads as wide as ChimeraX's
_STOUT = 0.2  # ... and of the arrow's length, at most


class MotionModel:
    """Arrows, and which of them are shown. ``changed`` is emitted after every change.

    Attributes:
        arrows: the :class:`hetero.commands.motion_space.Arrows`.
        scale: factor for the lengths on screen; words and colours tell the true ones.
        shortest: Å; shorter arrows are left out.
        region: where, one of :attr:`regions`.
        regions: name -> ``(g,)`` bool.
    """

    changed = Signal()

    def __init__(self, arrows):
        self.arrows = arrows
        self.scale, self.shortest, self.region = 1.0, 0.0, ALL
        self.regions = {ALL: np.ones(len(arrows.centres), dtype=bool)}
        self._apart = arrows.apart
        if arrows.inside is not None:
            self.regions[REGION] = arrows.inside

    @property
    def shown(self) -> np.ndarray:
        """``(g,)`` bool."""
        return self.regions[self.region] & (self.arrows.lengths >= self.shortest)

    @property
    def longest(self) -> float:
        """Å, of all arrows: where the colours end."""
        return float(self.arrows.lengths.max())

    def set(self, scale: float | None = None, shortest: float | None = None, region: str | None = None) -> None:
        """Show other arrows."""
        self.scale = self.scale if scale is None else scale
        self.shortest = self.shortest if shortest is None else shortest
        self.region = self.region if region is None else region
        self.changed.emit()

    def take_blocks(self, blocks) -> None:
        """Let each of a :class:`hetero.maps.Blocks` be a region; None takes them away."""
        own = {name: inside for name, inside in self.regions.items() if name in (ALL, REGION)}
        if blocks is not None:
            place = np.rint((self.arrows.centres - blocks.origin) / blocks.apix).astype(int)
            within = ((place >= 0) & (place < blocks.masks.shape[1:])).all(axis=1)
            for name, mask in zip(blocks.names, blocks.masks, strict=True):
                own[name] = np.zeros(len(place), dtype=bool)
                own[name][within] = mask[tuple(place[within].T)]
        self.regions = own
        if self.region not in own:
            self.set(region=ALL)

    def vectors(self) -> np.ndarray:
        """``(m, 2, 3)`` starts and steps, Å along z, y, x, as napari has them."""
        shown = self.shown
        return np.stack([self.arrows.centres[shown], self.scale * self.arrows.displacements[shown]], axis=1)

    def look(self) -> dict:
        """Colours, widths and the table of the arrows shown, as keywords of a layer."""
        import pandas as pd

        lengths = self.arrows.lengths[self.shown]
        return {
            "features": pd.DataFrame({"gaussian": np.flatnonzero(self.shown) + 1, "length": lengths}),
            "edge_color": shades(lengths / max(self.longest, 1e-9)),
            "edge_width": self._width(self.scale * lengths),
        }

    def _width(self, lengths: np.ndarray) -> float:
        """Å, one for all arrows in napari: for those that make up the motion, however many short ones there are."""
        long = (lengths**2).sum() / max(lengths.sum(), 1e-9)
        return max(min(_THIN * self._apart, _STOUT * long), 0.1)

    def words(self) -> str:
        """How many, and how long."""
        lengths = self.arrows.lengths[self.shown]
        if not len(lengths):
            return f"None of the {len(self.shown):,} arrows is that long there; the longest is {self.longest:.1f} Å."
        return (
            f"{len(lengths):,} of {len(self.shown):,} arrows: median {np.median(lengths):.1f} Å, longest "
            f"{lengths.max():.1f} Å."
        )


def shades(share: np.ndarray) -> np.ndarray:
    """Shares ``(n,)`` of the longest arrow, 0 to 1 -> RGBA ``(n, 4)``: purple (0) to yellow, as in ChimeraX."""
    from matplotlib import colormaps

    return colormaps["viridis"](np.asarray(share, float))


def ball_look(model) -> dict:
    """Sizes and colours of the Gaussians of a :class:`hetero.gmm.GaussianModel`, as keywords of a layer."""
    bright = _DIMMEST + (1 - _DIMMEST) * model.amplitudes / max(float(model.amplitudes.max()), 1e-30)
    grey = np.column_stack([bright, bright, bright, np.ones(len(bright))])
    return {"size": _FWHM * model.sigmas, "face_color": grey * np.array([0.75, 0.88, 1.0, 1.0])}
