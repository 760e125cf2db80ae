"""The whole of cryoDRGN: an image to a latent, a latent to a slice, and what training makes small."""

import torch
from torch import nn

from hetero.drgn.decoder import CoordinateDecoder, in_stored_half
from hetero.drgn.encoder import ImageEncoder, LatentTable
from hetero.drgn.half_disc import HalfDisc
from hetero.training.pieces import sum_in_pieces

_POINTS = 2048  # in hand at a time on a CPU: a layer's values stay in its cache


class Autoencoder(nn.Module):
    """Encoder (or a table of latents, or nothing) and decoder; ``model(batch)`` is the loss and its parts.

    ``loss = mean over pixels of |CTF V(slice, z) - image|^2 + beta KL / (pixels of the whole disc)``, with one sample
    ``z = mean + noise exp(log_variance / 2)``, and KL summed over a latent's numbers: Zhong et al. 2021, Methods.

    With latents to start from, the encoder gives what is added to them, at first nothing: the first step already learns
    from them, which an encoder fitted to them first does not reach in many epochs, as images of unknown pose and noise
    say little to it.

    A batch holds, for b particles: ``image (b, q, 2)``, ``transfer (b, q)`` on the first q pixels of the disc,
    ``rotation (b, 3, 3)``, ``particle (b,)``, and ``noise (b, zdim)``, ``start`` and ``start_log_variance (b, zdim)``
    where there are any.

    Attributes:
        points: how many pixels the loss sees; changed from stage to stage.
        beta: weight of the KL term.
    """

    def __init__(
        self,
        decoder: CoordinateDecoder,
        encoder: ImageEncoder | LatentTable | None,
        disc: HalfDisc,
        matched: bool = False,
    ):
        super().__init__()
        self.decoder, self.encoder, self.matched = decoder, encoder, matched
        places = torch.from_numpy(disc.points).to(decoder.last.weight.dtype) / disc.box
        self.register_buffer("places", places, persistent=False)  # (p, 2) x, y in cycles per pixel
        self.points, self.beta = len(disc), 1.0

    def infer(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance ``(b, zdim)`` of the latents' posteriors."""
        if self.encoder is None:
            empty = batch["rotation"].new_zeros(len(batch["rotation"]), 0)
            return empty, empty
        if isinstance(self.encoder, LatentTable):
            return self.encoder(batch["particle"])
        transfer = batch["transfer"]
        weight = transfer if self.matched else transfer.sign()
        mean, log_variance = self.encoder(batch["image"] * weight[..., None])
        if "start" in batch:
            return batch["start"] + mean, batch["start_log_variance"] + log_variance
        return mean, log_variance

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        mean, log_variance = self.infer(batch)
        kl = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(1).mean()
        z = mean + batch["noise"] * (0.5 * log_variance).exp() if "noise" in batch else mean
        data = self.misfit(z, batch)
        return {"loss": data + self.beta * kl / (2 * self.points), "data": data, "kl": kl}

    def misfit(self, z: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean over particles and pixels of ``|CTF V(slice, z) - image|^2``; pixels in one half stand for both."""
        image, transfer, rotation = batch["image"], batch["transfer"], batch["rotation"]

        def sum_of(piece: tuple[slice, slice], z: torch.Tensor) -> torch.Tensor:
            rows, columns = piece
            with torch.autocast(image.device.type, enabled=False):
                k = self.places[columns] @ rotation[rows, :2]  # (b, p, 3): the pixel's place in the map's own frame
            side = torch.where(in_stored_half(k), 1.0, -1.0).to(k.dtype)
            value = self.decoder(k * side[..., None], z[rows]).to(k.dtype)
            seen = transfer[rows, columns, None] * value * torch.stack([torch.ones_like(side), side], dim=-1)
            return ((seen - image[rows, columns]) ** 2).sum()

        pieces = _pieces(len(image), self.points, image.device.type)
        total = sum_in_pieces(sum_of, pieces, (z,), tuple(self.decoder.parameters()))
        return total / (len(image) * self.points)


def _pieces(particles: int, points: int, device: str) -> list[tuple[slice, slice]]:
    """Rectangles of particles and points; on a GPU all at once."""
    if device != "cpu":
        return [(slice(0, particles), slice(0, points))]
    parts = -(-points // _POINTS)
    rows, columns = max(1, _POINTS // points), -(-points // parts)
    return [
        (slice(i, min(i + rows, particles)), slice(j, min(j + columns, points)))
        for i in range(0, particles, rows)
        for j in range(0, points, columns)
    ]
