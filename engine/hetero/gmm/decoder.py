"""From latents to Gaussians and to maps."""

from collections.abc import Iterator

import numpy as np
import torch

from hetero.gmm.model import GaussianModel
from hetero.gmm.networks import DynamicModel
from hetero.gmm.scene import Cloud, model_of
from hetero.maps import resample_fourier


class GaussianDecoder:
    """The decoder of a :class:`hetero.latent.Run`: see :class:`hetero.latent.Decoder`.

    Args:
        network: on the CPU.
        frame: a model in whose map the answers lie; its Gaussians do not matter.
    """

    def __init__(self, network: DynamicModel, frame: GaussianModel):
        self.network, self.frame = network.eval(), frame

    def __call__(self, z: np.ndarray, box: int) -> Iterator[np.ndarray]:
        """Maps ``(box, box, box)`` of latents ``(b, zdim)``."""
        for model in self.models(z):
            data = model.density().data
            yield data if box == self.frame.box else resample_fourier(data, (box,) * 3)

    def models(self, z: np.ndarray) -> Iterator[GaussianModel]:
        """The Gaussians themselves, in the order of ``z``."""
        for point in np.atleast_2d(np.array(z, dtype=np.float32)):  # torch takes no read-only array
            with torch.no_grad():
                cloud = self.network.decode(torch.from_numpy(point)[None])
            sigmas = cloud.sigmas[0] if cloud.sigmas.ndim == 2 else cloud.sigmas
            yield model_of(Cloud(cloud.centres[0], cloud.masses[0], sigmas), self.frame)

    def gaussians(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres ``(b, g, 3)`` Å along z, y, x in the map's frame, and masses ``(b, g)``, of many latents at once."""
        with torch.no_grad():
            cloud = self.network.decode(torch.from_numpy(np.array(z, dtype=np.float32)))
        return cloud.centres.double().numpy()[..., ::-1] + self.frame.middle, cloud.masses.double().numpy()
