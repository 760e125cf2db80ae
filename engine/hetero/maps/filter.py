"""Filtering of a map in Fourier space."""

import numpy as np
from scipy.fft import irfftn, rfftn

_EDGE = 2.0  # Fourier voxels of the longest axis: half the width of the cosine edge; sharper ones ring


def low_pass(data: np.ndarray, apix, resolution: float) -> np.ndarray:
    """Remove what is finer than ``resolution``: a spherical mask with a cosine edge, four Fourier voxels wide, there.

    Args:
        data: ``(z, y, x)`` real.
        apix: ``(3,)`` Å per voxel along z, y, x.
        resolution: Å; the mask is 1/2 at ``1 / resolution``.

    Returns:
        ``(z, y, x)`` float32. The mean stays.
    """
    data = np.asarray(data, dtype=np.float32)
    apix = np.broadcast_to(np.asarray(apix, dtype=float), (3,))
    z, y = (np.fft.fftfreq(n, a) for n, a in zip(data.shape[:2], apix[:2], strict=True))
    x = np.fft.rfftfreq(data.shape[2], apix[2])
    radius = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)  # 1/Å
    edge = _EDGE / max(n * a for n, a in zip(data.shape, apix, strict=True))
    ramp = np.clip((radius - 1 / resolution) / edge, -1, 1)
    mask = (0.5 - 0.5 * np.sin(0.5 * np.pi * ramp)).astype(np.float32)
    return irfftn(rfftn(data) * mask, s=data.shape).astype(np.float32)
