"""Damaged tables, latents and blocks give way to the ones before them; what people changed is left as it is."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.earlier import STORE, before, is_damaged
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.latent import Latents, read_latents, write_latents
from hetero.maps import MapWarning, read_blocks, write_blocks
from hetero.maps.blocks import make_blocks
from hetero.maps.ensemble import read_table, update_table
from hetero.occupancy import read_occupancy, write_occupancy

ROWS = 40


def levels_of(number):
    names = pd.Index([f"vol_{i:03d}" for i in range(ROWS)], name="name")
    return pd.DataFrame({"level": number + np.arange(ROWS) / 7, "class": np.arange(ROWS) % 3}, names)


def rewritten(path, content: bytes, keep_time: bool):
    """As a disk spoils a file (its time stays), or as a program writes it."""
    about = os.stat(path)
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def flipped(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


SPOILED = {
    "a flipped digit": lambda raw: flipped(raw, raw.index(b"vol_020") + 9),
    "a flipped byte of the head": lambda raw: flipped(raw, 1),
    "half of it": lambda raw: raw[: len(raw) // 2],
    "whole rows gone": lambda raw: raw[: raw.index(b"vol_020")],
    "zeros at its end": lambda raw: raw[:300] + b"\0" * (len(raw) - 300),
    "nothing left": lambda raw: b"",
}


@pytest.mark.parametrize("damage", SPOILED)
def test_a_table_that_a_disk_spoiled_gives_way_to_the_one_before(tmp_path, damage):
    path = tmp_path / "ensemble.csv"
    for number in (1, 2, 3):
        update_table(path, levels_of(number))
    assert read_table(path)["level"].iloc[0] == 3
    rewritten(path, SPOILED[damage](path.read_bytes()), keep_time=True)
    with pytest.warns(
        MapWarning, match=r"ensemble.csv is damaged.*\. Used in its place: the one before, .*\.hetero/en"
    ):
        assert read_table(path)["level"].iloc[0] == 2
    with pytest.warns(MapWarning, match="the one before"):
        update_table(path, levels_of(4))  # going on does not make the damaged one the one before
    assert read_table(path)["level"].iloc[0] == 4
    assert read_table(before(path))["level"].iloc[0] == 2


@pytest.mark.parametrize("damage", ["half of it", "zeros at its end", "nothing left"])
def test_a_table_that_was_cut_short_on_the_way_is_seen_whatever_its_time(tmp_path, damage):
    path = tmp_path / "ensemble.csv"
    for number in (1, 2):
        update_table(path, levels_of(number))
    rewritten(path, SPOILED[damage](path.read_bytes()), keep_time=False)
    with pytest.warns(MapWarning, match="Used in its place: the one before"):
        assert read_table(path)["level"].iloc[0] == 1


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("vol_020,", "vol_020,9"),
        lambda text: text[: text.index("vol_020")],
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "name,level\nvol_000,5\nvol_001",
        lambda text: text.replace("\n", ",mine\n"),
    ],
    ids=["a number", "fewer rows", "no last newline", "a spreadsheet's line ends", "by hand", "a column"],
)
def test_a_table_that_somebody_edited_is_what_counts(tmp_path, edit):
    """Warnings are errors here: nothing is said either."""
    path = tmp_path / "ensemble.csv"
    for number in (1, 2):
        update_table(path, levels_of(number))
    mine = edit(path.read_text())
    path.write_bytes(mine.encode())
    if mine.endswith("vol_001"):  # shorter and without its last cells: the one edit that looks like damage
        with pytest.warns(MapWarning, match="the one before"):
            update_table(path, levels_of(3))
        assert before(path).with_name("ensemble.csv.damaged").read_text() == mine  # and it is not lost
        path.write_text(mine + "\n")
    assert len(read_table(path)) == len(pd.read_csv(path))
    update_table(path, levels_of(4))
    assert before(path).read_bytes().rstrip(b"\n") == mine.rstrip("\n").encode()  # and it is what is kept


def test_without_one_before_or_with_both_damaged_it_is_one_sentence(tmp_path, capsys):
    path = tmp_path / "o.csv"
    table = pd.DataFrame({"a": np.linspace(0, 1, ROWS)}, pd.RangeIndex(ROWS, name="particle"))
    write_occupancy(path, table)
    whole = path.read_bytes()
    rewritten(path, flipped(whole, len(whole) - 3), keep_time=True)
    with pytest.raises(HeteroError, match=r"o.csv is damaged: what it holds is not what was written"):
        read_occupancy(path)
    assert main(["populations", str(path), "--out", str(tmp_path / "p.csv"), "--quiet"]) == BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1
    write_occupancy(path, table)
    write_occupancy(path, table)
    for one in (path, before(path)):
        rewritten(one, flipped(one.read_bytes(), 40), keep_time=True)
    with pytest.raises(HeteroError, match=f"^{path} is damaged"):
        read_occupancy(path)


def test_a_verb_says_aloud_that_it_read_the_one_before(tmp_path):
    path, rng = tmp_path / "o.csv", np.random.default_rng(0)
    for number in (1, 2):
        values = pd.DataFrame({"a": rng.random(ROWS), "b": rng.random(ROWS)}, pd.RangeIndex(ROWS, name="particle"))
        write_occupancy(path, values if number == 1 else values / 2)
    rewritten(path, path.read_bytes()[:500], keep_time=True)
    done = subprocess.run(
        [sys.executable, "-m", "hetero", "populations", str(path), "--out", str(tmp_path / "p.csv"), "--quiet"],
        check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == DONE and done.stderr.count("\n") == 1, done.stderr
    assert f"{path} is damaged" in done.stderr and f"the one before, {before(path)} (" in done.stderr


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_damaged_latents_give_way_to_those_before(tmp_path, damage):
    path = tmp_path / "latents.npz"
    for number in (1, 2, 3):
        write_latents(path, Latents(np.full((500, 2), number), np.arange(500)))
    raw = path.read_bytes()
    path.write_bytes({"flipped": flipped(raw, len(raw) // 2), "cut": raw[:-40], "empty": b""}[damage])
    with pytest.warns(
        MapWarning, match=r"latents.npz cannot be read .*damaged.*the one before, .*\.hetero/latents.npz"
    ):
        assert (read_latents(path).mean == 2).all()
    write_latents(path, Latents(np.full((500, 2), 4), np.arange(500)))
    assert (read_latents(path).mean == 4).all() and (read_latents(before(path)).mean == 2).all()
    for one in (path, before(path)):
        one.write_bytes(one.read_bytes()[:100])
    with pytest.raises(HeteroError, match=f"^{path} cannot be read"):
        read_latents(path)


def test_a_packed_table_of_particles_has_one_before_too(tmp_path):
    path = tmp_path / "o.npz"
    for number in (1, 2):
        write_occupancy(path, pd.DataFrame({"a": np.full(500, number)}, pd.RangeIndex(500, name="particle")))
    path.write_bytes(flipped(path.read_bytes(), 2500))
    with pytest.warns(MapWarning, match="the one before"):
        assert (read_occupancy(path)["a"] == 1).all()


def blocks_of(size):
    masks = np.zeros((2, 12, 12, 12), bool)
    masks[0, 2 : 2 + size, 2:6, 2:6] = masks[1, 7:9, 7 : 7 + size, 7:9] = True
    return make_blocks(masks, np.full(3, 2.0), np.zeros(3), columns={"phi": [0.9, 0.8]})


@pytest.mark.parametrize("name", ["block_00.mrc", "block_01.mrc", "blocks.csv"])
@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_damaged_blocks_give_way_to_the_folder_before(tmp_path, name, damage):
    folder = tmp_path / "blocks"
    for size in (1, 2, 3):
        write_blocks(folder, blocks_of(size), {})
    assert read_blocks(folder).masks.sum() == blocks_of(3).masks.sum()
    raw = (folder / name).read_bytes()
    rewritten(folder / name, flipped(raw, len(raw) // 2) if damage == "flipped" else raw[:-20], keep_time=True)
    with pytest.warns(MapWarning, match=rf"{name} is damaged.*Used in its place: the one before, .*\.hetero/blocks "):
        found = read_blocks(folder)
    np.testing.assert_array_equal(found.masks, blocks_of(2).masks)
    assert list(found.table["phi"]) == [0.9, 0.8]
    write_blocks(folder, blocks_of(3), {})  # the damaged folder is not the one that is kept
    np.testing.assert_array_equal(read_blocks(before(folder)).masks, blocks_of(2).masks)
    for one in (folder, before(folder)):
        rewritten(one / name, (one / name).read_bytes()[:-20], keep_time=True)
    with pytest.raises(HeteroError, match=f"^{folder / name} is "):
        read_blocks(folder)


def test_a_mask_that_somebody_changed_is_what_counts(tmp_path):
    import mrcfile

    for size in (1, 2):
        write_blocks(tmp_path / "blocks", blocks_of(size), {})
    with mrcfile.open(tmp_path / "blocks/block_00.mrc", mode="r+") as mrc:
        mrc.data[...] = 1
    with pytest.warns(MapWarning, match="it is damaged, or was changed since"):  # its label is ours still
        assert read_blocks(tmp_path / "blocks").masks[0].all()


def test_what_is_kept_costs_no_copy_and_is_not_kept_for_ever(tmp_path):
    path = tmp_path / "latents.npz"
    write_latents(path, Latents(np.zeros((9, 2)), np.arange(9)))
    first = path.stat().st_ino
    write_latents(path, Latents(np.ones((9, 2)), np.arange(9)))
    assert before(path).stat().st_ino == first
    assert sorted(p.name for p in (tmp_path / STORE).iterdir()) == ["latents.npz"]
    path.unlink()
    write_latents(path, Latents(np.ones((9, 2)), np.arange(9)))  # begun anew: the old one is of something else
    assert not before(path).exists()
    for size in (1, 2):
        write_blocks(tmp_path / "blocks", blocks_of(size), {})
    shutil.rmtree(tmp_path / "blocks")
    write_blocks(tmp_path / "blocks", blocks_of(3), {})
    assert not before(tmp_path / "blocks").exists()


@pytest.mark.parametrize("obstacle", ["a link", "a file"])
def test_a_strangers_hidden_folder_is_left_alone(tmp_path, obstacle):
    path = tmp_path / "here/ensemble.csv"
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/ensemble.csv").write_text("theirs")
    if obstacle == "a link":
        (tmp_path / "here" / STORE).symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "here" / STORE).write_text("theirs")
    for number in (1, 2):
        update_table(path, levels_of(number))
    assert read_table(path)["level"].iloc[0] == 2
    assert [p.name for p in (tmp_path / "elsewhere").iterdir()] == ["ensemble.csv"]
    assert (tmp_path / "elsewhere/ensemble.csv").read_text() == "theirs"


def test_links_and_pipes_in_it_are_not_written_through(tmp_path):
    path, mine = tmp_path / "here/ensemble.csv", tmp_path / "mine.txt"
    (path.parent / STORE).mkdir(parents=True)
    mine.write_text("precious")
    for name in ("ensemble.csv", "ensemble.csv.sum", ".partial-ensemble.csv", ".partial-ensemble.csv.sum"):
        (path.parent / STORE / name).symlink_to(mine)
    for number in (1, 2):
        update_table(path, levels_of(number))
    assert mine.read_text() == "precious" and read_table(before(path))["level"].iloc[0] == 1
    if hasattr(os, "mkfifo"):
        (path.parent / STORE / "ensemble.csv.sum").unlink()
        os.mkfifo(path.parent / STORE / "ensemble.csv.sum")
        assert read_table(path)["level"].iloc[0] == 2
        update_table(path, levels_of(3))
        assert read_table(path)["level"].iloc[0] == 3


@pytest.mark.parametrize("noted", ['{"now": [1, 2]}', "{", '{"now": ["a", "b", "c"]}', "[" * 3000, "x" * 9000])
def test_a_strangers_note_spoils_no_table(tmp_path, noted):
    path = tmp_path / "ensemble.csv"
    update_table(path, levels_of(1))
    (tmp_path / STORE / "ensemble.csv.sum").write_text(noted)
    assert len(read_table(path)) == ROWS


def test_a_write_that_fails_leaves_both_as_they_were(tmp_path):
    path = tmp_path / "t.csv"
    for text in ("a\n1\n", "a\n2\n"):
        with atomic_path(path, keep=True) as temporary:
            temporary.write_text(text)
    with pytest.raises(RuntimeError), atomic_path(path, keep=True) as temporary:
        temporary.write_text("a\n3\n")
        raise RuntimeError
    assert path.read_text() == "a\n2\n" and before(path).read_text() == "a\n1\n"


def test_a_damaged_network_of_levels_is_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="networks are torch's")
    from hetero.level.networks import LevelNetwork, load_network
    from hetero.level.training import save_network

    torch.manual_seed(0)
    save_network(tmp_path / "w.pt", LevelNetwork(), {})
    raw = (tmp_path / "w.pt").read_bytes()
    load_network(tmp_path / "w.pt")
    (tmp_path / "w.pt").write_bytes(flipped(raw, len(raw) // 2))
    with pytest.raises(HeteroError, match=r"w.pt is damaged"):
        load_network(tmp_path / "w.pt")


def test_two_processes_may_write_one_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    code = (
        "import sys; from hetero.files import atomic_path\n"
        "for i in range(60):\n"
        " with atomic_path(sys.argv[1], keep=True) as t: t.write_text(f'a,b\\n1,{i}\\n')"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(2)]
    mistaken = 0
    while any(process.poll() is None for process in both):  # and a third may read it
        mistaken += is_damaged(path)
    assert [process.returncode for process in both] == [0, 0] and mistaken == 0
    assert sorted(p.name for p in (tmp_path / STORE).iterdir()) == ["t.csv", "t.csv.sum"]


def test_what_another_process_wrote_in_the_same_moment_is_not_taken_for_damage(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    with atomic_path(path, keep=True) as ours:
        with atomic_path(path, keep=True) as theirs:
            theirs.write_text("a\n1\n")
            ours.write_text("a\n2\n")
            now = time.time_ns()
            for file in (ours, theirs):  # as a clock gives it that stands still for milliseconds
                os.utime(file, ns=(now, now))
        monkeypatch.setattr("hetero.files.note", lambda path: None)  # ours is read before it could be noted
    assert path.read_text() == "a\n2\n"
    assert not is_damaged(path)


def test_what_cannot_be_kept_does_not_stop_the_result(tmp_path):
    path = tmp_path / "t.csv"
    (tmp_path / STORE / "t.csv").mkdir(parents=True)  # nothing can take its name
    (tmp_path / STORE / "t.csv.sum").mkdir()
    for number in range(3):
        with atomic_path(path, keep=True) as temporary:
            temporary.write_text(f"a\n{number}\n")
    assert path.read_text() == "a\n2\n"


def test_an_edited_table_of_blocks_that_looks_damaged_is_kept(tmp_path):
    folder = tmp_path / "blocks"
    write_blocks(folder, blocks_of(2), {})
    table = folder / "blocks.csv"
    mine = table.read_text().rstrip("\n").rsplit(",", 1)[0]
    table.write_text(mine)
    write_blocks(folder, blocks_of(2), {})
    assert (tmp_path / STORE / "blocks.blocks.csv.damaged").read_text() == mine
