"""The noun Run: views of decoded maps against an analytic decoder, and what it refuses."""

import numpy as np
import pytest

from hetero.errors import HeteroError
from hetero.latent import Latents, Run, View, read_latents, write_latents

BOX, APIX = 32, 2.0
WAVES = ((1, 0, 2, 1.0), (3, -2, 0, 0.5), (0, 4, 1, 0.25), (7, 5, 3, 0.125))  # cycles per box along z, y, x; height


def wave_map(z, positions, waves=WAVES):
    """A density that is known everywhere: a few waves about the centre, the first one moved by ``z``."""
    grids = np.meshgrid(positions, positions, positions, indexing="ij")
    total = np.zeros(grids[0].shape)
    for i, (kz, ky, kx, height) in enumerate(waves):
        phase = 2 * np.pi * sum(k * g for k, g in zip((kz, ky, kx), grids, strict=True)) / (BOX * APIX)
        total += height * np.cos(phase + 0.4 * i + (z[0] if i == 0 else 0))
    return total


def from_centre(box, apix):
    return (np.arange(box) - box // 2) * apix


def decode_waves(z, box):
    for row in z:
        yield wave_map(row, from_centre(box, BOX * APIX / box)).astype(np.float32)


def make_run(n=10, zdim=2, **other):
    latents = np.random.default_rng(0).standard_normal((n, zdim))
    values = {"folder": "run", "system": "waves", "settings": {}, "apix": APIX, "box": BOX, "decoder": decode_waves}
    return Run(**{**values, "latents": latents, "particle_index": np.arange(n), **other})


Z = np.array([[0.7, 0.0], [-0.2, 0.0]])


@pytest.mark.parametrize("box", [32, 64, 20])
def test_maps_keep_their_values_at_any_sampling(box):
    maps = list(make_run().decode(Z, View(box=box)))
    assert [m.name for m in maps] == ["vol_000", "vol_001"]
    for z, volume in zip(Z, maps, strict=True):
        assert volume.apix == pytest.approx(BOX * APIX / box) and not volume.origin.any()
        np.testing.assert_allclose(volume.data, wave_map(z, from_centre(box, volume.apix[0])), atol=2e-5)


def test_low_pass_keeps_the_coarse_and_drops_the_fine():
    (volume,) = make_run().decode(Z[0], View(low_pass=BOX * APIX / 6.8))
    expected = wave_map(Z[0], from_centre(BOX, APIX), WAVES[:3])  # the fourth has 9.1 cycles per box, the others < 4.2
    np.testing.assert_allclose(volume.data, expected, atol=2e-5)


def test_flip_mirrors_about_the_particles_centre():
    run = make_run()
    (plain,), (flipped,) = run.decode(Z[0]), run.decode(Z[0], View(flip=True))
    mirrored = wave_map(Z[0], from_centre(BOX, APIX), [(-kz, ky, kx, h) for kz, ky, kx, h in WAVES])
    np.testing.assert_allclose(flipped.data, mirrored, atol=2e-5)
    np.testing.assert_array_equal(flipped.data[BOX // 2], plain.data[BOX // 2])


def test_a_crop_says_where_it_was():
    run = make_run()
    (whole,), (part,) = run.decode(Z[0]), run.decode(Z[0], View(crop=9, invert=True))
    start = np.round(part.origin / part.apix).astype(int)
    np.testing.assert_array_equal(part.data, -whole.data[tuple(slice(s, s + 9) for s in start)])
    assert part.data[4, 4, 4] == -whole.data[BOX // 2, BOX // 2, BOX // 2]


@pytest.mark.parametrize(
    ("z", "view", "words"),
    [
        ([[1, 2, 3]], View(), "A latent of 3 numbers was given; run has latents of 2."),
        ([[1, np.nan]], View(), "NaN or infinity"),
        (Z, View(box=31), "A box of 31 voxels was asked for; an even number"),
        (Z, View(box=1 << 20), "an even number from 2 to 2048"),
        (Z, View(crop=33), "A crop to 33 voxels was asked for; 1 to the box of 32"),
        (Z, View(box=64, crop=65), "1 to the box of 64"),
        (Z, View(low_pass=1.0), "A low-pass of 1 Å was asked for; 4 Å (two voxels) to 64 Å (the box)"),
        (Z, View(low_pass=np.nan), "A low-pass of nan Å"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_decoded(z, view, words):
    with pytest.raises(HeteroError) as refused:
        make_run().decode(np.array(z), view)
    assert words in str(refused.value)


def test_a_run_checks_itself_and_keeps_its_arrays():
    latents = np.zeros((4, 2), np.float32)
    run = make_run(latents=latents, particle_index=np.arange(4))
    assert latents.flags.writeable and not run.latents.flags.writeable and len(run) == 4 and run.zdim == 2
    with pytest.raises(HeteroError, match="4 particles and 3 particle indices"):
        make_run(latents=latents, particle_index=np.arange(3))
    with pytest.raises(HeteroError, match="log-variances"):
        make_run(latents=latents, particle_index=np.arange(4), log_variance=np.zeros((4, 3)))
    latents[2, 1] = np.inf
    with pytest.raises(HeteroError, match="1 of 4 particles; row 2 is the first"):
        make_run(latents=latents, particle_index=np.arange(4))


def test_latents_round_trip(tmp_path):
    rng = np.random.default_rng(1)
    mean, variance = rng.standard_normal((2, 5, 3)).astype(np.float32)
    write_latents(tmp_path / "latents.npz", Latents(mean, np.array([9, 7, 5, 3, 1]), variance))
    again = read_latents(tmp_path / "latents.npz")
    np.testing.assert_array_equal(again.mean, mean)
    np.testing.assert_array_equal(again.log_variance, variance)
    assert again.particle_index.tolist() == [9, 7, 5, 3, 1]


def test_a_latents_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "latents.npz"
    with pytest.raises(HeteroError, match="is not there"):
        read_latents(path)
    path.write_bytes(b"PK no archive")
    with pytest.raises(HeteroError, match="cannot be read"):
        read_latents(path)
    np.savez(path, z_mean=np.array([{}], dtype=object), particle_index=np.arange(1))  # objects need unpickling
    with pytest.raises(HeteroError, match="cannot be read"):
        read_latents(path)
    np.savez(path, z_mean=np.zeros((1, 1)))
    with pytest.raises(HeteroError, match="holds no particle_index"):
        read_latents(path)
    np.savez(path, z_mean=np.zeros((1, 1)), particle_index=np.array([0.5]))
    with pytest.raises(HeteroError, match="particle_index as float64"):
        read_latents(path)
