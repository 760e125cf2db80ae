"""Gaussian models: what they weigh and where, and EMAN2's text of them."""

import numpy as np
import pytest

from hetero.errors import HeteroError
from hetero.gmm import GaussianModel, read_model, write_model
from hetero.maps import MapWarning, Volume


def test_a_density_holds_each_gaussian_s_mass_where_its_centre_is(gaussians):
    model = gaussians()
    volume = model.density()
    assert volume.data.sum() * volume.voxel_volume == pytest.approx(model.masses.sum(), rel=1e-4)
    places = volume.origin + volume.apix * np.indices(volume.shape).reshape(3, -1).T
    plain = sum(
        a * np.exp(-((places - c) ** 2).sum(1) / (2 * s**2))
        for a, c, s in zip(model.amplitudes, model.centres, model.sigmas, strict=True)
    )
    np.testing.assert_allclose(volume.data.ravel(), plain, atol=1e-5 * plain.max())
    coarse = model.density(16)
    assert coarse.data.sum() * coarse.voxel_volume == pytest.approx(model.masses.sum(), rel=1e-3)


@pytest.mark.parametrize("program", ["new", "refine", "point"])
def test_a_text_comes_back(tmp_path, program, gaussians):
    model = gaussians()
    write_model(tmp_path / "m.txt", model, program)
    back = read_model(tmp_path / "m.txt")
    np.testing.assert_allclose(back.centres, model.centres, atol=1e-4)
    np.testing.assert_allclose(back.masses, model.masses / model.masses.max(), rtol=1e-6)
    if program != "point":
        np.testing.assert_allclose(back.sigmas, model.sigmas, rtol=1e-6)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "m.txt").shape, (20, 5))  # as EMAN2 reads it


def test_columns_mean_what_each_program_draws(tmp_path):
    """A line of EMAN2's lies at known voxels, and falls with k as its program says."""
    (tmp_path / "m.txt").write_text("0.25 -0.125 0.0625 0.5 1.2\n0 0 0 1 1\n")
    k = np.arange(12)
    falls = {"new": np.exp(-0.001 * 1.2 * k**2), "point": None, "refine": np.exp(-0.1 * 1.2 * k)}
    for program, fall in falls.items():
        model = read_model(tmp_path / "m.txt", program, box=64, apix=2.0)
        # x 0.25 of 128 Å right of voxel 32; y and z change their sign
        np.testing.assert_allclose(model.centres[0], [64 - 8, 64 + 16, 64 + 32])
        assert model.masses[0] / model.masses[1] == pytest.approx(0.25 if program == "new" else 0.5)
        ours = np.exp(-2 * np.pi**2 * model.sigmas[0] ** 2 * k**2 / 128**2)
        if program == "new":
            np.testing.assert_allclose(ours, fall, rtol=1e-9)
        if program == "refine":
            half = np.log(2) / 0.12
            assert np.interp(half, k, ours) == pytest.approx(np.interp(half, k, fall), abs=0.02)


def test_texts_that_are_none_get_a_sentence(tmp_path):
    path = tmp_path / "m.txt"
    path.write_text("0 0 0 1 1\n0 nan 0 1 1\n")
    with pytest.raises(HeteroError, match="NaN or infinity in 1 of 2 Gaussians; number 2"):
        read_model(path, "new", 64, 2.0)
    path.write_text("0 0 0 1 1\n")
    with pytest.raises(HeteroError, match="does not say which program wrote it"):
        read_model(path, None, 64, 2.0)
    with pytest.raises(HeteroError, match="does not say in which box"):
        read_model(path, "new")
    path.write_text("0 0 0 1 1\n0 0 hello 1 1\n")
    with pytest.raises(HeteroError, match="is no model text"):
        read_model(path, "new", 64, 2.0)
    path.write_text("0 0 30 1 1\n")
    with pytest.raises(HeteroError, match="coordinates up to 30"):
        read_model(path, "new", 64, 2.0)
    path.write_text("0 0 0 1 1\n0 0 0.1 -0.05 1\n")
    with pytest.warns(MapWarning, match="1 of 2 Gaussians have no or a negative amplitude"):
        assert len(read_model(path, "point", 64, 2.0)) == 1
    with pytest.raises(HeteroError, match="is not there"):
        read_model(tmp_path / "no.txt")


def test_gaussians_in_a_mask(gaussians):
    model = gaussians()
    volume = model.density()
    ball = Volume(np.zeros(volume.shape), volume.apix, volume.origin, "ball")
    place = np.rint((model.centres[3] - volume.origin) / volume.apix).astype(int)
    ball.data[tuple(place)] = 1
    chosen = model.inside(ball)
    assert chosen[3] and chosen.sum() < 4
    with pytest.raises(HeteroError, match="None of the 20 Gaussians"):
        model.inside(Volume(np.zeros(volume.shape), volume.apix, volume.origin, "empty"))
    with pytest.raises(HeteroError, match="ball has 32 x 32"):
        model.inside(Volume(ball.data, volume.apix * 2, volume.origin, "ball"))


def test_a_model_that_is_none_gets_a_sentence():
    with pytest.raises(HeteroError, match="amplitudes that are no number in 1 of 2"):
        GaussianModel(np.zeros((2, 3)), [1, np.nan], 1.0, 8, 1.0)
    with pytest.raises(HeteroError, match="width that is not positive"):
        GaussianModel(np.zeros((2, 3)), 1.0, [1, 0], 8, 1.0)
