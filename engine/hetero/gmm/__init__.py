"""e2gmm: a molecule as Gaussians that move; importing it takes no torch, its modules do."""

from hetero.gmm.eman import GUI_SETTINGS, PROGRAMS, describe_text, read_gui_folder, read_model, write_model
from hetero.gmm.model import GaussianModel

__all__ = [
    "GUI_SETTINGS", "PROGRAMS", "GaussianModel", "describe_text", "read_gui_folder", "read_model", "write_model",
]  # fmt: skip
