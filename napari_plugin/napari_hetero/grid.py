"""Several volumes side by side in napari's own grid, all turned by its one camera. Needs no Qt."""

from napari_hetero import view
from napari_hetero.painter import Painter

MOST = 12


class Grid:
    """Owns a painter for each tile, and how napari's grid stood before."""

    def __init__(self, viewer):
        self.viewer = viewer
        self.painters: list[Painter] = []
        self._shown: list[tuple] = []  # what each painter has drawn
        self._before: dict | None = None

    @property
    def drawn(self) -> list:
        """The layers of all tiles."""
        return [layer for painter in self.painters for layer in painter.drawn]

    def draw(self, tiles: list[tuple]) -> bool:
        """Show tiles, the first one at the top left; without any the grid ends. Answers whether there are now more or
        fewer of them.

        Args:
            tiles: what tells a tile from another, and a function that gives the keywords of
                :meth:`napari_hetero.painter.Painter.draw`, asked for only where the tile is new.
        """
        fresh = len(tiles) != len(self.painters)
        while len(self.painters) > len(tiles):
            self.painters.pop().clear()
        while len(self.painters) < len(tiles):
            self.painters.append(Painter(self.viewer))
        self._shown = [*self._shown, *[()] * len(tiles)][: len(tiles)]
        for place, (painter, (key, look)) in enumerate(zip(self.painters, tiles, strict=True)):
            if painter.surface is None or self._shown[place] != key:
                painter.draw(**look())
                painter.surface.name_overlay.visible = True
                self._shown[place] = key
            painter.show(True)
        self.stand(bool(tiles))
        return fresh

    def relight(self) -> None:
        """The camera turned."""
        for painter in self.painters:
            painter.relight()

    def forget(self, layer) -> None:
        """The user deleted ``layer``."""
        for painter in self.painters:
            painter.forget(layer)

    def show(self, visible: bool) -> None:
        """Show or hide all tiles."""
        for painter in self.painters:
            painter.show(visible)
        self.stand(visible and bool(self.painters))

    def stand(self, on: bool) -> None:
        """Set up napari's grid for the tiles, or leave it as it was before."""
        grid = view.grid(self.viewer)
        if on and self._before is None:
            self._before = {name: getattr(grid, name) for name in ("enabled", "stride", "shape")}
            grid.stride, grid.shape, grid.enabled = 1, (-1, -1), True
        elif not on and self._before is not None:
            for name, value in self._before.items():
                setattr(grid, name, value)
            self._before = None
