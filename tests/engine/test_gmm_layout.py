"""Latents laid out by how alike the decoded molecules are: a fold in latent space is undone."""

import math

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
        return with_ball(torch.stack([36 * t, torch.zeros_like(t), torch.zeros_like(t)], 1))


class Bow:
    """A ball on most of a circle in the xy plane; latents are its angle, and how far off that way it is."""

    end = 0.85 * math.pi

    def decode(self, z):
        way = torch.cat([z[:, :1].cos(), z[:, :1].sin(), torch.zeros_like(z[:, :1])], 1) * 30
        return with_ball(way + z[:, 1:])


class Ladder:
    """A ball on its way along x, and a ligand elsewhere that is there (the second latent is 1) or not (0)."""

    def decode(self, z):
        cloud = with_ball(z[:, :1] * torch.tensor([40.0, 0.0, 0.0]))
        ligand = torch.randn(10, 3, generator=torch.Generator().manual_seed(2)) * 4 - torch.tensor([0.0, 0.0, 40.0])
        centres = torch.cat([cloud.centres, ligand.expand(len(z), -1, -1)], 1)
        return Cloud(centres, torch.cat([cloud.masses, z[:, 1:].expand(-1, 10)], 1), cloud.sigmas)


class Ring:
    """A ball that goes round in the xy plane."""

    def decode(self, z):
        return with_ball(torch.cat([z.cos(), z.sin(), torch.zeros_like(z)], 1) * 30)


def with_ball(places):
    """A body at rest, and beside it a ball at places ``(n, 3)``."""
    body = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 15
    ball = torch.randn(20, 3, generator=torch.Generator().manual_seed(1)) * 4 + torch.tensor([0.0, 0.0, 40.0])
    centres = torch.cat([body, ball]).expand(len(places), -1, -1).clone()
    centres[:, 50:] += places[:, None]
    return Cloud(centres, torch.ones(len(places), 70), torch.tensor(5.0))


def test_a_folded_motion_is_unrolled():
    rng = np.random.default_rng(0)
    z = torch.tensor(np.stack([rng.uniform(-1, 1, 1500), rng.normal(0, 1, 1500)], 1), dtype=torch.float32)
    way = np.where(z[:, 0] < 0, z[:, 0] + 1, z[:, 0] - 1)
    assert abs(spearmanr(z[:, 0], way)[0]) < 0.6
    found = laid_out(Folded(), z, 200.0, 2).numpy()
    assert abs(spearmanr(found[:, 0], way)[0]) > 0.999
    assert np.isclose(found[:, 0].std(), 1, atol=1e-3) and found[:, 1].std() < 0.2  # and nothing else is there
    np.testing.assert_array_equal(found, laid_out(Folded(), z, 200.0, 2).numpy())


def test_noise_between_the_ends_does_not_bend_a_motion():
    rng = np.random.default_rng(0)
    angle = rng.uniform(-Bow.end, Bow.end, 1500)
    z = torch.tensor(np.column_stack([angle, 6 * rng.normal(size=(1500, 3))]), dtype=torch.float32)
    found = laid_out(Bow(), z, 200.0, 2).numpy()
    assert abs(spearmanr(found[:, 0], angle)[0]) > 0.98  # 0.86 with the loneliest landmarks


def test_two_compositions_lie_side_by_side():
    rng = np.random.default_rng(0)
    t, there = rng.uniform(-1, 1, 1500), rng.integers(0, 2, 1500)
    found = laid_out(Ladder(), torch.tensor(np.stack([t, there], 1), dtype=torch.float32), 200.0, 2).numpy()
    assert abs(spearmanr(found[:, 0], t)[0]) > 0.99
    low, high = (found[there == kind, 1] for kind in (0, 1))
    assert low.max() < high.min() or high.max() < low.min()


def test_a_ring_stays_closed():
    angle = np.random.default_rng(0).uniform(-np.pi, np.pi, 1500)
    found = laid_out(Ring(), torch.tensor(angle[:, None], dtype=torch.float32), 200.0, 2).numpy()
    seen = np.angle(found[:, 0] + 1j * found[:, 1])
    off = max((np.exp(1j * (seen - way * angle)) for way in (1, -1)), key=lambda t: abs(t.mean()))
    assert np.degrees(np.median(np.abs(np.angle(off / off.mean())))) < 4
