"""Poses, CTF and projections: one convention, held against RELION's own projections and an independent simulator."""

import dataclasses
import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from hetero.errors import HeteroError
from hetero.maps import read_map, resample_fourier
from hetero.particles import (
    CTF,
    Poses,
    electron_wavelength,
    euler_from_rotations,
    open_particles,
    rotations_from_euler,
)
from hetero.particles.project import (
    MapProjector,
    Points,
    images_from_transforms,
    shift_phases,
    transforms_from_images,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gives no pixel size"),
    pytest.mark.filterwarnings("ignore:.*the header gives voxel size 0"),
]


@pytest.fixture(scope="module")
def bench(shared):
    """The benchmark's own simulator, independent of the engine."""
    spec = importlib.util.spec_from_file_location("simulate_drgn", shared / "bench/simulate_drgn.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


def project(data, poses, apix):
    box = data.shape[0]
    transforms = MapProjector(data).transforms(poses.rotations) * shift_phases(-poses.shifts, box, apix)
    return images_from_transforms(transforms, box)


# Poses


def test_euler_angles_are_relion_s(bench):
    rng = np.random.default_rng(0)
    rot, tilt, psi = rng.uniform(-180, 180, 50), rng.uniform(0, 180, 50), rng.uniform(-180, 180, 50)
    expected = np.array([bench.euler(*angles) for angles in zip(rot, tilt, psi, strict=True)])
    np.testing.assert_allclose(rotations_from_euler(rot, tilt, psi), expected, atol=1e-12)
    np.testing.assert_allclose(np.transpose(euler_from_rotations(expected)), np.stack([rot, tilt, psi], 1), atol=1e-9)


@pytest.mark.parametrize("tilt", [0.0, 180.0])
def test_euler_angles_of_views_along_z(tilt):
    rotations = rotations_from_euler([10.0, -170.0], [tilt, tilt], [30.0, 77.0])
    rot, found, psi = euler_from_rotations(rotations)
    np.testing.assert_allclose(found, tilt, atol=1e-6)
    np.testing.assert_allclose(rot, 0)
    np.testing.assert_allclose(rotations_from_euler(rot, found, psi), rotations, atol=1e-12)


def test_a_tilt_of_90_looks_along_x():
    """By hand: rot 0, tilt 90, psi 0 puts the map's x axis on the beam and its z axis on minus the image's x."""
    (rotation,) = rotations_from_euler([0.0], [90.0], [0.0])
    np.testing.assert_allclose(rotation @ [1, 0, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation @ [0, 0, 1], [-1, 0, 0], atol=1e-12)


def test_a_point_lands_where_the_pose_says():
    """One blob off the centre, turned and moved: its place in the picture by hand."""
    rotation = rotations_from_euler([20.0], [50.0], [100.0])[0]
    place = np.array([6.0, -4.0, 9.0])  # x, y, z, Å
    points = Points(place[None, ::-1], [1.0], 3.0)
    shift = np.array([5.0, -2.0])  # moving the image by this centres the particle, so it lies at minus this
    image = images_from_transforms(points.transform(rotation, 32, 2.0) * shift_phases(-shift, 32, 2.0), 32)
    row, column = np.mgrid[:32, :32]
    x, y = ((i * image).sum() / image.sum() - 16 for i in (column, row))
    np.testing.assert_allclose(np.array([x, y]) * 2.0, (rotation @ place)[:2] - shift, atol=0.02)


def test_poses_do_not_change_with_the_arrays_they_came_from():
    rotations, shifts = np.eye(3)[None].copy(), np.zeros((1, 2))
    poses = Poses(rotations, shifts)
    rotations[0] = 0
    np.testing.assert_array_equal(poses.rotations[0], np.eye(3))


# Projections


@pytest.mark.parametrize(
    ("name", "middle"),
    [("64", 0.0), ("64_centered", 0.5), ("64_shifted", 0.5), ("65", 1), ("65_centered", 1), ("65_shifted", 1)],
)
def test_relion_s_own_projections(shared, name, middle):
    """Images that RELION projected, from the map it projected (which has 65 voxels).

    For the 64s the map was brought to 64 voxels: in one set with voxel 0 kept, as ours does, in the others with the
    middle kept, half a voxel further. RELION puts the middle of an odd image one pixel further than 65 // 2.
    """
    particles = open_particles(shared / f"data/particles/aspire/rln_proj_{name}.star")
    data, box = read_map(shared / "data/maps/aspire_clean70S_65.mrc").data, particles.box
    poses = particles.poses
    if box == 64:
        data = resample_fourier(data, (64, 64, 64))
        phase = np.exp(-2j * np.pi * np.fft.fftfreq(64) * middle)
        phases = phase[:, None, None] * phase[:, None] * phase
        data = np.fft.ifftn(np.fft.fftn(data) * phases).real
    else:
        poses = Poses(poses.rotations, poses.shifts - middle)
    found = project(data, poses, particles.apix)
    for image, expected in zip(found, particles.stack[:], strict=True):
        assert correlation(image, expected) > 0.999
        assert (image * expected).sum() / (image**2).sum() == pytest.approx(1, abs=0.01)  # values too, not only shape


def test_tomodrgn_s_projections_by_star_and_by_pickle(shared):
    """Another program's shifts and rotations, in pixels in a 3.0 star and as shares of the box in a pickle."""
    folder = shared / "data/particles/tomodrgn"
    data = read_map(folder / "10076_classD_32.mrc").data
    for particles in (
        open_particles(folder / "10076_classD_32_clean.star"),
        open_particles(folder / "10076_classD_32_clean.mrcs", folder / "pose_classD.pkl"),
    ):
        some = particles.subset(slice(0, 60))
        images = project(data, some.poses, some.apix)
        moved = [correlation(a, b) for a, b in zip(images, some.stack[:], strict=True)]
        # they interpolate linearly, twice; a wrong sign of the shifts gives 0.1
        assert np.mean(moved) > 0.965 and min(moved) > 0.94


def test_points_and_maps_project_alike_and_exactly():
    """The fast sums and slices against the plain sum over Gaussians, ring by ring to Nyquist."""
    rng = np.random.default_rng(0)
    positions, weights = rng.normal(0, 11, (300, 3)), rng.uniform(5, 9, 300)
    rotation = rotations_from_euler([40.0], [70.0], [110.0])[0]
    for box in (48, 47):
        fast, plain = (Points(positions, weights, s) for s in (1.2, np.full(300, 1.2)))
        expected = plain.transform(rotation, box, 2.2)
        radius = np.hypot(np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box))
        slices = MapProjector(plain.density(box, 2.2)).transforms(rotation[None])[0]
        points = fast.transform(rotation, box, 2.2)
        for low in np.arange(0, 0.45, 0.05):
            ring = (radius >= low) & (radius < low + 0.05)
            strength = np.linalg.norm(expected[ring])
            assert np.linalg.norm((points - expected)[ring]) < strength * (5e-4 if low < 0.25 else 1e-2)
            assert np.linalg.norm((slices - expected)[ring]) < strength * 2.5e-2  # worse farther from the middle
        np.testing.assert_allclose(
            fast.density(box, 2.2), plain.density(box, 2.2), atol=0.004 * plain.density(box, 2.2).max()
        )
        assert expected[0, 0].real == pytest.approx(weights.sum() / 2.2**3)


def test_transform_and_back():
    images = np.random.default_rng(0).standard_normal((2, 15, 15))
    np.testing.assert_allclose(images_from_transforms(transforms_from_images(images), 15), images, atol=1e-12)


# CTF


def test_ctf_is_the_benchmark_s(bench):
    """All but the B-factor of an independent program, and astigmatism on its axis."""
    ctf = CTF([15000.0, 22000], [14000.0, 23000], [30.0, 130], bench.KV, bench.CS, bench.W, bfactor=bench.BFAC)
    found = ctf.images(bench.D, bench.APIX)
    for values, (u, v, angle) in zip(found, [(15000, 14000, 30), (22000, 23000, 130)], strict=True):
        # at Nyquist alone the sign of the frequency, and with it the astigmatism, is a matter of taste
        np.testing.assert_allclose(values[:, :-1], bench.ctf2d(u, v, angle)[:, : bench.D // 2], atol=1e-9)


def test_ctf_by_hand():
    """Positive at low frequency; at 0 the amplitude contrast; its first zero where the phase is pi minus asin(w)."""
    ctf = CTF(20000.0, 20000.0, 0.0, 300.0, 0.0, 0.1, scale=0.5)
    wavelength = electron_wavelength(300.0)
    assert wavelength == pytest.approx(0.01969, abs=1e-5)  # Å, any textbook
    assert ctf.evaluate(np.zeros((1, 1)), np.zeros((1, 1)))[0, 0] == pytest.approx(0.05)
    zero = np.sqrt((np.pi - np.arcsin(0.1)) / (np.pi * wavelength * 20000))
    s = np.array([[zero / 2, zero, 1.05 * zero]])
    low, at, beyond = ctf.evaluate(s, 0 * s)[0]
    assert low > 0 > beyond and at == pytest.approx(0, abs=1e-9)


def test_phase_plate_and_envelope():
    plate = CTF(0.0, 0.0, 0.0, 300.0, 2.7, 0.07, phase_shift=90.0)
    assert plate.evaluate(np.zeros((1, 1)), np.zeros((1, 1)))[0, 0] == pytest.approx(np.sqrt(1 - 0.07**2))
    s = np.linspace(0, 0.2, 50)[None]
    plain, damped = (CTF(15000.0, 15000.0, 0.0, 300.0, 2.7, 0.07, bfactor=b).evaluate(s, 0 * s) for b in (0.0, 80.0))
    np.testing.assert_allclose(damped, plain * np.exp(-20 * s**2), atol=1e-12)


def test_each_particle_s_own_pixel_size():
    ctf = CTF([15000.0, 15000.0], 15000.0, 0.0, 300.0, 2.7, 0.1)
    both = ctf.images(16, np.array([2.0, 3.0]))
    np.testing.assert_allclose(both[0], ctf[:1].images(16, 2.0)[0])
    np.testing.assert_allclose(both[1], ctf[1:].images(16, 3.0)[0])


def test_a_whole_benchmark_set_is_its_truth_and_white_noise(shared, tmp_path):
    """Star file, stack, poses, shifts and CTF of an independent program, read and taken together."""
    command = [sys.executable, shared / "bench/simulate_drgn.py", "discrete", "-o", tmp_path, "-n", "150", "--snr", "1"]
    subprocess.run(command, check=True)
    particles, truth = open_particles(tmp_path / "particles.star"), np.load(tmp_path / "ground_truth.npz")
    np.testing.assert_allclose(particles.poses.rotations, truth["R"], atol=1e-6)
    np.testing.assert_allclose(particles.poses.shifts, -truth["shift_A"], atol=1e-5)
    ctf = dataclasses.replace(particles.ctf, bfactor=100.0)  # its images have an envelope that its star file leaves out
    images = particles.stack[:]
    clean = np.empty_like(images)
    for k in range(3):
        mine = truth["label"] == k
        projector = MapProjector(read_map(tmp_path / f"gt_state{k}.mrc").data)
        transforms = projector.transforms(particles.poses.rotations[mine]) * ctf[mine].images(64, 4.0)
        transforms *= shift_phases(-particles.poses.shifts[mine], 64, 4.0)
        clean[mine] = images_from_transforms(transforms, 64)
    # their maps have Gaussians of height 1, sampled; their images have the same in projection
    scale = np.sum(clean * images) / np.sum(clean**2)
    assert scale * np.sqrt(2 * np.pi) * 3.0 / 4.0 == pytest.approx(float(truth["signal_scale"]), rel=0.01)
    residual = images - scale * clean
    assert residual.var() == pytest.approx(1, abs=0.01) and correlation(clean, images) > 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voltage": 0.0}, "voltage is 0 for 2 of 2 particles .first: particle 1.; kV"),
        ({"cs": -1.0}, "cs is -1"),
        ({"amplitude_contrast": 7.0}, "amplitude_contrast is 7 for 2 of 2 particles .*; 0 to 1 was expected"),
        ({"defocus_u": [15000.0, np.nan]}, "defocus_u of particle 2 is not finite"),
        ({"bfactor": np.zeros(3)}, "has shape"),
    ],
)
def test_impossible_microscopes(change, message):
    values = {"defocus_u": [15000.0, 16000], "defocus_v": 15000.0, "angle": 0.0, "voltage": 300.0, "cs": 2.7}
    with pytest.raises(HeteroError, match=message):
        CTF(**(values | {"amplitude_contrast": 0.1} | change))
