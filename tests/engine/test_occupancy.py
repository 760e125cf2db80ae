"""Occupancy against the definition and against MAVEn's published numbers."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from hetero.commands import occupancy
from hetero.errors import HeteroError
from hetero.maps import Volume, write_map
from hetero.occupancy import MaskVoxels, occupied_share


def test_share_is_the_count():
    data = np.arange(24.0).reshape(2, 3, 4)
    masks = np.zeros((3, 2, 3, 4), bool)
    masks[0, 1] = True  # values 12 .. 23
    masks[1, 0, 0] = True  # values 0 .. 3
    np.testing.assert_allclose(occupied_share(data, 20.0, masks), [4 / 12, 0, np.nan])
    np.testing.assert_allclose(occupied_share(data, 3.0, masks), [1, 1 / 4, np.nan])
    np.testing.assert_allclose(occupancy.measure(data, 20.0, masks), occupied_share(data, 20.0, masks))


def test_soft_masks_weigh():
    share = occupied_share(np.array([[[1.0, 0.0]]]), 0.5, np.array([[[[0.75, 0.25]]]], np.float32))
    assert share.tolist() == [0.75]


def test_maven_numbers(shared, tmp_path):
    """The published, reference-normalised occupancies of real volumes, to float32."""
    data = shared / "data" / "ensembles" / "maven"
    settings = occupancy.Settings(
        data / "00_aligned", data / "02_masks", out=tmp_path / "occupancy.csv", reference=str(data / "01_PDB_mrc")
    )
    occupancy.run(settings)
    ours = pd.read_csv(tmp_path / "occupancy.csv", index_col="name")
    published = pd.read_csv(data / "occupancies_expected.csv", header=[0, 1], index_col=0)
    published.index = [f"vol_{int(i):03d}" for i in published.index]
    published.columns = [f"Mask_prots1_chain{chain}" for _, chain in published.columns]
    assert len(published) == 9 and len(ours) == 10
    np.testing.assert_allclose(ours.loc[published.index, published.columns], published, rtol=1e-6)
    assert (tmp_path / "occupancy.png").stat().st_size > 10_000


def write_ensemble(folder, n=3, apix=2.0):
    folder.mkdir()
    for i in range(n):
        write_map(folder / f"vol_{i}.mrc", Volume(np.full((4, 4, 4), float(i)), apix))
    return folder


def test_rows_are_volumes_and_columns_blocks(tmp_path):
    maps = write_ensemble(tmp_path / "maps")
    (tmp_path / "blocks").mkdir()
    for k in (0, 1):
        write_map(tmp_path / "blocks" / f"block_{k:02d}.mrc", Volume(np.ones((4, 4, 4)), 2.0))
    answer = occupancy.run(occupancy.Settings(maps, tmp_path / "blocks", out=tmp_path / "o.csv", level="1"))
    assert (answer["empty"], answer["values"][:2]) == (["vol_0"], [[None, None], [1, 1]])
    assert "left empty: 1 volumes (vol_0)" in occupancy.describe(answer)
    assert (tmp_path / "o.csv").read_text().split() == [
        "name,block_00,block_01",
        "vol_0,,",
        "vol_1,1.0,1.0",
        "vol_2,1.0,1.0",
    ]


def test_bad_input(tmp_path):
    maps = write_ensemble(tmp_path / "maps")
    same = write_ensemble(tmp_path / "same", n=2)  # all 0, all 1: masks
    other = write_ensemble(tmp_path / "other", apix=3.0)
    (tmp_path / "empty").mkdir()
    out = tmp_path / "o.csv"
    with pytest.raises(HeteroError, match=r"another grid \(4 x 4 x 4 voxels of 3 Å"):
        occupancy.run(occupancy.Settings(maps, other, out=out, level="1"))
    with pytest.raises(HeteroError, match="holds no masks"):
        occupancy.run(occupancy.Settings(maps, tmp_path / "empty", out=out, level="1"))
    with pytest.raises(HeteroError, match=r"has no reference map vol_0\.mrc"):
        occupancy.run(occupancy.Settings(maps, same, out=out, reference=str(tmp_path / "empty")))
    with pytest.raises(HeteroError, match="give no --level"):
        occupancy.run(occupancy.Settings(maps, same, out=out, level="1", reference=str(maps)))
    with pytest.raises(HeteroError, match="'high' is no level"):
        occupancy.run(occupancy.Settings(maps, same, out=out, level="high"))
    with pytest.raises(HeteroError, match="has no level for 3 of 3 maps"):
        occupancy.run(occupancy.Settings(maps, same, out=out, level="from-table"))
    assert not out.exists()


def test_a_block_that_is_absent_is_no_empty_map():
    """The map has voxels at the level, only none of the block's."""
    voxels = MaskVoxels.of(["a"], np.array([[[[True, False]]]]))
    assert voxels.share_at_level(np.array([[[0.0, 1.0]]]), 0.5).tolist() == [0]
    assert np.isnan(voxels.share_at_level(np.array([[[0.0, 0.4]]]), 0.5)).all()


def test_nothing_of_the_users_is_replaced(tmp_path):
    """A map given as a mask, a folder's own table and a picture of someone else's are named and kept."""
    maps = write_ensemble(tmp_path / "maps")
    blocks = tmp_path / "blocks"
    blocks.mkdir()
    write_map(blocks / "block_00.mrc", Volume(np.ones((4, 4, 4)), 2.0))
    (blocks / "blocks.csv").write_text("name,color\nblock_00,#ee6677\n")
    (maps / "ensemble.csv").write_text("name,level\nvol_0,1\n")
    Figure().savefig(tmp_path / "mine.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for masks, out, words in (
        (maps, "o.csv", "holds the maps themselves"),
        (write_ensemble(tmp_path / "others"), "o.csv", r"vol_2\.mrc is no mask: its values go from 2 to 2"),
        (blocks, "blocks/blocks.csv", "is what describes its folder"),
        (blocks, "maps/ensemble.csv", "is what describes its folder"),
        (blocks, "mine.csv", r"mine\.png is there already and is no picture of ours"),
    ):
        with pytest.raises(HeteroError, match=words):
            occupancy.run(occupancy.Settings(maps, masks, out=tmp_path / out, level="1"))
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocks", "maps", "mine.png", "others"]
    for _ in range(2):  # our own picture and table are replaced
        occupancy.run(occupancy.Settings(maps, blocks, out=tmp_path / "o.csv", level="1"))
