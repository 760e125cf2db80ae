"""Small images: the same picture with fewer pixels, its particle in the middle, and nothing wrapped around an edge."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample

from hetero.cli import BAD_INPUT, DONE, main
from hetero.errors import HeteroError
from hetero.particles import (
    CTF,
    Poses,
    open_particles,
    particle_block,
    read_block,
    read_indices,
    write_poses,
    write_stack,
    write_star,
)
from hetero.particles.project import Points, images_from_transforms, shift_phases
from hetero.particles.relion import star_tables
from hetero.particles.resample import Sampling, common_sampling, resample_images
from hetero.particles.simulate import random_poses

APIX, BOX = 2.0, 48


@pytest.fixture(scope="module")
def scene():
    """A soft particle that fits well into the window, seen from five sides and off the centre."""
    rng = np.random.default_rng(0)
    points = Points(rng.normal(0, 9, (30, 3)).clip(-15, 15), rng.uniform(5, 9, 30), 4.5)
    return points, random_poses(5, 3.0, rng)


def picture(points, poses, box, apix, centred):
    transforms = np.stack([points.transform(r, box, apix) for r in poses.rotations])
    if not centred:
        transforms *= shift_phases(-poses.shifts, box, apix)
    return images_from_transforms(transforms, box)


@pytest.mark.parametrize(("old", "new"), [(48, 24), (48, 32), (47, 24), (51, 30), (48, 48)])
def test_downsampled_and_centred_is_the_same_particle_drawn_small(scene, old, new):
    points, poses = scene
    images = picture(points, poses, old, APIX, centred=False)
    sampling = common_sampling(np.full(5, APIX), old, new)
    found = resample_images(images, np.full(5, APIX), poses.shifts, sampling)
    expected = picture(points, poses, new, sampling.apix, centred=True) * (sampling.apix / APIX)
    # a picture is the sum along the beam of voxels: coarser voxels are fewer
    np.testing.assert_allclose(found, expected, atol=0.01 * expected.max())
    assert found.dtype == np.float32


@pytest.mark.parametrize("sizes", [(2.0, 2.1), (2.0, 2.6)])
def test_optics_groups_come_to_one_pixel_size(scene, sizes):
    points, poses = scene
    apix = np.array([sizes[0], sizes[1], sizes[0], sizes[1], sizes[0]])
    images = np.concatenate(
        [
            picture(points, poses[i : i + 1], BOX, a, centred=False) * a  # so that values do not hang on the pixel
            for i, a in enumerate(apix)
        ]
    )
    sampling = common_sampling(apix, BOX, 24)
    assert sampling.apix == pytest.approx(2 * sizes[0])
    found = resample_images(images, apix, poses.shifts, sampling)
    expected = picture(points, poses, 24, sampling.apix, centred=True) * sampling.apix
    np.testing.assert_allclose(found, expected, atol=0.015 * expected.max())


def test_cropping_alone_agrees_with_scipy():
    images = np.random.default_rng(0).standard_normal((2, 48, 48))
    sampling = Sampling(24, 2 * APIX, window=1)
    found = resample_images(images, np.full(2, APIX), np.zeros((2, 2)), sampling)
    expected = resample(resample(images, 24, axis=1), 24, axis=2)
    low = np.hypot(*np.meshgrid(np.fft.rfftfreq(24), np.fft.fftfreq(24))) < 0.45  # we leave Nyquist out, scipy folds it
    np.testing.assert_allclose(np.fft.rfft2(found)[:, low], np.fft.rfft2(expected)[:, low], atol=1e-3)


def test_the_two_ways_to_a_transform_agree():
    """Images of one size and of a size that differs by next to nothing: FFT against plain sums."""
    images = np.random.default_rng(0).standard_normal((3, 48, 48)).astype("f4")
    shifts = np.array([[1.0, -2], [0, 0], [3.3, 4.4]])
    sampling = Sampling(24, 2 * APIX)
    fast = resample_images(images, np.full(3, APIX), shifts, sampling)
    plain = resample_images(images, np.full(3, APIX * 1.0005), shifts, sampling)
    assert np.corrcoef(fast.ravel(), plain.ravel())[0, 1] > 0.999
    assert fast.std() == pytest.approx(plain.std(), rel=1e-2)


def test_nothing_wraps_around_and_the_window_ends_at_the_edge():
    """A bright edge, far from the particle: a shift by circles would carry it to the other side."""
    images = np.zeros((1, 48, 48))
    images[0, :, -3:] = 100.0
    sampling = Sampling(48, APIX)
    found = resample_images(images, np.array([APIX]), np.array([[10 * APIX, 0.0]]), sampling)
    assert np.abs(found).max() < 1.0


def test_a_background_leaves_no_disc(scene):
    points, poses = scene
    images = picture(points, poses, BOX, APIX, centred=False)
    plain, bright = (
        resample_images(images + level, np.full(5, APIX), poses.shifts, Sampling(24, 2 * APIX)) for level in (0.0, 50.0)
    )
    np.testing.assert_allclose(bright, plain, atol=1e-4 * 50)


def test_noise_keeps_its_strength_per_frequency():
    """A crop drops frequencies: white noise of s.d. 1 has s.d. new / old, up to the Nyquist lines left out."""
    images = np.random.default_rng(0).standard_normal((50, 48, 48)).astype("f4")
    found = resample_images(images, np.full(50, APIX), np.zeros((50, 2)), Sampling(24, 2 * APIX, window=1))
    assert found.std() == pytest.approx(0.5 * np.sqrt((23 / 24) ** 2), rel=0.02)


def test_ctf_is_the_same_at_equal_frequency(scene):
    points, poses = scene
    ctf = CTF(np.full(5, 9000.0), 8500.0, 25.0, 300.0, 2.7, 0.1)
    transforms = np.stack([points.transform(r, BOX, APIX) for r in poses.rotations]) * ctf.images(BOX, APIX)
    images = images_from_transforms(transforms * shift_phases(-poses.shifts, BOX, APIX), BOX)
    found = resample_images(images, np.full(5, APIX), poses.shifts, Sampling(24, 2 * APIX, window=0.95))
    small = np.stack([points.transform(r, 24, 2 * APIX) for r in poses.rotations]) * ctf.images(24, 2 * APIX)
    expected = images_from_transforms(small, 24) * 2
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.998


@pytest.fixture(scope="module")
def project(scene, tmp_path_factory):
    """A RELION project with two pixel sizes, dark particles, and its verb's answer."""
    points, poses = scene
    folder = tmp_path_factory.mktemp("project")
    with write_stack(folder / "a.mrcs", 5, BOX, APIX) as writer:
        writer.append(picture(points, poses, BOX, APIX, centred=False))
    ctf = CTF(np.full(5, 9000.0), 8500.0, 25.0, 300.0, 2.7, 0.1, bfactor=30.0)
    names = [f"{i}@a.mrcs" for i in (5, 3, 1, 2, 4)]
    order = [4, 2, 0, 1, 3]
    extra = {"rlnMicrographName": [f"my mic {i}.mrc" for i in range(5)], "rlnClassNumber": np.arange(5)}
    tables = star_tables(names, BOX, np.full(5, APIX), poses[order], ctf, np.arange(5) % 2, extra)
    write_star(folder / "p.star", tables)
    return folder


def test_the_verb_makes_a_stack_that_opens_like_any_other(project, scene, tmp_path, capsys):
    points, poses = scene
    out = tmp_path / "small"
    assert main(["downsample", str(project / "p.star"), "--out", str(out), "--box", "24", "--json"]) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert (answer["kind"], answer["n"], answer["box"], answer["centred"]) == ("particles", 5, 24, True)
    whole, small = open_particles(project / "p.star"), open_particles(out)
    order = [4, 2, 0, 1, 3]
    expected = picture(points, poses, 24, 2 * APIX, centred=True)[order] * 2
    np.testing.assert_allclose(small.stack[:], expected, atol=0.01 * expected.max())
    np.testing.assert_array_equal(small.poses.shifts, 0)
    np.testing.assert_allclose(small.poses.rotations, whole.poses.rotations, atol=1e-7)
    np.testing.assert_allclose(small.ctf.images(24, 4.0), whole.ctf.images(24, 4.0), atol=1e-5)
    np.testing.assert_array_equal(small.half_set, whole.half_set)
    assert small.apix == pytest.approx(4.0) and not (out / "ind.pkl").exists()
    assert json.loads((out / "downsample.json").read_text())["settings"]["box"] == 24
    # once more into the same folder: it is ours to replace
    assert main(["downsample", str(out), "--out", str(tmp_path / "again"), "--box", "16", "--half", "--quiet"]) == DONE
    again = open_particles(tmp_path / "again")
    assert again.box == 16 and again.stack.files[0].mode == 12


def test_the_verb_on_chosen_particles_without_centring(project, tmp_path):
    np.save(tmp_path / "ind.npy", [3, 1])
    arguments = ["--out", str(tmp_path / "s"), "--box", "48", "--ind", str(tmp_path / "ind.npy"), "--keep-shifts"]
    flags = ["--invert", "--window", "1", "--threads", "2", "--quiet"]
    assert main(["downsample", str(project / "p.star"), *arguments, *flags]) == DONE
    whole, some = open_particles(project / "p.star"), open_particles(tmp_path / "s")
    np.testing.assert_allclose(some.stack[:], -whole.stack[[3, 1]], atol=2e-3 * np.abs(whole.stack[:]).max())
    star = tmp_path / "s/particles.star"
    table = read_block(star, particle_block(star))
    assert list(table["rlnMicrographName"]) == ["my mic 3.mrc", "my mic 1.mrc"] and list(table["rlnClassNumber"]) == [
        3,
        1,
    ]
    assert [Path(name.split("@")[1]).name for name in table["rlnImageOriginalName"]] == ["a.mrcs", "a.mrcs"]
    np.testing.assert_allclose(some.poses.shifts, whole.poses.shifts[[3, 1]], atol=1e-5)
    np.testing.assert_array_equal(read_indices(tmp_path / "s/ind.pkl", 5), [3, 1])


def test_real_particles(shared, tmp_path):
    """EMPIAR-10076 through both programs' files: equal but for the contrast that cryoSPARC's states."""
    folder = shared / "data/particles/cryodrgn_tests"
    for name in ("star", "cs"):
        arguments = [str(folder / f"empiar_10076_7.{name}"), "--out", str(tmp_path / name), "--box", "64", "--quiet"]
        assert main(["downsample", *arguments]) == DONE
    star, cs = (open_particles(tmp_path / name) for name in ("star", "cs"))
    np.testing.assert_allclose(star.stack[:], -cs.stack[:], atol=1e-3)
    image, middle = cs.stack[:].mean(axis=0), np.hypot(*(np.mgrid[:64, :64] - 32)) < 14
    assert image[middle].mean() > image[~middle].mean()  # bright, as ours are


BAD = {
    "odd box": (["p.star", "--box", "25"], "The box is 25 pixels; an even number"),
    "box too large": (["p.star", "--box", "64"], "The box is 64 pixels, the images have 48"),
    "no window": (["p.star", "--box", "24", "--window", "0"], "window begins at 0"),
    "not there": (["gone.star"], "gone.star is not there"),
    "no threads": (["p.star", "--box", "24", "--threads", "-1"], "number of threads is -1"),
    "poses of another count": (["p.star", "--box", "24", "--poses", "six.pkl"], "six.pkl is for 6 particles"),
    "NaN inside": (["nan.mrcs", "--box", "24"], "Image 000004@.*nan.mrcs holds values that are not numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_one_sentence_and_leave_nothing(project, case, capsys, monkeypatch):
    monkeypatch.chdir(project)
    write_poses("six.pkl", Poses(np.broadcast_to(np.eye(3), (6, 3, 3)), np.zeros((6, 2))), 96.0)
    images = np.random.default_rng(0).standard_normal((5, BOX, BOX))
    images[3, 0, 0] = np.nan
    with np.errstate(invalid="ignore"), write_stack("nan.mrcs", 5, BOX, APIX) as writer:
        writer.append(images)
    arguments, message = BAD[case]
    assert main(["downsample", *arguments, "--out", "out"]) == BAD_INPUT
    error = capsys.readouterr().err.strip()
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1
    assert not [p.name for p in project.iterdir() if "out" in p.name]


def test_a_late_nan_is_found_too_and_leaves_nothing(tmp_path, capsys):
    """Among 2,000 images one beyond the few that are looked at first."""
    images = np.zeros((2000, 8, 8), dtype="f4")
    images[1777] = np.nan
    with np.errstate(invalid="ignore"), write_stack(tmp_path / "a.mrcs", 2000, 8, 2.0) as writer:
        writer.append(images)
    assert main(["downsample", str(tmp_path / "a.mrcs"), "--out", str(tmp_path / "out"), "--box", "8"]) == BAD_INPUT
    assert "001778@" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["a.mrcs"]


def test_samplings_that_make_no_sense():
    for arguments, message in (((7, 1.0), "an even number"), ((24, 1.0, 2.0), "window begins at 2")):
        with pytest.raises(HeteroError, match=message):
            Sampling(*arguments)
    with pytest.raises(HeteroError, match="several pixel sizes"):
        common_sampling(np.array([1.0, 2.0]), 48, 24, window=1)
