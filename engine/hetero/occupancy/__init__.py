"""Occupancy: how much of each block, or of each mask, is there in every map."""

from hetero.occupancy.measure import MaskVoxels, occupied_share, reference_normalised
from hetero.occupancy.picture import draw_heat_map
from hetero.occupancy.table import read_occupancy, write_occupancy

__all__ = [
    "MaskVoxels", "draw_heat_map", "occupied_share", "read_occupancy", "reference_normalised", "write_occupancy",
]  # fmt: skip
