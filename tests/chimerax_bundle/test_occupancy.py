"""`hetero occupancy`, `populations` and `classes`: from blocks under maps to maps in the colours of their classes."""

import make_run_truth as truth
import numpy as np
import pytest
from scenes import blob, halves, hex_color, hue_share, picture, write_blocks, write_mrc

pytestmark = pytest.mark.usefixtures("engine")

N = 16


def part(index):
    """A ball whose left half is there in even, its right half in odd members; the middle in both."""
    left, right = halves()
    middle = np.abs(np.arange(32) - 16) < 3
    noise = 0.02 * np.random.default_rng(index).standard_normal((32, 32, 32))
    return ((left if index % 2 == 0 else right) | ((left | right) & middle)).astype(np.float32) + noise.astype(
        np.float32
    )


@pytest.fixture
def folders(session, tmp_path):
    """An ensemble of 16 maps with levels, and its blocks."""
    ensemble = tmp_path / "ensemble"
    ensemble.mkdir()
    for i in range(N):
        write_mrc(ensemble / f"vol_{i:02d}.mrc", part(i))
    rows = "".join(f"vol_{i:02d},0.5\n" for i in range(N))
    (ensemble / "ensemble.csv").write_text("name,level\n" + rows)
    return ensemble, write_blocks(tmp_path / "blocks", halves())


@pytest.fixture
def measured(run, folders):
    """The series, open, after `hetero occupancy`, and what that answered."""
    ensemble, blocks = folders
    series = run(f'hetero open "{ensemble}"')
    run(f'hetero blocks "{blocks}"')
    return series, run("hetero occupancy #1 blocks #2")


def test_occupancy_is_the_share_of_a_blocks_voxels(log, measured, folders):
    _, answer = measured
    masks = dict(zip(("block_00", "block_01"), halves(), strict=True))
    for i in (0, 1, 6, 15):
        for name, mask in masks.items():
            assert answer[f"vol_{i:02d}"][name] == pytest.approx((part(i)[mask] >= 0.5).mean(), abs=1e-6)
    assert "occupancy of 2 blocks in 16 maps" in log.getvalue()
    assert not list(folders[0].glob("occupancy*"))


def test_the_level_on_screen_counts(run, measured):
    run("volume #1.1 level 5")
    assert run("hetero occupancy #1.1 blocks #2")["vol_00"] == {"block_00": None, "block_01": None}
    run("volume #1.1 level -1")
    assert run("hetero occupancy #1.1 blocks #2")["vol_00"] == {"block_00": 1.0, "block_01": 1.0}


def test_maps_in_memory_are_measured_too(session, run, folders):
    for center in (0, 0, 4):
        blob(session, "same name", center=(0, 0, center))
    run("volume #1-3 level 0.4")
    answer = run(f'hetero occupancy #1-3 blocks "{folders[1]}"')
    assert list(answer) == ["same name", "same name_2", "same name_3"]
    assert answer["same name"]["block_00"] == 1.0 > answer["same name_3"]["block_00"]


def test_the_picture_is_in_the_log(session, monkeypatch, measured, run):
    said = []
    monkeypatch.setattr(session.logger, "info", lambda text, **options: said.append(text))
    run("hetero occupancy #1 blocks #2")
    (image,) = [text for text in said if "<img" in text]
    assert image.startswith('<img src="data:image/png;base64,iVBOR') and len(image) > 5000


def test_populations(run, log, measured, tmp_path):
    rows = run(f'hetero populations save "{tmp_path}/pop.csv"')
    assert [row["kind"] for row in rows] == ["two", "two"]
    assert [row["fraction"] for row in rows] == pytest.approx([0.5, 0.5], abs=0.01)
    assert "populations of 16 volumes" in log.getvalue() and (tmp_path / "pop.csv").is_file()


def test_populations_of_two_data_sets(run, log, measured, tmp_path):
    """Half of the maps have block 0 here, two in sixteen there; block 1 is as common."""
    run(f'hetero occupancy #1 blocks #2 save "{tmp_path}/occ.csv"')
    lines = (tmp_path / "occ.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    for row in rows[4::2]:
        row[1] = rows[1][1]
    (tmp_path / "other.csv").write_text("\n".join([lines[0], *map(",".join, rows)]) + "\n")
    first, second = run(f'hetero populations against "{tmp_path}/other.csv"')
    assert first["difference"] == pytest.approx(0.5 - 2 / 16, abs=0.02) and first["low95"] > 0
    assert second["difference"] == pytest.approx(0, abs=0.02)
    assert "against 16 of" in log.getvalue() and "a difference" in log.getvalue()


def test_classes_colour_the_series_and_undo_takes_it_off(session, run, log, measured, tmp_path):
    series, _ = measured
    before = series.maps[0].surfaces[0].rgba
    run("hide #2 models; view #1")
    labels = run("hetero classes number 2")
    assert {labels[f"vol_{i:02d}"] for i in range(0, N, 2)} != {labels[f"vol_{i:02d}"] for i in range(1, N, 2)}
    assert len(set(labels.values())) == 2 and "16 maps in 2 classes" in log.getvalue()
    colors = ["#ee6677", "#228833"]
    for time in (0, 1, 2):
        run(f"vseries play #1 jumpTo {time}")
        color = colors[labels[f"vol_{time:02d}"] - 1]
        assert hex_color(series.maps[time].surfaces[0].color) == color
        assert hue_share(picture(session, run, tmp_path / f"{time}.png"), color).mean() > 0.02
    run("undo")
    assert tuple(series.maps[2].surfaces[0].rgba) == tuple(before) and not series.classes
    run("vseries play #1 jumpTo 1")
    assert tuple(series.maps[1].surfaces[0].rgba) == tuple(before)


def test_class_colours_survive_a_session(session, run, measured, tmp_path, reopen):
    labels = run("hetero classes number 2")
    (series,) = reopen("EnsembleModel")
    run("vseries play #1 jumpTo 1")
    assert hex_color(series.maps[1].surfaces[0].color) == ["#ee6677", "#228833"][labels["vol_01"] - 1]


def test_classes_along_a_chain_are_in_the_order_of_the_motion(session, run, log, sentence, tmp_path):
    """A window slides over four blocks that are a chain; classes are numbered from one end to the other."""
    masks = [np.broadcast_to((np.arange(32) // 8) == k, (32, 32, 32)) for k in range(4)]
    blocks, ensemble = write_blocks(tmp_path / "blocks", masks), tmp_path / "ensemble"
    table = ["name,color,chain,place", *(f"block_{k:02d},#ee667{k},chain_1,{k}" for k in range(4))]
    (blocks / "blocks.csv").write_text("\n".join(table) + "\n")
    ensemble.mkdir()
    at = np.random.default_rng(0).permutation(12)
    for i in range(12):
        there = np.abs(np.arange(32) - (4 + 2 * at[i])) < 5
        write_mrc(ensemble / f"vol_{i:02d}.mrc", np.broadcast_to(there, (32, 32, 32)).astype(np.float32))
    (ensemble / "ensemble.csv").write_text("name,level\n" + "".join(f"vol_{i:02d},0.5\n" for i in range(12)))
    series = run(f'hetero open "{ensemble}"')
    run(f'hetero blocks "{blocks}"')
    assert "chain_1: one motion, in order block 0, block 1, block 2, block 3" in log.getvalue()
    run("hetero occupancy #1 blocks #2")
    labels = run("hetero classes along #2 number 4")
    assert "12 maps in 4 classes along chain_1" in log.getvalue()
    found = [labels[f"vol_{i:02d}"] for i in np.argsort(at)]
    assert found in ([1] * 3 + [2] * 3 + [3] * 3 + [4] * 3, [4] * 3 + [3] * 3 + [2] * 3 + [1] * 3)
    assert [series.classes[volume] for volume in series.maps] == [labels[volume.name] for volume in series.maps]
    assert len(set(run("hetero classes along #2 chain chain_1").values())) == 5
    assert "say of which with 'along'" in sentence("hetero classes chain chain_1")
    assert "has no chain chain_9" in sentence("hetero classes along #2 chain chain_9")


def test_every_particle_of_a_run_is_measured_and_selected_by_it(session, run, log, trained, tmp_path, monkeypatch):
    """The blob on the right is the block; `select` and the panel know it without being told of the table."""
    monkeypatch.setenv("HOME", str(tmp_path))
    blocks = write_blocks(tmp_path / "blocks", [truth.blob(7, 0) > 0.5])
    run(f'hetero open "{trained}"')
    (tmp_path / "some.txt").write_text("".join(f"{i}\n" for i in range(12)))
    job = run(f'hetero occupancy #1 blocks "{blocks}" particles "{tmp_path}/some.txt"')
    assert job.result["n"] == 12 and "occupancies of 12 particles" in log.getvalue()
    chosen = run('hetero select #1 where "block 0 > 0.5"')
    assert chosen.tolist() == np.flatnonzero(truth.with_it()[:12]).tolist()
    run("close")
    run(f'hetero open "{trained}"')
    run("hetero jobs open 1")
    assert run('hetero select #1 where "block 0 > 0.5"').tolist() == chosen.tolist()


def test_a_table_of_ones_own(run, measured, tmp_path):
    run(f'hetero occupancy #1 blocks #2 save "{tmp_path}/occ.csv"')
    labels = run(f'hetero classes "{tmp_path}/occ.csv" number 2 color #1')
    assert len(labels) == N and len(measured[0].classes) == N


def test_sentences(session, run, sentence, folders, tmp_path):
    session._hetero_measured = None
    assert "No occupancies were measured yet" in sentence("hetero populations")
    run(f'hetero open "{folders[0]}"')
    assert "names no blocks" in sentence("hetero occupancy #1 blocks #1")
    assert "nowhere" in sentence("hetero occupancy #1 blocks /nowhere")
    write_mrc(tmp_path / "small.mrc", np.ones((8, 8, 8), np.float32))
    run(f'open "{tmp_path}/small.mrc"')
    run("volume #2 level 0.5")
    assert "grid" in sentence(f'hetero occupancy #2 blocks "{folders[1]}"')
    assert "give one of the two" in sentence(f'hetero classes "{tmp_path}/x.csv" number 2 height 1')
    assert "x.csv is not there" in sentence(f'hetero classes "{tmp_path}/x.csv" number 2')
