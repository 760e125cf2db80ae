"""SIREn: structural blocks, sets of voxels that come and go together, from an ensemble of binarised maps."""

from hetero.siren.effect import EffectRule
from hetero.siren.evidence import noise_p_values
from hetero.siren.patterns import Patterns, binarise
from hetero.siren.published import PublishedRule

__all__ = ["EffectRule", "Patterns", "PublishedRule", "binarise", "noise_p_values"]
