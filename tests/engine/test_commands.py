"""The verbs as a user types them: words, exit status, one sentence for bad input, nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import hetero
from hetero.cli import BAD_INPUT, BUG, DONE, main
from hetero.commands import settings_from
from hetero.errors import Cancelled, HeteroError
from hetero.maps import Volume, open_ensemble, read_blocks, write_map


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """A small simulated ensemble with three known blocks."""
    folder = tmp_path_factory.mktemp("simulated") / "maps"
    assert main(["simulate", "--out", str(folder), "--volumes", "120", "--box", "48", "--quiet"]) == DONE
    return folder


def say(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_simulate_keeps_its_truth_beside_the_maps(ensemble):
    maps = open_ensemble(ensemble)
    truth = pd.read_csv(ensemble / "truth.csv", index_col="name")
    assert len(maps) == 120 and list(truth.index) == list(maps.names)
    blocks = read_blocks(ensemble / "truth")
    assert len(blocks) == truth.shape[1] == 7
    # Where a block is present the map is denser under its mask than where it is absent.
    block = int(blocks.table.n_voxels.argmax())
    mean = np.array([v.data[blocks.masks[block]].mean() for v in maps])
    here = truth.iloc[:, block].to_numpy() == 1
    assert mean[here].min() > mean[~here].max()


def test_simulate_repeats_with_its_seed(tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        main(["simulate", "--out", str(tmp_path / name), "--volumes", "2", "--box", "24", "--seed", seed, "--quiet"])
    first, again, other = ((tmp_path / name / "vol_001.mrc").read_bytes()[1024:] for name in "abc")
    assert first == again != other


def test_percentile_level_and_table(ensemble, tmp_path, capsys):
    status, out, err = say(
        capsys, "level", ensemble, "--method", "percentile", "--percentile", 98, "--out", tmp_path / "l.csv"
    )
    assert (status, err) == (DONE, "")
    assert len(out.splitlines()) == 120 + 3
    table = pd.read_csv(tmp_path / "l.csv", index_col="name")
    data = open_ensemble(ensemble)[7].data
    assert table.loc["vol_007", "level"] == pytest.approx(np.percentile(data, 98), rel=1e-5)
    assert table.loc["vol_007", "level_sd"] == pytest.approx(
        (np.percentile(data, 98) - data.mean()) / data.std(), rel=1e-4
    )
    apix = float(open_ensemble(ensemble).apix[0])
    assert table.loc["vol_007", "enclosed_volume_a3"] == pytest.approx(0.02 * 48**3 * apix**3, rel=0.01)


def test_json_is_one_object(ensemble, capsys):
    status, out, err = say(capsys, "info", ensemble, "--json")
    answer = json.loads(out)
    assert (status, err, answer["kind"], answer["n"]) == (DONE, "", "ensemble", 120)
    assert answer["maps"][3]["name"] == "vol_003" and answer["maps"][3]["level"] is None


def test_blocks_then_occupancy_agree_with_the_truth(ensemble, tmp_path, capsys):
    level = "0.14"
    status, out, _ = say(capsys, "blocks", ensemble, "--level", level, "--out", tmp_path / "blocks")
    assert status == DONE and "7 blocks" in out
    status, out, _ = say(
        capsys, "occupancy", ensemble, tmp_path / "blocks", "--level", level, "--out", tmp_path / "o.csv"
    )
    assert status == DONE and (tmp_path / "o.png").is_file()
    measured = pd.read_csv(tmp_path / "o.csv", index_col="name")
    truth = pd.read_csv(ensemble / "truth.csv", index_col="name")
    # Every true presence is told by one measured block: high where it is there, low where it is not.
    for block in truth:
        separation = [abs(np.corrcoef(truth[block], measured[column])[0, 1]) for column in measured]
        assert max(separation) > 0.9
    config = json.loads((tmp_path / "blocks" / "config.json").read_text())
    assert config["settings"]["rule"] == "effect" and config["levels"]["vol_003"] == 0.14
    assert config["hetero"] == hetero.__version__


def test_both_rules_and_the_table_s_levels(ensemble, tmp_path, capsys):
    copy = tmp_path / "maps"
    copy.mkdir()
    for path in open_ensemble(ensemble).paths:
        os.symlink(path, copy / path.name)
    assert say(capsys, "blocks", copy, "--level", "from-table", "--out", tmp_path / "b")[0] == BAD_INPUT
    pd.DataFrame({"name": [f"vol_{i:03d}" for i in range(120)], "level": 0.14}).to_csv(
        copy / "ensemble.csv", index=False
    )
    status, out, _ = say(
        capsys, "blocks", copy, "--rule", "published", "--seed", 3, "--filter", "--out", tmp_path / "b"
    )
    assert status == DONE and "blocks" in out and "no blocks" not in out


def test_one_bad_map_does_not_stop_the_others(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write_map(tmp_path / "good.mrc", Volume(rng.standard_normal((16, 16, 16))))
    (tmp_path / "bad.mrc").write_text("no map\n" * 200)
    status, out, err = say(capsys, "level", tmp_path / "bad.mrc", tmp_path / "good.mrc", "--method", "percentile")
    assert status == BAD_INPUT and err == ""
    assert "bad " in out and "no level:" in out and out.splitlines()[2].startswith("good")


BAD = {
    "no such verb": (["levle", "x"], "There is no verb 'levle'"),
    "no map named": (["level"], "No map was named"),
    "vanished path": (["info", "gone"], "gone is not there"),
    "vanished folder": (["blocks", "gone", "--out", "b"], "gone is not a folder"),
    "empty folder": (["level", "empty"], "empty holds no maps"),
    "one map": (["blocks", "one", "--level", "1", "--out", "b"], "one holds a single map"),
    "constant maps": (["blocks", "flat", "--level", "0.5", "--out", "b"], "all maps are alike"),
    "level above all": (["blocks", "flat", "--level", "99", "--out", "b"], "Only 0 of 3 maps"),
    "level is a word": (["blocks", "flat", "--level", "high", "--out", "b"], "'high' is no level"),
    "mixed boxes": (["blocks", "mixed", "--level", "0.5", "--out", "b"], "lies on another grid than"),
    "text called mrc": (["info", "text.mrc"], "is not an MRC map"),
    "unknown thing": (["info", "notes.md"], "is nothing Hetero knows"),
    "no such chain": (["simulate", "--out", "s", "--blocks", "ZZZ"], "has no chain ZZZ"),
    "box too small": (["simulate", "--out", "s", "--apix", "1"], "does not fit"),
    "no volumes": (["simulate", "--out", "s", "--volumes", "0"], "The number of maps is 0; 1 or more was expected"),
    "no seed": (["blocks", "flat", "--level", "0.5", "--seed", "-1", "--out", "b"], "The seed is -1; 0 or more"),
    "no size": (["simulate", "--out", "s", "--apix", "nan"], "The voxel size (apix) is nan"),
    "a map to write into": (["level", "one", "--out", "one/a.mrc"], "one/a.mrc does not end in .csv"),
    "a picture to write into": (["occupancy", "flat", "one", "--out", "o.png"], "o.png does not end in .csv"),
    "maps as their own masks": (["occupancy", "flat", "flat", "--out", "o.csv"], "flat holds the maps themselves"),
    "blocks onto the maps": (["blocks", "flat", "--out", "flat"], "flat holds the maps"),
    "blocks from another grid": (
        ["occupancy", "flat", "one", "--level", "1", "--out", "o.csv"],
        "lies on another grid",
    ),
    "truncated map": (["info", "short.mrc"], "short.mrc is truncated"),
    "folder to write is taken": (
        ["simulate", "--out", "one", "--volumes", "1", "--box", "16"],
        "already holds other files",
    ),
}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with everything a user can get wrong."""
    for name in ("empty", "one", "flat", "mixed"):
        (tmp_path / name).mkdir()
    write_map(tmp_path / "one" / "a.mrc", Volume(np.eye(4)[None].repeat(4, 0), 2.0))
    for i in range(3):
        write_map(tmp_path / "flat" / f"{i}.mrc", Volume(np.ones((4, 4, 4))))
        write_map(tmp_path / "mixed" / f"{i}.mrc", Volume(np.ones((4, 4, 4 + i))))
    (tmp_path / "text.mrc").write_text("words\n" * 300)
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "notes.md").write_text("words")
    (tmp_path / "short.mrc").write_bytes((tmp_path / "one" / "a.mrc").read_bytes()[:-8])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(desk, capsys, case):
    arguments, words = BAD[case]
    before = sorted(desk.rglob("*"))
    status, out, err = say(capsys, *arguments)
    assert status == BAD_INPUT and out == ""
    assert words in err
    assert (
        err.startswith(f"hetero {arguments[0]}: ") and len(err.strip().splitlines()) == 1 and err.strip().endswith(".")
    )
    assert sorted(desk.rglob("*")) == before


def test_wrong_flags_are_bad_input(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["level", "x", "--methd", "cnn"])
    assert leaving.value.code == BAD_INPUT


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["blocks", "--help"])
    out = capsys.readouterr().out
    assert leaving.value.code == DONE
    for flag in ("--level", "--rule {effect,published}", "--seed", "--out", "--json", "--quiet"):
        assert flag in out


def test_a_bug_says_that_it_is_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("hetero.commands.info.run", lambda *a: 1 / 0)
    status, _, err = say(capsys, "info", tmp_path)
    assert status == BUG and "this is a bug in Hetero" in err and "ZeroDivisionError" in err


def test_a_map_that_fails_loses_its_old_level(tmp_path, capsys):
    write_map(tmp_path / "good.mrc", Volume(np.random.default_rng(0).standard_normal((16, 16, 16))))
    (tmp_path / "bad.mrc").write_text("no map\n" * 200)
    (tmp_path / "ensemble.csv").write_text("name,level,class\nbad,3.5,B\ngood,1,G\n")
    assert say(capsys, "level", tmp_path, "--method", "percentile", "--out", tmp_path / "ensemble.csv")[0] == BAD_INPUT
    table = pd.read_csv(tmp_path / "ensemble.csv", index_col="name")
    assert np.isnan(table.loc["bad", "level"]) and table.loc["good", "level"] != 1
    assert table["class"].tolist() == ["B", "G"]


def test_a_reader_that_leaves_is_no_bug(ensemble):
    command = f"{sys.executable} -m hetero info {ensemble} --json | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_settings_from_json_are_checked():
    assert settings_from("level", {"maps": ["a.mrc"], "percentile": 95}).percentile == 95.0
    for values, words in (
        ({}, "maps"),
        ({"maps": ["a"], "method": "magic"}, "method"),
        ({"maps": ["a"], "colour": 1}, "has no setting colour"),
        ({"maps": 3}, "maps"),
    ):
        with pytest.raises(HeteroError, match=words):
            settings_from("level", values)


def test_cancelling_leaves_nothing(ensemble, tmp_path):
    from hetero.commands import blocks

    def progress(done, total, message):
        if message == "comparing voxels":
            raise Cancelled

    with pytest.raises(Cancelled):
        blocks.run(blocks.Settings(ensemble, tmp_path / "b", level="0.14"), progress)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(tmp_path):
    command = [
        sys.executable,
        "-m",
        "hetero",
        "simulate",
        "--out",
        str(tmp_path / "s"),
        "--volumes",
        "100000",
        "--box",
        "32",
    ]
    # A shell's background job ignores SIGINT, and its children would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        try:
            deadline = time.monotonic() + 60
            while not list(tmp_path.glob(".partial-*/vol_00005.mrc")):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130 and "stopped; nothing half-written was left" in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_demo_runs_the_whole_way(tmp_path, capsys):
    pytest.importorskip("torch", reason="the demonstration predicts levels with the network")
    status, out, _ = say(capsys, "demo", tmp_path / "demo", "--volumes", 40, "--box", 32)
    assert status == DONE
    for name in ("blocks.png", "occupancy.png", "occupancy.csv", "maps/ensemble.csv", "blocks/blocks.csv"):
        assert (tmp_path / "demo" / name).stat().st_size > 0
    assert "chain     in maps" in out
    status, out, _ = say(capsys, "demo", tmp_path / "demo", "--volumes", 40, "--box", 32, "--json")
    assert status == DONE and len(json.loads(out)["truth"]) == 7, "a second run replaces the first"
