"""Particle images as the losses want them: Fourier pixels of the rings, whitened, with their CTF, all in memory."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from hetero.errors import HeteroError
from hetero.gmm.losses import Images
from hetero.gmm.rings import Rings, rings_between
from hetero.maps import Volume
from hetero.particles import Particles, rotations_from_euler
from hetero.particles.project import MapProjector
from hetero.progress import Progress, silent

CTFUse = Literal["full", "flipped", "none"]
_BATCH = 256
_USEFUL = 0.02


@dataclass(frozen=True, eq=False)
class ParticleSpectra:
    """Particles in Fourier space.

    Attributes:
        rings: which pixels.
        spectra: ``(n, 2, p)`` float32, whitened: noise of s.d. 1 in the real and in the imaginary part.
        ctf: ``(n, p)`` float32, or None.
        rotations: ``(n, 3, 3)`` float32, acting on x, y, z.
        shifts: ``(n, 2)`` float32 Å, where the particle lies: minus the shift of its pose.
        noise: ``(rings,)`` power of the noise before whitening.
        signal: ``(rings,)`` spectral signal-to-noise ratio of the particles without their CTF.
        copies: of each particle, side by side (:meth:`expanded`).
    """

    rings: Rings
    spectra: torch.Tensor
    ctf: torch.Tensor | None
    rotations: torch.Tensor
    shifts: torch.Tensor
    noise: np.ndarray
    signal: np.ndarray
    copies: int = 1

    def __len__(self) -> int:
        return len(self.spectra)

    def ring_weights(self) -> torch.Tensor:
        """``(n or 1, rings)``: ``n_r S / (1 + S)``, S times the mean squared CTF of each particle's ring."""
        signal = torch.as_tensor(self.signal, dtype=torch.float32)[None]
        sizes = torch.as_tensor(self.rings.sizes, dtype=torch.float32)
        if self.ctf is not None:
            signal = signal * ((self.ctf**2) @ self.rings.members() / sizes)
        return sizes * signal / (1 + signal)

    def images(self, items, weights: torch.Tensor, scale: torch.Tensor | None = None) -> Images:
        """Some particles for a loss; ``scale`` ``(p,)`` multiplies their CTFs."""
        transfer = None if self.ctf is None else self.ctf[items]
        if scale is not None:
            transfer = scale[None] if transfer is None else transfer * scale
        return Images(self.spectra[items], transfer, weights if len(weights) == 1 else weights[items])

    def posed(self, poses: torch.Tensor) -> "ParticleSpectra":
        """The same images at other poses; see :func:`moved_poses`."""
        rotations, shifts = moved_poses(self.rotations, self.shifts, poses)
        return replace(self, rotations=rotations, shifts=shifts)

    def expanded(self, group: np.ndarray) -> "ParticleSpectra":
        """Each particle in every orientation in which a symmetric body looks the same, copies side by side.

        Args:
            group: ``(g, 3, 3)`` rotations of the map (:func:`hetero.particles.symmetry.symmetry_rotations`).

        Memory: g times as much.
        """
        copies = len(group)
        turned = self.rotations[:, None] @ torch.tensor(group, dtype=torch.float32)
        return replace(
            self,
            spectra=self.spectra.repeat_interleave(copies, 0),
            ctf=None if self.ctf is None else self.ctf.repeat_interleave(copies, 0),
            rotations=turned.flatten(0, 1),
            shifts=self.shifts.repeat_interleave(copies, 0),
            copies=copies,
        )


def moved_poses(
    rotations: torch.Tensor, shifts: torch.Tensor, poses: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations ``(b, 3, 3)`` and places ``(b, 2)`` after small turns and shifts.

    Args:
        poses: ``(b, 5)``: a rotation vector in the microscope's frame, radians, and Å along x and y.
    """
    x, y, z = poses[:, :3].unbind(1)
    none = torch.zeros_like(x)
    skew = torch.stack([none, -z, y, z, none, -x, -y, x, none], 1).view(-1, 3, 3)
    return torch.linalg.matrix_exp(skew) @ rotations, shifts + poses[:, 3:]


def load_spectra(
    particles: Particles, rings: Rings, ctf: CTFUse = "full", progress: Progress = silent
) -> ParticleSpectra:
    """Read all images once.

    Args:
        particles: with poses, and with CTFs unless ``ctf`` is ``none``.
        rings: of their box and pixel size.
        ctf: ``full`` for images as they were recorded, ``flipped`` for phase-flipped ones, ``none`` for images without.

    Memory: ``12 p`` bytes a particle (``8 p`` without CTF), p about ``1.6 K^2``, K the last ring.

    Raises:
        HeteroError: no poses or CTFs, or an image with NaN.
    """
    poses, n = particles.require_poses(), len(particles)
    spectra = torch.empty(n, 2, len(rings.ring))
    outside = _Corners(particles.box, rings)
    for part, images in particles.stack.batches(_BATCH):
        spectra[part] = _fourier_pixels(torch.from_numpy(images), rings)
        outside.add(images)
        progress(part.stop, n, "reading particles")
    transfer = None if ctf == "none" else _transfer(particles, rings, flipped=ctf == "flipped")
    noise, signal = _spectral_ratio(spectra, transfer, outside.power(), rings)
    spectra *= torch.as_tensor((2 / noise) ** 0.5, dtype=torch.float32)[torch.from_numpy(rings.ring)]
    return ParticleSpectra(
        rings,
        spectra,
        transfer,
        torch.tensor(poses.rotations, dtype=torch.float32),
        torch.tensor(-poses.shifts, dtype=torch.float32),
        noise,
        signal,
    )


def useful_resolution(particles: Particles, ctf: CTFUse = "full") -> float:
    """Å to which the particles show anything: where their spectral signal-to-noise ratio falls below 0.02, and a fifth
    beyond; from 1,000 of them."""
    some = particles.subset(np.unique(np.linspace(0, len(particles) - 1, 1000).astype(int)))
    rings = rings_between(particles.box, particles.apix, 2 * particles.apix)
    poor = np.flatnonzero(load_spectra(some, rings, ctf).signal[4:] < _USEFUL)
    last = rings.first + (4 + poor[0] if len(poor) else rings.count - 1)
    return rings.extent / min(rings.last, round(1.2 * last))


def _fourier_pixels(images: torch.Tensor, rings: Rings) -> torch.Tensor:
    """``(b, 2, p)`` of images ``(b, box, box)``, their middle at the origin."""
    kx, ky = torch.from_numpy(rings.pixels).T
    plane = torch.fft.rfft2(torch.fft.ifftshift(images, dim=(1, 2)))
    return torch.view_as_real(plane[:, ky % rings.box, kx]).transpose(1, 2)


def _transfer(particles: Particles, rings: Rings, flipped: bool) -> torch.Tensor:
    ctf, (fx, fy) = particles.require_ctf(), rings.frequencies()
    found = torch.empty(len(particles), len(fx))
    for start in range(0, len(particles), _BATCH):
        part = slice(start, start + _BATCH)
        found[part] = torch.from_numpy(ctf[part].evaluate(fx[None], fy[None]))
    return found.abs_() if flipped else found


class _Corners:
    """The power of the noise in each ring, from the images' corners, where no particle is."""

    def __init__(self, box: int, rings: Rings):
        along = np.arange(box) - box // 2
        self.outside = torch.from_numpy((np.hypot(*np.meshgrid(along, along)) > box / 2).astype(np.float32))
        self.rings, self.total, self.n = rings, 0.0, 0

    def add(self, images: np.ndarray) -> None:
        images = torch.from_numpy(images)
        share = self.outside.sum()
        mean = (images * self.outside).sum((1, 2), keepdim=True) / share
        corners = _fourier_pixels((images - mean) * self.outside, self.rings)
        power = (corners**2).sum(1) @ self.rings.members() * (self.rings.box**2 / share)
        self.total, self.n = self.total + power.sum(0).double().numpy(), self.n + len(images)

    def power(self) -> np.ndarray:
        """``(rings,)`` mean squared modulus of a pixel."""
        return self.total / self.n / self.rings.sizes


def _spectral_ratio(spectra, transfer, corners, rings) -> tuple[np.ndarray, np.ndarray]:
    """Noise and signal-to-noise ratio ``(rings,)``.

    The corners' spectrum is a coarse one (their shape blurs it), so that the signal never falls below 1e-3.
    """
    members, sizes = rings.members(), rings.sizes
    power = torch.zeros(rings.count, dtype=torch.float64)
    seen = torch.zeros(rings.count, dtype=torch.float64)
    for start in range(0, len(spectra), 1024):
        part = slice(start, start + 1024)
        power += ((spectra[part] ** 2).sum(1) @ members).sum(0)
        if transfer is not None:
            seen += ((transfer[part] ** 2) @ members).sum(0)
    power = power.numpy() / len(spectra) / sizes
    through = np.ones(rings.count) if transfer is None else seen.numpy() / len(spectra) / sizes
    if not (power > 0).all():
        raise HeteroError("The particle images are empty in some Fourier rings; images of particles were expected.")
    noise = np.minimum(corners, power) if (corners > 0).all() else 0.5 * power
    return noise, np.maximum(power / noise - 1, 1e-3) / np.maximum(through, 1e-3)


def map_spectra(volume: Volume, rings: Rings, views: int) -> ParticleSpectra:
    """Noiseless projections of a map along evenly spread directions, each ring of power 2 a pixel on average.

    Args:
        volume: a cube of cubic voxels.
        rings: of its box and voxel size.
        views: directions, on a Fibonacci spiral over half the sphere.
    """
    i = np.arange(views)
    tilt, rot = np.degrees(np.arccos(1 - (i + 0.5) / views)), np.degrees(np.pi * (3 - 5**0.5) * i)
    rotations = rotations_from_euler(rot, tilt, np.zeros(views))
    projector, kx, ky = MapProjector(volume.data), *rings.pixels.T
    spectra = torch.empty(views, 2, len(rings.ring))
    for start in range(0, views, 32):
        planes = projector.transforms(rotations[start : start + 32])[:, ky % rings.box, kx]
        spectra[start : start + 32] = torch.from_numpy(np.stack([planes.real, planes.imag], 1).astype(np.float32))
    power = ((spectra**2).sum(1) @ rings.members()).mean(0) / torch.as_tensor(rings.sizes)
    if not (power > 0).all():
        raise HeteroError(f"{volume.name} has nothing in some Fourier rings to {rings.resolution:.1f} Å.")
    spectra *= (2 / power).sqrt()[torch.from_numpy(rings.ring)]
    ones = np.ones(rings.count)
    return ParticleSpectra(
        rings, spectra, None, torch.tensor(rotations, dtype=torch.float32), torch.zeros(views, 2), 0 * ones, ones
    )
