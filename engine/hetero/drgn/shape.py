"""What rebuilds a decoder besides its weights; without torch, so that a folder can be looked at quickly."""

from dataclasses import asdict, dataclass

ENCODINGS = ("gaussian", "geom_ft", "geom_full", "geom_lowf", "geom_nohighf", "linear_lowf", "none")
DOMAINS = ("fourier", "hartley")
ACTIVATIONS = ("relu", "leaky_relu")


@dataclass(frozen=True)
class DecoderShape:
    """What rebuilds a decoder, besides its weights.

    Attributes:
        box: voxels along each side of the maps; even.
        zdim: numbers in a latent; 0 for a homogeneous model.
        width: units of a layer.
        layers: residual layers between the first and the last.
        encoding: kind of positional encoding (:data:`ENCODINGS`; :mod:`hetero.drgn.encoding` has their waves).
        per_axis: its waves along each axis.
        feature_sd: for the gaussian encoding, in units of ``box / 2``.
        domain: ``"fourier"`` (a complex value, of which half the space is learnt) or ``"hartley"`` (a real one).
        activation: ``"relu"`` or ``"leaky_relu"``.
    """

    box: int
    zdim: int
    width: int = 256
    layers: int = 3
    encoding: str = "gaussian"
    per_axis: int = 32
    feature_sd: float = 0.5
    domain: str = "fourier"
    activation: str = "relu"

    def as_dict(self) -> dict:
        """Plain values, for ``config.json``."""
        return asdict(self)
