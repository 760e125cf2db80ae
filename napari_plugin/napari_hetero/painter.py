"""Draws one volume at one level, with blocks over it, into a viewer. Needs no Qt: a ViewerModel will do."""

import numpy as np

from napari_hetero import layers, meshes, view

OVERLAY = "blocks on the surface"
_GHOST = 0.25  # opacity


class Painter:
    """Owns the layers it draws. A layer that the user deletes is drawn anew the next time."""

    def __init__(self, viewer):
        self.viewer = viewer
        self.surface = None  # a Surface (mesh) or an Image (iso)
        self.overlay = None  # Labels over the Image
        self.ghost = None  # the pinned map's Surface
        self._paint = None  # colours and normals of the mesh, for the light

    def draw(
        self, volume, level: float, how: str, labels: np.ndarray | None = None, colors=(), title: str = "", excess=None
    ) -> None:
        """Draw a :class:`hetero.maps.Volume` at ``level``.

        Args:
            how: ``"mesh"`` or ``"iso"``.
            labels: ``(z, y, x)`` block number of each voxel, 0 for none; None without blocks.
            colors: ``#rrggbb`` of blocks 1, 2, ...
            title: name of the drawn layer.
            excess: ``(z, y, x)`` to colour a mesh by, in place of blocks; see :func:`meshes.excess_colors`.
        """
        if self.surface is not None and layers.tag(self.surface).get("how") != how:
            self.clear()
        if how == "mesh":
            self._draw_mesh(volume, level, labels, colors, title, excess)
        else:
            self._draw_iso(volume, level, title)
            self._draw_overlay(volume, level, labels, colors)

    def draw_ghost(self, pinned) -> None:
        """Draw a :class:`napari_hetero.ensemble_model.Pinned` so that one sees through it; None takes it away."""
        if pinned is None:
            if self.ghost is not None and self.ghost in self.viewer.layers:
                self.viewer.layers.remove(self.ghost)
            self.ghost = None
            return
        if self.ghost is None:
            vertices, faces, _ = meshes.surface_at(pinned.volume.data, pinned.level)
            rgba = np.tile(np.float32([*meshes.BASE, 1]), (len(vertices), 1))
            self.ghost = self._add(
                (vertices, faces), pinned.volume, "ghost", f"pinned: {pinned.name}", "surface", vertex_colors=rgba,
                shading="none", opacity=_GHOST,
            )  # fmt: skip

    def relight(self) -> None:
        """The camera turned: let the light on a mesh follow."""
        if self.surface is not None and layers.tag(self.surface)["how"] == "mesh" and self.surface.visible:
            self.surface.vertex_colors = self._lit()

    def show(self, visible: bool) -> None:
        """Show or hide what was drawn."""
        layers.show(self.drawn, visible)

    def clear(self) -> None:
        """Take away what was drawn."""
        for layer in self.drawn:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.surface = self.overlay = self.ghost = None

    def forget(self, layer) -> None:
        """The user deleted ``layer``."""
        if layer is self.surface:
            self.surface = None
        if layer is self.overlay:
            self.overlay = None
        if layer is self.ghost:
            self.ghost = None

    @property
    def drawn(self) -> list:
        """The layers drawn."""
        return [layer for layer in (self.surface, self.overlay, self.ghost) if layer is not None]

    def _draw_mesh(self, volume, level, labels, colors, title, excess) -> None:
        vertices, faces, normals = meshes.surface_at(volume.data, level)
        voxels = tuple(meshes.owners(volume.data, level, vertices).T)
        if excess is not None:
            rgba = meshes.excess_colors(excess[voxels])
        else:
            rgba = meshes.vertex_colors(
                np.zeros(len(vertices), dtype=int) if labels is None else labels[voxels], list(colors)
            )
        # A normal of voxels is not one of Å where a voxel is no cube.
        self._paint = (rgba, normals / volume.apix)
        rgba = self._lit()
        if self.surface is None:
            self.surface = self._add(
                (vertices, faces), volume, "mesh", title, "surface", vertex_colors=rgba, shading="none"
            )
            return
        # Colours first and silently: napari would draw the old vertices with the new colours in between.
        with self.surface.events.blocker_all():
            self.surface.vertex_colors = rgba
        self.surface.data = (vertices, faces)
        self._name(self.surface, title)

    def _lit(self) -> np.ndarray:
        seen_by = view.camera(self.viewer)
        return meshes.lit(*self._paint, seen_by.view_direction, seen_by.up_direction)

    def _draw_iso(self, volume, level, title) -> None:
        values = meshes.iso_values(volume.data, level)
        if self.surface is not None:
            self.surface.data = values
            self._name(self.surface, title)
            return
        from napari.utils.colormaps import Colormap

        # Light is worked into the value before the colour is looked up, so shading needs a ramp from black.
        ramp = Colormap([[0, 0, 0, 1], [*meshes.BASE, 1]], name="hetero surface")
        self.surface = self._add(
            values, volume, "iso", title, "image", rendering="iso", iso_threshold=meshes.ISO_LEVEL,
            contrast_limits=(0.0, 2 * meshes.ISO_LEVEL), colormap=ramp,
        )  # fmt: skip

    def _draw_overlay(self, volume, level, labels, colors) -> None:
        if labels is None:
            if self.overlay is not None:
                self.viewer.layers.remove(self.overlay)
                self.overlay = None
            return
        on_map = meshes.cover(labels, volume.data, level)
        if self.overlay is not None:
            self.overlay.data = on_map
            self.overlay.colormap = layers.label_colors(colors)
            return
        self.overlay = self._add(
            on_map,
            volume,
            "iso",
            OVERLAY,
            "labels",
            opacity=1.0,
            colormap=layers.label_colors(colors),
            iso_gradient_mode="smooth",
        )
        self.overlay.editable = False

    def _add(self, data, volume, how, name, kind, **keywords):
        metadata = {layers.KEY: {"kind": "drawn", "how": how}}
        chosen = self.viewer.layers.selection.active
        [layer] = layers.add(
            self.viewer, [(data, {"name": name, **layers.placed(volume), "metadata": metadata, **keywords}, kind)]
        )
        self.viewer.layers.selection.active = chosen or layer
        return layer

    @staticmethod
    def _name(layer, title: str) -> None:
        if layer.name != title:
            layer.name = title
