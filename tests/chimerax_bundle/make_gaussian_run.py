"""A run of moving Gaussians whose motion is known, written by the engine's own Python:

python make_gaussian_run.py FOLDER [N]

The decoder is one linear layer: see gaussians() in make_run_truth.py. Beside the run: neutral.txt, its model text.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from make_run_truth import APIX, BOX, gaussians, latents

from hetero.gmm import GaussianModel, write_model
from hetero.gmm.files import save_checkpoint
from hetero.gmm.networks import DynamicModel, NetworkShape
from hetero.gmm.scene import cloud_of
from hetero.latent import CHECKPOINT, Latents, RunConfig, write_config, write_latents


def main(folder, n):
    """Write the run."""
    folder.mkdir(parents=True)
    centres, pace = gaussians(n)
    knob = pace > 0
    model = GaussianModel(centres[:, ::-1], np.where(knob, 2.0, 1.0), 3.0, BOX, APIX)
    network = DynamicModel(
        NetworkShape(2, 2, 0, 0.0, False, 0, 1.0), cloud_of(model), torch.from_numpy(knob), ("position",)
    )
    weight = torch.zeros(3 * int(knob.sum()), 2)
    weight[::3, 0] = torch.from_numpy(10.0 * pace[knob])
    network.decoder[-1].weight.data = weight
    save_checkpoint(folder / CHECKPOINT, network, model, epoch=1)
    write_config(folder / "config.json", RunConfig("gmm", BOX, APIX, {}))
    z = latents()
    write_latents(folder / "latents.npz", Latents(z, np.arange(len(z))))
    write_model(folder / "neutral.txt", model)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 150)
