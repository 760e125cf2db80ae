"""Models, painter and session on a viewer without a window."""

import numpy as np
import pytest

from hetero.commands import occupancy
from hetero.maps import open_ensemble
from napari_hetero import meshes, view
from napari_hetero.ensemble_model import EnsembleModel
from napari_hetero.session import Session
from napari_hetero.sessions import acquire, release

from .scenes import opened


@pytest.fixture
def session(model):
    return Session(model, "llvmpipe (LLVM 15)")


def test_surface_of_a_ball_lies_at_its_radius_and_its_normals_point_out():
    z, y, x = np.indices((21,) * 3) - 10.0
    radius = np.sqrt(z**2 + y**2 + x**2)
    vertices, faces, normals = meshes.surface_at((10 - radius).astype(np.float32), 4.0)
    out = vertices - 10
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 6.0, atol=0.05)
    assert ((normals * out).sum(axis=1) > 0).all()
    assert len(faces) > 100


def test_surface_of_a_map_without_the_level_is_nothing():
    for data in (np.zeros((4, 4, 4), np.float32), np.zeros((1, 1, 1), np.float32)):
        vertices, faces, _ = meshes.surface_at(data, 1.0)
        assert not vertices.any() and len(faces) == 1


def test_read_only_map_is_meshed_and_stays_as_it_was():
    data = np.random.default_rng(1).normal(size=(8, 8, 8)).astype(np.float32)
    before = data.copy()
    data.setflags(write=False)
    assert len(meshes.surface_at(data, 0.5)[1]) > 1
    np.testing.assert_array_equal(data, before)


def test_each_vertex_belongs_to_an_occupied_voxel_beside_it():
    data = np.random.default_rng(2).normal(size=(9, 9, 9)).astype(np.float32)
    vertices, _, _ = meshes.surface_at(data, 0.3)
    owner = meshes.owners(data, 0.3, vertices)
    assert (data[tuple(owner.T)] >= 0.3).all()
    assert np.abs(owner - vertices).max() <= 1.0


def test_overlay_covers_the_surface_and_little_more():
    data = np.array([0.0, 1.9, 3.0, 5.0, 0.5, 0.2], np.float32).reshape(1, 1, 6)
    labels = np.array([7, 7, 7, 4, 7, 7], np.uint8).reshape(1, 1, 6)
    # 1.9 takes the 7 beside it (1.9 + 3 > 4), 0.5 the 4 (5 + 0.5 > 4); 0 and 0.2 have no occupied neighbour.
    assert meshes.cover(labels, data, 2.0).ravel().tolist() == [0, 7, 7, 4, 4, 0]
    assert meshes.cover(labels, data, 2.9).ravel().tolist() == [0, 0, 7, 4, 0, 0]
    assert labels.ravel().tolist() == [7, 7, 7, 4, 7, 7]


@pytest.mark.parametrize("level", [0.01, 5.0, -2.0])
def test_iso_values_put_the_level_at_the_threshold(level):
    data = np.linspace(level - 3, level + 3, 27, dtype=np.float32).reshape(3, 3, 3)
    shown = meshes.iso_values(data, level)
    np.testing.assert_array_equal(shown >= meshes.ISO_LEVEL - 1e-4, data >= level - 1e-6)


def test_light_is_on_the_side_of_the_reader():
    rgba, view_direction, up = np.ones((3, 4), np.float32), (-1, 0, 0), (0, 1, 0)
    towards, above, behind = meshes.lit(rgba, np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0]]), view_direction, up)[:, 0]
    assert towards > above > behind > 0


def test_view_stands_as_in_chimerax(session):
    camera = view.camera(session.viewer)
    assert session.turned
    assert tuple(str(axis) for axis in camera.orientation) == view.ORIENTATION
    # Right, up and towards the reader, each as (x, y, z), make a right-handed frame; napari's own default does not.
    up, towards = np.array(camera.up_direction)[::-1], -np.array(camera.view_direction)[::-1]
    np.testing.assert_allclose(np.array([np.cross(up, towards), up, towards]), np.eye(3), atol=1e-6)
    assert view.scale_bar(session.viewer).visible


def test_every_volume_is_drawn_at_its_own_level(session, ensemble_folder):
    opened(session.viewer, ensemble_folder)
    sizes = []
    for k, level in enumerate((1.0, 0.02, 3.0, 40.0)):
        session.viewer.dims.set_point(0, k)
        assert session.ensemble.name == f"vol_{k}"
        assert session.ensemble.level().value == pytest.approx(level)
        drawn = session.layers_of("drawn")
        assert len(drawn) == 1
        sizes.append(len(drawn[0].vertices))
        assert tuple(drawn[0].scale) == (2, 2, 2) and tuple(drawn[0].translate) == (10, 20, 30)
    # The maps are one shape at scales of 0.02 to 40: drawn at one level for all, three of the four would vanish or
    # fill the box.
    assert max(sizes) < 1.1 * min(sizes)


def test_iso_and_mesh_swap_and_iso_is_chosen_for_a_real_card(session, ensemble_folder, model):
    opened(session.viewer, ensemble_folder)
    assert session.how == "mesh"
    session.set_rendering("iso")
    [drawn] = session.layers_of("drawn")
    assert drawn.rendering == "iso" and drawn.iso_threshold == meshes.ISO_LEVEL
    session.viewer.dims.set_point(0, 3)
    assert drawn.data.max() == pytest.approx(20 * session.ensemble.volume.data.max() / 40.0, rel=1e-4)
    session.set_rendering("auto")
    session.renderer = "NVIDIA GeForce RTX 4090/PCIe/SSE2"
    assert session.how == "iso"


def test_level_set_by_hand_holds_for_its_volume_only(session, ensemble_folder):
    opened(session.viewer, ensemble_folder)
    model = session.ensemble
    assert str(model.level()) == "1 (2.0 s.d.), from ensemble.csv"
    model.set_level(0.5)
    assert (model.level().value, model.level().source) == (0.5, "set by you")
    model.go_to(1)
    assert model.level().value == 0.02
    model.go_to(0)
    model.set_scale(2.0)
    assert model.level().value == 1.0
    model.set_level(None)
    assert model.level().value == 2.0


def test_without_levels_the_percentile_is_provisional_until_levels_are_taken(unlevelled_folder):
    model = EnsembleModel(open_ensemble(unlevelled_folder))
    assert model.n_unknown == 4
    assert model.level().source == "provisional"
    assert np.mean(model.volume.data < model.level().value) == pytest.approx(0.99, abs=0.002)
    ours = {"name": "vol_0", "path": str(model.ensemble.paths[0]), "level": 0.7, "level_sd": 2.0}
    namesake = {"name": "vol_1", "path": "/elsewhere/vol_1.mrc", "level": 99.0}
    assert model.take([ours, namesake]) == 1
    assert (model.level().value, model.level().source, model.n_unknown) == (0.7, "predicted", 3)


def test_blocks_are_coloured_where_they_are(session, ensemble_folder, blocks_folder):
    opened(session.viewer, ensemble_folder, blocks_folder)
    [drawn] = session.layers_of("drawn")
    red = drawn.vertex_colors[:, 0] > 1.5 * drawn.vertex_colors[:, 1]  # #ee6677: the arm at +x, which even maps have
    assert red.any()
    assert (drawn.vertices[red][:, 2] > 16).all()
    session.blocks.show(np.array([False, True]))
    assert not (drawn.vertex_colors[:, 0] > 1.5 * drawn.vertex_colors[:, 1]).any()


def test_occupancy_is_the_engines(session, ensemble_folder, blocks_folder):
    opened(session.viewer, ensemble_folder, blocks_folder)
    for k in range(4):
        session.viewer.dims.set_point(0, k)
        expected = occupancy.measure(
            session.ensemble.volume.data, session.ensemble.level().value, session.blocks.blocks.masks
        )
        np.testing.assert_array_equal(session.blocks.occupancy, expected)
        assert (expected[0] > expected[1]) == (k % 2 == 0)


def test_blocks_overlay_in_iso_sits_on_the_occupied_part(session, ensemble_folder, blocks_folder):
    opened(session.viewer, ensemble_folder, blocks_folder)
    session.set_rendering("iso")
    overlay = session.layers_of("drawn")[1]
    occupied = session.ensemble.volume.data >= session.ensemble.level().value
    core = np.where(occupied, session.blocks.labels, 0)
    np.testing.assert_array_equal(overlay.data[core > 0], core[core > 0])
    assert set(np.unique(overlay.data)) == set(np.unique(core))
    session.viewer.layers.remove(session.blocks_layer)
    assert len(session.layers_of("drawn")) == 1


def test_blocks_of_another_grid_get_a_sentence_and_no_overlay(session, ensemble_folder, other_grid_folder):
    opened(session.viewer, ensemble_folder, other_grid_folder)
    assert "another grid (8 x 8 x 8 voxels of 3 Å)" in session.misfit
    assert np.isnan(session.blocks.occupancy).all()
    [drawn] = session.layers_of("drawn")
    assert (
        np.ptp(drawn.vertex_colors[:, :3] / drawn.vertex_colors[:, :1], axis=0).max() < 1e-4
    )  # one hue: the plain grey


def test_unreadable_volume_is_said_and_the_next_one_drawn(session, ensemble_folder):
    opened(session.viewer, ensemble_folder)
    (ensemble_folder / "vol_1.mrc").unlink()
    session.viewer.dims.set_point(0, 1)
    assert "vol_1.mrc" in session.problem
    assert not session.layers_of("drawn")[0].visible
    session.viewer.dims.set_point(0, 2)
    assert session.problem == "" and session.layers_of("drawn")[0].visible


@pytest.mark.parametrize("which", ["maps", "drawn", "blocks", "all"])
def test_deleted_layers(session, ensemble_folder, blocks_folder, which):
    opened(session.viewer, ensemble_folder, blocks_folder)
    chosen = {"maps": [session.maps_layer], "blocks": [session.blocks_layer], "drawn": session.layers_of("drawn")}
    if which == "all":
        session.viewer.layers.select_all()
        session.viewer.layers.remove_selected()
    else:
        session.viewer.layers.remove(chosen[which][0])
    session.tidy()
    assert (session.ensemble is None) == (which in ("maps", "all"))
    assert (session.blocks is None) == (which in ("blocks", "all"))
    if which == "maps":
        assert not session.layers_of("drawn")
        opened(session.viewer, ensemble_folder)
    if session.ensemble is not None:
        session.ensemble.go_to(2)
        assert len(session.layers_of("drawn")) == 1


def test_slices_are_cut_from_the_maps_in_2d(session, ensemble_folder, blocks_folder):
    opened(session.viewer, ensemble_folder, blocks_folder)
    assert session.viewer.dims.ndisplay == 3 and not session.maps_layer.visible
    session.viewer.dims.ndisplay = 2
    assert session.maps_layer.visible and session.blocks_layer.visible and not session.layers_of("drawn")[0].visible
    session.viewer.dims.ndisplay = 3
    assert not session.maps_layer.visible and session.layers_of("drawn")[0].visible


def test_single_map_is_an_ensemble_of_one(session, ensemble_folder, blocks_folder):
    opened(session.viewer, ensemble_folder / "vol_2.mrc", blocks_folder)
    assert (session.ensemble.title, len(session.ensemble.ensemble)) == ("vol_2", 1)
    assert np.isfinite(session.blocks.occupancy).all()
    assert len(session.layers_of("drawn")) == 1


def test_newer_ensemble_takes_over_and_the_older_can_be_chosen(session, ensemble_folder, tmp_path):
    (tmp_path / "more").mkdir()
    for k in range(2):
        (tmp_path / "more" / f"other_{k}.mrc").write_bytes((ensemble_folder / f"vol_{k}.mrc").read_bytes())
    opened(session.viewer, ensemble_folder, tmp_path / "more")
    assert session.ensemble.name == "other_0"
    session.use_maps(session.layers_of("ensemble")[0])
    session.tidy()
    session.viewer.dims.set_point(0, 3)
    assert session.ensemble.name == "vol_3" and len(session.layers_of("drawn")) == 1


def test_one_session_a_viewer_until_its_last_user_goes(model):
    from napari.components import ViewerModel

    first, second, other = acquire(model, 1), acquire(model, 2), acquire(ViewerModel(), 3)
    assert first is second and first is not other
    release(first, 1)
    assert acquire(model, 2) is first
    release(first, 2)
    assert acquire(model, 4) is not first
