"""Reading motion: a region's own direction in latent space, and how far it turned."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hetero.errors import HeteroError
from hetero.gmm.motion import localised_motions, motion_between, rigid_body


class TwoDomains:
    """Domain 0 shifts with one mixture of two latent numbers, domain 1 turns with another; a third does nothing."""

    along = np.array([[1.0, 0.5, 0.0], [-0.7, 1.0, 0.0]])  # what each domain reads of a latent

    def __init__(self):
        rng = np.random.default_rng(0)
        self.inside = np.arange(120) < 40
        self.centres = rng.normal(0, 10, (120, 3)) + np.where(self.inside[:, None], 60.0, 20.0)
        self.masses = rng.uniform(0.5, 1, 120)

    def gaussians(self, z):
        shift, turn = (np.atleast_2d(z) @ self.along.T).T
        centres = np.repeat(self.centres[None], len(shift), 0)
        centres[:, self.inside] += shift[:, None, None] * [0.0, 3.0, 4.0]
        rest = self.centres[~self.inside]
        for i, angle in enumerate(turn):  # about y, through the domain's own centre of mass
            middle = np.average(rest, axis=0, weights=self.masses[~self.inside])
            rotation = Rotation.from_rotvec([0, 8 * angle, 0], degrees=True)
            centres[i, ~self.inside] = rotation.apply((rest - middle)[:, ::-1])[:, ::-1] + middle
        return centres, np.repeat(self.masses[None], len(shift), 0)


def test_each_region_has_a_direction_of_its_own():
    domains = TwoDomains()
    latents = np.random.default_rng(1).normal(size=(500, 3)) @ np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 1]])
    for inside, reads, other in ((domains.inside, 0, 1), (~domains.inside, 1, 0)):
        found = localised_motions(domains, latents, inside)
        best = domains.along @ found.directions[0]
        assert abs(best[other]) < 0.05 * abs(best[reads])
        assert found.ratio[0] > 10 and found.ratio[1] < 1
        np.testing.assert_allclose(
            np.sqrt(np.einsum("ij,jk,ik->i", found.directions, np.linalg.inv(np.cov(latents.T)), found.directions)),
            1,
            rtol=1e-3,
        )
        path = found.path(0, latents, 5)
        motion = motion_between(domains, path[0], path[-1])
        assert motion.lengths[~inside].max() < 0.1 * motion.lengths[inside].max()
    with pytest.raises(HeteroError, match="The region holds 120 of 120 Gaussians"):
        localised_motions(domains, latents, np.ones(120, bool))


def test_a_turn_is_told_in_degrees_and_a_shift_in_angstroms():
    domains = TwoDomains()
    point = np.linalg.solve(domains.along[:, :2], [2.0, 1.0])
    motion = motion_between(domains, np.zeros(3), np.append(point, 5.0))
    turned = rigid_body(motion, ~domains.inside)
    assert turned.angle == pytest.approx(8, abs=1e-6) and turned.left < 1e-6
    np.testing.assert_allclose(turned.axis, [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(turned.shift, 0, atol=1e-6)
    shifted = rigid_body(motion, domains.inside)
    np.testing.assert_allclose(shifted.shift, [0, 6, 8], atol=1e-9)
    assert shifted.angle < 1e-5 and shifted.moved == pytest.approx(10)
