"""A run whose maps are known, written by the engine's own Python: python make_run.py FOLDER

A linear model of 32^3 voxels of 2 Å: a blob that is always there, one to its right (x) with the weight 0.5 + z1, and
one above (y) with the weight 0.5 + z2. Of 300 particles one half lies about z1 = -0.5 (without the blob on the
right) and the other about z1 = 0.5 (make_run_truth.py says which); z2 spreads about 0. Beside it: occupancy.csv, a row
a particle, and particles.star with their images, projections of their maps (in focus with a phase plate: CTF 1).
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from make_run_truth import APIX, BOX, N, blob, latents

from hetero.latent import CHECKPOINT, Latents, RunConfig, write_config, write_latents
from hetero.particles import CTF, write_stack, write_star
from hetero.particles.project import MapProjector, images_from_transforms
from hetero.particles.relion import star_tables
from hetero.particles.simulate import random_poses


def write_images(folder, z):
    """particles.star: projections of each particle's map from everywhere, without CTF, with a little noise."""
    rng = np.random.default_rng(1)
    poses = random_poses(N, 0.0, rng)
    weights = np.stack([np.ones(N), 0.5 + z[:, 0], 0.5 + z[:, 1]])
    parts = [MapProjector(one).transforms(poses.rotations) for one in (blob(-3, 0), blob(7, 0), blob(-3, 8))]
    images = images_from_transforms(sum(w[:, None, None] * part for w, part in zip(weights, parts, strict=True)), BOX)
    images += 0.2 * images.std() * rng.standard_normal(images.shape)
    with write_stack(folder / "particles.mrcs", N, BOX, APIX) as writer:
        writer.append(images.astype(np.float32))
    names = [f"{i:06d}@particles.mrcs" for i in range(1, N + 1)]
    phase_plate = CTF(*np.zeros((3, N)), np.full(N, 300.0), *np.zeros((2, N)), np.full(N, 90.0))
    write_star(folder / "particles.star", star_tables(names, BOX, np.full(N, APIX), poses, phase_plate))


def main(folder):
    """Write the run."""
    import torch

    from hetero.linear.files import FORMAT

    folder.mkdir(parents=True)
    z = latents()
    write_config(folder / "config.json", RunConfig("linear", BOX, APIX, {}))
    write_latents(folder / "latents.npz", Latents(z, np.arange(N)))
    right, above = blob(7, 0), blob(-3, 8)
    state = {
        "mean": torch.from_numpy(blob(-3, 0) + 0.5 * right + 0.5 * above),
        "components": torch.from_numpy(np.stack([right, above])),
    }
    torch.save({"format": FORMAT, **state}, folder / CHECKPOINT)
    write_images(folder.parent, z)
    table = pd.DataFrame({"particle": np.arange(N), "block_0": (z[:, 0] > 0).astype(float)})
    table.to_csv(folder.parent / "occupancy.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
