"""Latents laid out by how alike the decoded molecules are: a fold in latent space is undone."""

import numpy as np
import pytest
from scipy.stats import spearmanr

torch = pytest.importorskip("torch")
from hetero.gmm.layout import laid_out  # noqa: E402
from hetero.gmm.scene import Cloud  # noqa: E402


class Folded:
    """A ball on its way along x, in a latent space where the two halves of the way changed places."""

    def decode(self, z):
        t = torch.where(z[:, 0] < 0, z[:, 0] + 1, z[:, 0] - 1)  # -1 to 1
        body = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 15
        ball = torch.randn(20, 3, generator=torch.Generator().manual_seed(1)) * 4 + torch.tensor([0.0, 40.0, 0.0])
        centres = torch.cat([body, ball]).expand(len(z), -1, -1).clone()
        centres[:, 50:, 0] += 36 * t[:, None]
        return Cloud(centres, torch.ones(len(z), 70), torch.tensor(5.0))


def test_a_folded_motion_is_unrolled():
    rng = np.random.default_rng(0)
    z = torch.tensor(np.stack([rng.uniform(-1, 1, 1500), rng.normal(0, 1, 1500)], 1), dtype=torch.float32)
    way = np.where(z[:, 0] < 0, z[:, 0] + 1, z[:, 0] - 1)
    assert abs(spearmanr(z[:, 0], way)[0]) < 0.6
    found = laid_out(Folded(), z, 200.0, 2).numpy()
    assert abs(spearmanr(found[:, 0], way)[0]) > 0.999
    assert np.isclose(found[:, 0].std(), 1, atol=1e-3) and found[:, 1].std() < 0.2  # and nothing else is there
    np.testing.assert_array_equal(found, laid_out(Folded(), z, 200.0, 2).numpy())
