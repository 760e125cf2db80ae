"""``hetero decode`` and ``hetero info`` on a run, as a user types them."""

import json

import numpy as np
import pandas as pd
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands.open_run import open_run
from hetero.latent import read_points
from hetero.maps import open_ensemble

pytest.importorskip("torch", reason="decoding needs torch")


def say(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_particles_become_an_ensemble_with_their_latents(write_cryodrgn, tmp_path, capsys):
    folder = write_cryodrgn()
    status, out, err = say(
        capsys, "decode", folder, "--particles", "7,2", "10-12", "--out", tmp_path / "maps", "--apix", 2, "--epoch", 1
    )
    assert (status, err) == (DONE, "") and "an ensemble of 5 maps" in out
    ensemble, run = open_ensemble(tmp_path / "maps"), open_run(folder, epoch=1)
    rows = [7, 2, 10, 11, 12]
    assert ensemble.table["particle"].tolist() == rows and ensemble.apix[0] == 2
    np.testing.assert_allclose(ensemble.table[["z1", "z2"]], run.latents[rows], rtol=1e-6)
    for volume, expected in zip(ensemble, run.decode(run.latents[rows]), strict=True):
        np.testing.assert_allclose(volume.data, expected.data, atol=1e-6)
    record = json.loads((tmp_path / "maps" / "decode.json").read_text())
    assert record["epoch"] == 1 and record["settings"]["particles"] == ["7,2", "10-12"]


def test_the_written_latents_decode_to_the_same_maps(write_cryodrgn, tmp_path, capsys):
    folder = write_cryodrgn()
    for name, how in (("a", ["--z", "-0.5", "1", "2", "0.25"]), ("b", ["--z-file", tmp_path / "a" / "ensemble.csv"])):
        assert say(capsys, "decode", folder, *how, "--out", tmp_path / name, "--invert", "--box", 12)[0] == DONE
    for a, b in zip(open_ensemble(tmp_path / "a"), open_ensemble(tmp_path / "b"), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
        assert a.shape == (12,) * 3
    assert (open_ensemble(tmp_path / "a").table[["z1", "z2"]].to_numpy() == [[-0.5, 1], [2, 0.25]]).all()


def test_particles_are_rows_of_the_particle_file(write_cryodrgn, tmp_path, capsys):
    index = np.random.default_rng(0).permutation(100)[:30]
    from hetero.particles import write_indices

    write_indices(tmp_path / "ind.pkl", index)
    folder = write_cryodrgn(dataset={"ind": "ind.pkl"})
    assert say(capsys, "decode", folder, "--particles", index[4], "--out", tmp_path / "m")[0] == DONE
    table = open_ensemble(tmp_path / "m").table
    np.testing.assert_allclose(table[["z1", "z2"]].to_numpy()[0], open_run(folder).latents[4], rtol=1e-6)
    missing = next(i for i in range(100) if i not in index)
    status, _, err = say(capsys, "decode", folder, "--particles", missing, "--out", tmp_path / "n")
    assert status == BAD_INPUT and f"has no particle {missing}; it has 30, numbered {index.min()} to" in err


@pytest.mark.parametrize("text", ["1 2\n3 4\n", "# z\n1, 2\n\n3,4\n", "name,z1,z2,other\na,1,2,9\nb,3,4,9\n"])
def test_points_from_text(tmp_path, text):
    (tmp_path / "z.txt").write_text(text)
    np.testing.assert_array_equal(read_points(tmp_path / "z.txt", 2), [[1, 2], [3, 4]])


def test_info_says_what_a_run_is(write_cryodrgn, capsys):
    folder = write_cryodrgn()
    status, out, _ = say(capsys, "info", folder)
    assert status == DONE and "a run of cryodrgn, epoch 2" in out and "30 particles, 2 numbers each" in out
    answer = json.loads(say(capsys, "info", folder, "--json")[1])
    assert (answer["kind"], answer["n"], answer["zdim"], answer["shape"]) == ("run", 30, 2, [16, 16, 16])
    assert "1 Å is assumed" in answer["notes"][0]


BAD = {
    "not a run": (["maps", "--z", "1", "2"], "maps is not a run: it holds neither"),
    "no folder": (["gone", "--z", "1", "2"], "gone is not a folder; a run"),
    "nothing to decode": (["run"], "One of --z, --z-file and --particles was expected"),
    "two things to decode": (["run", "--z", "1", "2", "--particles", "1"], "One of --z, --z-file and --particles"),
    "a latent too long": (["run", "--z", "1", "2", "3"], "--z has 3 numbers; run has latents of 2."),
    "an endless latent": (["run", "--z", "nan", "2"], "NaN or infinity"),
    "no file": (["run", "--z-file", "gone.txt"], "gone.txt is not there"),
    "a file of words": (["run", "--z-file", "words.txt"], "words.txt cannot be read as rows of 2 numbers"),
    "an empty file": (["run", "--z-file", "empty.txt"], "empty.txt holds no latents; rows of 2 numbers"),
    "a file of three": (
        ["run", "--z-file", "three.txt"],
        "three.txt holds rows of 3 numbers; the run has latents of 2",
    ),
    "a particle too far": (["run", "--particles", "30"], "run has no particle 30; it has 30, numbered 0 to 29."),
    "a particle far off": (["run", "--particles", "9" * 30], "no file has as many"),
    "a particle by name": (["run", "--particles", "first"], "'first' names no particle"),
    "half a range": (["run", "--particles", "5-"], "'5-' names no particle"),
    "no such epoch": (["run", "--epoch", "9", "--particles", "1"], "run has no weights of epoch 9; there is 1, 2."),
    "an odd box": (["run", "--particles", "1", "--box", "15"], "A box of 15 voxels was asked for; an even number"),
    "no voxel size": (["run", "--particles", "1", "--apix", "0"], "The voxel size (apix) is 0"),
    "onto the run": (["run", "--particles", "1", "--out", "run"], "run already holds other files"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(write_cryodrgn, tmp_path, monkeypatch, capsys, case):
    arguments, words = BAD[case]
    monkeypatch.chdir(tmp_path)
    write_cryodrgn()
    (tmp_path / "maps").mkdir()
    for name, text in (("words", "one two"), ("empty", "# nothing\n"), ("three", "1 2 3\n")):
        (tmp_path / f"{name}.txt").write_text(text)
    pd.DataFrame({"name": ["a"]}).to_csv(tmp_path / "maps" / "ensemble.csv", index=False)
    before = sorted(tmp_path.rglob("*"))
    status, out, err = say(capsys, "decode", *arguments, *([] if "--out" in arguments else ["--out", "new"]))
    assert (status, out) == (BAD_INPUT, "") and words in err
    assert err.startswith("hetero decode: ") and len(err.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_homogeneous_run_takes_no_latents(write_cryodrgn, tmp_path, capsys):
    folder = write_cryodrgn(zdim=0)
    for z in folder.glob("z*.pkl"):
        z.unlink()
    status, _, err = say(capsys, "decode", folder, "--z", 1, "--out", tmp_path / "maps")
    assert status == BAD_INPUT and "is a homogeneous model" in err
    assert say(capsys, "decode", folder, "--out", tmp_path / "maps")[0] == DONE
    assert len(open_ensemble(tmp_path / "maps")) == 1
    assert "one map, no latents" in say(capsys, "info", folder)[1]
