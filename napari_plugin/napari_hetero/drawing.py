"""What is drawn of one ensemble: the volume looked at, a pinned one through which one sees, or several in a grid; with
blocks on them. Needs no Qt."""

from functools import partial

from napari_hetero import view
from napari_hetero.grid import Grid
from napari_hetero.painter import Painter


class Drawing:
    """All layers that are drawn of an ensemble."""

    def __init__(self, viewer):
        self.viewer = viewer
        self._painter = Painter(viewer)
        self._grid = Grid(viewer)
        self._ghost_of = None  # the pinned volume that is drawn

    @property
    def drawn(self) -> list:
        """The layers drawn."""
        return [*self._painter.drawn, *self._grid.drawn]

    def draw(self, model, blocks, how: str, tiles: list[int]) -> None:
        """Draw an :class:`napari_hetero.ensemble_model.EnsembleModel`.

        Args:
            blocks: a :class:`napari_hetero.blocks_model.BlocksModel` on the same grid, or None.
            how: ``"mesh"`` or ``"iso"``; tiles are always meshes.
            tiles: the volumes to draw side by side; none: the one looked at.
        """
        other = self._grid.draw([self._tile(model, blocks, index) for index in tiles])
        if not tiles:
            self._painter.draw(**_look(model, blocks, how, model.index, f"{model.title} surface"))
            self._draw_pinned(model.pinned)
        self._painter.show(not tiles)
        if other:
            view.fit(self.viewer, self._grid.drawn or self._painter.drawn)

    def relight(self) -> None:
        """The camera turned."""
        self._painter.relight()
        self._grid.relight()

    def show(self, visible: bool) -> None:
        """Show or hide everything."""
        self._painter.show(visible)
        self._grid.show(visible)

    def clear(self) -> None:
        """Take everything away."""
        self._painter.clear()
        self._grid.draw([])

    def leave(self) -> list:
        """Draw no more: napari's grid stands as before; the layers, which someone else takes away."""
        self._grid.stand(False)
        return self.drawn

    def forget(self, layer) -> None:
        """The user deleted ``layer``."""
        self._painter.forget(layer)
        self._grid.forget(layer)

    def _tile(self, model, blocks, index: int) -> tuple:
        """As :meth:`napari_hetero.grid.Grid.draw` takes it."""
        own = () if blocks is None else (blocks, blocks.shown.tobytes(), blocks.blocks.colors)
        title = model.title_of(index)
        key = (model, index, title, model.level(index).value, model.pinned, *own)
        return key, partial(_look, model, blocks, "mesh", index, title)

    def _draw_pinned(self, pinned) -> None:
        if self._ghost_of is not pinned:
            self._painter.draw_ghost(None)
        self._ghost_of = pinned
        if pinned is not None:
            self._painter.draw_ghost(pinned)


def _look(model, blocks, how: str, index: int, title: str) -> dict:
    """Keywords of :meth:`napari_hetero.painter.Painter.draw`."""
    look = {
        "volume": model.volume_at(index), "level": model.level(index).value, "how": how, "title": title,
        "excess": model.excess(index),
    }  # fmt: skip
    if blocks is not None:
        look["labels"] = blocks.grown_labels if how == "mesh" else blocks.labels
        look["colors"] = blocks.blocks.colors
    return look
