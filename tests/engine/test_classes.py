"""Classes: known groups, the tree's cuts, joins by name, and what a user sees."""

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import cut_tree, linkage

from hetero.cli import BAD_INPUT, DONE, main
from hetero.errors import HeteroError
from hetero.maps.blocks import make_blocks, write_blocks
from hetero.occupancy.classes import chain_place, sort_along, sort_into_classes
from hetero.pickles import write_pickle

STATES = np.array([[0.9, 0.9, 0.1, 0.8], [0.1, 0.9, 0.9, 0.8], [0.9, 0.1, 0.1, 0.1]])


def states(rng, sizes=(60, 30, 10), sd=0.05):
    """Volumes of three states, shuffled, and the state (1, the largest, to 3) of each."""
    truth = rng.permutation(np.repeat([1, 2, 3], sizes))
    return np.clip(STATES[truth - 1] + sd * rng.standard_normal((len(truth), 4)), 0, 1), truth


def test_known_states_are_found_with_and_without_their_number():
    values, truth = states(np.random.default_rng(0))
    for arguments in ({}, {"count": 3}, {"height": 3.0}):
        classes = sort_into_classes(values, **arguments)
        np.testing.assert_array_equal(classes.labels, truth)


def test_cuts_are_scipys_and_the_height_lies_between_merges():
    values, _ = states(np.random.default_rng(1), sd=0.2)
    tree = linkage(values, "ward")
    for count in (1, 2, 5, 100):
        classes = sort_into_classes(values, count)
        assert classes.labels.max() == count and sorted(np.unique(classes.labels)) == list(range(1, count + 1))
        plain = cut_tree(tree, count).ravel()
        assert len(np.unique(np.stack([plain, classes.labels]), axis=1).T) == count  # the same sets
        again = sort_into_classes(values, height=classes.height)
        np.testing.assert_array_equal(again.labels, classes.labels)
    sizes = np.bincount(sort_into_classes(values, 5).labels)[1:]
    assert (np.diff(sizes) <= 0).all()


def test_representatives_are_real_and_nearest_to_the_median():
    values, truth = states(np.random.default_rng(2))
    classes = sort_into_classes(values, 3)
    for label, row in enumerate(classes.representatives, start=1):
        members = np.flatnonzero(truth == label)
        distance = np.linalg.norm(values[members] - np.median(values[members], axis=0), axis=1)
        assert row == members[distance.argmin()]


def test_what_cannot_be_sorted():
    values = np.array([[0.0], [0.0], [1.0], [1.0]])
    assert sort_into_classes(values, 2).labels.tolist() in ([1, 1, 2, 2], [2, 2, 1, 1])
    with pytest.raises(HeteroError, match="equal rows leave 2 at most"):
        sort_into_classes(values, 3)
    with pytest.raises(HeteroError, match="5 classes of 4 volumes"):
        sort_into_classes(values, 5)
    with pytest.raises(HeteroError, match="1 rows were given"):
        sort_into_classes(values[:1])


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """100 volumes numbered from 001, an ensemble.csv in another order, particles in a third."""
    rng = np.random.default_rng(3)
    values, truth = states(rng)
    names = [f"vol_{i:03d}" for i in range(1, 101)]
    table = pd.DataFrame(values, pd.Index(names, name="name"), [f"block_{k:02d}" for k in range(4)])
    table.to_csv(tmp_path / "o.csv")
    (tmp_path / "maps").mkdir()
    ensemble = pd.DataFrame({"level": np.arange(100) / 7, "n_particles": np.arange(1, 101)}, table.index)
    ensemble.sample(frac=1, random_state=0).to_csv(tmp_path / "maps" / "ensemble.csv")
    volume = rng.integers(0, 100, 5000)
    particles = pd.DataFrame({"particle": rng.permutation(9000)[:5000], "name": np.array(names)[volume]})
    particles.to_csv(tmp_path / "particles.csv", index=False)
    np.save(tmp_path / "labels.npy", volume)
    write_pickle(tmp_path / "labels.pkl", volume)
    gap = table.drop("vol_050")
    gap.to_csv(tmp_path / "gap.csv")
    hole = table.copy()
    hole.loc["vol_007", "block_02"] = np.nan
    hole.to_csv(tmp_path / "hole.csv")
    (tmp_path / "particles_o.csv").write_text("particle,block_00\n0,0.5\n1,0.25\n")
    (tmp_path / "stranger.csv").write_text("particle,name\n0,vol_001\n1,vol_999\n")
    (tmp_path / "unnumbered.csv").write_text("index,name\n0,vol_001\n")
    np.save(tmp_path / "floats.npy", np.array([0.5, 1.5]))
    monkeypatch.chdir(tmp_path)
    return pd.Series(truth, names), particles, volume


def test_a_user_sorts_volumes(desk, capsys):
    truth = desk[0]
    assert main(["classes", "o.csv", "--out", "c.csv", "--ensemble", "maps"]) == DONE
    out = capsys.readouterr().out
    assert "100 volumes in 3 classes" in out and "blocks at 0.5 or more: block_00, block_01, block_03" in out
    classes = pd.read_csv("c.csv", index_col="name")
    assert (classes["class"] == truth).all() and classes["representative"].sum() == 3
    # The heat map's rows: each class in one stretch.
    assert (np.diff(classes.sort_values("order")["class"]) != 0).sum() == 2
    matrix = pd.read_csv("c_matrix.csv", index_col="name")
    assert list(matrix.index) == list(classes.sort_values("order").index)
    table = pd.read_csv("o.csv", index_col="name")
    pd.testing.assert_frame_equal(matrix.loc[table.index, table.columns], table)
    # By name, whatever the order of ensemble.csv was; the other columns are kept.
    ensemble = pd.read_csv("maps/ensemble.csv", index_col="name")
    assert (ensemble["class"] == truth[ensemble.index]).all() and ensemble["class"].dtype == np.int64
    assert ensemble.loc["vol_003", "n_particles"] == 3 and ensemble.loc["vol_003", "level"] == pytest.approx(2 / 7)
    particles = (np.arange(1, 101) * (truth.to_numpy() == 1)).sum()
    assert f"class 1: 60 volumes, {particles:,} particles" in out


@pytest.mark.parametrize("labels", ["particles.csv", "labels.npy", "labels.pkl"])
def test_particles_take_the_class_of_their_volume(desk, labels):
    truth, particles, volume = desk
    assert main(["classes", "o.csv", "--number", "3", "--labels", labels, "--out", "c.csv", "--quiet"]) == DONE
    found = pd.read_csv("c_particles.csv", index_col="particle")["class"]
    if labels == "particles.csv":
        expected = pd.Series(truth[particles["name"]].to_numpy(), particles["particle"])
        assert (found.loc[expected.index] == expected).all() and len(found) == 5000
    else:  # cluster k of cryoDRGN is its volume number k + 1: these volumes are counted from 001
        np.testing.assert_array_equal(found, truth.to_numpy()[volume])


def test_particles_take_the_class_of_the_nearest_volume(desk, tmp_path, write_cryodrgn):
    """Particles lie at three corners of latent space; a volume of each class lies there too."""
    from hetero.commands.open_run import open_run

    truth = desk[0]
    model = open_run(write_cryodrgn(n=300))
    corners = 4 * np.eye(3, 2)
    ensemble = pd.read_csv("maps/ensemble.csv", index_col="name")
    ensemble[["z1", "z2"]] = corners[truth[ensemble.index] - 1]  # rows in another order than the table's
    ensemble.to_csv("maps/ensemble.csv")
    assert main(["classes", "o.csv", "--out", "c.csv", "--ensemble", "maps", "--run", "run", "--quiet"]) == DONE
    found = pd.read_csv("c_particles.csv", index_col="particle")["class"]
    assert (found[model.particle_index] == np.arange(300) % 3 + 1).all()


def test_mavens_numbers_are_stretched(shared, tmp_path):
    from hetero.commands import classes, occupancy

    data = shared / "data" / "ensembles" / "maven"
    out = tmp_path / "o.csv"
    occupancy.run(
        occupancy.Settings(data / "00_aligned", data / "02_masks", out=out, reference=str(data / "01_PDB_mrc"))
    )
    answer = classes.run(classes.Settings(out, tmp_path / "c.csv", number=3, stretch=True))
    assert sum(row["volumes"] for row in answer["classes"]) == 10
    assert (tmp_path / "c.png").stat().st_size > 10_000


def swing(tmp_path, rng, n=200):
    """A domain that passes four blocks, which stand in another order in their folder; returns how far it has come."""
    share = rng.permutation((np.arange(n) + 0.5) / n)
    places = np.array([2.0, 0.0, 3.0, 1.0, np.nan])
    values = np.clip(1 - np.abs(3 * share[:, None] - places) / 1.3 + 0.02 * rng.standard_normal((n, 5)), 0, 1)
    values[:, 4] = rng.random(n) < 0.5  # a block that is no step of the motion
    names = [f"block_{k:02d}" for k in range(5)]
    masks = np.zeros((5, 5, 4, 4), dtype=bool)
    masks[range(5), range(5)] = True
    chain = ["chain_1"] * 4 + [None]
    blocks = make_blocks(masks, np.ones(3), np.zeros(3), names, {"chain": chain, "place": places})
    write_blocks(tmp_path / "blocks", blocks, {})
    table = pd.DataFrame(values, pd.Index([f"vol_{i:03d}" for i in range(n)], name="name"), names)
    table.to_csv(tmp_path / "swing.csv")
    return pd.Series(share, table.index)


def test_a_moving_domains_fifths(tmp_path, capsys):
    """Four blocks tell five classes: the place between two of them counts."""
    share = swing(tmp_path, np.random.default_rng(4))
    arguments = ["classes", str(tmp_path / "swing.csv"), "--along", str(tmp_path / "blocks"), "--chain", "chain_1"]
    assert main([*arguments, "--out", str(tmp_path / "c.csv")]) == DONE
    assert "200 volumes in 5 classes, along chain_1" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "c.csv", index_col="name")
    assert (found["class"] == np.floor(5 * share) + 1).mean() > 0.9
    assert found["place"].corr(share, method="spearman") > 0.99
    middle = share[found["representative"]].groupby(found["class"]).first()
    np.testing.assert_allclose(middle, [0.1, 0.3, 0.5, 0.7, 0.9], atol=0.05)
    assert list(pd.read_csv(tmp_path / "c_matrix.csv")["name"]) == list(found.sort_values("place").index)


def test_a_volume_without_the_domain_has_no_place(tmp_path, capsys):
    swing(tmp_path, np.random.default_rng(5))
    table = pd.read_csv(tmp_path / "swing.csv", index_col="name")
    table.iloc[3, :4] = 0.0
    table.to_csv(tmp_path / "swing.csv")
    arguments = ["--along", str(tmp_path / "blocks"), "--number", "3", "--out", str(tmp_path / "c.csv")]
    assert main(["classes", str(tmp_path / "swing.csv"), *arguments]) == DONE
    assert "of no class: 1 (vol_003)" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "c.csv")["class"].value_counts().between(66, 67).all()


def test_the_place_is_a_weighted_mean():
    values = np.array([[1.0, 0.0, 0.0], [0.2, 0.2, 0.0], [0.0, 0.1, 0.3], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(chain_place(values, np.array([0.0, 1.0, 2.0])), [0.0, 0.5, 1.75, np.nan])
    with pytest.raises(HeteroError, match="4 classes of 3 volumes"):
        sort_along(np.arange(3.0), 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--along", "blocks", "--chain", "chain_2"], "has no chain chain_2; its chains: chain_1"),
        (["--along", "blocks", "--height", "1"], "--along puts volumes in an order and makes no tree"),
        (["--along", "nowhere"], "nowhere"),
        (["--along", "other"], "has no numbers of block_9, a block of other"),
        (["--along", "still"], "has no chain chain_1; its chains: none"),
        (["--along", "blocks", "--number", "0"], "0 classes of 200 volumes"),
    ],
)
def test_what_is_no_chain(tmp_path, monkeypatch, capsys, arguments, words):
    swing(tmp_path, np.random.default_rng(6))
    monkeypatch.chdir(tmp_path)
    mask = np.ones((1, 2, 2, 2), dtype=bool)
    columns = {"chain": ["chain_1"], "place": [0.0]}
    write_blocks("other", make_blocks(mask, np.ones(3), np.zeros(3), ["block_9"], columns), {})
    write_blocks("still", make_blocks(mask, np.ones(3), np.zeros(3)), {})
    assert main(["classes", "swing.csv", *arguments, "--out", "c.csv"]) == BAD_INPUT
    err = capsys.readouterr().err
    assert words in err and len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["particles_o.csv"], "has a row for each particle; classes are made of volumes"),
        (["hole.csv"], "has no number for block_02 of vol_007"),
        (["o.csv", "--number", "3", "--height", "1"], "Both a number of classes and a height"),
        (["o.csv", "--number", "0"], "0 classes of 100 volumes were asked for"),
        (["o.csv", "--height", "-1"], "The height is -1; 0 or more was expected"),
        (["o.csv", "--labels", "stranger.csv"], "(vol_999 is one)"),
        (["o.csv", "--labels", "unnumbered.csv"], "has the columns index, name; particle and name were expected"),
        (["gap.csv", "--labels", "labels.npy"], "labels of 100 clusters, and the 99 volumes are numbered 1 to 100"),
        (["o.csv", "--labels", "floats.npy"], "holds no list of labels"),
        (["o.csv", "--ensemble", "o.csv"], "o.csv is not a folder"),
        (["o.csv", "--run", "run"], "--run needs --ensemble"),
    ],
)
def test_bad_input_is_one_sentence(desk, tmp_path, capsys, arguments, words):
    before = sorted(tmp_path.rglob("*"))
    assert main(["classes", *arguments, "--out", "c.csv"]) == BAD_INPUT
    err = capsys.readouterr().err
    assert words in err and len(err.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_volumes_without_numbers_are_of_no_class(desk, capsys):
    """Two maps were empty at their level: named, out of the tree, and their particles have no class."""
    table = pd.read_csv("o.csv", index_col="name").sort_index()
    table.iloc[[3, 7]] = np.nan
    table.to_csv("o.csv")
    gone = table.index[[3, 7]].tolist()
    pd.DataFrame({"particle": range(100), "name": table.index}).to_csv("p.csv", index=False)
    assert main(["classes", "o.csv", "--number", "3", "--labels", "p.csv", "--out", "c.csv"]) == DONE
    assert f"without any number, so of no class: 2 ({', '.join(gone)})" in capsys.readouterr().out
    assert set(pd.read_csv("c.csv")["name"]) == set(table.index) - set(gone)
    particles = pd.read_csv("c_particles.csv", index_col="particle")["class"]
    assert particles.index[particles.isna()].tolist() == [3, 7]


def test_the_table_that_is_read_is_kept(desk, tmp_path, capsys):
    before = (tmp_path / "o.csv").read_bytes()
    assert main(["classes", "o.csv", "--out", "o.csv"]) == BAD_INPUT
    assert "o.csv is read for this" in capsys.readouterr().err
    (tmp_path / "second.csv").write_bytes(before)
    assert main(["classes", "o.csv", "--out", "second.csv"]) == BAD_INPUT
    assert "no table of ours (no column 'name,class,order' first)" in capsys.readouterr().err
    assert (tmp_path / "o.csv").read_bytes() == (tmp_path / "second.csv").read_bytes() == before


def test_a_viewers_heat_map_is_that_of_the_classes(tmp_path):
    from hetero.commands.occupancy_space import heat_map

    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], (30, 20, 10))
    values = np.eye(3)[truth] + 0.02 * rng.standard_normal((60, 3))
    rows = rng.permutation(60)
    table = pd.DataFrame(values[rows], [f"vol_{i:02d}" for i in rows], ["a", "b", "c"]).rename_axis("name")
    table.loc["empty"] = np.nan
    found = heat_map(table)
    assert len(found.names) == 60 and set(found.labels) == {1, 2, 3}
    np.testing.assert_allclose(found.values, table.loc[found.names, found.columns])
    assert np.count_nonzero(np.diff(found.labels)) == 2  # each class in one piece
    assert found.lines.shape == (59, 4, 2) and found.colors.count("#888888") == 2
    leaves = found.lines[..., 1][found.lines[..., 0] == 0]
    np.testing.assert_array_equal(np.sort(leaves), np.arange(60))  # a leaf at every row
    with pytest.raises(HeteroError, match="a row for each particle"):
        heat_map(table.rename_axis("particle"))


def test_quadrants_of_two_blocks():
    from hetero.commands.occupancy_space import block_plane, quadrants

    table = pd.DataFrame({"a": [1, 1, 0, 0, 0, np.nan], "b": [1, 0, 1, 0, 0, 1.0]})
    assert quadrants(table, "a", "b", (0.5, 0.5)) == (1, 1, 1, 2)
    assert np.isnan(block_plane(table, "a", "b").points[5]).any()
    with pytest.raises(HeteroError, match="Nothing in this table"):
        block_plane(table * np.nan, "a", "b")
