"""Images made smaller, their particle in the middle: what training reads again and again."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from hetero.errors import HeteroError


@dataclass(frozen=True)
class Sampling:
    """What images are brought to.

    Attributes:
        box: pixels along each side, even.
        apix: Å per pixel.
        window: radius, as a share of half the box, at which a soft circular window begins to fall (as a cosine, to 0 at
            1); 1 for none.

    Raises:
        HeteroError: an odd or tiny box, or a window that is no share.
    """

    box: int
    apix: float
    window: float = 0.85

    def __post_init__(self):
        if self.box < 8 or self.box % 2:
            raise HeteroError(f"The box is {self.box} pixels; an even number of 8 or more was expected.")
        if not 0 < self.window <= 1:
            raise HeteroError(f"The window begins at {self.window:g}; a share above 0 and up to 1 was expected.")

    @property
    def extent(self) -> float:
        """Å along each side."""
        return self.box * self.apix


def common_sampling(apix: np.ndarray, old_box: int, box: int, window: float = 0.85) -> Sampling:
    """One sampling for images of ``old_box`` pixels whose pixel sizes ``(n,)`` may differ: ``box`` pixels over the
    smallest of their extents, so that none has to be filled up.

    Raises:
        HeteroError: ``box`` is larger than ``old_box``, or sizes differ and there is no window.
    """
    if box > old_box:
        raise HeteroError(f"The box is {box} pixels, the images have {old_box}; as many or fewer were expected.")
    if window == 1 and np.ptp(apix) > 1e-4 * apix.min():
        raise HeteroError("Images of several pixel sizes are brought to one under a window; one below 1 was expected.")
    return Sampling(box, float(apix.min()) * old_box / box, window)


def resample_images(images: np.ndarray, apix: np.ndarray, shifts: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Window, centre and Fourier-crop images.

    The window lies around the particle and comes first, so that nothing wraps around an edge when the particle is moved
    to the middle. The mean of the ring in which it falls is taken off, so that no disc appears in images with a
    background. Values keep their scale. Frequencies at Nyquist of the new pixel, or beyond it of the old one, are zero.
    The CTF of an image is the same as before, at equal frequency.

    Args:
        images: ``(k, old, old)``.
        apix: ``(k,)`` Å per pixel.
        shifts: ``(k, 2)`` Å along x, y that the content is moved by: poses' shifts to centre it, or zeros.
        sampling: what to make.

    Returns:
        ``(k, box, box)`` float32, the particle at pixel ``box // 2``. Memory: about four times ``images``.
    """
    result = np.empty((len(images), sampling.box, sampling.box), dtype=np.float32)
    for size in np.unique(apix):
        mine = np.flatnonzero(apix == size)
        result[mine] = _resample(images[mine], float(size), shifts[mine], sampling)
    return result


def _resample(images: np.ndarray, apix: float, shifts: np.ndarray, sampling: Sampling) -> np.ndarray:
    old, box = images.shape[-1], sampling.box
    images = np.asarray(images, dtype=np.float32)
    if sampling.window < 1:
        images = _windowed(images, _windows(old, apix, shifts, sampling))
    same = abs(old * apix - sampling.extent) < 1e-4 * sampling.extent
    transform = _cropped_transform(images, box) if same else _stretched_transform(images, apix, sampling)
    f_rows, f_columns = _frequencies(box, sampling.apix)
    # from phases about the old middle (old // 2, at the origin of the transform) to the new middle, moved by the shift
    places = [shifts[:, i, None] + (box // 2) * sampling.apix for i in range(2)]
    if same:
        places = [p - (old // 2) * apix for p in places]
    columns, rows = (
        np.exp(-2j * np.pi * f * p).astype(np.complex64) for f, p in zip((f_columns, f_rows), places, strict=True)
    )
    nyquist = 0.5 / max(apix, sampling.apix) * (1 - 1e-6)
    rows *= np.abs(f_rows) < nyquist
    columns *= np.abs(f_columns) < nyquist
    transform *= rows[:, :, None]
    transform *= columns[:, None, :] * np.float32((apix / sampling.apix) ** 2)
    return scipy.fft.irfft2(transform, s=(box, box), overwrite_x=True)


def _frequencies(box: int, apix: float) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.fftfreq(box, apix), np.fft.rfftfreq(box, apix)


def _cropped_transform(images: np.ndarray, box: int) -> np.ndarray:
    """``(k, box, box // 2 + 1)`` low frequencies, phases from pixel 0."""
    half = box // 2
    transform = scipy.fft.rfft2(images)[:, :, : half + 1]
    n = transform.shape[1]
    return np.concatenate([transform[:, : box - half], transform[:, n - half :]], axis=1)


def _stretched_transform(images: np.ndarray, apix: float, sampling: Sampling) -> np.ndarray:
    """The same at frequencies that are none of the images' own (their extent differs), phases from the middle."""
    old = images.shape[-1]
    place = (np.arange(old) - old // 2) * apix
    rows, columns = (
        np.exp(-2j * np.pi * f[:, None] * place).astype(np.complex64) for f in _frequencies(sampling.box, sampling.apix)
    )
    return rows @ images @ columns.T


def _windowed(images: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Images without their background, under their windows."""
    ring = windows * (1 - windows)
    background = np.einsum("kij,kij->k", images, ring) / ring.sum(axis=(1, 2))
    return (images - background[:, None, None]) * windows


def _windows(old: int, apix: float, shifts: np.ndarray, sampling: Sampling) -> np.ndarray:
    """``(k, old, old)`` soft discs around where each particle lies now."""
    place = ((np.arange(old) - old // 2) * apix).astype(np.float32)
    x, y = (place + shifts[:, i, None].astype(np.float32) for i in range(2))
    radius = np.sqrt(x[:, None, :] ** 2 + y[:, :, None] ** 2) / np.float32(sampling.extent / 2)
    fall = np.clip((radius - sampling.window) / (1 - sampling.window), 0, 1)
    return np.float32(0.5) * (1 + np.cos(np.float32(np.pi) * fall))
