"""Gaussians and arrows: files as layers, the Motion dock, and that arrows, Gaussians and map lie on each other."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from napari.layers import Layer
from scipy import ndimage

from hetero.errors import HeteroError
from hetero.maps import Volume, write_blocks, write_map
from hetero.maps.blocks import make_blocks
from napari_hetero import layers, readers, view
from napari_hetero.motion_model import ALL, MotionModel, shades
from napari_hetero.motion_painter import MotionPainter
from napari_hetero.widgets.motion import MotionWidget

from .scenes import SPOTS, docked, opened, write_gmm_run

pytest.importorskip("torch", reason="weights are written with torch")

SHAPE, APIX, ORIGIN = (24, 20, 16), np.array([2.0, 3.0, 2.5]), np.array([-30.0, 12.0, 40.0])  # z, y, x
PLACES = ORIGIN + APIX * np.array([[6.5, 5.0, 4.25], [17.0, 14.5, 4.0], [12.0, 6.0, 11.5]])
STEPS = np.array([[0.0, 0.0, 12.0], [9.0, 0.0, 0.0], [0.0, 6.0, 0.0]])


def write_arrows(path, places=PLACES, steps=STEPS):
    table = pd.DataFrame(np.hstack([places[:, ::-1], steps[:, ::-1]]), columns=["x", "y", "z", "dx", "dy", "dz"])
    table.to_csv(path, index=False)
    return path


def write_spots(path):
    """A map on a grid that is no cube, with a spot at each of PLACES."""
    points = ORIGIN + APIX * np.moveaxis(np.indices(SHAPE), 0, -1)
    data = sum(np.exp(-((points - place) ** 2).sum(axis=-1) / (2 * 4.0**2)) for place in PLACES)
    write_map(path, Volume(data.astype(np.float32), APIX, ORIGIN))
    return path


def eman_text(path, places, box, apix):
    """As EMAN2 writes it: shares of the box from its middle, x y z, y and z turned over."""
    shares = (places - apix * (box // 2))[:, ::-1] / (box * apix) * [1, -1, -1]
    np.savetxt(path, np.column_stack([shares, [1.0, 0.5, 0.25], [200.0, 400.0, 800.0]]))
    return path


@pytest.fixture
def gmm_folder(tmp_path):
    return write_gmm_run(tmp_path / "moving")


@pytest.fixture
def dock(viewer, gmm_folder, qtbot):
    """The dock with the way along the first component made."""
    opened(viewer, gmm_folder)
    widget = docked(viewer, MotionWidget)
    with qtbot.waitSignal(widget.way.moved, timeout=30_000):
        widget.way.make.button.click()
    return widget


def scrub(widget, qtbot, index):
    with qtbot.waitSignal(widget.way.moved, timeout=20_000):
        widget.way.slider.setValue(index)


def test_arrows_of_a_file_are_vectors_in_angstrom(tmp_path):
    path = write_arrows(tmp_path / "motion.csv")
    assert readers.get_reader(str(path)) is readers.read
    [layer_tuple] = readers.read(path)
    layer = Layer.create(*layer_tuple)
    np.testing.assert_allclose(layer.data[:, 0], PLACES)
    np.testing.assert_allclose(layer.data[:, 1], STEPS)
    assert [str(unit) for unit in layer.units] == ["angstrom"] * 3
    np.testing.assert_allclose(layer.features["length"], [12, 9, 6])
    assert len({tuple(color) for color in layer.edge_color.tolist()}) == 3


def test_gaussians_of_ours_are_balls_as_wide_and_bright_as_they_are(tmp_path):
    from hetero.gmm import GaussianModel, write_model

    write_model(tmp_path / "a.txt", GaussianModel(PLACES, [1.0, 0.5, 0.1], [4.0, 2.0, 8.0], 32, 3.0, ORIGIN))
    assert readers.get_reader(str(tmp_path / "a.txt")) is readers.read
    layer = Layer.create(*readers.read(tmp_path / "a.txt")[0])
    np.testing.assert_allclose(layer.data, PLACES, atol=1e-3)
    np.testing.assert_allclose(layer.size, 2.3548 * np.array([4.0, 2.0, 8.0]), rtol=1e-4)
    bright = layer.face_color[:, 0]
    assert bright[0] > bright[1] > bright[2] > 0


def test_a_text_of_eman2_is_laid_over_the_map_that_is_open(viewer, tmp_path):
    box, apix, origin = 32, 3.0, np.array([10.0, -20.0, 30.0])
    places = SPOTS + 10
    path = eman_text(tmp_path / "theirs.txt", places, box, apix)
    assert readers.get_reader(str(path)) is readers.read
    with pytest.raises(HeteroError, match="does not say which program wrote it"):
        readers.read(path)
    widget = docked(viewer, MotionWidget)
    assert "does not say in which box" in widget.open_model(path) and not widget.problem.isHidden()
    write_map(tmp_path / "map.mrc", Volume(np.random.default_rng(0).random((box,) * 3, np.float32), apix, origin))
    opened(viewer, tmp_path / "map.mrc")
    assert widget.open_model(path) == "" and widget.problem.isHidden()
    np.testing.assert_allclose(viewer.layers[-1].data, places + origin, atol=1e-4)
    write_spots(tmp_path / "other.mrc")
    opened(viewer, tmp_path / "other.mrc")
    widget.session.use_maps(viewer.layers["other"])
    assert "is no cube" in widget.open_model(path)


def test_a_folder_of_eman2s_gui_shows_its_models(tmp_path):
    from hetero.gmm import GUI_SETTINGS

    box, apix, places = 32, 3.0, SPOTS + 10
    eman_text(tmp_path / "b.txt", places + 1, box, apix)
    eman_text(tmp_path / "a.txt", places, box, apix)
    (tmp_path / "a_mid.txt").write_text("0\t0.1\t0.2\t0.3\t0.4\n")
    settings = tmp_path / GUI_SETTINGS
    settings.write_text('{"boxsize": 32, "apix": 3.0, "sym": "c1", "run_a": {"ngauss": 3}}')
    assert readers.get_reader(str(tmp_path)) is readers.read
    first, second = (Layer.create(*found) for found in readers.read(tmp_path))
    np.testing.assert_allclose(first.data, places, atol=1e-4)
    np.testing.assert_allclose(second.data, places + 1, atol=1e-4)
    assert first.visible and not second.visible and first.name.endswith("a")
    settings.write_text('{"boxsize": 32}')
    with pytest.raises(HeteroError, match="tells no boxsize and apix"):
        readers.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x,y,z,dx,dy,dz\n1,2,3,4,5,\n", "no number in row 1"),
        ("x,y,z,dx,dy,dz\n", "no rows"),
        ("x,y,z\n1,2,3\n", "no column dx"),
    ],
)
def test_bad_arrows_get_one_sentence(tmp_path, text, sentence):
    (tmp_path / "motion.csv").write_text(text)
    with pytest.raises(HeteroError, match=sentence):
        readers.read(tmp_path / "motion.csv")


def test_other_texts_and_tables_are_not_ours(tmp_path):
    (tmp_path / "t.csv").write_text("name,level\na,1\n")
    (tmp_path / "t.txt").write_text("these are no numbers at all\n")
    (tmp_path / "u.txt").write_text("120 3 4 5\n")
    (tmp_path / "v.txt").write_bytes(b"\xff\xfe\x00")
    assert [readers.get_reader(str(path)) for path in sorted(tmp_path.iterdir())] == [None] * 4


def test_length_least_length_and_region():
    from hetero.commands.motion_space import Arrows

    model = MotionModel(Arrows(PLACES, STEPS, np.array([True, False, False])))
    told = []
    model.changed.connect(lambda: told.append(model.words()))
    model.set(scale=2.0)
    np.testing.assert_allclose(model.vectors()[:, 1], 2 * STEPS)
    assert "longest 12.0 Å" in told[-1]  # the words tell the true length
    model.set(shortest=7.0)
    assert model.shown.tolist() == [True, True, False] and "2 of 3 arrows: median 10.5 Å" in told[-1]
    masks = np.zeros((1, *SHAPE), bool)
    masks[0, 17, 14, 4] = True
    model.take_blocks(make_blocks(masks, APIX, ORIGIN))
    model.set(region="block_00")
    assert model.shown.tolist() == [False, True, False]
    model.set(shortest=10.0)
    assert model.words() == "None of the 3 arrows is that long there; the longest is 12.0 Å."
    model.take_blocks(None)
    assert model.region == ALL and model.shown.tolist() == [True, False, False]


def test_long_arrows_are_no_hairlines_among_many_short_ones():
    """As of a domain that moves while the rest trembles; napari gives all arrows of a layer one width."""
    from hetero.commands.motion_space import Arrows

    places = 3.0 * np.moveaxis(np.indices((8, 8, 8)), 0, -1).reshape(-1, 3)
    steps = np.tile([0.0, 0.0, 0.5], (512, 1))
    steps[:30] *= 80
    width = MotionModel(Arrows(places, steps)).look()["edge_width"]
    assert 1.0 < width < 3.0  # Å: less than the next Gaussian is away
    assert MotionModel(Arrows(places, steps / 80)).look()["edge_width"] < 0.5  # none is stouter than long
    assert 0 < MotionModel(Arrows(places[:1], steps[:1])).look()["edge_width"] < 10


def test_arrows_have_the_colours_that_they_have_in_chimerax():
    file = Path(__file__).parents[2] / "chimerax_bundle" / "src" / "palette.py"
    palette = runpy.run_path(str(file))
    np.testing.assert_allclose(shades(np.linspace(0, 1, 256))[:, :3], palette["RAMP"] / 255, atol=0.08)


def test_arrows_in_a_half_transparent_map_are_seen(dock, viewer):
    """napari draws its layers in turn: an arrow that came after the map would be behind it, and hidden."""
    [surface] = dock.session.layers_of("drawn")
    dock.gaussians.setChecked(False)
    surface.opacity = 0.4
    view.camera(viewer).set_view_direction((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

    def coloured():
        picture = viewer.screenshot(size=(300, 300), canvas_only=True, flash=False)[..., :3].astype(int)
        return np.count_nonzero(np.ptp(picture, axis=-1) > 25)

    seen = coloured()
    viewer.layers.move(viewer.layers.index(dock.painter.arrows), len(viewer.layers))
    assert seen > 1.2 * coloured() > 0


def test_arrows_that_were_opened_after_a_map_come_before_it(viewer, tmp_path):
    corners, triangle = np.eye(3), np.array([[0, 1, 2]])
    surface = viewer.add_surface((corners, triangle), metadata={layers.KEY: {"how": "mesh"}})
    [arrows] = layers.add(viewer, readers.read(write_arrows(tmp_path / "motion.csv")))
    assert viewer.layers.index(arrows) > viewer.layers.index(surface)
    MotionPainter(viewer).adopt(arrows)
    assert viewer.layers.index(arrows) < viewer.layers.index(surface)


def test_the_way_along_a_component_moves_gaussians_arrows_and_map_together(dock, qtbot):
    first, last = dock.way.path[0], dock.way.path[-1]
    arrows = dock.painter.arrows
    np.testing.assert_allclose(
        arrows.data[:, 0], np.add(SPOTS, [[first[1], 0, 0], [0, 0, 0], [0, 0, first[0]]]), atol=1e-3
    )
    np.testing.assert_allclose(arrows.data[2, 1], [0, 0, last[0] - first[0]], atol=1e-3)
    assert abs(last[0] - first[0]) > 10  # the 5th to the 95th percentile of a spread of 4 Å
    for index in (0, 20):
        if index:
            scrub(dock, qtbot, index)
        balls, data = dock.painter.gaussians.data, dock.session.ensemble.volume.data
        np.testing.assert_allclose(balls[2, 2], SPOTS[2, 2] + dock.way.path[index][0], atol=1e-3)
        near = np.zeros_like(data)
        near[10:14, 10:14] = data[10:14, 10:14]  # the rod along x that the third one moves in
        assert ndimage.center_of_mass(near)[2] * 2.0 == pytest.approx(balls[2, 2], abs=1.0)
    np.testing.assert_allclose(arrows.data[2].sum(axis=0), balls[2], atol=1e-3)  # the arrow's tip, at the end
    assert dock.session.ensemble.name == "21 of 21 along the way"


def test_dock_changes_what_is_drawn(dock, qtbot):
    from qtpy.QtCore import Qt

    longest = dock.model.longest
    before = dock.painter.arrows.data[2, 1].copy()
    dock.scale.setValue(3.0)
    np.testing.assert_allclose(dock.painter.arrows.data[2, 1], 3 * before, rtol=1e-5)
    dock.shortest.setValue(longest - 0.5)
    assert len(dock.painter.arrows.data) == 1 and dock.words.text().startswith("1 of 3 arrows")
    dock.shortest.setValue(longest + 1)
    assert not dock.painter.arrows.visible and "None of the 3 arrows" in dock.words.text()
    dock.shortest.setValue(0.0)
    assert dock.painter.arrows.visible and len(dock.painter.arrows.data) == 3
    assert f"{longest / 2:.3g} Å" in dock.legend.text()  # not the drawn length: they are three times as long
    dock.gaussians.setCheckState(Qt.CheckState.Unchecked)
    assert not dock.painter.gaussians.visible and dock.painter.arrows.visible


def test_between_two_clicks(dock, qtbot):
    from napari_hetero.widgets.latent import LatentWidget

    dock.way.how.setCurrentIndex(1)
    dock.way.make.button.click()
    assert "press From" in dock.way.make.message.text()
    latent = docked(dock.viewer, LatentWidget)
    latent.model.set_axes("z1", "z2")
    for button, point in zip(dock.way.take, ((-5.0, 0.0), (5.0, 0.0)), strict=True):
        with qtbot.waitSignal(latent.plane.decoder.finished, timeout=20_000):
            latent.plane.plot.pointed.emit(*point)
        button.click()
    with qtbot.waitSignal(dock.way.moved, timeout=30_000):
        dock.way.make.button.click()
    np.testing.assert_allclose(dock.painter.arrows.data[2, 1], [0, 0, 10], atol=1e-3)
    qtbot.waitUntil(lambda: not latent.plane.searcher.busy, timeout=20_000)


def test_a_motion_is_kept_and_opens_again(dock, gmm_folder, qtbot):
    with qtbot.waitSignal(dock.way.keep.done, timeout=150_000):
        dock.way.keep.button.click()
    maps, arrows = readers.read(gmm_folder / "motion")
    assert maps[0].shape[0] == 21 and arrows[2] == "vectors"
    np.testing.assert_allclose(arrows[0], dock.model.vectors(), atol=1e-3)


def test_deleting_layers_under_the_dock(dock, viewer, tmp_path, qtbot):
    viewer.layers.remove(dock.painter.arrows)
    dock.scale.setValue(2.0)
    assert dock.painter.arrows in viewer.layers
    viewer.layers.remove(dock.painter.gaussians)
    scrub(dock, qtbot, 3)
    assert dock.painter.gaussians in viewer.layers
    layers.add(viewer, readers.read(write_arrows(tmp_path / "motion.csv")))
    viewer.layers.remove(dock.session.run_layer)
    assert dock.choice.currentText().startswith("arrows of") and dock.way.isHidden()
    assert len(dock.painter.arrows.data) == 3 and dock.words.text().startswith("3 of 3 arrows: median 9.0 Å")
    viewer.layers.clear()
    assert "Nothing here moves yet" in dock.empty.text() and dock.body.isHidden()


def lit_centre(viewer, *shown) -> np.ndarray:
    """Where a picture of these layers alone is bright: row and column."""
    for layer in viewer.layers:
        layer.visible = layer in shown
    picture = viewer.screenshot(size=(400, 400), canvas_only=True, flash=False)[..., :3].astype(float).sum(axis=-1)
    bright = picture > 60
    assert bright.sum() > 20
    return np.argwhere(bright).mean(axis=0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_map_block_gaussian_and_arrow_coincide_on_screen(viewer, tmp_path, axis):
    """A map with an origin and voxels of 2 x 3 x 2.5 Å, seen along each axis: all within a voxel."""
    from hetero.gmm import GaussianModel, write_model

    place = PLACES[1:2]
    points = ORIGIN + APIX * np.moveaxis(np.indices(SHAPE), 0, -1)
    distance = np.linalg.norm(points - place[0], axis=-1)
    (tmp_path / "maps").mkdir()
    for name in "ab":
        write_map(tmp_path / "maps" / f"{name}.mrc", Volume((8 - distance).astype(np.float32), APIX, ORIGIN))
    (tmp_path / "maps" / "ensemble.csv").write_text("name,level\na,2\nb,2\n")
    write_blocks(tmp_path / "blocks", make_blocks([distance < 6], APIX, ORIGIN), {})
    write_model(tmp_path / "g.txt", GaussianModel(place, 1.0, 5.0, 32, 2.0, ORIGIN))
    step = np.roll([[1.5, 2.5, 8.0]], axis, axis=1)  # napari's arrows are flat: one along z itself may show its edge
    write_arrows(tmp_path / "motion.csv", place - step / 2, step)
    opened(viewer, tmp_path / "maps", tmp_path / "blocks", tmp_path / "g.txt", tmp_path / "motion.csv")
    from napari_hetero.session import Session

    session = Session(viewer, "llvmpipe")
    view.scale_bar(viewer).visible = False
    looking, up = np.eye(3)[axis], np.eye(3)[(axis + 1) % 3]
    viewer.reset_view()
    view.camera(viewer).set_view_direction(tuple(looking), tuple(up))
    [surface] = session.layers_of("drawn")
    [gaussians], [arrows] = session.layers_of("gaussians"), session.layers_of("arrows")
    middle = lit_centre(viewer, surface)
    voxel = APIX.min() * view.camera(viewer).zoom  # pixels
    assert voxel > 5
    assert np.abs(lit_centre(viewer, gaussians) - middle).max() < voxel
    if abs(step[0] @ looking) < 5:  # an arrow that is seen from its side
        assert np.abs(lit_centre(viewer, arrows) - middle).max() < voxel
    coloured = surface.vertex_colors[:, 0] > 1.5 * surface.vertex_colors[:, 1]  # the block's part of the mesh
    assert np.abs(surface.data_to_world(surface.vertices[coloured].mean(axis=0)) - place[0]).max() < APIX.min()
    session.set_rendering("iso")
    _, overlay = session.layers_of("drawn")  # the block as voxels, over the iso-surface
    assert np.abs(lit_centre(viewer, overlay) - middle).max() < voxel
    viewer.dims.ndisplay = 2
    viewer.dims.ndisplay = 3
    assert session.problem == session.misfit == ""
