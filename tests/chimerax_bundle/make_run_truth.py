"""What the run of make_run.py is, by definition; numpy alone, so that both Pythons can say it."""

import numpy as np

BOX, APIX, N = 32, 2.0, 300


def blob(x, y, width=14.0):
    """``(z, y, x)`` a Gaussian ``x`` and ``y`` voxels from the middle."""
    k, j, i = (np.mgrid[:BOX, :BOX, :BOX].T - BOX // 2).T
    return np.exp(-((i - x) ** 2 + (j - y) ** 2 + k**2) / width).astype(np.float32)


def latents():
    """``(300, 2)``: particles 0, 1, 4, 5, ... about z1 = -0.5, the others about 0.5; z2 about 0."""
    z = np.stack([np.where(with_it(), 0.5, -0.5), np.zeros(N)], axis=1)
    return (z + np.array([0.08, 0.2]) * np.random.default_rng(0).standard_normal((N, 2))).astype(np.float32)


def with_it():
    """``(300,)`` which particles have the blob on the right; both kinds are among the odd and among the even ones."""
    return np.arange(N) // 2 % 2 == 1


def gaussians(n=150):
    """``(centres (n, 3), pace (n,))``: x, y, z in Å of the map's frame; the last third is a knob that moves.

    At the latent z a Gaussian lies ``10 pace z1`` Å further along x: 0.5 to 1.5 in the knob, 0 elsewhere.
    """
    rng = np.random.default_rng(2)
    middle, knob = APIX * (BOX // 2), np.arange(n) >= 2 * n // 3
    centres = middle + rng.normal(0, 6, (n, 3)) * [0.8, 1.4, 0.8] + np.where(knob[:, None], [14, 0, 0], [-8, 0, 0])
    return centres, np.where(knob, np.linspace(-1.5, 1.5, n), 0)
