"""The view written for ChimeraX."""

import re

import numpy as np
import pytest

from hetero.errors import HeteroError
from hetero.maps import read_map
from napari_hetero import chimerax, view
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


def test_the_button_writes_and_opens_it(viewer, ensemble_folder, tmp_path, monkeypatch, qtbot):
    from qtpy.QtWidgets import QFileDialog

    opened(viewer, ensemble_folder)
    widget = docked(viewer, EnsembleWidget)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "seen"), ""))
    monkeypatch.setattr(chimerax, "find_chimerax", lambda: None)
    widget.chimerax.click()
    assert (tmp_path / "seen.cxc").is_file() and "no ChimeraX was found" in widget.script.text()
    program = tmp_path / "chimerax"
    program.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path / "opened"}"\n')
    program.chmod(0o755)
    monkeypatch.setattr(chimerax, "find_chimerax", lambda: str(program))
    widget.chimerax.click()
    assert "ChimeraX opens it" in widget.script.text()
    qtbot.waitUntil(lambda: chimerax._begun[-1].poll() == 0, timeout=10_000)
    assert (tmp_path / "opened").read_text().strip() == str(tmp_path / "seen.cxc")


def test_where_chimerax_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chimerax, "_PLACES", ())
    assert chimerax.find_chimerax() is None and not chimerax.open_in_chimerax(tmp_path / "v.cxc")
    (tmp_path / "ChimeraX").write_text("#!/bin/sh\n")
    (tmp_path / "ChimeraX").chmod(0o755)
    assert chimerax.find_chimerax() == str(tmp_path / "ChimeraX")


def test_arrows_on_screen_go_along(session, ensemble_folder, tmp_path):
    opened(session.viewer, ensemble_folder)
    (tmp_path / "motion.csv").write_text("x,y,z,dx,dy,dz\n1,2,3,4,0,0\n5,6,7,0,0,-8\n9,9,9,0,0,0\n")
    opened(session.viewer, tmp_path / "motion.csv")
    script, bild = write_cxc(tmp_path / "v.cxc", session)
    arrows = [line.split()[1:7] for line in bild.read_text().splitlines() if line.startswith(".arrow")]
    assert np.array(arrows, float).tolist() == [[1, 2, 3, 5, 2, 3], [5, 6, 7, 5, 6, -1]]
    assert f'open "{bild.resolve()}"' in script.read_text()
    [layer] = session.layers_of("arrows")
    layer.visible = False
    assert write_cxc(tmp_path / "w.cxc", session) == [tmp_path / "w.cxc"]
