"""`hetero open` as a user sees it."""

import gzip
import time

import numpy as np
import pytest
from scenes import blob_array, halves, write_blocks, write_ensemble, write_mrc

pytestmark = pytest.mark.usefixtures("engine")


def test_an_ensemble_stands_at_its_own_levels(session, run, log, tmp_path):
    folder = write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])
    ensemble = run(f'hetero open "{folder}"')
    assert [v.surfaces[0].level for v in ensemble.maps] == [0.3, 0.7, 1.5]
    assert [v.display for v in ensemble.maps] == [True, False, False]
    assert [v.name for v in ensemble.maps] == ["vol_0", "vol_1", "vol_2"]
    assert "ensemble #1: an ensemble of 3 maps" in log.getvalue() and "levels 0.3 to 1.5" in log.getvalue()


def test_unknown_levels_are_predicted(session, run, tmp_path):
    ensemble = run(f'hetero open "{write_ensemble(tmp_path / "ensemble")}"')
    levels = [v.surfaces[0].level for v in ensemble.maps]
    assert levels == pytest.approx([levels[0], 2 * levels[0], 4 * levels[0]], rel=1e-3)


def test_it_plays_each_map_at_its_own_level(run, settle, tmp_path):
    from chimerax.map_series import MapSeries

    ensemble = run(f'hetero open "{write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])}"')
    assert isinstance(ensemble, MapSeries)
    run("volume #1.1 color #3377cc")
    run("vseries play #1 loop true")
    seen = set()
    for _ in range(7):
        settle()
        (shown,) = [v for v in ensemble.maps if v.display]
        (surface,) = shown.surfaces
        seen.add((shown.name, surface.level))
        assert len(surface.vertices) > 100 and tuple(surface.color[:3]) == (0x33, 0x77, 0xCC)
    run("vseries stop #1")
    assert seen == {("vol_0", 0.3), ("vol_1", 0.7), ("vol_2", 1.5)}


def test_a_level_set_by_hand_stays_when_the_map_comes_back(run, tmp_path):
    ensemble = run(f'hetero open "{write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])}"')
    run("volume #1.1 level 0.5")
    for shown in (2, 1, 0):
        run(f"vseries play #1 jumpTo {shown}")
    assert ensemble.maps[0].surfaces[0].level == 0.5 and ensemble.levels == [0.5, 0.7, 1.5]


def test_only_the_first_map_is_read(session, run, tmp_path):
    ensemble = run(f'hetero open "{write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])}"')
    assert [v.surfaces[0].vertices is not None for v in ensemble.maps] == [True, False, False]


@pytest.fixture
def reads(session, monkeypatch):
    """Names of the maps whose values were read from disk."""
    from chimerax.map_data.mrc.mrc_grid import MRCGrid

    names, read = [], MRCGrid.read_matrix

    def counting(self, *words):
        names.append(self.name)
        return read(self, *words)

    monkeypatch.setattr(MRCGrid, "read_matrix", counting)
    return names


def test_a_large_series_is_lazy(run, reads, tmp_path):
    ensemble = run(f'hetero open "{write_ensemble(tmp_path / "ensemble", 30, levels=[0.3] * 30)}"')
    assert set(reads) == {"vol_0"} and len(ensemble.maps) == 30
    run("vseries play #1 jumpTo 17")
    assert set(reads) == {"vol_0", "vol_17"}


def test_levels_of_a_large_series_come_in_while_the_first_map_is_shown(
    session, run, log, reads, settle, tmp_path, monkeypatch
):
    """As with a window: the command is done once the first map stands at its level; a level of one's own stays."""
    monkeypatch.setattr("chimerax.hetero.cmd.open.must_wait", lambda *_: False)
    ensemble = run(f'hetero open "{write_ensemble(tmp_path / "ensemble", 20)}"')
    assert ensemble.levels[1:] == [None] * 19 and ensemble.levels[0] > 0 and set(reads) == {"vol_0"}
    run("vseries play #1 jumpTo 3")
    assert ensemble.levels[3] == ensemble.levels[0]  # for now
    run("vseries play #1 jumpTo 5")
    run("volume #1.6 level 7")
    run("vseries play #1 jumpTo 9")
    deadline = time.monotonic() + 90
    while "every map stands at its own level" not in log.getvalue():
        assert time.monotonic() < deadline
        settle()
        time.sleep(0.05)
    levels = np.array(ensemble.levels)
    expected = levels[0] * 2.0 ** np.arange(20)
    expected[5] = 7
    np.testing.assert_allclose(levels, expected, rtol=1e-3)
    assert set(reads) == {"vol_0", "vol_3", "vol_5", "vol_9"}  # by ChimeraX; the engine has read them all


def test_in_a_script_it_is_lazy_too_and_what_is_shown_is_drawn_at_once(session, reads, tmp_path):
    """A script's commands follow each other without a frame."""
    from chimerax.core.commands import run as run_command

    folder = write_ensemble(tmp_path / "ensemble", 30, levels=[0.3] * 30)
    with session.in_script:
        (first, *_) = run_command(session, f'hetero open "{folder}"').maps
        before = len(first.surfaces[0].vertices)
        run_command(session, "hetero level #1.1 level 0.5")
        assert first.surfaces[0].level == 0.5 and 100 < len(first.surfaces[0].vertices) < before
    assert set(reads) == {"vol_0"}


def test_packed_maps_open_too(session, run, tmp_path):
    folder = write_ensemble(tmp_path / "ensemble", n=2, levels=[0.3, 0.7])
    plain = folder / "vol_1.mrc"
    (folder / "vol_1.mrc.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    ensemble = run(f'hetero open "{folder}"')
    assert np.allclose(ensemble.maps[1].full_matrix(), 2 * blob_array())


def test_blocks_and_single_maps_open_with_the_same_word(session, run, tmp_path):
    write_mrc(tmp_path / "map.mrc", blob_array())
    volume = run(f'hetero open "{tmp_path}/map.mrc"')
    assert volume.name == "map" and 0 < volume.surfaces[0].level < 1
    blocks = run(f'hetero open "{write_blocks(tmp_path / "blocks", halves())}"')
    assert len(blocks.surfaces) == 2


def test_sentences(sentence, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "text.mrc").write_text("not a map")
    assert "empty holds no maps" in sentence(f'hetero open "{tmp_path}/empty"')
    assert "nowhere is not there" in sentence(f'hetero open "{tmp_path}/nowhere"')
    assert "notes.txt" in sentence(f'hetero open "{tmp_path}/notes.txt"')
    assert "text.mrc" in sentence(f'hetero open "{tmp_path}/text.mrc"')
