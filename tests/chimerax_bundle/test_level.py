"""`hetero level` as a user sees it."""

import re
import sys

import numpy as np
import pytest
from scenes import blob, blob_array, in_memory, write_ensemble, write_mrc

pytestmark = pytest.mark.usefixtures("engine")


def test_level_sets_the_surface_and_says_so(session, run, log):
    volume = blob(session)
    (level,) = run("hetero level #1")
    assert volume.surfaces[0].level == pytest.approx(level)
    assert 0 < level < 1
    assert len(volume.surfaces[0].vertices) > 100
    told = r"blob #1: level 0\.\d+ \([\d.]+ to [\d.]+ with 68 %\), [\d.]+ s\.d\., encloses [\d,]+ Å³ \([\d,]+ kDa\)"
    assert re.search(told, log.getvalue())


def test_enclosed_volume_in_the_log_is_that_of_the_surface(session, run, log):
    from chimerax.surface import surface_volume_and_area

    volume = blob(session)
    run("hetero level #1 method percentile percentile 95")
    told = float(re.search(r"encloses ([\d,]+)", log.getvalue())[1].replace(",", ""))
    assert told == pytest.approx(surface_volume_and_area(volume.surfaces[0])[0], rel=0.05)


def test_percentile(session, run):
    volume = blob(session)
    (level,) = run("hetero level #1 method percentile percentile 99")
    assert level == pytest.approx(np.percentile(volume.full_matrix(), 99), rel=1e-3)
    assert run("hetero level #1 percentile 90")[0] < level


def test_methods_by_their_numbers_alone(session, run, log):
    blob(session)
    run("hetero level #1 mass 20")
    assert "(20 kDa)" in log.getvalue()
    run("hetero level #1 fdr 0.05")
    assert "Å³" in log.getvalue().splitlines()[-1]


def test_shared_levels_of_an_ensemble(session, run, log):
    for i in range(9):
        blob(session, f"blob {i}")
    levels = run("hetero level #1-9 share")
    assert max(levels) < 1.2 * min(levels)
    assert "68 % range" in log.getvalue()


def test_abbreviations(session, run):
    volume = blob(session)
    (level,) = run("het lev #1 meth perc perc 90")
    assert volume.surfaces[0].level == pytest.approx(level)


def test_a_level_of_the_users_own(session, run, log):
    volume = blob(session)
    assert run("hetero level #1 level 0.3") == [0.3]
    assert volume.surfaces[0].level == 0.3
    assert "blob #1: level 0.3, as given" in log.getvalue()


def test_undo_and_redo_restore_exactly(session, run):
    volume = blob(session)
    run("volume #1 level 0.2 color red level 0.7 color blue transparency 0.3")
    before = [(s.level, tuple(s.color)) for s in volume.surfaces]
    assert len(before) == 2
    (level,) = run("hetero level #1")
    after = [(s.level, tuple(s.color)) for s in volume.surfaces]
    assert len(after) == 1 and after[0][0] == pytest.approx(level)
    run("undo")
    assert [(s.level, tuple(s.color)) for s in volume.surfaces] == before
    run("redo")
    assert [(s.level, tuple(s.color)) for s in volume.surfaces] == after


def test_one_undo_step_for_many_maps(session, run):
    maps = [blob(session, f"blob {i}") for i in range(3)]
    run("volume #1-3 level 0.9")
    run("hetero level #1-3")
    assert all(v.surfaces[0].level < 0.9 for v in maps)
    run("undo")
    assert [v.surfaces[0].level for v in maps] == [0.9] * 3


def test_colours_meshes_and_other_maps_stay_as_they_are(session, run):
    first, second = blob(session), blob(session)
    run("volume #1 level 0.9 color #3377cc style mesh; volume #2 level 0.8 color red")
    run("hetero level #1")
    assert tuple(first.surfaces[0].color) == (0x33, 0x77, 0xCC, 255) and first.surfaces[0].show_mesh
    assert second.surfaces[0].level == 0.8 and tuple(second.surfaces[0].color) == (255, 0, 0, 255)


def test_a_map_shown_as_image_becomes_a_surface_and_undo_an_image(session, run):
    volume = blob(session)
    run("volume #1 style image")
    run("hetero level #1")
    assert volume.surface_shown and not volume.image_shown
    run("undo")
    assert volume.image_shown and not volume.surface_shown


@pytest.mark.parametrize("style", ["mesh", "image"])
def test_undo_of_a_map_that_was_never_drawn(session, run, style):
    volume = in_memory(session, blob_array(), "hidden", display=False)
    run(f"volume #1 style {style}")
    assert not volume.surfaces and not volume.image_shown
    run("hetero level #1")
    assert [s.show_mesh for s in volume.surfaces] == [style == "mesh"]
    run("undo")
    assert not volume.surfaces
    run("show #1 models")
    assert bool(volume.image_shown) == (style == "image") and volume.has_mesh == (style == "mesh")


def test_a_hidden_map_stays_hidden(session, run):
    volume = blob(session)
    run("hide #1 models; hetero level #1")
    assert not volume.display
    run("show #1 models")
    assert volume.surface_shown


def test_a_changed_map_is_sent_as_it_is_on_screen(session, run, tmp_path):
    write_mrc(tmp_path / "map.mrc", blob_array())
    run(f'open "{tmp_path}/map.mrc"')
    (from_file,) = run("hetero level #1")
    run("volume scale #1 factor 3 modelId #2")
    (tripled,) = run("hetero level #2")
    assert tripled == pytest.approx(3 * from_file, rel=1e-3)


def test_temporary_files_are_gone(session, run, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    blob(session)
    run("hetero level #1")
    assert list(tmp_path.iterdir()) == []


def test_every_map_of_a_series_gets_its_own_level(session, run, log, tmp_path):
    folder = write_ensemble(tmp_path / "ensemble")
    run(f'open "{folder}/vol_0.mrc" "{folder}/vol_1.mrc" "{folder}/vol_2.mrc" vseries true')
    levels = run("hetero level #1")
    assert levels == pytest.approx([levels[0], 2 * levels[0], 4 * levels[0]], rel=1e-3)
    series = session.models.list()[0]
    assert [v.surfaces[0].level for v in series.maps] == pytest.approx(levels)
    assert "'hetero open FOLDER' keeps each its own" in log.getvalue()


def test_many_maps_are_told_in_a_table(session, run, log):
    for i in range(9):
        blob(session, f"blob {i}")
    run("hetero level #1-9 method percentile")
    text = log.getvalue()
    assert "levels of 9 maps are set" in text and "enclosed Å³" in text and "blob 8 #9" in text


def test_of_very_many_the_table_shows_the_first(session, run, log):
    for i in range(52):
        blob(session, f"blob {i}", n=8)
    run("hetero level #1-52 level 0.5")
    text = log.getvalue()
    assert "levels of 52 maps are set" in text and "the table shows the first 50 of 52" in text
    assert "blob 49 #50" in text and "blob 50 #51|" not in text


def test_a_map_that_is_refused_is_named_and_others_proceed(session, run, log):
    in_memory(session, np.full((32, 32, 32), 5, np.float32), "flat")
    volume = blob(session)
    levels = run("hetero level #1-2")
    assert levels[0] is None and volume.surfaces[0].level == pytest.approx(levels[1])
    assert "flat #1 keeps its level: " in log.getvalue() and "hetero_" not in log.getvalue()


def test_all_refused_is_one_sentence(session, sentence):
    in_memory(session, np.full((32, 32, 32), 5, np.float32), "flat")
    assert sentence("hetero level #1").startswith("flat #1: ")


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("hetero level #7", "No open map is called #7"),
        ("hetero level #1 level 2 method cnn", "give one of the two"),
        ("hetero level #1 method cnn percentile 90", "takes no percentile"),
        ("hetero level #1 method fdr mass 90", "The fdr method takes no mass"),
        ("hetero level #1 method mass", "needs the molecule's mass"),
        ("hetero level #1 share", "8 maps or more"),
    ],
)
def test_contradictions_are_sentences(session, sentence, command, part):
    blob(session)
    assert part in sentence(command)


def test_the_engine_never_enters_chimerax(session, run):
    blob(session)
    run("hetero level #1")
    assert not {"torch", "hetero", "mrcfile", "pandas"} & set(sys.modules)
