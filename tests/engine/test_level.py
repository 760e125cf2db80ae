"""Levels without a network: normalisation, the frame, the best agreement, the percentile rule, bad maps."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm

from hetero.errors import HeteroError
from hetero.level import (
    LevelAnswer,
    LevelMethod,
    LevelScale,
    denormalise_level,
    normalise_level,
    normalise_map,
    outliers,
    predict_level,
    predict_levels,
    share_levels,
)
from hetero.level.framing import (
    COARSE,
    GRID,
    Region,
    best_level,
    frame_map,
    frame_weights,
    molecule_region,
    zoom_frame,
)
from hetero.level.predict import MapOutline
from hetero.level.thresholds import agreeing_threshold, fitting_threshold
from hetero.maps import Volume

PERCENTILE = LevelMethod("percentile")


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
        LevelScale.of(data) if method == "scale" else predict_level(Volume(data), PERCENTILE)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_mask_and_a_stack_are_refused():
    with pytest.raises(HeteroError, match="not a mask"):
        predict_level(Volume((ball() > 0.5).astype(np.float32)), PERCENTILE)
    with pytest.raises(HeteroError, match="at least 4"):
        predict_level(Volume(ball()[:2]), PERCENTILE)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ({"name": "magic"}, "expected one of: cnn, percentile, fdr, mass"),
        ({"name": "percentile", "percentile": 100}, "between 0 and 100"),
        ({"name": "fdr", "fdr": 0}, "between 0 and 1"),
        ({"name": "mass"}, "needs the molecule's mass"),
        ({"name": "mass", "mass_kda": -3}, "positive number"),
    ],
)
def test_methods_with_impossible_numbers_are_refused(method, sentence):
    with pytest.raises(HeteroError, match=sentence):
        LevelMethod(**method)


def test_percentile_rule_and_what_it_encloses():
    data = ball()
    before = data.copy()
    answer = predict_level(Volume(data, (2, 1, 1.5)), LevelMethod("percentile", percentile=97))
    assert answer.level == pytest.approx(np.percentile(data, 97))
    assert answer.level_sd == pytest.approx((answer.level - data.mean()) / data.std(), rel=1e-4)
    assert answer.enclosed_volume_a3 == pytest.approx(3 * (data >= answer.level).sum())
    assert answer.mass_kda == pytest.approx(answer.enclosed_volume_a3 * 0.81 / 1000)
    assert (data == before).all()


def test_one_bad_map_does_not_end_an_ensemble():
    seen = []
    maps = [Volume(ball()), Volume(np.zeros((9, 9, 9))), Volume(ball(radius=7))]
    answers = list(predict_levels(maps, PERCENTILE, progress=lambda *a: seen.append(a), total=3))
    assert isinstance(answers[1], HeteroError)
    assert answers[0].enclosed_volume_a3 > 0
    assert seen[-1][:2] == (3, 3)


def test_best_threshold_is_that_of_a_plain_search():
    data = ball(noise=0.1)
    truth = ball(noise=0) > 0.5
    thresholds = np.linspace(0.01, 1.2, 600)
    dice = [2 * (truth & (data >= t)).sum() / (truth.sum() + (data >= t).sum()) for t in thresholds]
    found = agreeing_threshold(data, truth)
    plain = 2 * (truth & (data >= found)).sum() / (truth.sum() + (data >= found).sum())
    assert plain > max(dice) - 0.003


def test_fitting_threshold_in_slabs_and_beside_a_hot_voxel():
    data, truth = ball(), (ball(noise=0) > 0.5).astype(np.float32)
    whole = fitting_threshold(lambda: iter([(data, truth)])).level
    assert (data >= whole).sum() == pytest.approx(truth.sum(), rel=0.05)
    parts = fitting_threshold(lambda: zip(np.array_split(data, 5), np.array_split(truth, 5), strict=True)).level
    assert parts == pytest.approx(whole, rel=1e-6)
    data[0, 0, 0] = 5000
    assert fitting_threshold(lambda: iter([(data, truth)])).level == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("shape", [(40, 44, 36), (21, 33, 27), (90, 70, 81)])
def test_true_envelope_through_the_frame_gives_the_true_volume(shape):
    radius = min(shape) / 4
    data, truth = ball(shape, radius), ball(shape, radius, 0) > 0.5
    whole = frame_map(data, np.ones(3))
    around = zoom_frame(data, whole, molecule_region(frame_weights(truth, whole), whole))
    found = best_level(data, around, frame_weights(truth, around))
    enclosed = [(data >= level).sum() / truth.sum() for level in (found.other(0.2), found.level, found.other(-0.2))]
    assert enclosed == pytest.approx([np.exp(0.2), 1, np.exp(-0.2)], rel=0.1)
    assert found.number == pytest.approx((data >= found.level).sum(), rel=0.02)


def test_frame_ignores_constant_borders_and_scale_and_turns_with_the_map():
    data, apix = ball(), np.array([1.0, 1.5, 2.0])
    frame = frame_map(data, apix)
    assert frame.features.shape == (3, COARSE, COARSE, COARSE)
    padded = frame_map(np.pad(data, ((3, 9), (0, 4), (11, 2)), constant_values=0.25), apix)
    assert (padded.features == frame.features).all()
    assert np.allclose(frame_map(data * 4, apix).features, frame.features)
    assert np.allclose(frame_map(data[:, ::-1], apix).features, frame.features[:, :, ::-1], atol=1e-4)
    turned = frame_map(data.transpose(2, 0, 1), apix[[2, 0, 1]])
    assert np.allclose(turned.features, frame.features.transpose(0, 3, 1, 2), atol=1e-4)


def test_the_second_look_is_at_the_molecule_wherever_it_lies_in_its_box():
    data = np.zeros((80, 60, 70), np.float32)
    data[10:50, 5:49, 30:66] = ball(noise=0)
    data += np.random.default_rng(0).normal(0, 0.01, data.shape)
    apix = np.array([2.0, 2.0, 2.0])
    whole = frame_map(data, apix)
    region = molecule_region(frame_weights(data > 0.5, whole), whole)
    assert region.centre == pytest.approx([29.7, 26.7, 47.7], abs=1)
    assert 40 < region.extent < 65  # 20 voxels of 2 Å, and some room
    features = zoom_frame(data, whole, region).features
    assert features.shape == (3, GRID, GRID, GRID)
    middle, edge = features[0][GRID // 2, GRID // 2, GRID // 2], features[0][0]
    assert middle > 0.8
    assert np.abs(edge).max() < 0.2
    mirrored = frame_map(data[:, :, ::-1], apix)
    region = molecule_region(frame_weights(data[:, :, ::-1] > 0.5, mirrored), mirrored)
    assert np.allclose(zoom_frame(data[:, :, ::-1], mirrored, region).features, features[..., ::-1], atol=1e-3)


def test_the_second_look_at_nothing_is_at_everything():
    data = ball()
    whole = frame_map(data, np.ones(3))
    region = molecule_region(np.zeros((COARSE,) * 3, np.float32), whole)
    assert isinstance(region, Region)
    assert region.extent == 44


def test_solvent_is_told_from_a_molecule_that_covers_the_faces():
    """A filament leaves its box: most of two faces is molecule, but most of the map is solvent."""
    _, y, x = np.indices((40, 40, 40)) - 19.5
    tube = (np.hypot(y, x) < 8).astype(np.float32)
    frame = frame_map(tube[:, 10:30, 10:30] + 0.5, np.ones(3))
    assert frame.background == 0.5
    assert frame_map(-2 + ball(noise=0.01), np.ones(3)).background == pytest.approx(-2, abs=0.01)


def test_nothing_above_the_faces_is_said():
    data = -ball(noise=0) + 2
    with pytest.raises(HeteroError, match="stands out"):
        frame_map(data, np.ones(3))


def test_mass_method_encloses_that_mass():
    volume = Volume(ball(), (2, 1, 1.5))
    answer = predict_level(volume, LevelMethod("mass", mass_kda=8))
    assert answer.mass_kda == pytest.approx(8, rel=2e-4)
    assert answer.level_low is None
    with pytest.raises(HeteroError, match="whole box holds 154 kDa"):
        predict_level(volume, LevelMethod("mass", mass_kda=500))


def plain_benjamini_yekutieli(p, rate):
    """Largest p-value that passes, step by step."""
    p = sorted(p)
    m = len(p)
    harmonic = sum(1 / i for i in range(1, m + 1))
    passed = [value for k, value in enumerate(p, start=1) if value <= k * rate / (m * harmonic)]
    return passed[-1] if passed else None


def test_false_discovery_method_agrees_with_a_plain_one_and_finds_no_noise():
    data = ball((30, 32, 28), 6, noise=0.1)
    answer = predict_level(Volume(data), LevelMethod("fdr", fdr=0.01))
    shell = np.ones(data.shape, bool)
    shell[2:-2, 2:-2, 2:-2] = False
    middle = np.median(data[shell])
    spread = 1.4826 * np.median(np.abs(data[shell] - middle))
    p = norm.sf(data.astype(float), middle, spread)
    assert norm.sf(answer.level, middle, spread) == pytest.approx(plain_benjamini_yekutieli(p.ravel(), 0.01), rel=1e-4)
    truth = ball((30, 32, 28), 6, noise=0) > 0.05
    above = data >= answer.level
    assert (above & ~truth).sum() <= 0.01 * above.sum()
    with pytest.raises(HeteroError, match="Nothing in the map stands out"):
        predict_level(Volume(np.random.default_rng(1).normal(size=(30, 30, 30))), LevelMethod("fdr"))
    with pytest.raises(HeteroError, match="it is masked"):
        predict_level(Volume(np.where(truth, data, 0)), LevelMethod("fdr"))


def test_outliers_by_both_rules():
    levels = np.r_[np.random.default_rng(0).normal(1, 0.01, 60), 1.5]
    published, robust = outliers(levels)
    assert published.tolist() == robust.tolist() == [False] * 60 + [True]
    assert not outliers(np.ones(9))[1].any()


def shared_ensemble(n=60, seed=0):
    """Answers of a network that errs by 10 % for maps in which a part comes and goes; and the true levels."""
    rng = np.random.default_rng(seed)
    part = np.repeat([0.0, 0.5, 1.0], n // 3)
    body = np.zeros((12, 12, 12))
    body[3:9, 3:9, 3:7] = 1
    limb = np.zeros_like(body)
    limb[3:9, 3:9, 7:11] = 1
    gain = rng.uniform(0.5, 2, n)
    truth = gain * (0.4 + 0.2 * part)
    answers = []
    for level, g, p in zip(truth * np.exp(rng.normal(0, 0.1, n)), gain, part, strict=True):
        picture = body + p * limb + rng.normal(0, 0.05, body.shape)
        answers.append(LevelAnswer(level, 0, 0, 0, outline=MapOutline(0.0, g, picture.astype(np.float16))))
    return answers, truth


def test_shared_levels_are_nearer_the_truth_and_follow_the_maps():
    answers, truth = shared_ensemble()
    shared = np.array(share_levels(answers))
    before = np.abs(np.log([a.level for a in answers] / truth)).mean()
    after = np.abs(np.log(shared[:, 0] / truth))
    assert after.mean() < 0.5 * before
    assert (shared[:, 1] < shared[:, 0]).all() and (shared[:, 0] < shared[:, 2]).all()
    inside = (shared[:, 1] <= truth) & (truth <= shared[:, 2])
    assert 0.4 < inside.mean() < 0.95


def test_sharing_needs_an_ensemble_and_our_network():
    answers, _ = shared_ensemble(9)
    with pytest.raises(HeteroError, match="8 maps or more; 3 have one"):
        share_levels(answers[:3])
    with pytest.raises(HeteroError, match="method cnn"):
        share_levels([LevelAnswer(1, 1, 1, 1)] * 9)
