"""Levels, volumes, occupancies and particles meet by name: volumes from 001, gaps in the numbers, shuffled tables.

The published tools count positions: on volumes numbered from 001 every level is one off, and a gap is an error.
"""

import numpy as np
import pandas as pd
import pytest

from hetero.cli import DONE, main
from hetero.maps import Volume, write_map

NUMBERS = np.array([1, 2, 3, 5, 8, 9, 10, 11, 40, 100, 101, 250])
NAMES = [f"vol_{i:03d}" for i in NUMBERS]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Maps of a ramp 0 to 63 times their number; each has the level that the first ``k`` voxels of the block reach."""
    rng = np.random.default_rng(0)
    for folder in ("maps", "blocks", "references", "masks"):
        (tmp_path / folder).mkdir()
    ramp = np.arange(64.0).reshape(4, 4, 4)
    for name, number in zip(NAMES, NUMBERS, strict=True):
        write_map(tmp_path / "maps" / f"{name}.mrc", Volume(ramp * number, 2.0))
    share = (1 + rng.permutation(len(NAMES))) / 16
    levels = pd.Series(NUMBERS * (64 - 64 * share), NAMES, name="level")
    table = pd.DataFrame({"level": levels, "n_particles": NUMBERS * 10})
    table.sample(frac=1, random_state=1).rename(index="{}.mrc".format).to_csv(
        tmp_path / "maps" / "ensemble.csv", index_label="name"
    )
    write_map(tmp_path / "blocks" / "block_00.mrc", Volume(np.ones((4, 4, 4)), 2.0))
    for k, letter in enumerate("ab"):
        mask = np.zeros((4, 4, 4))
        mask[k] = 1
        write_map(tmp_path / "masks" / f"Mask_chain{letter}.mrc", Volume(mask, 2.0))
    # In the folder of references an unrelated map comes first.
    for k, name in enumerate(("aaa", "chaina", "chainb")):
        write_map(tmp_path / "references" / f"{name}.mrc", Volume(np.full((4, 4, 4), 1.0 + k), 2.0))
    monkeypatch.chdir(tmp_path)
    return pd.Series(share, NAMES)


def test_each_volume_is_measured_at_its_own_level(desk):
    assert main(["occupancy", "maps", "blocks", "--out", "o.csv", "--quiet"]) == DONE
    table = pd.read_csv("o.csv", index_col="name")
    pd.testing.assert_series_equal(table["block_00"], desk, check_names=False)


def test_each_mask_has_its_own_reference(desk):
    assert main(["occupancy", "maps", "masks", "--reference", "references", "--out", "o.csv", "--quiet"]) == DONE
    table = pd.read_csv("o.csv", index_col="name")
    ramp = np.arange(64.0).reshape(4, 16).sum(axis=1)
    np.testing.assert_allclose(table["Mask_chaina"], NUMBERS * ramp[0] / (2 * 64))
    np.testing.assert_allclose(table["Mask_chainb"], NUMBERS * ramp[1] / (3 * 64))


def test_all_the_way_to_particles(desk, tmp_path):
    """Levels -> occupancies -> populations, classes -> particles, each table in an order of its own."""
    rng = np.random.default_rng(2)
    has = pd.Series(desk > np.median(desk))
    occupancy = pd.DataFrame({"block_00": np.where(has, 0.9, 0.1) + 0.01 * rng.standard_normal(12)}, has.index)
    occupancy.sample(frac=1, random_state=3).to_csv("o.csv", index_label="name")
    assert main(["populations", "o.csv", "--ensemble", "maps", "--as-published", "--out", "p.csv", "--quiet"]) == DONE
    fraction = pd.read_csv("p.csv", index_col="block").loc["block_00", "fraction"]
    assert fraction == pytest.approx(NUMBERS[has].sum() / NUMBERS.sum(), abs=1e-3)
    particles = pd.DataFrame({"particle": rng.permutation(600)})
    particles["name"] = rng.choice(NAMES, 600)
    particles.to_csv("labels.csv", index=False)
    arguments = ["--number", "2", "--ensemble", "maps", "--labels", "labels.csv", "--out", "c.csv", "--quiet"]
    assert main(["classes", "o.csv", *arguments]) == DONE
    wanted = int(pd.read_csv("c.csv", index_col="name").loc[has.idxmax(), "class"])
    ensemble = pd.read_csv(tmp_path / "maps" / "ensemble.csv", index_col="name")
    assert ((ensemble["class"] == wanted) == has[ensemble.index]).all()
    assert main(["select", "c_particles.csv", "--rule", f"class == {wanted}", "--out", "s.npy", "--quiet"]) == DONE
    assert main(["select", "o.csv", "--labels", "labels.csv", "--rule", "block 0 > 0.5", "--out", "t.npy"]) == DONE
    expected = np.sort(particles["particle"][has[particles["name"]].to_numpy()])
    np.testing.assert_array_equal(np.load("s.npy"), expected)
    np.testing.assert_array_equal(np.load("t.npy"), expected)
