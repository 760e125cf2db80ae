"""The networks: gradients of Gaussians in, a latent, and Gaussians that moved out."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

from hetero.errors import HeteroError
from hetero.gmm.scene import Cloud

Varying = Literal["position", "amplitude", "width"]
VARYING = ("position", "amplitude", "width")


@dataclass(frozen=True)
class NetworkShape:
    """What rebuilds the networks.

    Attributes:
        zdim: numbers in a latent.
        width, layers: of both networks' hidden layers.
        dropout: share of the last hidden layer that is left out while training.
        batch_norm: before the outputs, as in the paper.
        features: numbers that the encoder is given; 0 for none.
        reach: Å that an output of 1 moves a Gaussian.
        whiten: the encoder's latents are whitened.
    """

    zdim: int
    width: int
    layers: int
    dropout: float
    batch_norm: bool
    features: int
    reach: float
    whiten: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class DynamicModel(nn.Module):
    """A neutral model whose chosen Gaussians move with a latent.

    ``centre + reach * d``, ``mass * exp(a)``, ``width * exp(w)``, with d, a, w the decoder's outputs for a latent. (The
    paper bounds its outputs by a sigmoid; logarithms keep masses and widths positive without one.)

    Args:
        shape: of the networks.
        neutral: ``(g, 3)``, ``(g,)`` and ``()`` or ``(g,)``.
        moving: ``(g,)`` booleans, which Gaussians vary.
        vary: what of them.
    """

    def __init__(self, shape: NetworkShape, neutral: Cloud, moving: torch.Tensor, vary: tuple[Varying, ...]):
        super().__init__()
        if not vary or set(vary) - set(VARYING):
            raise HeteroError(
                f"What varies is {', '.join(vary) or 'nothing'}; one or more of position, amplitude, width."
            )
        self.shape, self.vary = shape, tuple(vary)
        self.register_buffer("centres", neutral.centres.clone())
        self.register_buffer("masses", neutral.masses.clone())
        self.register_buffer("sigmas", neutral.sigmas.clone())
        self.register_buffer("moving", moving.nonzero()[:, 0])
        n = len(self.moving)
        self.sizes = [3 * n * ("position" in vary), n * ("amplitude" in vary), n * ("width" in vary)]
        self.encoder = _network(shape, shape.features, shape.zdim, 0.1) if shape.features else None
        if shape.whiten and self.encoder is not None:
            self.encoder.append(Whitening(shape.zdim))
        self.decoder = _network(shape, shape.zdim, sum(self.sizes), 0.01)

    @property
    def neutral(self) -> Cloud:
        """The model that does not move."""
        return Cloud(self.centres, self.masses, self.sigmas)

    def decode(self, z: torch.Tensor) -> Cloud:
        """Gaussians ``(b, g)`` of latents ``(b, zdim)``."""
        moved, louder, wider = self.decoder(z).split(self.sizes, 1)
        centres, masses, sigmas = self.centres.expand(len(z), -1, -1), self.masses.expand(len(z), -1), self.sigmas
        if "position" in self.vary:
            moved = self.shape.reach * moved.unflatten(1, (-1, 3))
            centres = centres.index_add(1, self.moving, moved)
        if "amplitude" in self.vary:
            masses = masses * torch.zeros_like(masses).index_add(1, self.moving, louder).exp()
        if "width" in self.vary:
            sigmas = sigmas * torch.zeros_like(masses).index_add(1, self.moving, wider).exp()
        return Cloud(centres, masses, sigmas)


class Whitening(nn.Module):
    """Latents ``(b, d)`` of mean 0 and covariance ``spread spread^T``, at first 1 in each direction and unrelated.

    Without it all numbers of a latent grow along the strongest change, and a weaker one is never looked for. While
    training by the batch's own mean and covariance, else by their running means, as batch normalisation does.
    """

    def __init__(self, zdim: int, share: float = 0.1):
        super().__init__()
        self.share = share
        self.register_buffer("mean", torch.zeros(zdim))
        self.register_buffer("covariance", torch.eye(zdim))
        self.register_buffer("spread", torch.eye(zdim))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        mean, covariance = self.mean, self.covariance
        if self.training:
            mean = z.mean(0)
            covariance = (z - mean).T @ (z - mean) / len(z)
            with torch.no_grad():
                self.mean.lerp_(mean, self.share)
                self.covariance.lerp_(covariance, self.share)
        size = covariance.diagonal().mean().clamp_min(1e-12)
        lower = torch.linalg.cholesky(covariance + 1e-4 * size * torch.eye(z.shape[1], device=z.device))
        white = torch.linalg.solve_triangular(lower, (z - mean).T, upper=False)
        return (self.spread @ white).T


def _network(shape: NetworkShape, inputs: int, outputs: int, last: float) -> nn.Sequential:
    """Hidden layers of one width; outputs start near zero, so that training starts at the neutral model."""
    parts: list[nn.Module] = []
    for i in range(shape.layers):
        parts += [nn.Linear(inputs if i == 0 else shape.width, shape.width), nn.ReLU()]
    if shape.dropout:
        parts.append(nn.Dropout(shape.dropout))
    if shape.batch_norm:
        parts.append(nn.BatchNorm1d(shape.width))
    end = nn.Linear(shape.width, outputs)
    with torch.no_grad():
        end.weight.mul_(last)
        end.bias.zero_()
    return nn.Sequential(*parts, end)
