"""What was on screen comes back from a session file."""

import numpy as np
import pytest
from scenes import COLORS, blob_array, halves, hex_color, hue_share, picture, write_blocks, write_ensemble, write_mrc

pytestmark = pytest.mark.usefixtures("engine")


def test_ensemble(session, run, tmp_path, reopen):
    run(f'hetero open "{write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])}"')
    run("vseries play #1 jumpTo 1")
    run("volume #1.2 level 0.6 color #3377cc")
    (ensemble,) = reopen()
    assert type(ensemble).__name__ == "EnsembleModel" and ensemble.folder.endswith("ensemble")
    assert ensemble.levels == [0.3, 0.6, 1.5] and ensemble.maps[1].surfaces[0].level == 0.6
    assert [v.display for v in ensemble.maps] == [False, True, False]
    assert tuple(ensemble.maps[1].surfaces[0].color[:3]) == (0x33, 0x77, 0xCC)
    for time, level in ((2, 1.5), (0, 0.3)):
        run(f"vseries play #1 jumpTo {time}")
        assert ensemble.maps[time].display and not ensemble.maps[1].display
        assert ensemble.maps[time].surfaces[0].level == level


def test_an_ensemble_beside_what_is_open(session, run, tmp_path):
    run(f'hetero open "{write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])}"')
    run("hetero level #1.2 level 0.6")
    run(f'save "{tmp_path}/session.cxs"')
    run(f'open "{tmp_path}/session.cxs" combine true')
    first, second = (m for m in session.models.list() if len(m.id) == 1)
    for ensemble in (first, second):
        assert ensemble.levels == [0.3, 0.6, 1.5] and [v.name for v in ensemble.maps] == ["vol_0", "vol_1", "vol_2"]
        assert all(v.series is ensemble and v.id[0] == ensemble.id[0] for v in ensemble.maps)
    run(f"vseries play {second.atomspec} jumpTo 2")
    assert [v.display for v in first.maps] == [True, False, False]
    assert [v.display for v in second.maps] == [False, False, True] and second.maps[2].surfaces[0].level == 1.5


def test_blocks_on_a_map(session, run, tmp_path, reopen):
    write_mrc(tmp_path / "map.mrc", blob_array())
    run(f'open "{tmp_path}/map.mrc"')
    run("volume #1 level 0.4")
    blocks = run(f'hetero blocks "{write_blocks(tmp_path / "blocks", halves())}" onto #1')
    run("hetero blocks show 1; key delete; view")
    vertices, rows = blocks.surfaces[1].vertices.copy(), blocks.rows
    before = picture(session, run, tmp_path / "before.png")
    volume, blocks = reopen()
    left, right = blocks.surfaces
    assert (left.display, right.display) == (False, True)
    assert np.array_equal(right.vertices, vertices) and blocks.rows == rows
    assert hex_color(right.color) == COLORS[1] and right.name.startswith("block 1 (")
    after = picture(session, run, tmp_path / "after.png")
    for color in COLORS:
        assert hue_share(after, color).mean() == pytest.approx(hue_share(before, color).mean(), rel=0.02)
    run("volume #1 level 0.5")
    assert len(np.unique(volume.surfaces[0].vertex_colors, axis=0)) >= 2
    run("hetero blocks show 0 only")
    assert left.display and not right.display
