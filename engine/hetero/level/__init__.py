"""Contour levels. Importing this does not import torch; predicting with a network does."""

from hetero.level.ensembles import outliers, share_levels
from hetero.level.methods import METHODS, LevelMethod
from hetero.level.normalise import LevelScale, denormalise_level, normalise_level, normalise_map
from hetero.level.predict import LevelAnswer, predict_level, predict_levels, with_level

__all__ = [
    "METHODS", "LevelAnswer", "LevelMethod", "LevelScale", "denormalise_level", "normalise_level", "normalise_map",
    "outliers", "predict_level", "predict_levels", "share_levels", "with_level",
]  # fmt: skip
