"""`hetero movie` as a user sees it: the film is read back with ffmpeg."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from scenes import write_ensemble

pytestmark = [
    pytest.mark.usefixtures("engine"),
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg on the PATH"),
]


def facts(film):
    """Width, height, frames and rate of a film."""
    words = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(film)]
    (stream,) = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)["streams"]
    return stream["width"], stream["height"], int(stream["nb_read_frames"]), stream["r_frame_rate"]


def frames(film, folder):
    """``(n, h, w, 3)`` int: its pictures."""
    from PIL import Image

    subprocess.run(["ffmpeg", "-v", "error", "-i", str(film), str(folder / "frame_%03d.png")], check=True)
    return np.stack(
        [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("frame_*.png"))]
    ).astype(int)


def test_a_path_as_a_film_with_its_inset(session, run, log, trained, tmp_path):
    run(f'hetero path "{trained}" component 1 frames 5')
    run("volume #2.1-5 color #3377cc; set bgColor white; view")
    run("vseries play #2 jumpTo 2")
    film = tmp_path / "pc1.mp4"
    assert run(f'hetero movie "{film}" size 401,300 frameRate 5') == str(film)
    assert facts(film) == (400, 300, 5, "5/1") and "5 frames of 400 x 300 pixels" in log.getvalue()
    pictures = frames(film, tmp_path)
    corner = pictures[:, 195:, 295:]
    assert (corner.max(axis=-1) < 90).mean() > 0.3  # the plane is dark, all else is white or blue
    mark = (corner[..., 0] > 200) & (corner[..., 1] > 90) & (corner[..., 1] < 190) & (corner[..., 2] < 110)
    across = [np.argwhere(one)[:, 1].mean() for one in mark]
    assert np.diff(across).min() > 5  # along PC1, from left to right
    blue = (pictures[..., 2] - pictures[..., 0] > 60).mean(axis=(1, 2))
    assert min(blue) > 0.02 and np.ptp(blue) > 0.003  # the molecule is there, and changes
    series = next(m for m in session.models.list() if type(m).__name__ == "EnsembleModel")
    assert series.last_shown_time == 2


def test_there_and_back_without_inset(run, tmp_path):
    run(f'hetero open "{write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])}"')
    run("view")
    film = tmp_path / "a.mp4"
    run(f'hetero movie "{film}" roundTrip true size 160,120')
    assert facts(film)[2] == 4
    _, second, _, fourth = frames(film, tmp_path)
    assert np.abs(second - fourth).mean() < 2


def test_sentences(session, run, sentence, trained, tmp_path, monkeypatch):
    film = tmp_path / "a.mp4"
    assert "No series is there" in sentence(f'hetero movie "{film}"')
    run(f'hetero open "{write_ensemble(tmp_path / "ensemble", levels=[0.3, 0.7, 1.5])}"')
    assert "that ends with .mp4" in sentence(f'hetero movie "{tmp_path}/a.gif"')
    assert "was not decoded from a run" in sentence(f'hetero movie "{film}" axes PC1,PC2')
    assert "cannot be written" in sentence('hetero movie "/nowhere/a.mp4" size 64,64')
    run(f'hetero path "{trained}" frames 2')
    assert "2 series are there" in sentence(f'hetero movie "{film}"')
    assert "no column PC7" in sentence(f'hetero movie "{film}" series #3 axes PC1,PC7')
    monkeypatch.setenv("PATH", "/nowhere")
    assert "No ffmpeg was found" in sentence(f'hetero movie "{film}" series #3')
    assert not film.exists()
