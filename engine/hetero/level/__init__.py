"""Contour levels. Importing this does not import torch; predicting with a network does."""

from hetero.level.normalise import LevelScale, denormalise_level, normalise_level, normalise_map
from hetero.level.predict import METHODS, LevelAnswer, predict_level, predict_levels

__all__ = [
    "METHODS", "LevelAnswer", "LevelScale", "denormalise_level", "normalise_level", "normalise_map",
    "predict_level", "predict_levels",
]  # fmt: skip
