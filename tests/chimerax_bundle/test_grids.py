"""Maps to and from files, by ChimeraX's own means."""

import numpy as np
import pytest
from scenes import blob, write_mrc


@pytest.fixture
def tilted(session):
    """Grid data that is neither cubic nor straight."""
    from chimerax.map_data import ArrayGridData

    array = np.random.default_rng(0).integers(-100, 100, (20, 24, 28)).astype(np.int16)
    turn = ((0.8, -0.6, 0), (0.6, 0.8, 0), (0, 0, 1))
    return ArrayGridData(array, origin=(5, -7, 9), step=(1.5, 2, 3), cell_angles=(90, 100, 90), rotation=turn)


def test_a_map_is_written_whole_and_stays_as_it_is(session, run, tmp_path, tilted):
    from chimerax.hetero.models.grids import open_grid, write_grid
    from chimerax.map.volume import volume_from_grid_data

    volume = volume_from_grid_data(tilted, session, show_dialog=False)
    run("volume #1 region 3,3,3,8,8,8 step 2 color red")  # what is shown is not what is written
    write_grid(session, volume.data, tmp_path / "a%d.mrc")
    assert [path.name for path in tmp_path.iterdir()] == ["a%d.mrc"]
    written = open_grid(tmp_path / "a%d.mrc")
    np.testing.assert_array_equal(written.matrix(), tilted.array)
    assert written.value_type == np.int16
    for name in ("origin", "step", "cell_angles", "rotation"):
        np.testing.assert_allclose(getattr(written, name), getattr(tilted, name), atol=1e-4)
    assert session.models.list(type=type(volume)) == [volume]
    assert (volume.data.path, volume.name, volume.data.rgba) == ("", "", None)


def test_maps_are_staged_without_a_touch_to_the_user_s_files(session, run, tmp_path):
    """Files are linked into the folder, and beside the links maps of no file are written."""
    from chimerax.hetero.models.grids import open_grid
    from chimerax.hetero.models.staging import stage_maps

    theirs = tmp_path / "writing.mrc"
    write_mrc(theirs, np.full((4, 4, 4), 7, np.float32))
    before = theirs.read_bytes()
    (opened,), inside = run(f'open "{theirs}"'), blob(session)
    folder = tmp_path / "staged"
    folder.mkdir()
    named = stage_maps(session, [opened, inside], str(folder))
    assert list(named.values()) == [opened, inside] and next(iter(named)) == "writing"
    assert {path.name for path in folder.glob("*")} <= {*(f"{name}.mrc" for name in named), "ensemble.csv"}
    assert theirs.read_bytes() == before and (folder / "writing.mrc").read_bytes() == before
    written = open_grid(folder / f"{list(named)[1]}.mrc")
    np.testing.assert_array_equal(written.matrix(), inside.data.matrix())


def test_writing_takes_no_colour_from_the_next_map(session, run, tmp_path):
    from chimerax.hetero.models.grids import write_grid

    colors = [blob(session).default_rgba for _ in range(2)]
    run("close")
    first = blob(session)
    write_grid(session, first.data, tmp_path / "map.mrc")
    assert [first.default_rgba, blob(session).default_rgba] == colors and colors[0] != colors[1]


def test_a_large_map_is_drawn_at_chimerax_s_step(session, tmp_path):
    from chimerax.hetero.models.grids import open_grid, volume_from_grid
    from chimerax.map.volume import open_map

    write_mrc(tmp_path / "large.mrc", np.zeros((260, 260, 260), np.int8))
    (theirs,), _ = open_map(session, str(tmp_path / "large.mrc"), show=False)
    ours = volume_from_grid(session, open_grid(tmp_path / "large.mrc"), 0.5)
    assert [tuple(part) for part in ours.region] == [tuple(part) for part in theirs.region]
    assert ours.region[2] == [2, 2, 2]


def test_the_surface_of_a_mask_is_that_of_chimerax_s_contours(session, tilted):
    """On a grid that is neither cubic nor straight, and mirrored."""
    from chimerax.hetero.models.blocks import mask_surface
    from chimerax.map import contour_surface
    from scipy.ndimage import gaussian_filter

    mask = np.zeros(tilted.array.shape, bool)
    mask[6:13, 5:12, 9:20] = True
    mask[6:9, 5:9, 9:12] = False
    vertices, normals, triangles = mask_surface(session, mask, tilted)
    smooth = gaussian_filter(np.pad(mask.astype(np.float32), 3), 0.8)
    ranked = np.sort(smooth, axis=None)[::-1]
    level = float(ranked[mask.sum() - 1] + ranked[mask.sum()]) / 2
    expected, corners, _ = contour_surface(smooth, level, cap_faces=False, calculate_normals=True)
    expected = tilted.ijk_to_xyz_transform.transform_points(expected - np.float32(3))
    np.testing.assert_allclose(np.sort(vertices, axis=0), np.sort(expected, axis=0), atol=1e-3)
    assert len(triangles) == len(corners)
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    flat = np.cross(b - a, c - a)
    along = (flat * normals[triangles].mean(axis=1)).sum(axis=1)
    assert (along[np.linalg.norm(flat, axis=1) > 0.05] > 0).all()  # Å²; slivers have no direction
    assert np.einsum("ij,ij->i", a, flat).sum() / 6 == pytest.approx(mask.sum() * tilted.voxel_volume(), rel=0.1)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
    assert not session.models.list()
