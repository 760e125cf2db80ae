"""SIREn: structural blocks, sets of voxels that come and go together, from an ensemble of binarised maps."""

from hetero.siren.coarse import CoarseReader, about_maps, find_blocks_coarsely
from hetero.siren.effect import EffectRule
from hetero.siren.evidence import noise_p_values
from hetero.siren.infer import Found, find_blocks
from hetero.siren.motion import find_chains
from hetero.siren.patterns import Patterns, binarise
from hetero.siren.published import PublishedRule
from hetero.siren.stability import stability
from hetero.siren.tiles import gather_kept

__all__ = [
    "CoarseReader", "EffectRule", "Found", "Patterns", "PublishedRule", "about_maps", "binarise", "find_blocks",
    "find_blocks_coarsely", "find_chains", "gather_kept", "noise_p_values", "stability",
]  # fmt: skip
