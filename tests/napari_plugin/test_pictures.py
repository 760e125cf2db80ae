"""Rendered pictures: hand, overlay, light."""

import colorsys

import numpy as np
import pytest
from scipy import ndimage

from hetero.maps import Volume, write_blocks, write_map
from hetero.maps.blocks import make_blocks
from napari_hetero import layers, readers, view
from napari_hetero.__main__ import main
from napari_hetero.session import Session

SIZE = (300, 300)
NAPARIS_OWN = ("towards", "down", "right")


def right_handed_helix(box: int = 44) -> tuple[np.ndarray, np.ndarray]:
    """Map of a thick rod along y with a wire wound round it, turning right; mask of the wire. Both ``(z, y, x)``."""
    grid = np.indices((box,) * 3) - (box - 1) / 2
    z, y, x = grid
    t = np.linspace(-3 * np.pi, 3 * np.pi, 600)
    # A right-handed helix about y: (x, y, z) = (r sin t, c t, r cos t) turns from z to x, the sense of y.
    wire = np.full((box,) * 3, np.inf)
    for point in np.column_stack([10 * np.cos(t), 1.7 * t, 10 * np.sin(t)]):
        wire = np.minimum(wire, ((grid - point[:, None, None, None]) ** 2).sum(axis=0))
    wire = np.sqrt(wire)
    rod = np.maximum(np.hypot(x, z) - 8, np.abs(y) - 19)
    return np.clip(3 - np.minimum(rod, wire - 2.2), 0, 6).astype(np.float32), (wire < 3.2) & (np.hypot(x, z) > 8.6)


def sense_of_turn(picture: np.ndarray) -> float:
    """Mean slope of the red strands in front: positive where they rise to the right, as a right-handed helix's do."""
    red = (picture[..., 0] > 1.4 * picture[..., 1]) & (picture[..., 0] > 60)
    strands, n = ndimage.label(red)
    slopes = []
    for k in range(1, n + 1):
        rows, columns = np.nonzero(strands == k)
        if len(rows) > 100:
            slopes.append(np.corrcoef(columns, -rows)[0, 1])
    assert len(slopes) >= 2, "fewer than two strands are seen"
    return float(np.mean(slopes))


def hues(picture: np.ndarray) -> np.ndarray:
    """Hue in degrees of each coloured pixel."""
    rgb = picture[..., :3].reshape(-1, 3) / 255
    coloured = rgb[(rgb.max(axis=1) > 0.2) & (np.ptp(rgb, axis=1) > 0.35 * rgb.max(axis=1))]
    return np.array([360 * colorsys.rgb_to_hsv(*pixel)[0] for pixel in coloured])


def hue(color: str) -> float:
    return 360 * colorsys.rgb_to_hsv(*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)))[0]


@pytest.fixture
def drawn(viewer):
    """``drawn(folder, ..., rendering=)`` -> the session, everything opened and drawn."""

    def draw(*folders, rendering="mesh"):
        session = Session(viewer, "llvmpipe")
        for folder in folders:
            layers.add(viewer, readers.read(folder))
        session.set_rendering(rendering)
        viewer.reset_view()
        return session

    return draw


def picture_of(viewer) -> np.ndarray:
    return viewer.screenshot(size=SIZE, canvas_only=True, flash=False).astype(int)


@pytest.mark.parametrize("rendering", ["mesh", "iso"])
def test_helix_turns_right(viewer, drawn, tmp_path, rendering):
    data, wire = right_handed_helix()
    (tmp_path / "maps").mkdir()
    for name in "ab":
        write_map(tmp_path / "maps" / f"{name}.mrc", Volume(data, 1.0))
    (tmp_path / "maps" / "ensemble.csv").write_text("name,level\na,3\nb,3\n")
    write_blocks(tmp_path / "wire", make_blocks([wire], 1.0, 0.0), {})
    drawn(tmp_path / "maps", tmp_path / "wire", rendering=rendering)
    view.scale_bar(viewer).visible = False
    camera = view.camera(viewer)
    assert sense_of_turn(picture_of(viewer)) > 0.3
    camera.angles = (0, 70, 0)
    assert sense_of_turn(picture_of(viewer)) > 0.3  # a helix turns right from every side
    camera.angles = (0, 0, 0)
    camera.orientation = NAPARIS_OWN
    assert sense_of_turn(picture_of(viewer)) < -0.3  # the mirror image that napari shows by itself: the test can tell


@pytest.mark.parametrize("rendering", ["mesh", "iso"])
def test_overlay_shows_the_blocks_colours_on_the_map(viewer, drawn, ensemble_folder, blocks_folder, rendering):
    session = drawn(ensemble_folder, blocks_folder, rendering=rendering)
    red, green = (hue(color) for color in session.blocks.blocks.colors)
    seen = picture_of(viewer)
    assert np.mean(np.abs(hues(seen) - red) < 12) > 0.8  # even maps have the red arm only
    lit_pixels = np.argwhere(seen[..., :3].max(axis=-1) > 60)
    coloured = np.argwhere(np.ptp(seen[..., :3], axis=-1) > 60)
    assert coloured[:, 1].mean() > lit_pixels[:, 1].mean() + 10  # the arm at +x is on the right
    session.ensemble.go_to(1)
    view.camera(viewer).angles = (0, 60, 0)
    assert np.mean(np.abs(hues(picture_of(viewer)) - green) < 12) > 0.8
    session.blocks.show(np.array(False))
    assert len(hues(picture_of(viewer))) == 0


def test_hidden_side_is_not_the_lit_one(viewer, drawn, ensemble_folder):
    """A mesh is bright from every side, since the light goes with the reader."""
    session = drawn(ensemble_folder)
    for angles in ((0, 0, 0), (0, 90, 0), (0, 180, 0), (90, 0, 0)):
        view.camera(viewer).angles = angles
        seen = picture_of(viewer)[..., :3].max(axis=-1)
        assert 110 < seen[seen > 20].mean() < 220
    assert session.problem == ""  # and it is the session, still here, that turns the light


def test_real_ribosome_with_its_masks(viewer, drawn, shared):
    maven = shared / "data" / "ensembles" / "maven"
    session = drawn(maven / "00_aligned", maven / "02_masks")
    assert session.problem == session.misfit == ""
    seen = picture_of(viewer)
    found = hues(seen)
    assert len(found) > 200
    wanted = np.array([hue(color) for color in session.blocks.blocks.colors])
    apart = np.abs((found[:, None] - wanted + 180) % 360 - 180).min(axis=1)
    assert np.median(apart) < 10


def test_program_makes_a_picture_of_the_window(ensemble_folder, blocks_folder, tmp_path, qapp, monkeypatch):
    from imageio.v3 import imread

    out = tmp_path / "window.png"
    assert main([str(ensemble_folder), str(blocks_folder), "--volume", "vol_2", "--picture", str(out)]) == 0
    picture = imread(out)
    assert picture.shape[0] > 600 and picture.shape[1] > 1000
    assert picture[..., :3].std() > 20


def test_program_says_bad_input_in_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "holds no maps" in capsys.readouterr().err
