"""Folders of maps and folders of blocks."""

import os

import numpy as np
import pandas as pd
import pytest

from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, atomic_path, check_table
from hetero.maps import Volume, open_ensemble, read_blocks, read_map, same_grid, update_table, write_blocks, write_map
from hetero.maps.blocks import PALETTE, make_blocks


@pytest.fixture
def folder(tmp_path):
    for i in (1, 2, 10):
        write_map(tmp_path / f"vol_{i}.mrc", Volume(np.full((4, 5, 6), i), 2.0, (1, 2, 3)))
    return tmp_path


def test_natural_order_grid_and_lazy_reading(folder, monkeypatch):
    ensemble = open_ensemble(folder)
    assert ensemble.names == ("vol_1", "vol_2", "vol_10")
    assert ensemble.shape == (4, 5, 6)
    np.testing.assert_array_equal(ensemble.origin, [1, 2, 3])
    assert np.isnan(ensemble.levels).all()
    assert [v.data[0, 0, 0] for v in ensemble] == [1, 2, 10]
    reads = []
    monkeypatch.setattr("hetero.maps.ensemble.read_map", lambda p: reads.append(p) or read_map(p))
    open_ensemble(folder)
    assert reads == [], "opening reads headers only"
    ensemble[1]
    assert [p.name for p in reads] == ["vol_2.mrc"]


def test_levels_are_joined_by_name(folder):
    """Neither the order of the table's rows nor a row too many shifts a level."""
    (folder / "ensemble.csv").write_text("name,level,note\nvol_10,10.5,c\nvol_99,7,x\nvol_1.mrc,1.5,a\n")
    np.testing.assert_array_equal(open_ensemble(folder).levels, [1.5, np.nan, 10.5])


def test_updating_the_table_keeps_other_columns(folder):
    (folder / "ensemble.csv").write_text("name,class\nvol_2,B\nvol_1,A\n")
    rows = pd.DataFrame({"level": [1.0, 3.0]}, index=pd.Index(["vol_1", "vol_10"], name="name"))
    update_table(folder / "ensemble.csv", rows)
    table = pd.read_csv(folder / "ensemble.csv").set_index("name")
    assert list(table.index) == ["vol_1", "vol_2", "vol_10"]
    assert table.loc["vol_1"].tolist() == ["A", 1.0]
    assert table["class"].tolist()[:2] == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("level\n1\n", "needs a column 'name'"),
        ("name,level\nvol_1,1\nvol_1,2\n", "names each volume once"),
        ("name,level\nvol_1,1\nvol_1.mrc,2\n", "names each volume once"),
        ("name,level\nvol_1,inf\n", "not a number"),
        ("name,level\nvol_1,high\n", "not a number"),
        ('name,level\n"vol_1\n', "cannot be read as a table"),
    ],
)
def test_bad_tables(folder, text, words):
    (folder / "ensemble.csv").write_text(text)
    with pytest.raises(HeteroError, match=words) as error:
        open_ensemble(folder)
    assert "ensemble.csv" in str(error.value)


def test_bad_folders(folder, tmp_path_factory):
    with pytest.raises(HeteroError, match="is not a folder"):
        open_ensemble(folder / "gone")
    with pytest.raises(HeteroError, match="holds no maps"):
        open_ensemble(tmp_path_factory.mktemp("empty"))
    write_map(folder / "vol_1.map", Volume(np.zeros((4, 5, 6))))
    with pytest.raises(HeteroError, match="two maps with one name"):
        open_ensemble(folder)


def test_mixed_boxes(folder):
    write_map(folder / "vol_99.mrc", Volume(np.zeros((4, 4, 4))))
    with pytest.raises(HeteroError, match=r"4 x 4 x 4 voxels of .*6 x 5 x 4 voxels of"):
        open_ensemble(folder)
    # Voxels of another size are another grid, too.
    write_map(folder / "vol_99.mrc", Volume(np.zeros((4, 5, 6)), 3.0, (1, 2, 3)))
    with pytest.raises(HeteroError, match=r"voxels of 3 Å.* voxels of 2 Å"):
        open_ensemble(folder)
    # In the middle of a large folder it is found when the volume is read.
    (folder / "vol_99.mrc").rename(folder / "vol_9.mrc")
    for i in (11, 12, 13, 14):
        write_map(folder / f"vol_{i}.mrc", Volume(np.zeros((4, 5, 6)), 2.0, (1, 2, 3)))
    with pytest.raises(HeteroError, match="share one grid"):
        list(open_ensemble(folder))


def test_blocks_round_trip(tmp_path):
    masks = np.zeros((2, 4, 5, 6), bool)
    masks[0, 1, 2, 3] = masks[0, 1, 2, 4] = masks[1, :, 0, 0] = True
    blocks = make_blocks(
        masks, np.array([2.0, 3.0, 4.0]), np.array([10.0, 20.0, 30.0]), columns={"mean_occupancy": [0.25, 0.5]}
    )
    write_blocks(tmp_path / "blocks", blocks, {"seed": 3})
    back = read_blocks(tmp_path / "blocks")
    np.testing.assert_array_equal(back.masks, masks)
    assert back.names == ("block_00", "block_01")
    assert back.colors == PALETTE[:2]
    row = back.table.loc["block_00"]
    assert (row.n_voxels, row.volume_a3, row.mean_occupancy) == (2, 48.0, 0.25)
    assert (row.center_x, row.center_y, row.center_z) == (30 + 3.5 * 4, 20 + 2 * 3, 10 + 1 * 2)
    assert same_grid(back, blocks)


def test_no_blocks_is_an_answer_not_an_error(tmp_path):
    write_blocks(tmp_path / "none", make_blocks(np.zeros((0, 4, 4, 4)), 1.0, 0.0), {})
    assert len(read_blocks(tmp_path / "none")) == 0


def test_blocks_of_a_chain_are_coloured_in_its_order():
    columns = {"chain": [None, "chain_1", "chain_1", "chain_1"], "place": [np.nan, 2.0, 0.0, 1.0]}
    colors = make_blocks(np.ones((4, 2, 2, 2)), 1.0, 0.0, columns=columns).colors
    assert colors[0] == PALETTE[0]
    light = [sum(int(color[i : i + 2], 16) for i in (1, 3, 5)) for color in colors]
    assert light[2] < light[3] < light[1]


def test_masks_on_two_grids(tmp_path):
    write_map(tmp_path / "block_00.mrc", Volume(np.ones((4, 4, 4))))
    write_map(tmp_path / "block_01.mrc", Volume(np.ones((4, 4, 4)), 2.0))
    with pytest.raises(HeteroError, match="another grid"):
        read_blocks(tmp_path)


KIND = FolderKind("mark", ("mark", "part_*"))


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "out", KIND) as folder:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    for text in ("one", "two"):
        with atomic_folder(tmp_path / "out", KIND) as folder:
            (folder / "mark").write_text(text)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "mark").read_text() == "two"


@pytest.mark.parametrize(
    "names", [["thesis.tex"], ["mark", "thesis.tex"], ["part_1"], ["mark", "part_1", "ensemble.csv"]]
)
def test_a_stranger_s_folder_is_not_replaced(tmp_path, names):
    """Not without the mark, and not with it where anything else lies beside it."""
    for name in names:
        (tmp_path / name).write_text("years of work")
    with pytest.raises(HeteroError, match="already holds other files"), atomic_folder(tmp_path, KIND):
        raise AssertionError("never entered")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for text in ("one", "two"):
        with atomic_folder(tmp_path / "link", KIND) as folder:
            (folder / "mark").write_text(text)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "mark").read_text() == "two"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mark").write_text("old")
    replace, calls = os.replace, []

    def second_fails(a, b):
        calls.append(b)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        replace(a, b)

    monkeypatch.setattr(os, "replace", second_fails)
    monkeypatch.setattr("hetero.files._exchanged", lambda *_: False)  # where the system cannot do it at once
    with pytest.raises(HeteroError, match="input/output error"), atomic_folder(tmp_path / "out", KIND) as folder:
        (folder / "mark").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and (tmp_path / "out" / "mark").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("map.mrc", "does not end in .csv"),
        ("mine.csv", "no table of ours"),
        ("folder.csv", "is a folder"),
        ("no/t.csv", "is not there"),
    ],
)
def test_what_a_table_may_not_overwrite(tmp_path, name, words):
    (tmp_path / "mine.csv").write_text("sample,concentration\n")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(HeteroError, match=words):
        check_table(tmp_path / name)
    check_table(tmp_path / "new.csv")


def test_only_ordinary_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(HeteroError, match="no ordinary file"), atomic_path(tmp_path / "pipe.csv"):
        raise AssertionError("never entered")


def test_a_file_keeps_its_mode_and_leaves_no_scraps(tmp_path):
    with atomic_path(tmp_path / "a.csv") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o644
    with pytest.raises(ValueError, match="stop"), atomic_path(tmp_path / "a.csv") as temporary:
        temporary.write_text("y")
        raise ValueError("stop")
    assert (tmp_path / "a.csv").read_text() == "x"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(HeteroError, match="no such file"), atomic_path(tmp_path / "gone" / "a.csv"):
        raise AssertionError("never entered")
