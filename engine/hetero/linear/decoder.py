"""Maps of a linear model."""

from collections.abc import Iterator

import numpy as np

from hetero.maps.resample import resample_fourier


class LinearDecoder:
    """``mean + sum_k z_k component_k``: see :class:`hetero.latent.Decoder`.

    Args:
        mean: ``(box, box, box)`` float32.
        components: ``(q, box, box, box)`` float32.
    """

    def __init__(self, mean: np.ndarray, components: np.ndarray):
        self._maps = {len(mean): (mean, components)}
        self._own = len(mean)

    def __call__(self, z: np.ndarray, box: int) -> Iterator[np.ndarray]:
        """Maps ``(box, box, box)`` of latents ``(b, q)``. Memory: the map, and the model at this box."""
        mean, components = self._at(box)
        for row in np.asarray(z, np.float32):
            yield mean + np.tensordot(row, components, axes=1)

    def _at(self, box: int) -> tuple[np.ndarray, np.ndarray]:
        if box not in self._maps:
            mean, components = self._maps[self._own]
            small = [resample_fourier(data, (box,) * 3) for data in (mean, *components)]
            # one other size is kept: whoever asks for small maps asks for many of one size
            self._maps = {self._own: (mean, components), box: (small[0], np.stack(small[1:]))}
        return self._maps[box]
