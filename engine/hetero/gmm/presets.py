"""Numbers of a training that were chosen together; without torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Preset:
    """How Gaussians are taught to move.

    Attributes:
        loss: ``likelihood`` (squared distance, with the scale and the noise of each ring worked out from what is left),
            or ``frc`` (Fourier ring correlation).
        weights: of the rings in an FRC: by ``signal``, ``n_r S / (1 + S)``, or ``flat`` as published.
        width, layers: of the networks.
        dropout: share of the last hidden layer.
        batch_norm: before the outputs.
        whiten: the encoder's latents (:class:`hetero.gmm.networks.Whitening`).
        rate: Adam's, at its highest.
        one_cycle: the rate rises and falls over the training; else it stays.
        batch: particles a step.
        epochs: passes over the particles.
        noise: s.d. that is added to a latent while training.
        laid_out: share of the epochs, the last ones, in which the networks learn anew with latents laid out by how
            alike the decoded molecules are (:mod:`hetero.gmm.layout`); 0 for none.
        layings: how often in these epochs: what was learned from one layout makes a better one.
        spare: numbers that a latent has more before it is laid out: a change that is weaker than the bends of another's
            way is found by one of them.
        steady: s.d. that is added in these epochs, in units of the latents' spread along their first axis.
        decay: of weights.
        even: weight of the s.d. of masses and of widths, against Gaussians that differ.
        reach: Å that a Gaussian moves for an output of 1, as a share of the particle's box.
        refine: steps of Gauss and Newton on each particle's latent after training; with 0 the encoder's stay.
        published_rings: the column ``kx = 0`` counts twice.
    """

    loss: Literal["likelihood", "frc"] = "likelihood"
    weights: Literal["signal", "flat"] = "signal"
    width: int = 256
    layers: int = 3
    dropout: float = 0.0
    batch_norm: bool = False
    whiten: bool = True
    rate: float = 1e-3
    one_cycle: bool = True
    batch: int = 128
    epochs: int = 22
    noise: float = 0.1
    laid_out: float = 0.55
    layings: int = 2
    spare: int = 2
    steady: float = 0.03
    decay: float = 0.0
    even: float = 0.0
    reach: float = 0.03
    refine: int = 2
    published_rings: bool = False


PRESETS = {
    "ours": Preset(),
    "paper": Preset(
        loss="frc", weights="flat", width=512, dropout=0.3, batch_norm=True, whiten=False, rate=1e-4, one_cycle=False,
        batch=8, epochs=20, noise=0.1, laid_out=0.0, spare=0, decay=1e-3, even=0.5, reach=1.0, refine=0,
        published_rings=True,
    ),
}  # fmt: skip
