"""Populations: against scikit-learn, against known truth, and as a biologist reads them."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from hetero.cli import BAD_INPUT, DONE, main
from hetero.occupancy.mixture import compress, fit_mixtures
from hetero.occupancy.modes import single_mode_p
from hetero.occupancy.pairs import compare_pairs, holm
from hetero.occupancy.populations import fit_population, fraction_difference


def two_groups(rng, n, share, low=0.1, high=0.8, sd=0.08):
    """Occupancies of n units, and which of them truly have the block."""
    has = rng.random(n) < share
    return np.where(has, high, low) + sd * rng.standard_normal(n), has


@pytest.mark.parametrize(("share", "gap"), [(0.25, 0.7), (0.5, 0.25), (0.1, 0.3), (0.9, 0.5)])
def test_the_mixture_is_scikit_learns(share, gap):
    mixture = pytest.importorskip("sklearn.mixture")
    x, _ = two_groups(np.random.default_rng(1), 400, share, high=0.1 + gap)
    published = mixture.GaussianMixture(2, covariance_type="tied", tol=1e-10, max_iter=5000, n_init=3, random_state=0)
    published.fit(x[:, None])
    high = int(published.means_.argmax())
    ours = fit_mixtures(x, np.ones(len(x)), steps=5000)
    assert ours.share[0] == pytest.approx(published.weights_[high], abs=1e-4)
    assert ours.high[0] == pytest.approx(published.means_[high, 0], abs=1e-4)
    assert ours.low[0] == pytest.approx(published.means_[1 - high, 0], abs=1e-4)
    assert ours.variance[0] == pytest.approx(published.covariances_[0, 0], abs=1e-5)
    assert ours.log_likelihood[0] == pytest.approx(len(x) * published.score(x[:, None]), abs=1e-3)
    same = (ours.posterior(x)[0] > 0.5) == (published.predict(x[:, None]) == high)
    assert same.mean() > 0.995  # units right at the cut may fall to either side
    assert ours.posterior(ours.cut())[0, 0] == pytest.approx(0.5)


def test_a_weight_of_three_is_three_units():
    x, _ = two_groups(np.random.default_rng(2), 60, 0.3)
    weights = np.random.default_rng(3).integers(1, 5, 60)
    weighted, repeated = fit_mixtures(x, weights), fit_mixtures(np.repeat(x, weights), np.ones(weights.sum()))
    assert weighted.share[0] == pytest.approx(repeated.share[0]) and weighted.high[0] == pytest.approx(repeated.high[0])


def test_compressing_changes_nothing_that_matters():
    rng = np.random.default_rng(4)
    x, _ = two_groups(rng, 20_000, 0.3)
    few, counts = compress(x, np.ones(len(x)))
    assert len(few) <= 2048 and counts.sum() == len(x)
    assert fit_mixtures(few, counts).share[0] == pytest.approx(fit_mixtures(x, np.ones(len(x))).share[0], abs=1e-5)
    steps = np.round(x[:500] * 34) / 34  # shares of 34 voxels
    few, counts = compress(steps, np.stack([np.ones(500), np.arange(500)]))
    assert len(few) < 60 and counts.shape == (2, len(few))
    np.testing.assert_allclose(counts @ few, [steps.sum(), steps @ np.arange(500)])


def test_one_population_is_said_where_one_is_enough():
    rng = np.random.default_rng(5)
    kinds = {
        "everywhere": fit_population(rng.normal(0.9, 0.04, 500), None, rng).kind,
        "nowhere": fit_population(np.clip(rng.exponential(0.03, 500), 0, 1), None, rng).kind,
        "constant": fit_population(np.full(500, 0.4), None, rng).kind,
        "wide": fit_population(rng.normal(0.5, 0.2, 500), None, rng).kind,
        "even": fit_population(rng.uniform(0, 1, 500), None, rng).kind,
        "two": fit_population(two_groups(rng, 500, 0.25)[0], None, rng).kind,
        "rare": fit_population(two_groups(rng, 500, 0.04)[0], None, rng).kind,
    }
    assert kinds == {
        "everywhere": "one", "nowhere": "one", "constant": "one", "wide": "one", "even": "spread", "two": "two",
        "rare": "two",
    }  # fmt: skip


def test_a_valley_is_rarely_seen_where_there_is_none():
    rng = np.random.default_rng(6)
    p = [single_mode_p(rng.normal(0.5, 0.1, 200), np.ones(200), rng, draws=99) for _ in range(40)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05
    assert single_mode_p(two_groups(rng, 200, 0.3)[0], np.ones(200), rng) <= 0.01


def test_classes_are_the_truth_and_missing_numbers_stay_missing():
    x, has = two_groups(np.random.default_rng(7), 300, 0.4)
    x[5] = np.nan
    found = fit_population(x, None, np.random.default_rng(0))
    assert found.units == 299 and np.isnan(found.is_high[5])
    known = np.isfinite(x)
    assert (found.is_high[known] == has[known]).mean() > 0.99
    assert found.fraction == pytest.approx(has[known].mean(), abs=0.01)
    assert found.interval[0] < 0.4 < found.interval[1] and not found.few


def covered(runs, share, units, seed, sd=0.08) -> float:
    rng = np.random.default_rng(seed)
    inside = 0
    for _ in range(runs):
        found = fit_population(two_groups(rng, units, share, sd=sd)[0], None, rng, draws=400)
        inside += found.interval[0] <= share <= found.interval[1]
    return inside / runs


def test_the_interval_covers_the_truth():
    """40 runs of 250 volumes; a 95 % interval misses four of them or fewer with probability 0.95."""
    assert covered(40, 0.25, 250, seed=8) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("sd", [0.06, 0.15])
def test_the_interval_covers_the_truth_as_often_as_it_says(share, sd):
    assert 0.92 <= covered(400, share, 500, seed=9, sd=sd) <= 0.98


def test_volumes_count_by_their_particles():
    """Volumes that have the block stand for more particles: the fraction is of particles, not of volumes."""
    rng = np.random.default_rng(10)
    inside = 0
    for _ in range(40):
        x, has = two_groups(rng, 200, 0.3)
        particles = rng.poisson(np.where(has, 700, 200))
        truth = 0.3 * 700 / (0.3 * 700 + 0.7 * 200)
        found = fit_population(x, particles, rng, draws=300)
        assert found.fraction == pytest.approx(particles[has].sum() / particles.sum(), abs=0.01)
        inside += found.interval[0] <= truth <= found.interval[1]
    assert inside >= 36


def test_data_sets_are_compared_with_one_yardstick():
    """All have it in one set and none in the other: one population each, and yet the difference is the largest."""
    rng = np.random.default_rng(11)
    all_have, none_has = rng.normal(0.8, 0.08, 300), rng.normal(0.1, 0.08, 200)
    difference = fraction_difference((all_have, None), (none_has, None), rng)
    assert difference.difference == pytest.approx(1, abs=0.01)
    inside = 0
    for _ in range(40):
        treated, untreated = two_groups(rng, 300, 0.6)[0], two_groups(rng, 150, 0.35)[0]
        low, high = fraction_difference((treated, None), (untreated, None), rng, draws=300).interval
        inside += low <= 0.25 <= high
    assert inside >= 36
    same = fraction_difference((rng.normal(0.8, 0.05, 50), None), (rng.normal(0.8, 0.05, 50), None), rng)
    assert same.kind == "one" and np.isnan(same.difference) and difference.kind == "two"
    even = fraction_difference((rng.triangular(0, 0.2, 1, 300), None), (rng.triangular(0, 0.2, 1, 300), None), rng)
    assert even.kind == "spread" and even.interval[0] < 0 < even.interval[1]


def test_relations_of_blocks_are_told():
    rng = np.random.default_rng(12)
    a, b = rng.random(400) < 0.4, rng.random(400) < 0.5
    blocks = {"a": a, "free": b, "same": a, "not_a": ~a, "inside_a": a & b, "other": ~a & b}
    high = {name: values.astype(float) for name, values in blocks.items()}
    told = {(p.first, p.second): p for p in compare_pairs(high)}
    assert told["a", "free"].relation == "independent" and told["a", "free"].p_holm > 0.05
    assert told["a", "same"].relation == "together"
    assert told["a", "not_a"].relation == "one or the other"
    assert told["a", "inside_a"].relation == "inside_a only with a"
    assert told["a", "other"].relation == "never together"
    pair = told["a", "free"]
    assert (pair.both, pair.only_first) == ((a & b).sum(), (a & ~b).sum())
    assert sum(pair.shares) == pytest.approx(1)
    weights = rng.integers(1, 100, 400)
    shares = compare_pairs({"a": high["a"], "free": high["free"]}, weights)[0].shares
    assert shares[0] == pytest.approx(weights[a & b].sum() / weights.sum())


def test_holm_is_holm():
    # Holm 1979 by hand: 4 x 0.01, 3 x 0.02 raised to no less than before, ...
    assert holm([0.04, 0.01, 0.02, 0.5]) == pytest.approx([0.08, 0.04, 0.06, 0.5])
    assert holm([0.6, 0.7]) == [1, 1] and holm([]) == []


def test_independent_blocks_are_rarely_called_dependent():
    """The family-wise error of ten blocks, 45 pairs, is the promised 5 % (Fisher's test is conservative)."""
    rng = np.random.default_rng(13)
    wrong = 0
    for _ in range(20):
        high = {str(k): (rng.random(200) < 0.3).astype(float) for k in range(10)}
        wrong += any(p.relation != "independent" for p in compare_pairs(high))
    assert wrong <= 3  # 20 x 0.05 = 1 expected; more than 3 has probability 0.016


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A table of 150 volumes numbered from 001 with gaps, and an ensemble.csv in another order."""
    rng = np.random.default_rng(14)
    names = [f"vol_{i:03d}" for i in np.sort(rng.choice(np.arange(1, 300), 150, replace=False))]
    a, has = two_groups(rng, 150, 0.3)
    table = pd.DataFrame(
        {
            "block_00": a,
            "block_01": np.where(has, 0.1, 0.8) + 0.05 * rng.standard_normal(150),
            "block_02": rng.normal(0.9, 0.03, 150),
            "block_03": two_groups(rng, 150, 0.5)[0],
        },
        index=pd.Index(names, name="name"),
    ).clip(0, 1)
    table.to_csv(tmp_path / "o.csv")
    counts = pd.DataFrame({"n_particles": np.where(has, 900, 100)}, index=table.index).sample(frac=1, random_state=0)
    counts.to_csv(tmp_path / "ensemble.csv")
    pd.DataFrame({"block_00": [0.1], "n": ["x"]}).to_csv(tmp_path / "nameless.csv", index=False)
    (tmp_path / "words.csv").write_text("name,block_00\nvol_1,high\n")
    (tmp_path / "twice.csv").write_text("name,block_00\nvol_1,0.5\nvol_1,0.6\n")
    (tmp_path / "other.csv").write_text("name,loop\nvol_1,0.5\nvol_2,0.6\n")
    (tmp_path / "few.csv").write_text("name,n_particles\nvol_001,5\n")
    (tmp_path / "classes.csv").write_text("name,class,order,representative\nvol_001,1,0,1\n")
    (tmp_path / "notes.csv").write_text("my notes\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path, has


def test_a_biologist_reads_the_answer(desk, capsys):
    assert main(["populations", "o.csv", "--out", "p.csv"]) == DONE
    out = capsys.readouterr().out
    assert "150 volumes" in out and "block_02  one population, at an occupancy of 0.90" in out
    assert "block_00 and block_01: one or the other" in out
    assert "pairs: 2 of 3 show no dependence" in out
    rows = pd.read_csv("p.csv", index_col="block")
    folder, has = desk
    assert rows.loc["block_00", "fraction"] == pytest.approx(has.mean(), abs=0.02)
    assert rows.loc["block_02", "kind"] == "one" and np.isnan(rows.loc["block_02", "fraction"])
    high = pd.read_csv("p_high.csv", index_col="name")
    assert ((high["block_00"] == 1) == has).mean() > 0.98 and high["block_02"].isna().all()
    pairs = pd.read_csv("p_pairs.csv")
    assert len(pairs) == 3 and (folder / "p.png").stat().st_size > 10_000
    assert main(["populations", "o.csv", "--out", "p.csv", "--json"]) == DONE  # our own tables are replaced


def test_counts_join_by_name(desk):
    """ensemble.csv lies in another order than the table; 900 particles have the block, 100 have not."""
    assert main(["populations", "o.csv", "--ensemble", "ensemble.csv", "--out", "p.csv", "--quiet"]) == DONE
    _, has = desk
    expected = 900 * has.sum() / (900 * has.sum() + 100 * (~has).sum())
    assert pd.read_csv("p.csv", index_col="block").loc["block_00", "fraction"] == pytest.approx(expected, abs=0.01)


def test_two_data_sets(desk, capsys):
    table = pd.read_csv("o.csv", index_col="name")
    rng = np.random.default_rng(15)
    table["block_00"] = two_groups(rng, 150, 0.9)[0]
    table[["block_03", "block_00"]].to_csv("treated.csv")  # columns in another order, and fewer
    assert main(["populations", "treated.csv", "--against", "o.csv", "--out", "d.csv"]) == DONE
    assert "points" in capsys.readouterr().out
    rows = pd.read_csv("d.csv", index_col="block")
    assert list(rows.index) == ["block_03", "block_00"]
    assert rows.loc["block_00", "low95"] < 0.6 < rows.loc["block_00", "high95"]
    assert rows.loc["block_03", "low95"] < 0 < rows.loc["block_03", "high95"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.csv"], "gone.csv is not there; a table of occupancies"),
        (["nameless.csv"], "begins with the columns block_00, n; 'name' or 'particle' was expected first"),
        (["words.csv"], "block_00 of vol_1 as 'high'; a number was expected"),
        (["twice.csv"], "two rows for name vol_1"),
        (["classes.csv"], "is a table of classes; one of occupancies, a column a block, was expected"),
        (["o.csv", "--ensemble", "few.csv"], "counts no particles for 14"),
        (["o.csv", "--ensemble", "o.csv"], "has no column n_particles"),
        (["o.csv", "--against", "other.csv"], "the same blocks measured in both data sets were expected"),
        (["o.csv", "--against-ensemble", "few.csv"], "--against-ensemble goes with --against"),
        (["o.csv", "--min-gap", "-1"], "The least difference (min-gap) is -1; 0 or more was expected"),
    ],
)
def test_bad_input_is_one_sentence(desk, capsys, arguments, words):
    folder, _ = desk
    before = sorted(folder.rglob("*"))
    assert main(["populations", *arguments, "--out", "p.csv"]) == BAD_INPUT
    err = capsys.readouterr().err
    assert words in err and len(err.strip().splitlines()) == 1
    assert sorted(folder.rglob("*")) == before
    assert main(["populations", "o.csv", "--out", "notes.csv"]) == BAD_INPUT
    assert (folder / "notes.csv").read_text() == "my notes\n"


def test_one_sided_limits_of_the_cut():
    """Far from both means a unit belongs to the nearer one; the cut follows the shares."""
    rng = np.random.default_rng(16)
    x = np.concatenate([rng.normal(0, 0.1, 9000), rng.normal(0.4, 0.1, 1000)])
    fit = fit_mixtures(*compress(x, np.ones(len(x))))
    # Equal densities: 0.2 + 0.01 ln(9) / 0.4, up to the sampling of 10,000 values.
    assert fit.cut()[0] == pytest.approx(0.2 + 0.01 * np.log(9) / 0.4, abs=0.02)
    assert norm.cdf(fit.cut()[0], 0, 0.1) > 0.98
