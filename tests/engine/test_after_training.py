"""``hetero analyze``, ``traverse`` and ``landscape`` on a run whose groups are known."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands import analyze
from hetero.commands.analyze_page import SurfaceSeries
from hetero.commands.open_run import open_run
from hetero.errors import Cancelled, HeteroError
from hetero.latent import landscape
from hetero.maps import Volume, open_ensemble, read_map, write_map

pytest.importorskip("torch", reason="decoding needs torch")

TRUTH = np.arange(60) % 3  # write_cryodrgn puts particle i near corner i % 3


def say(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def known(write_cryodrgn):
    """A run of 60 particles in three groups; the corners are those of three dimensions."""
    return write_cryodrgn(n=60, zdim=3)


def test_analyze_finds_the_groups_and_decodes_them(known, tmp_path, capsys):
    out = tmp_path / "analysis"
    status, text, err = say(capsys, "analyze", known, "--k", 3, "--mixture", 3, "--out", out, "--per-component", 4)
    assert (status, err) == (DONE, "") and "3 clusters of 20 to 20 particles" in text
    labels = pd.read_csv(out / "labels.csv")
    assert labels["particle"].tolist() == list(range(60))
    assert adjusted_rand_score(TRUTH, labels["cluster"]) == adjusted_rand_score(TRUTH, labels["mixture"]) == 1
    ensemble, run = open_ensemble(out / "ensemble"), open_run(known)
    assert ensemble.table["n_particles"].tolist() == [20, 20, 20]
    for volume, (_, row) in zip(ensemble, ensemble.table.iterrows(), strict=True):
        particle = int(row["particle"])
        assert labels["cluster"][particle] == row["cluster"], "a centre lies in its own cluster"
        np.testing.assert_allclose(volume.data, next(run.decode(run.latents[particle])).data, atol=1e-5)
    along = open_ensemble(out / "pc1").table["pc1"]
    np.testing.assert_allclose(along.iloc[[0, -1]], np.percentile(labels["pc1"], [5, 95]), rtol=1e-4)
    assert len(along) == 4 and (out / "pc2").is_dir() and not (out / "pc3").exists()
    assert {"umap1", "umap2"} <= set(labels)


def test_the_page_needs_nothing_but_itself(known, tmp_path, capsys):
    out = tmp_path / "analysis"
    answer = json.loads(
        say(capsys, "analyze", known, "--k", 3, "--out", out, "--skip-umap", "--json", "--per-component", 2)[1]
    )
    page = (out / "report.html").read_text()
    assert answer["report"] == str(out / "report.html")
    pictures = re.findall(r'src="([^"]{1,30})', page)
    assert len(pictures) == 4 and all(source.startswith("data:image/png;base64,") for source in pictures)
    assert not re.search(r"https?://|<script|<link", page)
    assert "1 Å is assumed" in page and "vol_002" in page and ">UMAP<" not in page
    assert sum(answer["sizes"]) == sum(answer["mixture_sizes"]) == 60
    assert sum(answer["shares"]) == pytest.approx(1)
    # A second run replaces the first; another's folder is kept.
    assert say(capsys, "analyze", known, "--k", 4, "--out", out, "--skip-umap", "--components", 0)[0] == DONE
    assert len(open_ensemble(out / "ensemble")) == 4


@pytest.mark.parametrize("verb", ["analyze", "landscape"])
def test_groups_lead_to_particle_files(known, tmp_path, capsys, verb):
    """Labels as a rule of ``hetero select``; the particles behind a map by what is known of the map."""
    flags = {"analyze": ("--k", 3, "--mixture", 3, "--skip-umap"), "landscape": ("--volumes", 9, "--states", 3)}[verb]
    assert say(capsys, verb, known, *flags, "--out", tmp_path / "a")[0] == DONE
    table, column = {"analyze": ("labels.csv", "mixture"), "landscape": ("particles.csv", "state")}[verb]
    label = int(pd.read_csv(tmp_path / "a" / table)[column][4])
    chosen = tmp_path / "mine.txt"
    status, _, err = say(capsys, "select", tmp_path / "a" / table, "--rule", f"{column} = {label}", "--out", chosen)
    assert (status, err) == (DONE, "")
    assert np.loadtxt(chosen, dtype=int).tolist() == np.flatnonzero(TRUTH == 1).tolist()
    assigned = pd.read_csv(tmp_path / "a" / "assignment.csv", index_col="particle")["name"]
    maps = tmp_path / "a" / {"analyze": "ensemble", "landscape": "volumes"}[verb]
    ensemble = open_ensemble(maps)
    assert assigned.value_counts().reindex(ensemble.names).tolist() == ensemble.table["n_particles"].tolist()
    (tmp_path / "o.csv").write_text("name,block\n" + "".join(f"{n},{int(n == assigned[4])}\n" for n in ensemble.names))
    labels = ("--labels", tmp_path / "a" / "assignment.csv")
    assert say(capsys, "select", tmp_path / "o.csv", *labels, "--rule", "block > 0.5", "--out", chosen)[0] == DONE
    assert np.loadtxt(chosen, dtype=int).tolist() == np.flatnonzero(assigned == assigned[4]).tolist()


def test_one_number_and_few_particles_are_enough(write_cryodrgn, tmp_path, capsys):
    folder = write_cryodrgn(zdim=1, n=12)
    status, text, _ = say(capsys, "analyze", folder, "--k", 2, "--mixture", 2, "--out", tmp_path / "a")
    assert status == DONE and "no UMAP was made: latents of 1 number need none" in text
    assert (tmp_path / "a" / "components.png").stat().st_size > 5000


def test_dark_maps_are_told_from_bright_ones():
    z, y, x = np.indices((16, 16, 16)) - 8
    blob = np.exp(-(z**2 + y**2 + x**2) / 8) + np.random.default_rng(0).normal(0, 0.05, (16, 16, 16))
    for data, dark in ((blob, False), (-blob, True)):
        drawn = SurfaceSeries()
        assert len(list(drawn.watching([Volume(data), Volume(data)]))) == len(drawn.pictures) == 2
        assert drawn.dark is dark


def test_cancelling_an_analysis_leaves_nothing(known, tmp_path):
    def stop(done, total, message):
        if message == "decoding pc1" and done:
            raise Cancelled

    with pytest.raises(Cancelled):
        analyze.run(analyze.Settings(known, tmp_path / "a", k=3, skip_umap=True), stop)
    assert not (tmp_path / "a").exists() and not list(tmp_path.glob(".partial*"))


def test_traverse_along_a_component(known, tmp_path, capsys):
    assert (
        say(capsys, "traverse", known, "--component", 2, "--n", 5, "--span", 10, 90, "--out", tmp_path / "p")[0] == DONE
    )
    table, path = open_ensemble(tmp_path / "p").table, pd.read_csv(tmp_path / "p" / "path.csv")
    assert len(table) == len(path) == 5
    np.testing.assert_allclose(np.diff(table["distance"]), table["distance"].iloc[1], rtol=1e-3)


def test_traverse_straight_passes_its_anchors(known, tmp_path, capsys):
    out = tmp_path / "p"
    arguments = ("traverse", known, "--how", "direct", "--particles", "4,9", "--n", 3, "--loop", "--out", out)
    assert say(capsys, *arguments)[0] == DONE
    latents = open_ensemble(out).table[["z1", "z2", "z3"]].to_numpy()
    run = open_run(known)
    np.testing.assert_allclose(latents[[0, 3, 6]], run.latents[[4, 9, 4]], rtol=1e-5)
    np.testing.assert_allclose(latents[1], run.latents[4] * 2 / 3 + run.latents[9] / 3, rtol=1e-4, atol=1e-5)


def test_traverse_along_the_graph_says_that_it_is_not_connected(known, tmp_path, capsys):
    out = tmp_path / "p"
    status, text, _ = say(capsys, "traverse", known, "--how", "graph", "--particles", "0,1", "--out", out)
    assert status == DONE and "the graph is not connected" in text and "steps over" in text
    table, run = open_ensemble(out).table, open_run(known)
    assert table["particle"].iloc[[0, -1]].tolist() == [0, 1]
    rows = table["particle"].to_numpy()
    np.testing.assert_allclose(table[["z1", "z2", "z3"]], run.latents[rows], rtol=1e-5)
    groups = TRUTH[rows]
    assert (np.diff(groups) != 0).sum() <= 2, "each group is left once"
    assert (out / "path.png").stat().st_size > 5000
    # Within a group no gap between groups is stepped over; fewer maps than particles passed are spread over the way.
    status, text, _ = say(
        capsys, "traverse", known, "--how", "graph", "--particles", "0,57,30", "--neighbours", 9, "--n", 2, "--out", out
    )
    assert status == DONE and len(open_ensemble(out)) == 2
    assert set(TRUTH[pd.read_csv(out / "path.csv")["particle"]]) == {0}


def test_landscape_joins_maps_that_look_alike(known, tmp_path, capsys):
    out = tmp_path / "l"
    status, text, err = say(capsys, "landscape", known, "--volumes", 15, "--states", 3, "--out", out)
    assert (status, err) == (DONE, "") and "3 states" in text
    particles = pd.read_csv(out / "particles.csv")
    assert adjusted_rand_score(TRUTH, particles["state"]) == 1
    volumes, states, spreads = (open_ensemble(out / name) for name in ("volumes", "states", "sd"))
    assert states.table["n_particles"].tolist() == [20, 20, 20] and volumes.table["n_particles"].sum() == 60
    mine = volumes.table["state"].to_numpy() == 1
    weights = volumes.table["n_particles"].to_numpy()[mine]
    data = np.array([volumes[i].data for i in np.flatnonzero(mine)], dtype=float)
    mean = np.average(data, axis=0, weights=weights)
    np.testing.assert_allclose(states[1].data, mean, atol=1e-5)
    np.testing.assert_allclose(
        spreads[1].data, np.sqrt(np.average((data - mean) ** 2, axis=0, weights=weights)), atol=1e-5
    )
    assert (out / "report.html").read_text().count("data:image/png") == 2


def test_landscape_under_a_mask_sees_nothing_else(known, tmp_path, capsys):
    mask = np.zeros((16, 16, 16))
    mask[4:12, 4:12, 4:12] = 1
    write_map(tmp_path / "mask.mrc", Volume(mask))
    arguments = ("landscape", known, "--volumes", 9, "--states", 3, "--out", tmp_path / "l")
    answer = json.loads(say(capsys, *arguments, "--mask", tmp_path / "mask.mrc", "--json")[1])
    assert answer["n_voxels"] == 512
    np.testing.assert_array_equal(read_map(tmp_path / "l" / "mask.mrc").data, mask)


def test_voxel_components_are_those_of_the_plain_covariance(known, tmp_path, capsys):
    say(capsys, "decode", known, "--particles", "0-11", "--out", tmp_path / "maps")
    ensemble = open_ensemble(tmp_path / "maps")
    mask = landscape.shared_mask((v.data for v in ensemble), 1.0, dilate=0)
    weights = np.arange(1.0, 13)
    found = landscape.voxel_components(ensemble, mask, weights, 4)
    values = np.array([v.data[mask] for v in ensemble], dtype=float)
    centred = values - np.average(values, axis=0, weights=weights)
    variances, axes = np.linalg.eigh((centred.T * weights / weights.sum()) @ centred)
    np.testing.assert_allclose(found.shares, variances[::-1][:4] / variances.sum(), rtol=1e-4)
    np.testing.assert_allclose(np.abs(found.scores), np.abs(centred @ axes[:, ::-1][:, :4]), rtol=1e-2, atol=1e-4)


def test_the_shared_mask_grows_by_angstroms():
    data = np.zeros((21, 21, 21), np.float32)
    data[10, 10, 10] = 1
    for dilate, reach in ((0, 0), (4, 2), (5.9, 2)):
        mask = landscape.shared_mask([data], 2.0, dilate)
        z, y, x = np.indices(mask.shape) - 10
        np.testing.assert_array_equal(mask, np.sqrt(z**2 + y**2 + x**2) * 2 <= max(dilate, 0))
        assert np.abs(z[mask]).max() == reach
    with pytest.raises(HeteroError, match="No map has positive density; give --invert"):
        landscape.shared_mask([-data], 2.0)


BAD = {
    "not a run": (["analyze", "here"], "here is not a run"),
    "too many clusters": (["analyze", "run", "--k", "61"], "61 clusters of 60 particles were asked for"),
    "no clusters": (["analyze", "run", "--k", "0"], "The number of clusters (k) is 0; 1 to 10000 was expected"),
    "an odd box": (["analyze", "run", "--box", "7"], "A box of 7 voxels"),
    "no such epoch": (["analyze", "run", "--epoch", "5"], "run has no weights of epoch 5"),
    "no component": (["traverse", "run", "--component", "4"], "There is no component 4; run has 3, from 1."),
    "no anchors": (["traverse", "run", "--how", "graph"], "No anchors were given; a path needs two or more."),
    "one anchor": (["traverse", "run", "--how", "graph", "--particles", "3"], "1 anchor was given; a path needs"),
    "an anchor too far": (["traverse", "run", "--how", "direct", "--particles", "3,60"], "run has no particle 60"),
    "anchors for a component": (["traverse", "run", "--particles", "3,6"], "--how pc takes none"),
    "a file for a graph": (["traverse", "run", "--how", "graph", "--z-file", "z"], "--how graph takes none"),
    "two kinds of anchors": (
        ["traverse", "run", "--how", "direct", "--particles", "3,6", "--z-file", "z"],
        "--particles or --z-file was expected",
    ),
    "a percentile beyond": (["traverse", "run", "--span", "5", "105"], "The last percentile of the span is 105"),
    "more states than maps": (["landscape", "run", "--volumes", "5", "--states", "6"], "The number of states is 6"),
    "more maps than particles": (["landscape", "run", "--volumes", "99"], "99 clusters of 60 particles"),
    "a mask elsewhere": (["landscape", "run", "--volumes", "5", "--states", "2", "--mask", "m.mrc"], "on another grid"),
    "onto other files": (["landscape", "run", "--out", "here"], "here already holds other files"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(known, tmp_path, monkeypatch, capsys, case):
    arguments, words = BAD[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "notes.txt").write_text("mine")
    write_map(tmp_path / "m.mrc", Volume(np.ones((4, 4, 4))))
    before = sorted(tmp_path.rglob("*"))
    status, out, err = say(capsys, *arguments, *([] if "--out" in arguments else ["--out", "new"]))
    assert (status, out) == (BAD_INPUT, "") and words in err
    assert err.startswith(f"hetero {arguments[0]}: ") and len(err.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
