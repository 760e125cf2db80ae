"""``hetero blocks``: what it writes and says, and one sentence for each kind of bad input."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hetero.commands import blocks, info
from hetero.errors import HeteroError
from hetero.maps import Volume, read_blocks, write_map

N = 60


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """A ball with a block in half of 60 maps, 24^3; level 1."""
    folder = tmp_path_factory.mktemp("blocks") / "maps"
    folder.mkdir()
    rng = np.random.default_rng(0)
    z, y, x = np.indices((24, 24, 24)) - 11.5
    ball = np.where(z**2 + y**2 + x**2 < 49, 2.0, 0.0)
    for i in range(N):
        data = ball.copy()
        data[9:15, 9:15, 13:18] = 2.0 * (i % 2)
        write_map(folder / f"vol_{i:03d}.mrc", Volume(data + 0.2 * rng.standard_normal(ball.shape), 5.0))
    return folder


def copy_of(ensemble, folder, count=N):
    folder.mkdir()
    for path in sorted(ensemble.iterdir())[:count]:
        (folder / path.name).symlink_to(path)
    return folder


def settings(folder, out, level="1.0", **other):
    return blocks.Settings(folder, out, level=level, **other)


def test_evidence_stands_in_the_table_and_in_the_answer(ensemble, tmp_path):
    answer = blocks.run(settings(ensemble, tmp_path / "b"))
    (row,) = answer["blocks"]
    assert row["n_voxels"] == pytest.approx(180, abs=4)
    assert row["mean_occupancy"] == pytest.approx(0.5, abs=0.02)
    assert row["phi"] > 0.98 and row["stability"] > 0.98 and row["p_noise"] < 1e-6
    assert row["chain"] is None and row["place"] is None
    assert answer["volumes"] == N and answer["noise"] == 0 and answer["found_at"] == [24, 24, 24]
    written = pd.read_csv(tmp_path / "b" / "blocks.csv")
    assert {"phi", "p_noise", "stability", "chain", "place"} <= set(written.columns)
    assert info.run(info.Settings(tmp_path / "b"))["blocks"] == answer["blocks"]
    json.dumps(answer, allow_nan=False)


def test_without_resamples_there_is_no_stability(ensemble, tmp_path):
    (row,) = blocks.run(settings(ensemble, tmp_path / "b", resamples=0))["blocks"]
    assert row["stability"] is None


def test_a_chain_is_said(ensemble, tmp_path):
    """As the table says it, whoever wrote it."""
    blocks.run(settings(ensemble, tmp_path / "b"))
    found = read_blocks(tmp_path / "b")
    rows = [found.table.iloc[0].to_dict() | {"chain": "chain_1", "place": place} for place in (2.0, 0.0, 1.0)]
    for k in range(3):
        write_map(tmp_path / "b" / f"block_{k:02d}.mrc", Volume(found.masks[0], 5.0), dtype=np.int8)
    table = pd.DataFrame(rows, index=pd.Index([f"block_{k:02d}" for k in range(3)], name="name"))
    table.to_csv(tmp_path / "b" / "blocks.csv")
    said = info.describe(info.run(info.Settings(tmp_path / "b")))
    assert "chain_1: one motion, in order block_01, block_02, block_00" in said


def test_a_level_that_empties_a_volume_is_named_excluded_and_counted(ensemble, tmp_path):
    folder = copy_of(ensemble, tmp_path / "maps")
    table = pd.DataFrame({"name": [f"vol_{i:03d}" for i in range(N)], "level": 1.0})
    table.loc[[7, 31], "level"] = 99.0
    table.to_csv(folder / "ensemble.csv", index=False)
    answer = blocks.run(settings(folder, tmp_path / "b", level="from-table"))
    assert answer["left_out"] == ["vol_007", "vol_031"] and answer["volumes"] == N - 2
    assert "left out: 2 (vol_007, vol_031)" in blocks.describe(answer)
    assert answer["blocks"][0]["n_voxels"] == pytest.approx(180, abs=4)
    assert json.loads((tmp_path / "b" / "config.json").read_text())["left_out"] == ["vol_007", "vol_031"]


def test_levels_go_by_name_not_by_place(ensemble, tmp_path):
    """Maps numbered from 001 with a gap: the map whose level is 99 is the one left out, not its neighbour."""
    folder = tmp_path / "maps"
    folder.mkdir()
    paths = sorted(ensemble.iterdir())
    names = [f"vol_{i:03d}" for i in range(1, N + 2) if i != 5]
    for name, path in zip(names, paths, strict=True):
        (folder / f"{name}.mrc").symlink_to(path)
    table = pd.DataFrame({"name": names, "level": 1.0}).sample(frac=1, random_state=0)
    table.loc[table["name"] == "vol_009", "level"] = 99.0
    table.to_csv(folder / "ensemble.csv", index=False)
    answer = blocks.run(settings(folder, tmp_path / "b", level="from-table"))
    assert answer["left_out"] == ["vol_009"]


@pytest.mark.parametrize("coarse", [0, 16])
@pytest.mark.parametrize("apix", [5.0, 6.0])
def test_another_grid_anywhere_is_named(ensemble, tmp_path, apix, coarse):
    folder = copy_of(ensemble, tmp_path / "maps", 12)
    (folder / "vol_004.mrc").unlink()
    shape = (24, 24, 24) if apix != 5 else (24, 24, 20)
    write_map(folder / "vol_004.mrc", Volume(np.ones(shape), apix))
    with pytest.raises(HeteroError, match=r"vol_004.mrc .* lies on another grid than vol_000.mrc"):
        blocks.run(settings(folder, tmp_path / "b", coarse=coarse, workers=1))
    assert [p.name for p in tmp_path.iterdir()] == ["maps"]


def test_equal_volumes_are_said(ensemble, tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    for i in range(4):
        (folder / f"vol_{i}.mrc").symlink_to(ensemble / "vol_000.mrc")
    for coarse in (0, 16):
        with pytest.raises(HeteroError, match="all maps are alike"):
            blocks.run(settings(folder, tmp_path / f"b{coarse}", coarse=coarse, workers=1))
    assert [p.name for p in tmp_path.iterdir()] == ["maps"]


def test_one_volume_is_said(ensemble, tmp_path):
    with pytest.raises(HeteroError, match="holds a single map; blocks are found by comparing many"):
        blocks.run(settings(copy_of(ensemble, tmp_path / "maps", 1), tmp_path / "b"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"coarse": 4}, "The coarse box is 4; 16 or more was expected"),
        ({"workers": 0}, "The number of workers is 0; 1 or more was expected"),
        ({"resamples": -1}, "The number of resamplings .* is -1; 0 or more was expected"),
        ({"level": "99"}, "Only 0 of 60 maps have a voxel at or above the level"),
    ],
)
def test_settings_out_of_range(ensemble, tmp_path, change, sentence):
    with pytest.raises(HeteroError, match=sentence):
        blocks.run(replace(settings(ensemble, tmp_path / "b"), **change))
    assert list(tmp_path.iterdir()) == []
