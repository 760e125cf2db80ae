"""Selections: the rules' language, particle files that keep every other byte, and counts that must agree."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.errors import HeteroError
from hetero.occupancy import write_occupancy
from hetero.occupancy.rules import parse_rule

COLUMNS = ["block_02", "block_05", "block_12", "chain_A", "chain_A+B", "class", "z1", "odd name"]


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((500, len(COLUMNS))), columns=COLUMNS)
    table["class"] = rng.integers(1, 4, 500)
    table["z1"] = rng.standard_normal(500)
    return table


@pytest.mark.parametrize(
    ("rule", "plain"),
    [
        ("block 5 > 0.7 and block 2 < 0.1", lambda t: (t.block_05 > 0.7) & (t.block_02 < 0.1)),
        ("BLOCK 5>.7 AND block_12<=1e-1", lambda t: (t.block_05 > 0.7) & (t.block_12 <= 0.1)),
        ("0.2 < block 2 < 0.8", lambda t: (t.block_02 > 0.2) & (t.block_02 < 0.8)),
        ("not (class == 2 or z1 >= -0.5)", lambda t: ~((t["class"] == 2) | (t.z1 >= -0.5))),
        ("class = 1 or class = 3 and z1 > 0", lambda t: (t["class"] == 1) | ((t["class"] == 3) & (t.z1 > 0))),
        ("chain A > chain_A+B", lambda t: t.chain_A > t["chain_A+B"]),
        ("chain A+B > 0.5", lambda t: t["chain_A+B"] > 0.5),
        ("'odd name' != 0 and \"block_05\" > 0.5", lambda t: (t["odd name"] != 0) & (t.block_05 > 0.5)),
        ("block 005 > 0.5", lambda t: t.block_05 > 0.5),
        ("0.5 < z1", lambda t: t.z1 > 0.5),
    ],
)
def test_rules_mean_what_they_say(numbers, rule, plain):
    found = parse_rule(rule, numbers.columns).holds(numbers)
    np.testing.assert_array_equal(found, plain(numbers).to_numpy())
    assert 0 < found.sum() < 500


def test_a_missing_number_fits_no_rule():
    table = pd.DataFrame({"a": [0.2, np.nan, 0.8], "b": [np.nan, 1.0, 1.0]})
    assert parse_rule("a > 0.5", table).holds(table).tolist() == [False, False, True]
    assert parse_rule("not a > 0.5", table).holds(table).tolist() == [True, False, False]
    assert parse_rule("a > 0.5 or b > 0.5", table).holds(table).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("block 9 > 0.5", "speaks of 'block 9', which is not measured there; what is: block_02"),
        ("loop > 0.5", "speaks of 'loop'"),
        ("__import__('os').system('true')", "speaks of '__import__'"),
        ("block 5", "cannot be understood"),
        ("block 5 >", "cannot be understood"),
        ("block 5 > 0.5 and", "cannot be understood"),
        ("block 5 + 1 > 0.5", "cannot be understood at '+'"),
        ("block 5 ** 2 > 1", "cannot be understood at '**'"),
        ("[1 for x in block_05]", "cannot be understood at '[1'"),
        ("block 5 (1)", "cannot be understood"),
        ("z1 - 1 > 0", "cannot be understood"),
        ("1 < 2", "cannot be understood"),
        ("(" * 900 + "z1 > 0" + ")" * 900, "cannot be understood"),
        ("z1 > 0 and " * 300 + "z1 > 0", "has 3,306 characters; 2,000 at most"),
        ("", "cannot be understood"),
        ("not", "cannot be understood"),
        ("z1 > 0.5.3", "cannot be understood"),
        ("z1 > --1", "cannot be understood"),
        ("lambda: z1", "speaks of 'lambda'"),
    ],
)
def test_what_is_no_rule_is_refused(rule, words):
    with pytest.raises(HeteroError) as refused:
        parse_rule(rule, COLUMNS)
    assert words in str(refused.value)


STAR = """# version 30001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
_rlnImageDimensionality #8
1 first 300.0 2.7 0.1 1.5 64 2
2 second 200.0 2.7 0.1 1.5 64 2

# version 30001

data_particles

loop_
_rlnImageName #1
_rlnDefocusU #2
_rlnOpticsGroup #3
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """800 particles in two optics groups, of which a run was trained on all; a table of them in another order."""
    rng = np.random.default_rng(1)
    rows = "".join(f"{i % 50 + 1:06d}@stack{i // 50}.mrcs {10000 + i}.25 {1 + i % 2}\n" for i in range(800))
    (tmp_path / "particles.star").write_text(STAR + rows + "\n")
    (tmp_path / "short.star").write_text(STAR + "".join(rows.splitlines(keepends=True)[:-1]))
    names = [f"block_{k:02d}" for k in range(6)]
    order = rng.permutation(800)
    table = pd.DataFrame(rng.random((800, 6)), pd.Index(order, name="particle"), names)
    write_occupancy(tmp_path / "o.csv", table)
    about = {"verb": "occupancy", "run": "/data/run", "particles_in_run": 800, "particles_numbered_to": 799}
    (tmp_path / "o.csv.json").write_text(json.dumps(about))
    write_occupancy(tmp_path / "part.npz", table.iloc[:300])
    classes = pd.DataFrame({"class": np.arange(800) % 3 + 1}, pd.RangeIndex(800, name="particle"))
    classes.to_csv(tmp_path / "c_particles.csv")
    volumes = pd.DataFrame({"block_00": [0.9, 0.1]}, pd.Index(["vol_001", "vol_007"], name="name"))
    write_occupancy(tmp_path / "volumes.csv", volumes)
    pd.DataFrame({"particle": range(800), "name": ["vol_007" if i % 4 else "vol_001" for i in range(800)]}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    np.save(tmp_path / "lasso.npy", np.arange(100))
    (tmp_path / "notes.txt").write_text("words")
    records = np.zeros(800, dtype=[("uid", "<u8"), ("blob/path", "S8"), ("blob/idx", "<u4")])
    records["uid"], records["blob/idx"] = np.arange(800) + 10**12, np.arange(800)
    with open(tmp_path / "particles.cs", "wb") as file:
        np.save(file, records)
    monkeypatch.chdir(tmp_path)
    return table


def test_a_star_of_the_original_rows(desk, tmp_path, capsys):
    rule = "block 5 > 0.7 and block 2 < 0.5"
    arguments = ["select", "o.csv", "--rule", rule, "--original", "particles.star", "--out", "subset.star"]
    assert main(arguments) == DONE
    out = capsys.readouterr().out
    expected = np.sort(desk.index[(desk.block_05 > 0.7) & (desk.block_02 < 0.5)])
    assert f"{len(expected)} of 800 particles" in out and rule in out
    # Every line that is kept is the original's, optics groups included.
    lines = (tmp_path / "particles.star").read_text().split("\n")
    head = STAR.count("\n")
    kept = lines[:head] + [lines[head + i] for i in expected] + lines[head + 800 :]
    assert (tmp_path / "subset.star").read_text().split("\n") == kept
    beside = json.loads((tmp_path / "subset.star.json").read_text())
    assert beside["run"] == "/data/run" and beside["rule"] == rule and beside["selected"] == len(expected)
    assert beside["command"] == (
        "hetero select o.csv --out subset.star --rule 'block 5 > 0.7 and block 2 < 0.5' --original particles.star"
    )
    assert set(beside["versions"]) == {"hetero", "python", "numpy"}
    before = (tmp_path / "subset.star").read_bytes()
    assert main(arguments) == DONE and (tmp_path / "subset.star").read_bytes() == before  # ours is replaced


def test_starfile_reads_the_subset(desk, tmp_path):
    starfile = pytest.importorskip("starfile")
    assert (
        main(
            [
                "select",
                "c_particles.csv",
                "--rule",
                "class == 2",
                "--original",
                "particles.star",
                "--out",
                "s.star",
                "--quiet",
            ]
        )
        == DONE
    )
    blocks = starfile.read(tmp_path / "s.star", always_dict=True)
    assert list(blocks) == ["optics", "particles"] and len(blocks["optics"]) == 2
    np.testing.assert_allclose(blocks["particles"]["rlnDefocusU"], 10000.25 + np.arange(1, 800, 3))


@pytest.mark.parametrize("suffix", ["cs", "csv", "txt", "npy", "pkl"])
def test_every_kind_of_file_holds_the_same_particles(desk, tmp_path, suffix):
    from hetero.particles import read_indices

    arguments = ["select", "o.csv", "c_particles.csv", "--rule", "block 0 > 0.5 and class == 1", "--quiet"]
    out = tmp_path / f"s.{suffix}"
    original = ["--original", "particles.cs"] if suffix == "cs" else []
    assert main([*arguments, *original, "--out", str(out)]) == DONE
    expected = np.sort(desk.index[(desk.block_00 > 0.5) & (desk.index % 3 == 0)])
    if suffix == "cs":
        found = np.load(out)["blob/idx"]
    elif suffix in ("npy", "pkl"):
        found = read_indices(out, 800)
    else:
        found = pd.read_csv(out, header=0 if suffix == "csv" else None).to_numpy().ravel()
    np.testing.assert_array_equal(found, expected)
    assert (tmp_path / f"s.{suffix}.json").is_file()


def test_volumes_lend_their_numbers_to_their_particles(desk, tmp_path):
    arguments = ["select", "volumes.csv", "--labels", "labels.csv", "--rule", "block 0 > 0.5", "--out", "s.txt"]
    assert main([*arguments, "--among", "lasso.npy", "--quiet"]) == DONE
    assert (tmp_path / "s.txt").read_text().split() == [str(i) for i in range(0, 100, 4)]


def test_latents_of_a_run_select(desk, tmp_path, write_cryodrgn):
    from hetero.commands.open_run import open_run

    run = open_run(write_cryodrgn(n=800))
    assert main(["select", "run", "o.csv", "--rule", "z1 > 2 and block 3 < 0.5", "--out", "s.npy", "--quiet"]) == DONE
    low = desk.loc[np.arange(800), "block_03"].to_numpy() < 0.5
    np.testing.assert_array_equal(np.load("s.npy"), np.flatnonzero((run.latents[:, 0] > 2) & low))


def test_real_optics_groups_survive(shared, tmp_path):
    starfile = pytest.importorskip("starfile")
    original = tmp_path / "original.star"
    shutil.copy(shared / "data" / "particles" / "cryodrgn_tests" / "relion31.6opticsgroups.star", original)
    before = starfile.read(original, always_dict=True)
    n = len(before["particles"])
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"block_00": rng.random(n)}, pd.RangeIndex(n, name="particle"))
    write_occupancy(tmp_path / "o.csv", table)
    arguments = ["--rule", "block 0 > 0.5", "--original", str(original), "--out", str(tmp_path / "s.star"), "--quiet"]
    assert main(["select", str(tmp_path / "o.csv"), *arguments]) == DONE
    after = starfile.read(tmp_path / "s.star", always_dict=True)
    pd.testing.assert_frame_equal(after["optics"], before["optics"])
    expected = before["particles"][(table.block_00 > 0.5).to_numpy()].reset_index(drop=True)
    pd.testing.assert_frame_equal(after["particles"], expected, check_dtype=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["o.csv", "--rule", "block 9 > 0.5", "--out", "s.npy"], "speaks of 'block 9'"),
        (["o.csv", "--rule", "block 5 > 7", "--out", "s.npy"], "None of the 800 particles fits 'block 5 > 7'"),
        (["o.csv", "--out", "s.npy"], "Neither --rule nor --among was given"),
        (["--rule", "z1 > 0", "--out", "s.npy"], "No table and no run was named"),
        (["o.csv", "--rule", "block 5 > 0.5", "--out", "s.star"], "give --original FILE.star"),
        (["o.csv", "--rule", "block 5 > 0.5", "--out", "s.mrcs"], "no kind of file that particles"),
        (
            ["o.csv", "--rule", "block 5 > 0.5", "--original", "short.star", "--out", "s.star"],
            "short.star lists 799 particles and the run of o.csv has 800",
        ),
        (
            ["c_particles.csv", "--rule", "class == 1", "--original", "short.star", "--out", "s.star"],
            "short.star lists 799 particles, and c_particles.csv speaks of particle 799",
        ),
        (["o.csv", "--rule", "block 5 > 0.5", "--original", "gone.star", "--out", "s.star"], "gone.star is not there"),
        (
            ["o.csv", "--rule", "block 5 > 0.5", "--original", "particles.cs", "--out", "s.star"],
            "particles.cs is no .star file",
        ),
        (
            ["o.csv", "--rule", "block 5 > 0.5", "--original", "particles.star", "--out", "particles.star"],
            "particles.star is the original itself",
        ),
        (["o.csv", "--rule", "block 5 > 0.5", "--out", "notes.txt"], "notes.txt is there already"),
        (["o.csv", "part.npz", "--rule", "block 5 > 0.5", "--out", "s.npy"], "o.csv and part.npz both have block_00"),
        (["volumes.csv", "--rule", "block 0 > 0.5", "--out", "s.npy"], "has a row for each volume; give --labels"),
        (["o.csv", "--among", "gone.npy", "--out", "s.npy"], "gone.npy"),
    ],
)
def test_bad_input_is_one_sentence(desk, tmp_path, capsys, arguments, words):
    before = {path: path.is_file() and path.read_bytes() for path in sorted(tmp_path.rglob("*"))}
    assert main(["select", *arguments]) == BAD_INPUT
    err = capsys.readouterr().err
    assert words in err and len(err.strip().splitlines()) == 1
    assert {path: path.is_file() and path.read_bytes() for path in sorted(tmp_path.rglob("*"))} == before
