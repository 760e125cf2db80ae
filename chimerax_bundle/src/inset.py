"""A small picture of a run's latent space with a way through it, for movies. numpy and Pillow alone, no Qt."""

import numpy as np
from PIL import Image, ImageDraw

from .tools import raster

_LINE, _HERE, _TEXT = (255, 255, 255), (255, 140, 40), (225, 225, 225)


class Inset:
    """The particles' density in a plane, the way as a line, and where the map of a frame lies on it."""

    def __init__(self, x, y, way, titles, size):
        """Draw what all frames share.

        Args:
            x, y: ``(n,)`` float32, the particles.
            way: ``(m, 2)`` places of the maps, in order.
            titles: of the two axes.
            size: pixels along each side.
        """
        cell = max(2, size // 160)
        shape = (size // cell,) * 2
        extent = raster.extent_of(np.append(x, way[:, 0]), np.append(y, way[:, 1]))
        picture = raster.density_picture(raster.cells_of(x, y, extent, shape), shape)
        self._image = Image.fromarray(picture).resize((size, size), Image.Resampling.NEAREST)
        left, right, bottom, top = extent
        across, down = (way[:, 0] - left) / (right - left), (top - way[:, 1]) / (top - bottom)
        self._way = [(float(px), float(py)) for px, py in size * np.stack([across, down], axis=1)]
        draw = ImageDraw.Draw(self._image)
        draw.line(self._way, fill=_LINE, width=max(1, size // 120))
        draw.rectangle((0, 0, size - 1, size - 1), outline=_TEXT)
        letters = {"fill": _TEXT, "font_size": max(10, size // 16)}
        draw.text((size / 2, size - 4), titles[0], anchor="mb", **letters)
        draw.text((4, 2), titles[1], **letters)

    def frame(self, i):
        """The picture with the i-th place of the way marked."""
        image = self._image.copy()
        x, y = self._way[i]
        r = max(3, image.width // 40)
        ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=_HERE, outline=_LINE)
        return image
