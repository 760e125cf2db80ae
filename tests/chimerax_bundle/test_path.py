"""`hetero path` as a user sees it: a series that plays a way through a run."""

import csv
import shutil

import numpy as np
import pytest
from make_run_truth import latents
from test_run import expected

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def own(trained, tmp_path):
    """A copy of the run that may be written to."""
    return shutil.copytree(trained, tmp_path / "own")


def places(folder):
    with open(folder / "ensemble.csv", newline="") as file:
        return [row for row in csv.DictReader(file)]


def test_along_a_component_the_blob_comes(session, run, log, own):
    before = sorted(own.iterdir())
    series = run(f'hetero path "{own}" component 1 frames 9')
    assert type(series).__name__ == "EnsembleModel" and len(series.maps) == 9
    assert sorted(own.iterdir()) == before and "a path of length" in log.getvalue()
    right = [volume.full_matrix()[16, 16, 23] for volume in series.maps]
    assert right == sorted(right) or right == sorted(right, reverse=True)
    assert max(right) - min(right) > 0.8
    assert all(0.1 < level < 0.7 for level in series.levels)
    run("vseries play #2 jumpTo 8")
    assert series.maps[8].display and not series.maps[0].display


def test_a_path_that_is_kept_has_its_levels_beside_the_maps(run, own):
    series = run(f'hetero path "{own}" frames 3 save "{own.parent}/kept"')
    assert series.folder == str(own.parent / "kept")
    # nobody predicts them again
    assert [float(row["level"]) for row in places(own.parent / "kept")] == pytest.approx(series.levels)


def test_a_path_in_memory_comes_back_in_a_session(session, run, own, tmp_path, reopen):
    series = run(f'hetero path "{own}" frames 3')
    levels, last = series.levels, series.maps[2].full_matrix().copy()
    (series,) = reopen("EnsembleModel")
    assert series.levels == pytest.approx(levels)
    np.testing.assert_allclose(series.maps[2].full_matrix(), last)


def test_straight_through_particles_and_decoded_maps(session, run, own):
    z = latents()
    series = run(f'hetero path "{own}" from 0 to 1 through 2 frames 5 save "{own.parent}/mine"')
    expect = [z[0], (z[0] + z[2]) / 2, z[2], (z[2] + z[1]) / 2, z[1]]
    assert len(series.maps) == 5
    for volume, point in zip(series.maps, expect, strict=True):
        np.testing.assert_allclose(volume.full_matrix(), expected(point), atol=1e-4)
    run("hetero decode #1 z -0.5,0")
    run("hetero decode #1 z 0.5,0")
    series = run("hetero path #1 from #3 to #4 frames 3")
    np.testing.assert_allclose(series.maps[1].full_matrix(), expected([0, 0]), atol=1e-4)


def test_along_the_graph_every_map_is_a_particles(run, own):
    series = run(f'hetero path "{own}" from 0 to 1 method graph frames 4 save "{own.parent}/kept"')
    particles = [int(float(row["particle"])) for row in places(own.parent / "kept")]
    assert (particles[0], particles[-1]) == (0, 1) and len(series.maps) == len(particles) <= 4
    np.testing.assert_allclose(series.maps[1].full_matrix(), expected(latents()[particles[1]]), atol=1e-4)


def test_sentences(session, run, sentence, own):
    run(f'hetero open "{own}"')
    for command, part in (
        ("hetero path #1 from 3", "give both 'from' and 'to'"),
        ("hetero path #1 from 0 to 1 method pc", "A path along a component has no points"),
        ("hetero path #1 from 0 to 1 component 2", "go with method pc"),
        ("hetero path #1 component 3", "There is no component 3"),
        ("hetero path #1 span 5", "two percentiles were expected"),
        ("hetero path #1 from 0 to 999", "has no particle 999"),
        (f'hetero path #1 save "{own}"', "own"),
        ("hetero path #1 frames 5000 box 64", "take 5 GB; say with 'save FOLDER'"),
    ):
        assert part in sentence(command), command
    assert len([m for m in session.models.list() if len(m.id) == 1]) == 1
