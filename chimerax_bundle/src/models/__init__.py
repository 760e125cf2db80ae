"""Models of ours, by the names that session files know them by."""

from .blocks import BlocksModel, BlockSurface
from .ensemble import EnsembleModel
from .glyphs import GlyphsModel
from .run import RunModel

SAVED_CLASSES = {cls.__name__: cls for cls in (BlocksModel, BlockSurface, EnsembleModel, GlyphsModel, RunModel)}
