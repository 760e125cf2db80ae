"""Maps: the nouns Volume, Ensemble and Blocks, the files they come from, resampling and filtering."""

from hetero.maps.blocks import Blocks, is_blocks_folder, read_blocks, write_blocks
from hetero.maps.ensemble import (
    Ensemble,
    list_maps,
    mean_volume,
    open_ensemble,
    read_table,
    update_table,
    write_ensemble,
)
from hetero.maps.filter import low_pass
from hetero.maps.fsc import FSC, fsc_curves, fsc_mask, mask_of_halves
from hetero.maps.mrc import MapHeader, MapWarning, map_name, read_header, read_map, write_map
from hetero.maps.resample import resample_fourier
from hetero.maps.structures import Structure, density_from_atoms, read_structure
from hetero.maps.volume import DALTON_PER_A3, Volume, grid_text, same_grid

__all__ = [
    "DALTON_PER_A3", "FSC", "Blocks", "Ensemble", "MapHeader", "MapWarning", "Structure", "Volume",
    "density_from_atoms", "fsc_curves", "fsc_mask", "grid_text", "is_blocks_folder", "list_maps", "low_pass",
    "map_name", "mask_of_halves", "mean_volume", "open_ensemble",
    "read_blocks", "read_header", "read_map", "read_structure", "read_table", "resample_fourier", "same_grid",
    "update_table", "write_blocks", "write_ensemble", "write_map",
]  # fmt: skip
