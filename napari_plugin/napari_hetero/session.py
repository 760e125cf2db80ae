"""What is open in one viewer: one ensemble or run drawn, one set of blocks over it. Ties models, painter and viewer;
knows no Qt.

All widgets of a viewer share one session (:mod:`napari_hetero.sessions`), so the slider of one moves the numbers of
another.
"""

from psygnal import Signal

from hetero.errors import HeteroError
from napari_hetero import layers, preferences, view
from napari_hetero.blocks_model import BlocksModel
from napari_hetero.decoded_model import model_of
from napari_hetero.drawing import Drawing
from napari_hetero.ensemble_model import EnsembleModel

RENDERINGS = ("auto", "mesh", "iso")
GRIDS = {"evenly": EnsembleModel.evenly, "onwards": EnsembleModel.onwards}


class Session:
    """Follows the viewer's layers and sliders and draws.

    Attributes:
        ensemble: the :class:`EnsembleModel` looked at, or None.
        blocks: the :class:`BlocksModel` over it, or None.
        rendering: ``auto``, ``mesh`` or ``iso``.
        grid: which volumes are drawn side by side (a key of :data:`GRIDS`) and how many; None: one volume.
        problem: one sentence on why the current volume is not drawn, or an empty string.
        misfit: one sentence on why the blocks are not laid over it, or an empty string.
        left_over: drawn layers whose ensemble was deleted; :meth:`tidy` takes them away.
    """

    changed = Signal()

    def __init__(self, viewer, renderer: str = ""):
        self.viewer = viewer
        self.renderer = renderer
        self.rendering = preferences.preferences().maps.rendering
        self.problem = self.misfit = ""
        self.ensemble: EnsembleModel | None = None
        self.blocks: BlocksModel | None = None
        self.left_over: list = []
        self._maps = None  # the layer of the ensemble
        self._masks = None  # the layer of the blocks
        self._run = None  # the layer of the run
        self._latents: dict = {}  # layer of a run: its LatentModel, so that selections outlive a look at another run
        self.grid: tuple[str, int] | None = None
        self._drawing = Drawing(viewer)
        self.turned = view.stand_upright(viewer)
        # Last: napari itself first gives the viewer its axes for the new layer, and centres its sliders.
        viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.current_step.connect(self._read_step)
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        view.camera(viewer).events.angles.connect(self._on_turned)
        self._end = preferences.follow(self._on_preferences)
        self._adopt_what_is_open()

    @property
    def how(self) -> str:
        """``mesh`` or ``iso``: what ``rendering`` means with the graphics found."""
        if self.rendering != "auto":
            return self.rendering
        if self.blocks is not None or (self.ensemble is not None and self.ensemble.pinned is not None):
            return "mesh"  # its vertices have colours; over an iso surface blocks are boxes of voxels
        return "mesh" if view.is_software(self.renderer) or not self.renderer else "iso"

    def layers_of(self, *kinds: str) -> list:
        """The viewer's layers of ours that are of these kinds."""
        return [layer for layer in self.viewer.layers if layers.tag(layer).get("kind") in kinds]

    @property
    def maps_layer(self):
        """The layer of the ensemble looked at, or None."""
        return self._maps

    @property
    def blocks_layer(self):
        """The layer of the blocks laid over it, or None."""
        return self._masks

    @property
    def run_layer(self):
        """The layer of the run whose latents are looked at, or None."""
        return self._run

    def latent_of(self, layer):
        """The :class:`napari_hetero.latent_model.LatentModel` of a run's layer; None for no layer, or a run without
        latents."""
        from napari_hetero.latent_model import LatentModel

        if layer is None or (space := layers.tag(layer)["space"]).run.zdim == 0:
            return None
        if layer not in self._latents:
            self._latents[layer] = LatentModel(space)
        return self._latents[layer]

    def use_run(self, layer) -> None:
        """Look at another run."""
        self._run = layer
        self.use_maps(layer)

    def show_decoded(self, volume) -> None:
        """Draw a map of the run: a :class:`hetero.maps.Volume`."""
        from hetero.maps import same_grid

        if self._run is None:
            return
        if self._maps is not self._run:
            self.use_maps(self._run)
        if not same_grid(self.ensemble.ensemble, volume):
            self._drawing.clear()  # what is drawn keeps the voxels it was made with
        self.ensemble.put(volume)

    def use_maps(self, layer) -> None:
        """Look at another ensemble, map or run."""
        self._drop_maps()
        try:
            self.ensemble = model_of(layer)
        except HeteroError as error:
            self.problem = str(error)
            self.changed.emit()
            return
        self._maps = layer
        preferences.lock_as_set(self.ensemble)
        self.ensemble.changed.connect(self._on_ensemble)
        self.viewer.dims.ndisplay = 3
        self._read_step()
        self.draw()

    def use_blocks(self, layer) -> None:
        """Lay other blocks over the maps."""
        from hetero.maps import read_blocks

        self._drop_blocks()
        try:
            folder = layers.tag(layer)["path"]
            self.blocks = BlocksModel(read_blocks(folder), folder)
        except HeteroError as error:
            self.misfit = str(error)
            self.changed.emit()
            return
        self._masks = layer
        layer.colormap = layers.label_colors(self.blocks.blocks.colors)
        self.blocks.changed.connect(self.draw)
        self.draw()

    def set_rendering(self, rendering: str) -> None:
        """Draw as ``auto``, ``mesh`` or ``iso``."""
        self.rendering = rendering
        self.draw()

    def set_grid(self, grid: tuple[str, int] | None) -> None:
        """Draw several volumes side by side, turned by one camera; None: the one looked at."""
        self.grid = grid
        self.draw()

    def draw(self) -> None:
        """Draw the current volume, measure the blocks in it, and tell the widgets."""
        self.problem = self.misfit = ""
        if self.ensemble is not None and self._maps in self.viewer.layers:
            try:
                self._draw()
            except HeteroError as error:
                self.problem = str(error)
                self._drawing.show(False)
                if self.blocks is not None:
                    self.blocks.forget()
        self.changed.emit()

    def tidy(self) -> None:
        """Take away drawn layers whose ensemble was deleted.

        Not done while napari is deleting: it may be about to delete them itself.
        """
        gone, self.left_over = self.left_over, []
        for layer in gone:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def disconnect(self) -> None:
        """Stop following the viewer; what was drawn stays as it is."""
        self._end()
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.dims.events.current_step.disconnect(self._read_step)
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        view.camera(self.viewer).events.angles.disconnect(self._on_turned)

    def _draw(self) -> None:
        in_3d = self.viewer.dims.ndisplay == 3
        self._show_sources(not in_3d)
        volume, level = self.ensemble.volume, self.ensemble.level().value
        blocks = self.blocks
        if blocks is not None:
            self.misfit = blocks.misfit(self.ensemble.ensemble)
            if self.misfit:
                blocks.forget()
                blocks = None
            else:
                blocks.measure(volume.data, level)
        if in_3d:
            many = self.grid is not None and len(self.ensemble.ensemble) > 1
            tiles = GRIDS[self.grid[0]](self.ensemble, self.grid[1]) if many else []
            self._drawing.draw(self.ensemble, blocks, self.how, tiles)
        else:
            self._drawing.show(False)

    def _show_sources(self, visible: bool) -> None:
        """Slices are cut from the maps' own layer; in 3D the drawn surface stands for it."""
        for layer in self.layers_of("ensemble", "map", "run"):
            layers.show([layer], visible and layer is self._maps)
        for layer in self.layers_of("blocks"):
            layers.show([layer], visible and layer is self._masks and self.misfit == "")

    def _adopt_what_is_open(self) -> None:
        for found, use in (
            (self.layers_of("run"), self.use_run),
            (self.layers_of("ensemble") or self.layers_of("map"), self.use_maps),
            (self.layers_of("blocks"), self.use_blocks),
        ):
            if found:
                use(found[-1])

    def _on_inserted(self, event) -> None:
        kind = layers.tag(event.value).get("kind")
        if kind == "ensemble" or (kind == "map" and self._maps is None):
            self.use_maps(event.value)
            if self.ensemble is not None:
                self.ensemble.go_to(0)
        elif kind == "run":
            self.use_run(event.value)
        elif kind == "blocks":
            self.use_blocks(event.value)
        elif kind in ("map", "arrows", "occupancies"):
            self.changed.emit()

    def _on_removed(self, event) -> None:
        layer = event.value
        self._drawing.forget(layer)
        self._latents.pop(layer, None)
        if layer is self._run:
            self._run = next(iter(self.layers_of("run")[::-1]), None)
        if layer is self._maps:
            self._drop_maps()
        elif layer is self._masks:
            self._drop_blocks()
            self.draw()
            return
        self.changed.emit()

    def _on_preferences(self) -> None:
        self.rendering = preferences.preferences().maps.rendering
        if self.ensemble is not None:
            preferences.lock_as_set(self.ensemble)
        if self.blocks is not None:
            self.blocks.recolor()
            self._masks.colormap = layers.label_colors(self.blocks.blocks.colors)
        self.draw()

    def _drop_maps(self) -> None:
        self.left_over += self._drawing.leave()
        self._drawing = Drawing(self.viewer)
        self.ensemble = self._maps = self.grid = None
        self.problem = self.misfit = ""
        if self.blocks is not None:
            self.blocks.forget()

    def _drop_blocks(self) -> None:
        self.blocks = self._masks = None
        self.misfit = ""

    def _on_ensemble(self) -> None:
        axis = self._axis()
        if axis is not None and round(self.viewer.dims.point[axis]) != self.ensemble.index:
            self.viewer.dims.set_point(axis, self.ensemble.index)
        self.draw()

    def _read_step(self, event=None) -> None:
        axis = self._axis()
        if axis is not None:
            self.ensemble.go_to(round(self.viewer.dims.point[axis]))

    def _on_ndisplay(self, event=None) -> None:
        self.draw()

    def _on_turned(self, event=None) -> None:
        self._drawing.relight()

    def _axis(self) -> int | None:
        """The viewer's slider over the volumes, where the ensemble has more than a single map's three axes."""
        # While napari clears its layers, its sliders move before we hear that ours are gone.
        if self.ensemble is None or self._maps not in self.viewer.layers or self._maps.ndim != 4:
            return None
        return self.viewer.dims.ndim - 4
