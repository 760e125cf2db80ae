"""``hetero export``: what comes out opens again, here and (once, by hand) in cryoDRGN, with the same numbers."""

import json

import numpy as np
import pandas as pd
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands.open_run import open_run
from hetero.latent import CHECKPOINT, CONFIG, LATENTS, Latents, RunConfig, write_config, write_latents
from hetero.particles import CTF, open_particles, read_cs, read_indices, write_stack, write_star
from hetero.particles.relion import star_tables
from hetero.particles.simulate import random_poses
from hetero.pickles import read_pickles

torch = pytest.importorskip("torch", reason="runs need torch")
BOX, N = 16, 30


def say(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def star(tmp_path):
    """40 particles; runs below know 30 of them, or the first 30."""
    (tmp_path / "set").mkdir()
    rng = np.random.default_rng(0)
    with write_stack(tmp_path / "set/p.mrcs", 40, BOX, 2.5) as writer:
        writer.append(rng.standard_normal((40, BOX, BOX)).astype(np.float32))
    names = [f"{i:06d}@p.mrcs" for i in range(1, 41)]
    ctf = CTF(rng.uniform(9e3, 2e4, 40), rng.uniform(9e3, 2e4, 40), rng.uniform(0, 180, 40), 300.0, 2.7, 0.1)
    write_star(
        tmp_path / "set/particles.star", star_tables(names, BOX, np.full(40, 2.5), random_poses(40, 3.0, rng), ctf)
    )
    return tmp_path / "set/particles.star"


def write_ours(folder, index, encoding="gaussian", domain="fourier", zdim=3, width=12, seed=0):
    """A run of ours with random weights."""
    from hetero.drgn.decoder import CoordinateDecoder
    from hetero.drgn.files import save_checkpoint
    from hetero.drgn.shape import DecoderShape

    folder.mkdir()
    torch.manual_seed(seed)
    network = CoordinateDecoder(DecoderShape(BOX, zdim, width, 2, encoding, 5, 0.5, domain))
    save_checkpoint(folder / CHECKPOINT, network, sd=2.5, mean=0.0, epoch=4)
    rng = np.random.default_rng(seed)
    mean, log_variance = rng.normal(0, 1, (len(index), zdim)), rng.normal(-2, 0.1, (len(index), zdim))
    write_latents(folder / LATENTS, Latents(mean, index, log_variance))
    write_config(folder / CONFIG, RunConfig("drgn", BOX, 2.5, {"seed": seed}))
    return folder


@pytest.mark.parametrize(
    ("encoding", "domain", "width"),
    [("gaussian", "fourier", 12), ("geom_lowf", "fourier", 33), ("linear_lowf", "hartley", 12), ("none", "fourier", 6)],
)
def test_a_network_of_ours_is_the_same_network_there(star, tmp_path, capsys, encoding, domain, width):
    """Waves, column orders, residual first layers (width = inputs): the reader of cryoDRGN's own files is the judge."""
    index = np.random.default_rng(1).permutation(40)[:N]
    folder = write_ours(tmp_path / "run", index, encoding, domain, width=width)
    status, out, err = say(capsys, "export", folder, "--out", tmp_path / "new", "--original", star)
    assert (status, err) == (DONE, "") and "30 of 30 particles, 3 numbers each" in out
    ours, theirs = open_run(folder), open_run(tmp_path / "new")
    assert (theirs.system, theirs.epoch, theirs.apix, theirs.box) == ("cryodrgn", 4, 2.5, BOX)
    np.testing.assert_array_equal(theirs.latents, ours.latents)
    np.testing.assert_array_equal(theirs.log_variance, ours.log_variance)
    np.testing.assert_array_equal(theirs.particle_index, index)
    for a, b in zip(ours.decode(ours.latents[:2]), theirs.decode(ours.latents[:2]), strict=True):
        assert np.abs(a.data - b.data).max() < 1e-5 * np.abs(a.data).max()
    state = torch.load(tmp_path / "new/weights.4.pkl", weights_only=True)["model_state_dict"]
    assert ("rand_freqs" in state) == (encoding == "gaussian")


def test_poses_ctf_latents_and_indices(star, tmp_path, capsys):
    index = np.array([3, 1, 4, 15, 9, 2, 6])
    folder = write_ours(tmp_path / "run", index)
    formats = ["cryodrgn", "star", "indices", "csv"]
    assert say(capsys, "export", folder, "--out", tmp_path / "new", "--original", star, "--format", *formats)[0] == DONE
    new, original = tmp_path / "new", open_particles(star)
    assert sorted(p.name for p in new.iterdir()) == sorted(
        ["config.yaml", "ctf.pkl", "export.json", "ind.pkl", "latents.csv", "particles.star", "poses.pkl",
         "run.log", "weights.4.pkl", "z.4.pkl"]
    )  # fmt: skip
    assert len(read_pickles(new / "z.4.pkl")) == 2 and read_pickles(new / "z.4.pkl")[0].dtype == np.float32
    assert (read_indices(new / "ind.pkl", 40) == index).all()
    again = open_particles(star.parent / "p.mrcs", new / "poses.pkl", new / "ctf.pkl", new / "ind.pkl")
    np.testing.assert_allclose(again.poses.rotations, original.poses.rotations[index], atol=1e-6)
    np.testing.assert_allclose(again.poses.shifts, original.poses.shifts[index], atol=1e-5)
    np.testing.assert_allclose(again.ctf.defocus_u, original.ctf.defocus_u[index], rtol=1e-6)
    lines = star.read_text().splitlines()
    kept = [line for line in (new / "particles.star").read_text().splitlines() if "@p.mrcs" in line]
    assert kept == [next(line for line in lines if f"{i + 1:06d}@p.mrcs" in line) for i in index]
    table, run = pd.read_csv(new / "latents.csv", index_col="particle"), open_run(folder)
    assert (table.index == index).all() and list(table) == ["z1", "z2", "z3", "z1_sd", "z2_sd", "z3_sd"]
    np.testing.assert_allclose(table[["z1", "z2", "z3"]], run.latents, rtol=1e-6)
    np.testing.assert_allclose(table["z2_sd"], np.exp(0.5 * run.log_variance[:, 1].astype(float)), rtol=1e-6)
    record = json.loads((new / "export.json").read_text())
    assert record["verb"] == "export" and record["result"]["n"] == 7


def test_a_selection_of_a_run_that_cryodrgn_wrote(write_cryodrgn, star, tmp_path, capsys):
    folder = write_cryodrgn()
    (tmp_path / "some.txt").write_text("5\n0\n17\n")
    arguments = ["export", folder, "--out", tmp_path / "new", "--among", tmp_path / "some.txt"]
    status, out, _ = say(capsys, *arguments)
    assert status == DONE and "3 of 30 particles" in out
    assert "poses.pkl and ctf.pkl were not written" in out and "weights were not written" in out
    latents = read_pickles(tmp_path / "new/z.2.pkl")
    np.testing.assert_array_equal(latents[0], open_run(folder).latents[[0, 5, 17]])
    assert (read_indices(tmp_path / "new/ind.pkl", 30) == [0, 5, 17]).all()
    assert say(capsys, *arguments, "--format", "csv")[0] == DONE  # our own folder is replaced, whole
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["export.json", "latents.csv"]


def test_rows_of_a_cs_file(write_cryodrgn, tmp_path, capsys):
    records = np.zeros(30, dtype=[("uid", "u8"), ("blob/path", "S9"), ("blob/idx", "u4")])
    records["uid"], records["blob/path"] = np.random.default_rng(0).permutation(30), b"p.mrcs"
    with open(tmp_path / "p.cs", "wb") as file:
        np.save(file, records)
    (tmp_path / "some.txt").write_text("5\n0\n17\n")
    arguments = ["export", write_cryodrgn(), "--format", "cs", "--original", tmp_path / "p.cs"]
    assert say(capsys, *arguments, "--among", tmp_path / "some.txt", "--out", tmp_path / "new")[0] == DONE
    assert (read_cs(tmp_path / "new/particles.cs") == records[[0, 5, 17]]).all()


BAD = {
    "no run": (["set"], "set is not a run"),
    "no original": (["run", "--format", "star"], "(--original); none was given"),
    "another kind": (["run", "--format", "cs", "--original", "set/particles.star"], "is another kind of file"),
    "original not there": (["run", "--original", "gone.star"], "gone.star is not there"),
    "another original": (["run", "--original", "set/particles.star"], "lists 40 particles and the run of run has 30"),
    "the same for rows": (
        ["run", "--original", "set/particles.star", "--format", "star"],
        "lists 40 particles and the run of run has 30",
    ),
    "a particle too far": (["run", "--among", "far.txt"], "far.txt names particle 30"),
    "no such epoch": (["run", "--epoch", "9"], "run has no weights of epoch 9"),
    "a homogeneous run": (["flat"], "flat is a homogeneous model"),
    "onto other files": (["run", "--out", "set"], "set already holds other files"),
}


def test_bad_input_gets_one_sentence_and_leaves_nothing(write_cryodrgn, star, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_cryodrgn()
    write_cryodrgn("flat", zdim=0)
    (tmp_path / "far.txt").write_text("30\n")
    before = sorted(tmp_path.rglob("*"))
    for arguments, words in BAD.values():
        status, out, err = say(capsys, "export", *arguments, *([] if "--out" in arguments else ["--out", "new"]))
        assert (status, out) == (BAD_INPUT, "") and words in err, (arguments, err)
        assert err.startswith("hetero export: ") and len(err.strip().splitlines()) == 1, arguments
        assert sorted(tmp_path.rglob("*")) == before, arguments
