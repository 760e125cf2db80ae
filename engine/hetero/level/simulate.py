"""Simulated deposited maps: from an atomic structure to a map as a reconstruction would show it, with its level.

Everything that makes real maps hard is drawn at random: padding, sampling, resolution and its local variation, blurring
and sharpening, noise with a spectrum and contrast-transfer ripples, weak and missing parts, detergent, masks, scale and
offset.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft

from hetero.level.thresholds import agreeing_threshold
from hetero.maps import Structure

VOLUME_PER_ELECTRON = 2.65  # Å^3: a residue has 110 Da and 51 electrons (without hydrogens), at 0.81 Da/Å^3
# Share of the molecular volume that the envelope encloses. Authors show less of it where side chains can be seen and
# are generous with blobs; chosen so that the labels' medians come near those of 3,784 authors' levels from 2 to 10 Å.
_SHARE_RESOLUTION, _SHARE = (3.0, 6.0, 10.0), (0.7, 0.7, 1.0)
_COARSEST = 10.0  # Å; none of 3,784 maps with authors' levels is coarser. A few of ours are, as pilots of decoders are.
_LEFT = 0.2  # of the amplitude: what is weaker is not seen
_ATOM_SIGMA = 0.6  # Å, width of a well-ordered atom
_SIGMA_PER_RESOLUTION = 0.225  # as in ChimeraX's molmap


@dataclass(frozen=True, eq=False)
class SimulatedMap:
    """A map and the truth about it.

    Attributes:
        data: ``(z, y, x)`` float32; a fifth of them are not cubes.
        envelope: ``(z, y, x)`` bool, the molecular volume of the atoms that are there in most particles.
        level: the map's level whose enclosed region agrees best (Dice) with ``envelope``.
        apix: Å per voxel.
        resolution: Å.
        decoder: whether it imitates the smooth output of a decoder network rather than a reconstruction.
    """

    data: np.ndarray
    envelope: np.ndarray
    level: float
    apix: float
    resolution: float
    decoder: bool


def simulate_map(structure: Structure, rng: np.random.Generator, max_box: int = 128) -> SimulatedMap:
    """One map of ``structure`` in a random pose, as nasty as deposited maps are.

    Args:
        structure: atoms of the specimen.
        rng: where all chance comes from; the same state gives the same map.
        max_box: largest box drawn, voxels.
    """
    while True:
        simulated = _simulate(structure, rng, max_box)
        if simulated is not None:
            return simulated


def _simulate(structure, rng, max_box) -> SimulatedMap | None:
    """One draw; None where the molecule has (almost) left the box or is drowned."""
    positions, electrons, occupancy = _specimen(structure, rng)
    decoder = rng.random() < 0.25
    n, apix, resolution = _sampling(positions, rng, max_box, decoder)
    voxels = positions / apix + (n - 1) / 2 + rng.normal(0, 0.02 * n, 3)
    change = _change(decoder, rng)
    seen = _seen_resolution(resolution, change)
    share = float(np.interp(seen, _SHARE_RESOLUTION, _SHARE))
    envelope = _envelope(voxels, electrons * (occupancy > 0.5), n, apix, resolution=seen, share=share)
    if envelope.sum() <= 20:
        return None
    density = _density(voxels, positions, electrons * occupancy, (n, apix, resolution, change), rng)
    inside = density[envelope]  # a sharpened map has little mean and large deviations
    data = density / max(float(np.hypot(inside.mean(), 0.5 * inside.std())), 1e-3 * float(density.max()))
    solid = envelope
    if rng.random() < 0.3:
        belt = _belt(envelope, apix, positions, rng)
        data += belt
        solid = envelope | (belt > 0.1)
    noise = _noise(envelope, apix, resolution, decoder, rng)
    if not decoder and n > 80 and rng.random() < 0.2:
        data, envelope, solid, noise = _in_larger_box(data, envelope, solid, noise, rng)
        n = len(data)
    data += noise
    if rng.random() < 0.15:
        data += _offset_and_gradient(n, rng)
    data *= _mask(solid, apix, resolution, rng)
    data = (data * 10 ** rng.uniform(-3, 2)).astype(np.float32)
    if rng.random() < 0.25:
        box = _crop(envelope, rng)
        data, envelope = np.ascontiguousarray(data[box]), np.ascontiguousarray(envelope[box])
    if not (data[envelope] > 0).any():
        return None
    level = agreeing_threshold(data, envelope)
    return SimulatedMap(data, envelope, level, apix, resolution, decoder)


def _specimen(structure: Structure, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions about their middle in a random pose, electrons, occupancy; some chains left out, some parts weak."""
    kept = np.ones(len(structure), bool)
    names = np.unique(structure.chains)
    if len(names) > 1 and rng.random() < 0.4:
        kept = np.isin(structure.chains, rng.permutation(names)[: rng.integers(1, len(names) + 1)])
        if kept.sum() < 800:
            kept[:] = True
    positions = structure.positions[kept] @ _rotation(rng)
    positions = positions - (positions.max(axis=0) + positions.min(axis=0)) / 2
    occupancy = np.ones(len(positions))
    if rng.random() < 0.35:
        if len(names) > 1 and rng.random() < 0.5:
            weak = structure.chains[kept] == rng.choice(names)
        else:  # whatever lies beyond a random plane
            along = positions @ (direction := rng.normal(size=3)) / np.linalg.norm(direction)
            weak = along > np.quantile(along, rng.uniform(0.6, 0.95))
        if weak.mean() < 0.6:
            occupancy[weak] = rng.uniform(0.15, 0.85)
    return positions, structure.weights[kept], occupancy


def _rotation(rng) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def _sampling(positions, rng, max_box, decoder) -> tuple[int, float, float]:
    """Box (voxels), voxel size (Å) and resolution (Å) that could go together; most are 2.5 to 10 Å, as the authors'."""
    diameter = float(np.ptp(positions, axis=0).max()) + 5
    # From tight to three times the particle, 1.7 on average; a few specimens (filaments, sheets) leave the box.
    padding = rng.uniform(0.6, 0.95) if rng.random() < 0.06 else np.exp(rng.triangular(0.05, 0.5, 1.1))
    side = diameter * padding
    finest = min(math.ceil(side / (_COARSEST / 2.05)), max_box) if rng.random() < 0.85 else 0
    if decoder:
        n = min(max(int(rng.choice([32, 48, 64, 64, 64, 96, 128])), finest), max_box)
        return n, side / n, float(max(side / n * rng.uniform(2.05, 3.0), 3.5))
    kind = rng.random()
    if kind < 0.45:  # finely sampled and well resolved, as most of today's entries
        n = int(np.clip(side / rng.uniform(0.5, 1.4), min(24, max_box), max_box))
    else:
        n = round(np.exp(rng.uniform(np.log(24), np.log(max_box + 1))))
        n = int(np.clip(n, min(24, max_box), max(16, side / 0.8)))
    n = max(n, finest)
    apix = side / n
    if kind < 0.65:
        wanted = np.exp(rng.normal(np.log(3.5), 0.3))
    elif kind < 0.85:
        wanted = rng.uniform(5, _COARSEST)
    else:
        wanted = apix * rng.uniform(2.05, 5)
        wanted = min(wanted, _COARSEST) if finest else wanted
    return n, apix, float(max(wanted, 2.05 * apix, 2.0))


def _change(decoder, rng) -> float:
    """Log10 of what is left of the amplitude at the resolution, relative to the origin's.

    From over-blurred (2 %, as in unsharpened maps) to over-sharpened (6 times).
    """
    change = rng.uniform(-1.7, 0.2) if rng.random() < (0.4 if decoder else 0.12) else rng.normal(0.1, 0.4)
    return float(np.clip(change, -1.7, 0.2 if decoder else 0.8))


def _seen_resolution(resolution: float, change: float) -> float:
    """Å down to which a fifth of the amplitude is left: nobody sees more than that in a blurred map."""
    return resolution * float(np.sqrt(max(1.0, change / np.log10(_LEFT))))


def _frequencies(n: int, apix: float) -> np.ndarray:
    """Cycles per Å of each term of a real transform, ``(n, n, n // 2 + 1)`` float32."""
    full, half = np.fft.fftfreq(n, apix) ** 2, np.fft.rfftfreq(n, apix) ** 2
    return np.sqrt(full[:, None, None] + full[:, None] + half).astype(np.float32)


def _spread(voxels: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """Trilinear histogram of atoms at ``voxels`` ``(a, 3)``; what lies outside the box is left out."""
    inside = ((voxels >= 0) & (voxels < n - 1)).all(axis=1)
    voxels, weights = voxels[inside], weights[inside]
    low = voxels.astype(np.int64)
    part = voxels - low
    corners = np.array(list(np.ndindex(2, 2, 2)))[:, None]
    shares = weights * np.prod(np.where(corners, part, 1 - part), axis=2)  # (8, a)
    places = (low + corners) @ (n * n, n, 1)
    return np.bincount(places.ravel(), shares.ravel(), n**3).astype(np.float32).reshape(n, n, n)


def _blurred(cube: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian along all axes as three matrix products (zeros beyond the box): wide ones cost no more."""
    n = len(cube)
    distance = np.arange(n)[:, None] - np.arange(n)
    matrix = np.exp(-0.5 * (distance / sigma) ** 2) * (np.abs(distance) <= 4 * sigma)
    matrix = (matrix / matrix[n // 2].sum()).astype(np.float32)
    planes = matrix @ (cube.astype(np.float32) @ matrix.T)
    return (matrix @ planes.reshape(n, n * n)).reshape(n, n, n)


def _envelope(voxels, electrons, n, apix, *, resolution, share) -> np.ndarray:
    """Smoothed atoms cut where they enclose ``share`` of their molecular volume."""
    sigma = _SIGMA_PER_RESOLUTION * np.clip(resolution, 4, 15) / apix
    counts = _spread(voxels, electrons, n)
    smooth = _blurred(counts, max(sigma, 0.5))
    wanted = round(share * VOLUME_PER_ELECTRON * float(counts.sum()) / apix**3)
    if not 0 < wanted < n**3:
        return np.zeros((n, n, n), bool)
    cut = np.partition(smooth.ravel(), n**3 - wanted)[n**3 - wanted]
    return smooth > max(float(cut), 1e-3 * float(smooth.max()))


def _density(voxels, positions, weights, sampling, rng) -> np.ndarray:
    """Atoms as a reconstruction shows them: parts less resolved, a fall-off, a cut, a loss of low frequencies."""
    n, apix, resolution, change = sampling
    s = _frequencies(n, apix)
    groups = np.zeros(len(positions), int)
    blurs = [_ATOM_SIGMA]
    if rng.random() < 0.7:  # the further from a random anchor, the less ordered
        anchor = positions[rng.integers(len(positions))] * rng.uniform(0, 1)
        distance = np.linalg.norm(positions - anchor, axis=1)
        groups = np.digitize(distance, np.quantile(distance, [rng.uniform(0.1, 0.6), rng.uniform(0.7, 0.9)]))
        worse = rng.uniform(0.05, 0.5) * resolution
        blurs = [_ATOM_SIGMA, np.hypot(_ATOM_SIGMA, worse), np.hypot(_ATOM_SIGMA, 2 * worse)]
    total = np.zeros(s.shape, np.complex64)
    for group, sigma in enumerate(blurs):
        chosen = groups == group
        transform = fft.rfftn(_spread(voxels[chosen], weights[chosen], n))
        total += transform * np.exp(np.float32(-2 * np.pi**2 * sigma**2) * s**2)
    fall = change * np.log(10) * resolution**2
    total *= np.exp(np.float32(fall) * np.minimum(s, 1.3 / resolution) ** 2) * _low_pass(s, resolution)
    if rng.random() < 0.5:
        wavelength = float(np.ptp(positions, axis=0).max()) * rng.uniform(0.5, 2)
        total *= 1 - rng.uniform(0.2, 1) * np.exp(-((s * np.float32(wavelength)) ** 2))
    return fft.irfftn(total, (n, n, n))


def _low_pass(s: np.ndarray, resolution: float) -> np.ndarray:
    """1 below 0.9 / resolution, 0 above 1.2 / resolution, a cosine between."""
    return (0.5 + 0.5 * np.cos(np.pi * np.clip((s * resolution - 0.9) / 0.3, 0, 1))).astype(np.float32)


def _noise(envelope, apix, resolution, decoder, rng) -> np.ndarray:
    """Noise where the molecule's mean is 1: coloured, rippled by the contrast transfer, uneven in space."""
    n = len(envelope)
    s = _frequencies(n, apix)
    spectrum = _low_pass(s, resolution * rng.uniform(0.8, 1.0))
    if decoder and rng.random() < 0.6:
        spectrum = np.exp(-((s * np.float32(resolution * rng.uniform(1, 3))) ** 2))
    spectrum = spectrum * (np.maximum(s, 1 / (n * apix)) * resolution) ** np.float32(rng.uniform(-1.5, 0.7))
    if rng.random() < 0.5:
        rings = rng.uniform(0.5, 8) * resolution**2  # number of zeros before the resolution
        spectrum *= 1 - rng.uniform(0.3, 1) * (1 - np.abs(np.sin(np.float32(np.pi * rings) * s**2)))
    white = fft.rfftn(rng.standard_normal((n, n, n), dtype=np.float32))
    noise = fft.irfftn(white * spectrum, (n, n, n))
    noise /= max(float(noise.std()), 1e-12)
    if rng.random() < 0.5:  # more noise where the particle is, as alignment and masking leave it
        near = _blurred(envelope, 0.08 * n)
        noise *= 1 + rng.uniform(-0.5, 2) * near / max(float(near.max()), 1e-6)
    return noise * np.float32(10 ** rng.uniform(-2.3, -0.35))


def _belt(envelope, apix, positions, rng) -> np.ndarray:
    """Detergent or lipid: a slab of the particle's surroundings, weaker than protein, none inside it."""
    n = len(envelope)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    place = (np.arange(n) - (n - 1) / 2) * apix
    height = place[:, None, None] * axis[0] + place[:, None] * axis[1] + place * axis[2]
    height -= rng.uniform(-0.35, 0.35) * float(np.ptp(positions @ axis))
    near = _blurred(envelope, rng.uniform(7, 18) / apix)
    beside = np.clip((near - rng.uniform(0.03, 0.12)) / 0.1, 0, 1)
    half = rng.uniform(15, 22)
    slab = np.clip((half - np.abs(height)) / 5 + 0.5, 0, 1)
    slab *= 1 - rng.uniform(0, 0.7) * np.clip(1 - (height / half) ** 2, 0, 1)  # head groups outshine tails
    outside = 1 - _blurred(envelope, max(2 / apix, 0.5))
    return (rng.uniform(0.15, 1.0) * beside * slab * outside).astype(np.float32)


def _in_larger_box(data, envelope, solid, noise, rng) -> tuple[np.ndarray, ...]:
    """The same map with more solvent around it; noise is periodic, so it goes on without a seam."""
    around = int(len(data) * rng.uniform(0.1, 0.4))
    wider = [np.pad(array, around) for array in (data, envelope, solid)]
    return *wider, np.pad(noise, around, mode="wrap")


def _offset_and_gradient(n, rng) -> np.ndarray:
    ramp = np.linspace(-0.5, 0.5, n, dtype=np.float32)
    slopes = rng.normal(0, 0.04, 3).astype(np.float32)
    plane = slopes[0] * ramp[:, None, None] + slopes[1] * ramp[:, None] + slopes[2] * ramp
    return plane + np.float32(rng.normal(0, 0.1))


def _mask(envelope, apix, resolution, rng) -> np.ndarray:
    """1 everywhere (40 %), or a soft mask, wide or tight, or a ball; zeros outside."""
    n, kind = len(envelope), rng.random()
    if kind < 0.4:
        return np.float32(1)
    if kind < 0.55:
        axis = (np.arange(n) - (n - 1) / 2) ** 2
        distance = np.sqrt(axis[:, None, None] + axis[:, None] + axis) - n * rng.uniform(0.42, 0.5)
        return np.clip(1 - distance / max(2, 0.03 * n), 0, 1).astype(np.float32)
    near = _blurred(envelope, max(rng.uniform(0.5, 2.5) * resolution / apix / 2, 1))
    cut = rng.uniform(0.002, 0.1)
    return np.clip((near - cut * 0.5) / cut, 0, 1)


def _crop(envelope, rng) -> tuple[slice, slice, slice]:
    """A box whose every face lies somewhere between the map's own and inside the molecule: a little, seldom far."""
    box, depth = [], 3 if rng.random() < 0.25 else 10
    for axis, n in enumerate(envelope.shape):
        filled = np.flatnonzero(envelope.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = int(filled[0]), int(filled[-1]) + 1
        inside = max(1, (last - first) // depth)
        start = int(rng.integers(0, max(first + inside, 1) + 1))
        stop = int(rng.integers(min(last - inside, n), n + 1))
        box.append(slice(start, stop) if stop - start >= 12 else slice(0, n))
    return tuple(box)
