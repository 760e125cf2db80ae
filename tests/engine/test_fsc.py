"""Fourier shell correlation: of a map with itself, with noise, under masks; ``hetero fsc`` as a user types it."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from hetero.cli import BAD_INPUT, DONE, main
from hetero.maps import Volume, fsc_curves, fsc_mask, mask_of_halves, write_map
from hetero.maps.fsc import crossing, fourier_shells


def say(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def noise(seed, shape=(32, 32, 32)):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ball(shape=(48, 48, 48), radius=8):
    grid = np.indices(shape) - np.array(shape)[:, None, None, None] // 2
    return (np.linalg.norm(grid, axis=0) < radius).astype(np.float32)


@pytest.mark.parametrize("shape", [(32, 32, 32), (31, 31, 31), (24, 30, 37)])
def test_a_map_agrees_with_itself_and_noise_with_nothing(shape):
    fsc = fsc_curves(noise(0, shape), 3 * noise(0, shape), 2.0)
    np.testing.assert_allclose(fsc.unmasked, 1, atol=1e-5)
    assert fsc.resolution(0.143) is None and fsc.frequency[-1] <= 0.25 + 1e-9
    other = fsc_curves(noise(0, shape), noise(1, shape), 2.0).unmasked
    assert abs(other[3:].mean()) < 0.05 and abs(other[6:]).max() < 0.25
    np.testing.assert_allclose(fsc_curves(noise(0, shape), -noise(0, shape), 2.0).unmasked, -1, atol=1e-5)


def test_shells_are_those_of_the_plain_definition():
    a, b = noise(2, (16, 16, 16)), noise(3, (16, 16, 16)) + noise(2, (16, 16, 16))
    fa, fb = np.fft.fftn(a), np.fft.fftn(b)
    k = np.fft.fftfreq(16, 1 / 16)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2))
    plain = []
    for s in range(1, 9):
        at = shell == s
        cross = (fa[at] * fb[at].conj()).sum().real
        plain.append(cross / np.sqrt((np.abs(fa[at]) ** 2).sum() * (np.abs(fb[at]) ** 2).sum()))
    fsc = fsc_curves(a, b, 1.5)
    np.testing.assert_allclose(fsc.unmasked, plain, atol=1e-5)
    np.testing.assert_allclose(fsc.frequency, np.arange(1, 9) / (16 * 1.5))


def test_signal_and_noise_correlate_as_their_powers_say():
    """FSC = S / (S + N) in every shell."""
    signal = noise(4, (48,) * 3)
    fsc = fsc_curves(signal + noise(5, (48,) * 3), signal + noise(6, (48,) * 3), 1.0).unmasked
    assert abs(fsc[8:].mean() - 0.5) < 0.02


def test_the_mask_s_own_correlation_is_taken_off():
    """Two independent noises under a tight mask seem to agree; after correction they do not, and a signal stays."""
    low = 40 * gaussian_filter(ball(radius=12), 3)
    a, b = low + noise(8, (48,) * 3), low + noise(9, (48,) * 3)
    fsc = fsc_curves(a, b, 1.0, ball(radius=7))  # its hard edge cuts through the density
    beyond = fsc.frequency > 0.3
    assert fsc.masked[beyond].min() > 0.3 and abs(fsc.corrected[beyond].mean()) < 0.1
    true = fsc.frequency < fsc.randomised_from
    assert true.any() and (fsc.corrected[true] == fsc.masked[true]).all() and fsc.corrected[:3].min() > 0.9
    assert fsc.unmasked[beyond].mean() == pytest.approx(0, abs=0.03)


def test_the_mask_is_that_of_the_paper():
    """Half the 99.99th percentile, 25 Å around it, a cosine of 15 Å."""
    mask = fsc_mask(ball((64, 64, 64), 6.0), 2.0)
    radius = 2.0 * np.linalg.norm(np.indices(mask.shape) - 32, axis=0)
    assert (mask[radius < 35] == 1).all() and (mask[radius > 53] == 0).all()
    half = radius[(mask > 0.4) & (mask < 0.6)]
    assert half.min() > 41 and half.max() < 47  # 12 - 2 (the ball's last voxel) + 25 + 7.5, to a voxel
    a, b = (ball((64, 64, 64), 6.0) + 2 * noise(s, (64, 64, 64)) for s in (1, 2))
    noisy = mask_of_halves(a, b, 2.0)
    assert 0.5 < (noisy > 0.5).sum() / (mask > 0.5).sum() < 1.6  # noise is not taken for density


def test_crossings():
    frequency = np.array([0.1, 0.2, 0.3, 0.4])
    assert crossing(frequency, np.array([1, 0.6, 0.4, 0.5]), 0.5) == pytest.approx(1 / 0.25)
    assert crossing(frequency, np.array([1, 0.9, 0.8, 0.7]), 0.5) is None
    assert crossing(frequency, np.array([0.1, 0.9, 0.8, 0.7]), 0.5) == 10
    shells, f = fourier_shells((8, 8, 8), 2.0)
    assert shells[0, 0, 0] == 0 and shells[3, 0, 4] == 5 and f.tolist() == [0, 1 / 16, 2 / 16, 3 / 16, 0.25]


@pytest.fixture
def halves(tmp_path):
    signal = 4 * gaussian_filter(ball(radius=10), 1) * gaussian_filter(noise(0, (48,) * 3), 1) * 5
    for name, seed in (("a", 1), ("b", 2)):
        write_map(tmp_path / f"{name}.mrc", Volume(signal + noise(seed, (48,) * 3), 3.0))
    write_map(tmp_path / "small.mrc", Volume(noise(3), 3.0))
    write_map(tmp_path / "moved.mrc", Volume(signal, 3.0, (0, 0, 40.0)))
    write_map(tmp_path / "zero.mrc", Volume(0 * signal, 3.0))
    write_map(tmp_path / "density.mrc", Volume(7 * signal, 3.0))
    write_map(tmp_path / "mask.mrc", Volume(fsc_mask(signal, 3.0), 3.0))
    return tmp_path


def test_curve_picture_and_numbers(halves, capsys):
    a, b = halves / "a.mrc", halves / "b.mrc"
    status, out, err = say(capsys, "fsc", a, b, "--mask", "auto", "--out", halves / "curve")
    assert (status, err) == (DONE, "") and "FSC 0.143: " in out and "FSC 0.5: " in out
    table = pd.read_csv(halves / "curve.csv")
    assert list(table) == ["frequency", "resolution", "fsc", "fsc_masked", "fsc_randomised", "fsc_corrected"]
    assert (halves / "curve.png").read_bytes()[:4] == b"\x89PNG"
    answer = json.loads(say(capsys, "fsc", a, b, "--json")[1])
    assert answer["written"] == [] and answer["nyquist"] == pytest.approx(6)
    assert answer["resolution_05"] > answer["resolution_0143"] > 6
    given = json.loads(say(capsys, "fsc", a, b, "--mask", halves / "mask.mrc", "--json")[1])
    assert given["resolution_05"] < answer["resolution_05"]  # noise around the particle counts no more
    assert "above to the end (6 Å)" in say(capsys, "fsc", a, a)[1]
    assert say(capsys, "fsc", a, b, "--out", halves / "curve.csv")[0] == DONE  # our own table is replaced


BAD = {
    "another box": (["a.mrc", "small.mrc"], "small.mrc has 32 x 32 x 32 voxels of 3 Å"),
    "another place": (["a.mrc", "moved.mrc"], "one grid was expected"),
    "an empty map": (["a.mrc", "zero.mrc"], "zero.mrc holds nothing but zeros"),
    "no map": (["a.mrc", "gone.mrc"], "gone.mrc"),
    "no mask": (["a.mrc", "b.mrc", "--mask", "gone.mrc"], "gone.mrc is not there; a mask (.mrc), auto or none"),
    "no mask's values": (["a.mrc", "b.mrc", "--mask", "density.mrc"], "a mask from 0 to 1 was expected"),
    "a mask of another box": (["a.mrc", "b.mrc", "--mask", "small.mrc"], "one grid was expected"),
    "onto another table": (["a.mrc", "b.mrc", "--out", "table.csv"], "table.csv is there already"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(halves, monkeypatch, capsys, case):
    arguments, words = BAD[case]
    monkeypatch.chdir(halves)
    (halves / "table.csv").write_text("name,level\na,1\n")
    before = sorted(halves.rglob("*"))
    status, out, err = say(capsys, "fsc", *arguments, *([] if "--out" in arguments else ["--out", "new"]))
    assert (status, out) == (BAD_INPUT, "") and words in err
    assert err.startswith("hetero fsc: ") and len(err.strip().splitlines()) == 1
    assert sorted(halves.rglob("*")) == before
