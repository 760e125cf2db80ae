"""The view written for ChimeraX."""

import re

import numpy as np
import pytest

from hetero.errors import HeteroError
from hetero.maps import read_map
from napari_hetero import view
from napari_hetero.cxc import write_cxc
from napari_hetero.session import Session
from napari_hetero.widgets.ensemble import EnsembleWidget

from .scenes import LEVELS, docked, opened


@pytest.fixture
def session(model):
    return Session(model, "llvmpipe")


def camera_of(text: str) -> np.ndarray:
    """``(3, 4)`` the camera's axes and place in x, y, z."""
    numbers = re.search(r"view matrix camera (\S+)", text)[1].split(",")
    return np.array(numbers, float).reshape(3, 4)


def test_map_level_and_ticked_blocks(session, ensemble_folder, blocks_folder, tmp_path):
    opened(session.viewer, ensemble_folder, blocks_folder)
    session.ensemble.go_to(1)
    session.blocks.show(np.array([False, True]))
    assert write_cxc(tmp_path / "v.cxc", session) == [tmp_path / "v.cxc"]
    lines = (tmp_path / "v.cxc").read_text().splitlines()
    assert f'open "{ensemble_folder.resolve() / "vol_1.mrc"}" name "vol_1"' in lines
    assert any(line.startswith(f"volume #1 style surface step 1 level {LEVELS[1]:g} ") for line in lines)
    assert [line for line in lines if "block_" in line] == [
        f'open "{blocks_folder.resolve() / "block_01.mrc"}" name "block_01"'
    ]
    color = session.blocks.blocks.colors[1]
    assert f"volume #2 style surface step 1 level 0.5 color {color} transparency 0.6" in lines


@pytest.mark.parametrize("looking", [(-1.0, 0.0, 0.0), (-1.0, -0.35, -0.35), (0.2, 0.9, -0.4)])
def test_camera_looks_as_naparis_does(session, ensemble_folder, tmp_path, looking):
    opened(session.viewer, ensemble_folder)
    seen_by = view.camera(session.viewer)
    seen_by.set_view_direction(looking, (0.0, 1.0, 0.0) if abs(looking[1]) < 0.8 else (1.0, 0.0, 0.0))
    write_cxc(tmp_path / "v.cxc", session)
    matrix = camera_of((tmp_path / "v.cxc").read_text())
    axes, place = matrix[:, :3], matrix[:, 3]
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-5)
    assert np.linalg.det(axes) == pytest.approx(1, abs=1e-5)  # right-handed: no mirror image
    np.testing.assert_allclose(-axes[:, 2], np.array(looking)[::-1] / np.linalg.norm(looking), atol=1e-5)
    np.testing.assert_allclose(axes[:, 1], np.array(seen_by.up_direction)[::-1], atol=1e-4)
    ahead = np.array(seen_by.center)[::-1] - place
    np.testing.assert_allclose(np.cross(ahead / np.linalg.norm(ahead), -axes[:, 2]), 0, atol=1e-5)


def test_a_decoded_map_is_written_beside_the_script(session, run_folder, tmp_path):
    opened(session.viewer, run_folder)
    script, beside = write_cxc(tmp_path / "v.cxc", session)
    np.testing.assert_array_equal(read_map(beside).data, session.ensemble.volume.data)
    assert f'open "{beside.resolve()}"' in script.read_text()


def test_nothing_shown_or_no_folder_is_said(session, ensemble_folder, tmp_path):
    with pytest.raises(HeteroError, match="No map is shown"):
        write_cxc(tmp_path / "v.cxc", session)
    opened(session.viewer, ensemble_folder)
    with pytest.raises(HeteroError, match="its folder is not there"):
        write_cxc(tmp_path / "gone" / "v.cxc", session)


def test_the_button_writes_and_says_where(viewer, ensemble_folder, tmp_path, monkeypatch):
    from qtpy.QtWidgets import QFileDialog

    opened(viewer, ensemble_folder)
    widget = docked(viewer, EnsembleWidget)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "seen"), ""))
    widget.chimerax.click()
    assert (tmp_path / "seen.cxc").is_file() and "Kept in" in widget.script.text()
