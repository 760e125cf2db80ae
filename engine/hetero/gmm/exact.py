"""Gaussians to images, exactly: phases along x and y in two tables and one real matrix product.

With ``C``, ``S`` the cosines and sines of ``2 pi k x`` along either axis, ``P(kx, ±ky) = CC ∓ SS - i (CS ± SC)``: one
product of ``[C|S]`` along y with ``[C|S]`` along x gives both halves of the plane.
"""

import math

import numpy as np
import torch

from hetero.gmm.rings import Rings


class ExactProjector:
    """Projections and their adjoint for some pixels of the Fourier plane.

    Memory: ``4 (K + 1) g`` numbers for each image in hand, K the last ring; no Gaussian x pixel is kept.
    """

    images_at_once = 4  # on a CPU more fall out of its cache

    def __init__(self, rings: Rings):
        self.rings = rings
        self.size = rings.last + 1
        kx, ky = rings.pixels.T
        # place in (sign of ky, |ky|, kx)
        self._place = torch.from_numpy(((ky < 0) * self.size + np.abs(ky)) * self.size + kx)

    def project(self, xy: torch.Tensor, masses: torch.Tensor, sigmas: torch.Tensor, widths: bool = True):
        """``(b, 2, p)`` of Gaussians ``(b, g, 2)``, ``(b, g)`` and ``(b, g)``, ``(g,)`` or ``()``; and what
        :meth:`adjoint` needs, for widths too where ``widths``."""
        n, k = self.size, torch.arange(self.size, dtype=xy.dtype, device=xy.device)
        fall = torch.exp(-2 * (math.pi / self.rings.extent) ** 2 * sigmas[..., None] ** 2 * k**2)  # (..., n)
        angle = (2 * math.pi / self.rings.extent) * xy.transpose(1, 2)[..., None] * k  # (b, 2, g, n)
        table = torch.cat([angle.cos(), angle.sin()], -1)  # (b, 2, g, 2n)
        fall = torch.cat([fall, fall], -1)
        table *= fall[:, None] if fall.ndim == 3 else fall
        x, y = table[:, 0], table[:, 1]
        product = (y * masses[..., None]).transpose(1, 2) @ x  # (b, 2n, 2n)
        cc, cs, sc, ss = product[:, :n, :n], product[:, :n, n:], product[:, n:, :n], product[:, n:, n:]
        plane = torch.stack([torch.stack([cc - ss, cc + ss], 1), torch.stack([-cs - sc, sc - cs], 1)], 1)
        return plane.flatten(2)[:, :, self._place.to(xy.device)], (x, y, masses, sigmas if widths else None, k)

    def adjoint(self, kept, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Gradients of xy ``(b, g, 2)``, masses ``(b, g)`` and sigmas ``(b, g)`` or None from the projections'."""
        x, y, masses, sigmas, k = kept
        n = self.size
        plane = gradient.new_zeros(len(gradient), 2, 2 * n * n)
        plane[:, :, self._place.to(gradient.device)] = gradient
        real, imaginary = plane.view(len(gradient), 2, 2, n, n).unbind(1)
        cc, ss = real[:, 0] + real[:, 1], real[:, 1] - real[:, 0]
        cs, sc = -imaginary[:, 0] - imaginary[:, 1], imaginary[:, 1] - imaginary[:, 0]
        product = torch.cat([torch.cat([cc, cs], 2), torch.cat([sc, ss], 2)], 1)
        of_y = x @ product.transpose(1, 2)  # (b, g, 2n), of the table of unit masses after * masses
        mass = (of_y * y).sum(-1)
        of_x = (y @ product) * masses[..., None]
        of_y = of_y * masses[..., None]
        to_angle = 2 * math.pi / self.rings.extent

        def moved(of, table):
            return to_angle * ((of[..., n:] * table[..., :n] - of[..., :n] * table[..., n:]) @ k)

        def widened(of, table):
            return (of[..., :n] * table[..., :n] + of[..., n:] * table[..., n:]) @ k**2

        place = torch.stack([moved(of_x, x), moved(of_y, y)], -1)
        if sigmas is None:
            return place, mass, None
        width = -4 * (math.pi / self.rings.extent) ** 2 * sigmas * (widened(of_x, x) + widened(of_y, y))
        return place, mass, width
