"""Draws arrows and Gaussians into a viewer. Needs no Qt: a ViewerModel will do."""

from napari_hetero import layers


class MotionPainter:
    """Owns an arrows layer and a Gaussians layer; one that the user deletes is drawn anew the next time."""

    def __init__(self, viewer):
        self.viewer = viewer
        self.arrows = None
        self.gaussians = None
        self._some = True  # whether any arrow is shown

    def adopt(self, layer) -> None:
        """Draw arrows into a layer that is open already."""
        self.arrows, self._some = layer, True
        self._put_under_surfaces(layer)

    def draw_arrows(self, model, path) -> None:
        """Draw what a :class:`napari_hetero.motion_model.MotionModel` shows; ``path`` is where it came from."""
        if not self._there(self.arrows):
            self.arrows = self._add(layers.arrows_layer(model, path))
        self._some = bool(model.shown.any())
        if self._some:  # napari draws no empty layer of vectors
            look = model.look()
            self.arrows.data = model.vectors()
            self.arrows.features = look["features"]
            self.arrows.edge_color, self.arrows.edge_width = look["edge_color"], look["edge_width"]

    def draw_gaussians(self, model, path) -> None:
        """Draw a :class:`hetero.gmm.GaussianModel`; ``path`` is where it came from."""
        data, keywords, kind = layers.gaussians_layer(model, path)
        if self._there(self.gaussians):
            self.gaussians.data = data
            self.gaussians.size, self.gaussians.face_color = keywords["size"], keywords["face_color"]
        else:
            self.gaussians = self._add((data, keywords, kind))

    def show(self, arrows: bool, gaussians: bool) -> None:
        """Show or hide them."""
        for layer, visible in ((self.arrows, arrows and self._some), (self.gaussians, gaussians)):
            if self._there(layer):
                layer.visible = visible

    def clear(self) -> None:
        """Take away what was drawn; arrows that were open already stay."""
        for layer in (self.arrows, self.gaussians):
            if self._there(layer) and "drawn" in layers.tag(layer):
                self.viewer.layers.remove(layer)
        self.arrows = self.gaussians = None

    def _there(self, layer) -> bool:
        return layer is not None and layer in self.viewer.layers

    def _put_under_surfaces(self, layer) -> None:
        """napari draws layers from the first to the last: what lies in a half-transparent surface must come before."""
        found = [k for k, other in enumerate(self.viewer.layers) if layers.tag(other).get("how") == "mesh"]
        if found:
            self.viewer.layers.move(self.viewer.layers.index(layer), found[0])

    def _add(self, layer_tuple):
        chosen = self.viewer.layers.selection.active
        data, keywords, kind = layer_tuple
        keywords["metadata"][layers.KEY]["drawn"] = True
        [layer] = layers.add(self.viewer, [(data, keywords, kind)])
        self._put_under_surfaces(layer)
        self.viewer.layers.selection.active = chosen or layer
        return layer
