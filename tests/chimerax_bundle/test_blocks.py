"""`hetero blocks` as a user sees it."""

import numpy as np
import pytest
from scenes import (
    COLORS,
    blob,
    blob_array,
    halves,
    helix_masks,
    hex_color,
    hue_share,
    in_memory,
    picture,
    write_blocks,
    write_mrc,
)
from scipy import ndimage

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def folder(session, tmp_path):
    """A folder with two blocks: the left and the right half of the blob."""
    return write_blocks(tmp_path / "blocks", halves())


def test_each_block_is_a_surface_of_its_own(run, log, folder):
    blocks = run(f'hetero blocks "{folder}"')
    left, right = blocks.surfaces
    n = halves()[0].sum()
    assert left.name == f"block 0 ({n} voxels)" and left.display and right.display
    assert [hex_color(s.color) for s in (left, right)] == list(COLORS)
    assert left.vertices[:, 0].mean() < right.vertices[:, 0].mean()
    assert "2 blocks" in log.getvalue() and "mean occupancy" in log.getvalue() and "75 %" in log.getvalue()


def test_the_surface_encloses_its_voxels(run, folder):
    from chimerax.surface import surface_volume_and_area

    blocks = run(f'hetero blocks "{folder}"')
    expected = halves()[0].sum() * 2.0**3
    assert surface_volume_and_area(blocks.surfaces[0])[0] == pytest.approx(expected, rel=0.1)


def test_a_single_voxel_is_still_seen(run, session, tmp_path):
    mask = np.zeros((16, 16, 16), bool)
    mask[0, 5, 9] = True  # at the edge of the box
    blocks = run(f'hetero blocks "{write_blocks(tmp_path / "b", [mask])}"')
    vertices = blocks.surfaces[0].vertices
    assert len(vertices) > 4 and vertices.mean(axis=0) == pytest.approx([18, 10, 0], abs=0.2)


def test_onto_paints_the_map_and_hides_the_blocks(session, run, folder):
    volume = blob(session)
    run("volume #1 level 0.4")
    blocks = run(f'hetero blocks "{folder}" onto #1')
    (surface,) = volume.surfaces
    x = surface.vertices[:, 0]
    left, right = (surface.vertex_colors[side][:, :3] for side in (x < x.mean() - 4, x > x.mean() + 4))
    assert (left == tuple(bytes.fromhex(COLORS[0][1:]))).all() and (right == tuple(bytes.fromhex(COLORS[1][1:]))).all()
    assert not any(s.display for s in blocks.surfaces)


def test_the_paint_follows_the_level(session, run, folder):
    volume = blob(session)
    run("volume #1 level 0.4")
    run(f'hetero blocks "{folder}" onto #1')
    for command in ("volume #1 level 0.6", "hetero level #1 level 0.45"):
        before = len(volume.surfaces[0].vertices)
        run(command)
        colors = volume.surfaces[0].vertex_colors
        assert len(colors) == len(volume.surfaces[0].vertices) != before
    assert len(np.unique(colors, axis=0)) == 2


def test_what_belongs_to_no_block_is_light_grey(session, run, folder):
    volume = blob(session)
    run("volume #1 level 0.05")  # far outside the blocks
    run(f'hetero blocks "{folder}" onto #1')
    colors = np.unique(volume.surfaces[0].vertex_colors, axis=0)
    assert len(colors) == 1 and len(set(colors[0, :3])) == 1 and 180 < colors[0, 0] < 240


def test_undo_unpaints_and_redo_paints(session, run, folder):
    volume = blob(session)
    run("volume #1 level 0.4 color #3377cc")
    blocks = run(f'hetero blocks "{folder}" onto #1')
    run("undo")
    (surface,) = volume.surfaces
    assert surface.vertex_colors is None and tuple(surface.color[:3]) == (0x33, 0x77, 0xCC)
    assert all(s.display for s in blocks.surfaces)
    run("redo")
    assert surface.vertex_colors is not None and not any(s.display for s in blocks.surfaces)


def test_the_key_names_the_blocks(session, run, folder):
    blob(session)
    run("volume #1 level 0.4")
    run(f'hetero blocks "{folder}" onto #1')
    from chimerax.color_key.model import get_model

    entries = get_model(session, create=False).rgbas_and_labels[::-1]
    assert [label for _, label in entries] == ["block 0", "block 1", "no block"]
    assert [round(255 * c) for c in entries[0][0][:3]] == list(bytes.fromhex(COLORS[0][1:]))


def test_any_text_can_stand_in_a_key(session):
    from chimerax.color_key.model import get_model
    from chimerax.hetero.report import show_key

    texts = ["5.2 Å", "a: b", "one; two", 'it\'s "so"', "#1"]
    show_key(session, [("#112233", text) for text in texts])
    assert [label for _, label in get_model(session, create=False).rgbas_and_labels[::-1]] == texts


@pytest.mark.parametrize(
    ("which", "shown"),
    [("1", [1]), ("0,1", [0, 1]), ("0-1", [0, 1]), ("block_00", [0]), ("all", [0, 1]), ("none", [])],
)
def test_show(run, folder, which, shown):
    blocks = run(f'hetero blocks "{folder}"')
    run(f"hetero blocks show {which} only")
    assert [s.number for s in blocks.surfaces if s.display] == shown
    run("undo")
    assert all(s.display for s in blocks.surfaces)


def test_show_and_hide_leave_the_others_as_they_are(run, folder):
    blocks = run(f'hetero blocks "{folder}"')
    run("hetero blocks hide 1")
    assert [s.number for s in blocks.surfaces if s.display] == [0]
    run("hetero blocks show none")
    assert not any(s.display for s in blocks.surfaces)
    run("hetero blocks show 1")
    assert [s.number for s in blocks.surfaces if s.display] == [1]
    run("hetero blocks show 0")
    assert all(s.display for s in blocks.surfaces)
    run("undo")
    assert [s.number for s in blocks.surfaces if s.display] == [1]


def test_a_map_on_another_grid_is_painted_by_zone(session, run, folder, tmp_path):
    """The blob again, at half the sampling and shifted by its model's position; its halves get the blocks' colours."""
    from chimerax.geometry import translation

    blocks = run(f'hetero blocks "{folder}"')
    other = in_memory(session, blob_array()[::2, ::2, ::2], "other", 4.0)
    other.position = blocks.position = translation((30, 0, 0))
    run(f"volume {other.atomspec} level 0.4 color #3377cc; key delete; set bgColor white; view")
    run(f"hetero blocks zone {other.atomspec} distance 6")
    (surface,) = other.surfaces
    x = surface.vertices[:, 0]
    for side, color in ((x < x.mean() - 6, COLORS[0]), (x > x.mean() + 6, COLORS[1])):
        assert side.any() and {hex_color(c) for c in surface.vertex_colors[side]} == {color}
    image = picture(session, run, tmp_path / "zone.png")
    left, right = (hue_share(image, color) for color in COLORS)
    assert left.mean() > 0.05 and right.mean() > 0.05
    run("undo")
    assert surface.vertex_colors is None and hex_color(surface.color) == "#3377cc"


def test_blocks_can_be_selected(run, folder):
    blocks = run(f'hetero blocks "{folder}"')
    run("select #1.2")
    assert [s.selected for s in blocks.surfaces] == [False, True]


def test_sentences(session, run, sentence, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    write_mrc(tmp_path / "map.mrc", blob_array())
    assert "No blocks are open" in sentence("hetero blocks show 3")
    assert "empty holds no maps" in sentence(f'hetero blocks "{tmp_path}/empty"')
    assert "is not there" in sentence(f'hetero blocks "{tmp_path}/nowhere"')
    assert "is a map; a folder of blocks" in sentence(f'hetero blocks "{tmp_path}/map.mrc"')
    assert "No open map is called #7" in sentence(f'hetero blocks "{folder}" onto #7')
    run(f'hetero blocks "{folder}"')
    assert "No open block is called 3; their numbers are 0 to 1" in sentence("hetero blocks show 3")


@pytest.mark.parametrize(
    ("n", "step", "part"),
    [(24, 2.0, "box 32 x 32 x 32 voxels and 24 x 24 x 24"), (32, 3.0, "voxel size 2 x 2 x 2 Å and 3 x 3 x 3 Å")],
)
def test_another_grid_is_a_sentence(session, sentence, folder, n, step, part):

    in_memory(session, blob_array(n), "other", step)
    text = sentence(f'hetero blocks "{folder}" onto #1')
    assert "different grids" in text and part in text
    assert len([m for m in session.models.list() if len(m.id) == 1]) == 1  # nothing was opened


def test_another_origin_is_a_sentence(session, run, sentence, folder):
    blob(session)
    run("volume #1 origin 5,0,0")
    assert "origin 0 x 0 x 0 Å and 5 x 0 x 0 Å" in sentence(f'hetero blocks "{folder}" onto #1')


def test_picture_shows_both_blocks_on_their_sides(session, run, folder, tmp_path):
    blob(session)
    run("volume #1 level 0.4")
    run(f'hetero blocks "{folder}" onto #1')
    run("key delete; set bgColor white; view")
    image = picture(session, run, tmp_path / "a.png")
    left, right = (hue_share(image, color) for color in COLORS)
    assert left.mean() > 0.05 and right.mean() > 0.05
    assert np.argwhere(left)[:, 1].mean() < np.argwhere(right)[:, 1].mean()
    assert (image.min(axis=-1) > 250).mean() > 0.3  # the background is white


@pytest.mark.parametrize("painted", [False, True], ids=["surfaces", "onto"])
@pytest.mark.parametrize("hand", [1, -1], ids=["right", "left"])
def test_the_hand_of_the_picture(session, run, tmp_path, hand, painted):
    """In front of its axis a right-handed helix rises from the lower left to the upper right."""
    masks = helix_masks(hand)
    folder = write_blocks(tmp_path / "helix", masks)
    onto = ""
    if painted:
        write_mrc(tmp_path / "map.mrc", ndimage.gaussian_filter((masks[0] | masks[1]).astype(np.float32), 0.7))
        run(f'open "{tmp_path}/map.mrc"')
        run("volume #1 level 0.4")
        onto = "onto #1"
    run(f'hetero blocks "{folder}" {onto}')
    run("key delete; camera ortho; set bgColor white; view")
    image = picture(session, run, tmp_path / "helix.png", 480, 480)
    helix, rod = hue_share(image, COLORS[1]), hue_share(image, COLORS[0])
    columns = np.argwhere(rod)[:, 1]
    helix[:, : columns.min()] = helix[:, columns.max() :] = False  # keep what passes in front of the rod
    strands, n = ndimage.label(helix)
    slopes = []
    for i in range(1, n + 1):
        row, column = np.argwhere(strands == i).T
        if len(row) > 200:
            slopes.append(np.cov(column, -row)[0, 1])
    assert len(slopes) >= 2 and all(np.sign(slope) == hand for slope in slopes)
