"""Named choices of how a model is built and trained, each number with its reason; without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """What ``hetero train-vae`` does where it is not told.

    Attributes:
        epochs: passes over the particles.
        batch: particles a step.
        rate: Adam's.
        encoder_width, encoder_layers, width, layers: units and residual layers of encoder and decoder.
        encoding: of the decoder's coordinates (:mod:`hetero.drgn.encoding`), with box / 2 waves along each axis.
        feature_sd: of the gaussian encoding.
        window: radius at which the images' window begins to fall, as a share of half the box.
        mixed: multiply in bfloat16 where the machine is faster at it.
        stages: ``(share of the epochs, share of Nyquist)``: loss and decoder see no pixel beyond that radius.
        sees: share of Nyquist that the encoder sees.
        matched: the encoder's images are multiplied by the CTF, not by its sign alone.
        held_out: share of the particles that are only judged by.
        patience: epochs of the last stage without a better held-out loss; 0 for never stopping early.
        base: "regression": where training starts from a run, maps are first fitted to the latents there, and the
            network learns what to add (:mod:`hetero.drgn.base`); "none": it learns maps from nothing.
    """

    epochs: int
    batch: int
    rate: float
    encoder_width: int
    encoder_layers: int
    width: int
    layers: int
    encoding: str
    feature_sd: float = 0.5
    window: float = 0.85
    mixed: bool = True
    stages: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    sees: float = 1.0
    matched: bool = False
    held_out: float = 0.0
    patience: int = 0
    base: str = "none"


PRESETS = {
    # Zhong et al. 2021, Methods: the pilots' architecture, batch and rate, float32.
    "paper": Preset(50, 8, 1e-4, 256, 3, 256, 3, "geom_ft", mixed=False),
    # cryoDRGN 4.3's defaults.
    "cryodrgn": Preset(20, 16, 1e-4, 1024, 3, 1024, 3, "gaussian"),
    # Measured (benchmarks/RESULTS.md): latents come in the first stage, detail of the maps with epochs in the last.
    # The held-out loss of a few thousand particles rises again while latents still improve, as the encoder knows the
    # images it has learned from: so it is reported, and does not stop the training.
    "ours": Preset(
        20, 32, 5e-4, 256, 3, 256, 3, "gaussian", stages=((0.5, 0.375), (0.1, 0.65), (0.4, 1.0)), sees=0.5,
        matched=True, held_out=0.05, base="regression",
    ),
}  # fmt: skip
