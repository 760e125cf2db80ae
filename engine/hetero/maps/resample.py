"""Changing the sampling of a map in Fourier space."""

import numpy as np


def resample_fourier(data: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Crop or pad the Fourier transform of a map so that it has ``shape`` voxels over the same extent.

    Right for any box: odd, even, non-cubic, larger and smaller axes mixed; the Nyquist terms are split or joined so
    that the result is real. Voxel ``(0, 0, 0)`` keeps its place and values keep their scale.

    Args:
        data: ``(z, y, x)`` real.
        shape: voxels wanted along z, y, x.

    Returns:
        ``shape`` float32. The voxel size becomes ``apix * data.shape / shape``; the origin stays.
    """
    from scipy.signal import resample  # slow to import, and most verbs never resample

    result = np.asarray(data, dtype=np.float32)
    # Axes that shrink go first: less is left to do for the others.
    for axis in sorted(range(3), key=lambda a: shape[a] / data.shape[a]):
        if result.shape[axis] != shape[axis]:
            result = resample(result, shape[axis], axis=axis)
    return np.ascontiguousarray(result, dtype=np.float32)
