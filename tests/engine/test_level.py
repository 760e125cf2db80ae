"""Levels without a network: normalisation, the frame, the best agreement, the percentile rule, bad maps."""

import subprocess
import sys

import numpy as np
import pytest

from hetero.errors import HeteroError
from hetero.level import LevelScale, denormalise_level, normalise_level, normalise_map, predict_level, predict_levels
from hetero.level.framing import GRID, agreeing_threshold, best_level, frame_map, frame_weights
from hetero.maps import Volume


def ball(shape=(40, 44, 36), radius=10.0, noise=0.05, seed=0) -> np.ndarray:
    """A ball of density about 1 with a soft edge, in noise."""
    place = np.indices(shape) - (np.array(shape) / 2 - 0.3)[:, None, None, None]
    distance = np.sqrt((place**2).sum(axis=0))
    rng = np.random.default_rng(seed)
    return (1 / (1 + np.exp(2 * (distance - radius))) + noise * rng.normal(size=shape)).astype(np.float32)


def test_importing_the_room_leaves_torch_alone():
    code = "import sys, hetero.level; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_normalised_level_is_that_of_the_authors_table(shared):
    table = shared / "data" / "levels" / "siren_training_labels_updated.csv"
    if not table.is_file():
        pytest.skip(f"{table} is not here")
    pd = pytest.importorskip("pandas")
    rows = pd.read_csv(table)
    worst = 0.0
    for row in rows.itertuples():
        scale = LevelScale(row.vol_raw_min, row.vol_raw_max)
        normalised = normalise_level(row.raw_recommended_contour_level, scale)
        worst = max(worst, abs(normalised - row.label_raw_norm))
        assert denormalise_level(normalised, scale) == pytest.approx(row.raw_recommended_contour_level, rel=1e-9)
    assert len(rows) == 3784
    assert worst < 4e-8


def test_scale_is_that_of_the_clipped_map():
    data = ball() * 7
    low, high = np.percentile(data, [0.001, 99.999])
    clipped = np.clip(data, low, high)
    scale = LevelScale.of(data)
    assert scale.maximum == pytest.approx(clipped.max(), rel=1e-6)
    assert scale.minimum == pytest.approx(clipped[clipped > 0].min(), rel=1e-6)
    normalised = normalise_map(data)
    assert normalised.max() == pytest.approx(1)
    assert normalised[data <= 0] == pytest.approx(normalise_level(0, scale))


def test_scale_of_positive_map_starts_at_its_low_percentile():
    data = np.random.default_rng(0).uniform(3, 5, (60, 60, 60)).astype(np.float32)
    data[0, 0, 0] = 0.001
    assert LevelScale.of(data).minimum == pytest.approx(np.percentile(data, 0.001), rel=1e-6)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (np.full((5, 5, 5), np.nan), "not finite"),
        (np.where(ball() > 0.9, np.inf, ball()), "not finite"),
        (np.zeros((8, 8, 8)), "All values of the map are 0"),
        (np.full((8, 8, 8), 2.5), "All values of the map are 2.5"),
        (-1 - ball(noise=0), "no positive value"),
        (np.ones((1, 1, 1)), "All values"),
    ],
)
@pytest.mark.parametrize("method", ["percentile", "scale"])
def test_maps_without_a_level_are_refused_in_one_sentence(data, sentence, method):
    with pytest.raises(HeteroError, match=sentence) as caught:
        LevelScale.of(data) if method == "scale" else predict_level(Volume(data), "percentile")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_mask_and_a_stack_are_refused():
    with pytest.raises(HeteroError, match="not a mask"):
        predict_level(Volume((ball() > 0.5).astype(np.float32)), "percentile")
    with pytest.raises(HeteroError, match="at least 4"):
        predict_level(Volume(ball()[:2]), "percentile")


def test_unknown_method_and_percentile_are_refused():
    with pytest.raises(HeteroError, match="expected one of: cnn, percentile"):
        predict_level(Volume(ball()), "magic")
    with pytest.raises(HeteroError, match="between 0 and 100"):
        predict_level(Volume(ball()), "percentile", percentile=100)


def test_percentile_rule_and_what_it_encloses():
    data = ball()
    before = data.copy()
    answer = predict_level(Volume(data, (2, 1, 1.5)), "percentile", percentile=97)
    assert answer.level == pytest.approx(np.percentile(data, 97))
    assert answer.level_sd == pytest.approx((answer.level - data.mean()) / data.std(), rel=1e-4)
    assert answer.enclosed_volume_a3 == pytest.approx(3 * (data >= answer.level).sum())
    assert answer.mass_kda == pytest.approx(answer.enclosed_volume_a3 * 0.81 / 1000)
    assert (data == before).all()


def test_one_bad_map_does_not_end_an_ensemble():
    seen = []
    maps = [Volume(ball()), Volume(np.zeros((9, 9, 9))), Volume(ball(radius=7))]
    answers = list(predict_levels(maps, "percentile", progress=lambda *a: seen.append(a), total=3))
    assert isinstance(answers[1], HeteroError)
    assert answers[0].enclosed_volume_a3 > 0
    assert seen[-1][:2] == (3, 3)


def test_best_threshold_is_that_of_a_plain_search():
    data = ball(noise=0.1)
    truth = ball(noise=0) > 0.5
    thresholds = np.linspace(0.01, 1.2, 600)
    dice = [2 * (truth & (data >= t)).sum() / (truth.sum() + (data >= t).sum()) for t in thresholds]
    found = agreeing_threshold(lambda: iter([(data, truth)]))
    plain = 2 * (truth & (data >= found)).sum() / (truth.sum() + (data >= found).sum())
    assert plain > max(dice) - 0.003


def test_best_threshold_in_slabs_and_beside_a_hot_voxel():
    data, truth = ball(), ball(noise=0) > 0.5
    whole = agreeing_threshold(lambda: iter([(data, truth)]))
    parts = agreeing_threshold(lambda: zip(np.array_split(data, 5), np.array_split(truth, 5), strict=True))
    assert parts == pytest.approx(whole, rel=1e-6)
    data[0, 0, 0] = 5000
    assert agreeing_threshold(lambda: iter([(data, truth)])) == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("shape", [(40, 44, 36), (21, 33, 27), (90, 70, 81)])
def test_true_envelope_through_the_frame_gives_the_true_volume(shape):
    radius = min(shape) / 4
    data, truth = ball(shape, radius), ball(shape, radius, 0) > 0.5
    apix = np.ones(3)
    frame = frame_map(data, apix)
    level = best_level(data, frame, frame_weights(truth, frame, apix))
    assert (data >= level).sum() == pytest.approx(truth.sum(), rel=0.15)


def test_frame_ignores_constant_borders_and_scale_and_turns_with_the_map():
    data, apix = ball(), np.array([1.0, 1.5, 2.0])
    frame = frame_map(data, apix)
    assert frame.features.shape == (3, GRID, GRID, GRID)
    padded = frame_map(np.pad(data, ((3, 9), (0, 4), (11, 2)), constant_values=0.25), apix)
    assert (padded.features == frame.features).all()
    assert np.allclose(frame_map(data * 4, apix).features, frame.features)
    assert np.allclose(frame_map(data[:, ::-1], apix).features, frame.features[:, :, ::-1], atol=1e-4)
    turned = frame_map(data.transpose(2, 0, 1), apix[[2, 0, 1]])
    assert np.allclose(turned.features, frame.features.transpose(0, 3, 1, 2), atol=1e-4)


def test_nothing_above_the_faces_is_said():
    data = -ball(noise=0) + 2
    with pytest.raises(HeteroError, match="stands out"):
        frame_map(data, np.ones(3))
