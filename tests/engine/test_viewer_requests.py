"""What the worker answers for viewers: ``peek`` and ``latents``."""

import numpy as np
import pandas as pd
import pytest

from hetero.commands import REQUESTS, VERBS, latents, load, peek, settings_from
from hetero.commands.open_run import open_run
from hetero.commands.warm_run import warm_run
from hetero.errors import HeteroError
from hetero.latent import View
from hetero.latent.nearby import Nearby
from hetero.maps import read_map

pytest.importorskip("torch", reason="decoding needs torch")


def look(folder, tmp_path, **how):
    return peek.run(settings_from("peek", {"run": str(folder), "out": str(tmp_path / "a.mrc"), "level": False} | how))


def test_requests_are_no_verbs_of_the_command_line():
    assert not set(REQUESTS) & set(VERBS)
    for name in REQUESTS:
        assert load(name).Settings.__doc__


def test_a_particles_map_is_the_one_that_the_run_decodes(write_cryodrgn, tmp_path):
    folder = write_cryodrgn()
    answer = look(folder, tmp_path, particle=7, apix=2.0)
    run = open_run(folder)
    (expected,) = run.decode(run.latents[7])
    np.testing.assert_allclose(read_map(tmp_path / "a.mrc").data, expected.data, atol=1e-6)
    assert answer["nearest"] == 7 and answer["distance"] == pytest.approx(0, abs=1e-5) and not answer["beyond"]
    assert answer["shape"] == [16] * 3 and answer["apix"] == [2.0] * 3 and answer["name"] == "particle 7"


def test_places_along_components_and_numbers_of_the_latent(write_cryodrgn, tmp_path):
    folder = write_cryodrgn()
    warm = warm_run(folder)
    z = np.array(look(folder, tmp_path, at={"PC1": 1.5, "pc2": -0.5})["z"])
    np.testing.assert_allclose(warm.components.scores(z[None])[0], [1.5, -0.5], atol=1e-5)
    z = look(folder, tmp_path, at={"z2": 3.0})["z"]
    np.testing.assert_allclose(z, [warm.run.latents[:, 0].mean(), 3.0], rtol=1e-5)
    (tmp_path / "some.txt").write_text("3\n5\n")
    z = look(folder, tmp_path, mean_of=str(tmp_path / "some.txt"))["z"]
    np.testing.assert_allclose(z, warm.run.latents[[3, 5]].mean(axis=0), rtol=1e-5)


def test_centers_are_those_of_analyze(write_cryodrgn, tmp_path):
    answer = look(write_cryodrgn(), tmp_path, center=1, clusters=3)
    assert answer["nearest"] == int(warm_run(tmp_path / "run").clusters(3).nearest[1])


def test_a_point_far_from_all_particles_is_beyond(write_cryodrgn, tmp_path):
    folder = write_cryodrgn(n=300)
    assert look(folder, tmp_path, z=[40.0, 40.0])["beyond"] and not look(folder, tmp_path, particle=5)["beyond"]


def test_about_one_in_a_hundred_particles_is_itself_beyond():
    latents = np.random.default_rng(0).standard_normal((5000, 4)).astype(np.float32)
    nearby = Nearby(latents)
    assert 0.001 < np.mean([nearby.of(z).beyond for z in latents[:1000]]) < 0.03
    z = np.array([0.3, -0.2, 0.1, 0.4])
    assert nearby.of(z).row == np.linalg.norm(latents - z, axis=1).argmin()


def test_between_groups_is_beyond_in_many_dimensions_too():
    rng = np.random.default_rng(0)
    corners = 6 * np.eye(3, 8)
    latents = (corners[np.arange(6000) % 3] + 0.6 * rng.standard_normal((6000, 8))).astype(np.float32)
    nearby = Nearby(latents)
    assert nearby.of(corners.mean(axis=0)).beyond and nearby.of((corners[0] + corners[1]) / 2).beyond
    assert not nearby.of(corners[0]).beyond


def test_a_run_stays_open_until_its_files_change(write_cryodrgn, tmp_path):
    folder = write_cryodrgn(final=False)
    first = warm_run(folder)
    (folder / "path_1").mkdir()
    assert warm_run(folder) is first and warm_run(folder, epoch=1) is not first
    (folder / "z.2.pkl").write_bytes((folder / "z.1.pkl").read_bytes())
    assert warm_run(folder) is not first


def test_latents_are_places_along_components_and_joined_tables(write_cryodrgn, tmp_path):
    folder = write_cryodrgn()
    pd.DataFrame({"particle": [29, 3], "cluster": [4, 2], "word": ["a", "b"]}).to_csv(tmp_path / "t.csv", index=False)
    answer = latents.run(latents.Settings(folder, tmp_path / "l.npz", (tmp_path / "t.csv",)))
    assert answer["columns"] == ["PC1", "PC2", "z1", "z2", "cluster"] and answer["n"] == 30
    with np.load(tmp_path / "l.npz") as arrays:
        values = dict(zip(answer["columns"], arrays["values"], strict=True))
    assert values["PC1"].var() >= values["PC2"].var() and sum(answer["shares"]) == pytest.approx(1)
    assert values["cluster"][[29, 3]].tolist() == [4, 2] and np.isnan(values["cluster"]).sum() == 28


def test_clusters_are_those_of_analyze_with_a_center_each(write_cryodrgn, tmp_path):
    folder = write_cryodrgn()
    answer = latents.run(latents.Settings(folder, tmp_path / "l.npz", clusters=3))
    expected = warm_run(folder).clusters(3)
    with np.load(tmp_path / "l.npz") as arrays:
        assert arrays["values"][answer["columns"].index("cluster")].tolist() == expected.labels.tolist()
    assert answer["centres"] == expected.nearest.tolist()
    with pytest.raises(HeteroError, match="31 clusters of 30 particles"):
        latents.run(latents.Settings(folder, tmp_path / "l.npz", clusters=31))


def test_finer_detail_is_left_out(write_cryodrgn, tmp_path):
    folder = write_cryodrgn()
    look(folder, tmp_path, particle=7, apix=2.0, low_pass=16.0)
    (expected,) = open_run(folder, apix=2.0).decode(open_run(folder).latents[7], View(low_pass=16.0))
    np.testing.assert_allclose(read_map(tmp_path / "a.mrc").data, expected.data, atol=1e-6)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "One of z, at, particle, center and mean_of was expected"),
        ({"z": [1.0, 2.0], "particle": 1}, "One of z"),
        ({"z": [1.0]}, "A latent of 1 numbers was given"),
        ({"at": {"PC9": 1.0}}, "PC9 = 1 is no place in"),
        ({"at": {"PC1": 1.0, "z2": 1.0}}, "cannot both say"),
        ({"particle": 99}, "has no particle 99"),
        ({"center": 20}, "The cluster is 20"),
    ],
)
def test_bad_points_are_sentences(write_cryodrgn, tmp_path, how, words):
    with pytest.raises(HeteroError, match=words):
        look(write_cryodrgn(), tmp_path, **how)
    assert not (tmp_path / "a.mrc").exists()


def test_bad_tables_are_sentences(write_cryodrgn, tmp_path):
    folder = write_cryodrgn()
    for text, words in (("a,b\n1,2\n", "no column particle"), ("particle,b\n1,2\n1,3\n", "more than one row")):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(HeteroError, match=words):
            latents.run(latents.Settings(folder, tmp_path / "l.npz", (tmp_path / "t.csv",)))


def test_the_machine_is_told():
    answer = load("machine").run(load("machine").Settings())
    assert answer["numpy"] == np.__version__ and answer["torch"] is not None
    assert answer["free"] is None or 0 < answer["free"] <= answer["total"]
