"""e2gmm: a molecule as Gaussians that move; importing it takes no torch, its modules do."""

from hetero.gmm.eman import PROGRAMS, describe_text, read_model, write_model
from hetero.gmm.model import GaussianModel

__all__ = ["PROGRAMS", "GaussianModel", "describe_text", "read_model", "write_model"]
