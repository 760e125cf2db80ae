"""The whole of cryoDRGN: an image to a latent, a latent to a slice, and what training makes small."""

import numpy as np
import torch
from torch import nn

from hetero.drgn.base import Base
from hetero.drgn.decoder import CoordinateDecoder, in_stored_half
from hetero.drgn.encoder import ImageEncoder, LatentTable
from hetero.drgn.focus import Window
from hetero.drgn.half_disc import HalfDisc
from hetero.drgn.poses import PoseTable, moved
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
    ``rotation (b, 3, 3)``, ``particle (b,)``, and ``noise (b, zdim)``, ``start`` and ``start_log_variance (b, zdim)``,
    ``mask (b, box, box)`` (:class:`hetero.drgn.focus.Focus`), ``pose (b,)`` (rows of the table) and
    ``base (b, q, 2, m + 1)`` (:class:`hetero.drgn.base.BaseSlices`) where there are any.

    With a :class:`hetero.drgn.base.Base` (``sd``: of the images, by which they were divided), V is its maps at z plus
    ``spread (p,)`` times the network, which begins with an answer of zero.

    With a mask the misfit is that of the pictures inside it, and the encoder sees no more: both are multiplied by the
    sign of the CTF first, which leaves the noise as it is and brings what the CTF spread over the picture together.

    Attributes:
        points: how many pixels the loss sees; changed from stage to stage.
        beta: weight of the KL term.
        poses: what is added to the poses that were given; None where they are kept.
        refining: whether those change now.
    """

    def __init__(
        self,
        decoder: CoordinateDecoder,
        encoder: ImageEncoder | LatentTable | None,
        disc: HalfDisc,
        matched: bool = False,
        poses: PoseTable | None = None,
        base: Base | None = None,
        sd: float = 1.0,
    ):
        super().__init__()
        self.decoder, self.encoder, self.matched, self.poses = decoder, encoder, matched, poses
        places = torch.from_numpy(disc.points).to(decoder.last.weight.dtype) / disc.box
        self.register_buffer("places", places, persistent=False)  # (p, 2) x, y in cycles per pixel
        self.base, spread = base, None
        if base is not None:
            spread = torch.from_numpy(base.spread_at(np.hypot(*disc.points.T)) / np.float32(sd)).to(places.dtype)
        self.register_buffer("spread", spread, persistent=False)  # (p,)
        self.window = Window(disc)
        self.points, self.beta, self.refining = len(disc), 1.0, False

    def infer(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance ``(b, zdim)`` of the latents' posteriors."""
        if self.encoder is None:
            empty = batch["rotation"].new_zeros(len(batch["rotation"]), 0)
            return empty, empty
        if isinstance(self.encoder, LatentTable):
            return self.encoder(batch["particle"])
        mean, log_variance = self.encoder(self._shown(batch))
        if "start" in batch:
            return batch["start"] + mean, batch["start_log_variance"] + log_variance
        return mean, log_variance

    def _shown(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the encoder sees of the images."""
        count = self.encoder.pixels
        image, transfer = batch["image"][:, :count], batch["transfer"][:, :count]
        if self.poses is not None:
            image = moved(image, self.places[:count], self.poses(batch["pose"])[1].detach())
        image = image * (transfer if self.matched else transfer.sign())[..., None]
        return self.window(image, batch["mask"]) if "mask" in batch else image

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        mean, log_variance = self.infer(batch)
        kl = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(1).mean()
        z = mean + batch["noise"] * (0.5 * log_variance).exp() if "noise" in batch else mean
        data = self.misfit(z, batch)
        return {"loss": data + self.beta * kl / (2 * self.points), "data": data, "kl": kl}

    def misfit(self, z: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean over particles and pixels of ``|CTF V(slice, z) - image|^2``; pixels in one half stand for both."""
        image, transfer, mask, base = batch["image"], batch["transfer"], batch.get("mask"), batch.get("base")
        poses = self._poses(batch)

        def sum_of(piece: tuple[slice, slice], z: torch.Tensor, told: torch.Tensor, rotation, *shift) -> torch.Tensor:
            rows, columns = piece
            seen = self._slices(rotation[rows], columns, z[rows])
            if base is not None:
                seen = seen * self.spread[columns, None] + _sum(base[rows, columns], told[rows])
            seen = seen * transfer[rows, columns, None]
            picture = image[rows, columns]
            if shift:
                picture = moved(picture, self.places[columns], shift[0][rows])
            if mask is None:
                return ((seen - picture) ** 2).sum()
            return self.window.power((seen - picture) * transfer[rows, columns, None].sign(), mask[rows])

        pieces = _pieces(len(image), self.points, image.device.type, whole=mask is not None)
        told = self._told(z) if base is not None else z
        total = sum_in_pieces(sum_of, pieces, (z, told, *poses), tuple(self.decoder.parameters()))
        return total / (len(image) * self.points)

    def _told(self, z: torch.Tensor) -> torch.Tensor:
        """``(b, m)`` the base's functions of latents."""
        with torch.autocast(z.device.type, enabled=False):
            return self.base.functions(z.to(self.places.dtype))

    def _poses(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Rotations ``(b, 3, 3)``, and pixels ``(b, 2)`` by which to move the images where poses are refined."""
        if self.poses is None:
            return (batch["rotation"],)
        turn, shift = self.poses(batch["pose"])
        if not self.refining:
            turn, shift = turn.detach(), shift.detach()
        with torch.autocast(shift.device.type, enabled=False):  # half a degree is lost in bfloat16
            return turn @ batch["rotation"], shift

    def _slices(self, rotation: torch.Tensor, columns: slice, z: torch.Tensor) -> torch.Tensor:
        """``(b, p, 2)`` real and imaginary parts of the structures ``z`` at the pixels of turned slices."""
        with torch.autocast(z.device.type, enabled=False):
            k = self.places[columns] @ rotation[:, :2]  # (b, p, 3): the pixel's place in the map's own frame
        side = torch.where(in_stored_half(k), 1.0, -1.0).to(k.dtype)
        value = self.decoder(k * side[..., None], z).to(k.dtype)
        return value * torch.stack([torch.ones_like(side), side], dim=-1)


def _sum(base: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """``(b, p, 2)``: the base's slices ``(b, p, 2, m + 1)``, the first and the others times ``(b, m)``, added up."""
    with torch.autocast(base.device.type, enabled=False):
        return base[..., 0] + torch.einsum("bpcm,bm->bpc", base[..., 1:], told)


def _pieces(particles: int, points: int, device: str, whole: bool) -> list[tuple[slice, slice]]:
    """Rectangles of particles and points; on a GPU all at once; with ``whole`` all points of a particle together."""
    if device != "cpu":
        return [(slice(0, particles), slice(0, points))]
    parts = 1 if whole else -(-points // _POINTS)
    rows, columns = max(1, _POINTS // points), -(-points // parts)
    return [
        (slice(i, min(i + rows, particles)), slice(j, min(j + columns, points)))
        for i in range(0, particles, rows)
        for j in range(0, points, columns)
    ]
