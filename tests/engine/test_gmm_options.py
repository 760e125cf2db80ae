"""train-gmm's options on a three-fold symmetric body with three knobs that slide each on its own."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import spearmanr

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands.open_run import open_run
from hetero.gmm import GaussianModel, write_model
from hetero.maps import Volume, write_map
from hetero.particles import Poses, open_particles, write_stack, write_star
from hetero.particles.refined_poses import pose_moves
from hetero.particles.relion import star_tables
from hetero.particles.simulate import random_poses
from hetero.particles.symmetry import symmetry_rotations

pytest.importorskip("torch", reason="weights are written with torch")

N, BOX, APIX = 320, 24, 5.0
UP = np.array([0.0, 0.0, 1.0])
ERROR = 5.0  # degrees, s.d. of turns about each axis


@pytest.fixture(scope="module")
def trimer(tmp_path_factory):
    """Star files with true poses and with wrong ones, the neutral model, a mask of one knob, a model, the truth."""
    folder = tmp_path_factory.mktemp("trimer")
    rng, group = np.random.default_rng(2), symmetry_rotations("C3")
    body = np.concatenate([rng.normal([12, 0, -6], 6, (25, 3)) @ turn.T for turn in group])
    knob = rng.normal([26, 0, 14], 3, (12, 3))  # x, y, z
    poses, t = random_poses(N, 0.0, rng), rng.uniform(-1, 1, (N, 3))
    along = APIX * (np.arange(BOX) - BOX // 2)
    images = np.empty((N, BOX, BOX), dtype=np.float32)
    for i, rotation in enumerate(poses.rotations):
        knobs = [(knob + 12 * t[i, k] * UP) @ turn.T for k, turn in enumerate(group)]
        xy = (np.concatenate([body, *knobs]) @ rotation.T)[:, :2]
        x, y = (np.exp(-((along - c[:, None]) ** 2) / (2 * 5.0**2)) for c in xy.T)
        images[i] = y.T @ x
    images += rng.normal(0, 0.7 * images.std(), images.shape)
    with write_stack(folder / "p.mrcs", N, BOX, APIX) as writer:
        writer.append(images)
    names = [f"{i + 1:06d}@p.mrcs" for i in range(N)]
    turns = Rotation.from_rotvec(rng.normal(0, np.radians(ERROR), (N, 3))).as_matrix()
    for name, rotations in (("p.star", poses.rotations), ("wrong.star", turns @ poses.rotations)):
        write_star(
            folder / name,
            star_tables(names, BOX, np.full(N, APIX), Poses(rotations, np.zeros((N, 2))), None, None, {}),
        )
    middle = APIX * (BOX // 2)
    spots = np.concatenate([body, *((knob + s * UP) @ turn.T for turn in group for s in (-8, 0, 8))])
    model = GaussianModel(spots[:, ::-1] + middle, np.repeat([3.0, 1.0], [75, 108]), 5.0, BOX, APIX)
    write_model(folder / "neutral.txt", model)
    mask = model.subset(np.arange(75, 111)).density()
    write_map(folder / "mask.mrc", Volume((mask.data > 0.2 * mask.data.max()).astype(np.float32), mask.apix))
    write_pdb(folder / "m.pdb", {"A": body + middle, "B": np.concatenate([knob + s * UP for s in (-8, 0, 8)]) + middle})
    return folder, t, poses


def write_pdb(path, chains):
    lines = []
    for chain, positions in chains.items():
        for i, (x, y, z) in enumerate(positions, start=1):
            lines.append(
                f"ATOM  {len(lines) + 1:5d}  CA  ALA {chain}{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
            )
    path.write_text("\n".join([*lines, "END", ""]))


def train(folder, out, *more, star="p.star", **values):
    values = {"neutral": folder / "neutral.txt", "zdim": 1, "batch": 16, "resolution": 15, "threads": 1} | values
    flags = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    return main(["train-gmm", str(folder / star), "--out", str(out), "--quiet", *flags, *more])


def test_each_copy_under_a_symmetry_tells_of_its_own_subunit(trimer):
    folder, t, _ = trimer
    assert train(folder, folder / "c3", "--symmetry", "c3", epochs=12, batch=32, mask=folder / "mask.mrc") == DONE
    run = open_run(folder / "c3")
    assert run.latents.shape == (3 * N, 1) and run.has_copies
    np.testing.assert_array_equal(run.particle_index, np.repeat(np.arange(N), 3))
    latents = run.latents.reshape(N, 3)
    agreement = np.abs(spearmanr(np.hstack([latents, t]))[0][:3, 3:])
    assert np.diag(agreement).min() > 0.8 and agreement[~np.eye(3, dtype=bool)].max() < 0.2


def test_poses_that_were_wrong_get_better(trimer):
    folder, _, poses = trimer
    assert train(folder, folder / "refined", "--refine-poses", star="wrong.star", epochs=8, zdim=3) == DONE
    wrong = open_particles(folder / "wrong.star").poses
    found = open_particles(folder / "wrong.star", poses=folder / "refined" / "poses.pkl").poses
    before, after = (np.median(pose_moves(poses, other)[0]) for other in (wrong, found))
    assert after < 0.8 * before
    with np.load(folder / "refined" / "poses.npz") as table:
        np.testing.assert_allclose(table["moved_degrees"], pose_moves(wrong, found)[0], atol=0.01)
        np.testing.assert_allclose(table["shifts"], found.shifts, atol=1e-3)


def test_a_half_set_and_chains_of_a_model(trimer):
    folder, _, _ = trimer
    more = ["--half-set", "1", "--model", str(folder / "m.pdb"), "--chains", "B"]
    assert train(folder, folder / "half", *more, epochs=1, refine=0) == DONE
    run = open_run(folder / "half")
    np.testing.assert_array_equal(run.particle_index, np.arange(1, N, 2))
    moving = run.decoder.network.moving.numpy()
    assert set(range(75, 111)) <= set(moving.tolist())  # the chain's own Gaussians, and few that lie beside them
    assert len(moving) < 50
    arguments = ["motion", str(folder / "half"), "--out", str(folder / "m"), "--steps", "0", "--quiet"]
    assert main([*arguments, "--model", str(folder / "m.pdb"), "--chains", "B"]) == DONE
    inside = pd.read_csv(folder / "m" / "motion.csv")["inside"]
    np.testing.assert_array_equal(np.flatnonzero(inside), moving)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--symmetry", "C3"], "With symmetry C3 one asymmetric unit varies; a mask or a model of it was expected"),
        (["--symmetry", "C3", "--mask", "mask.mrc", "--refine-poses"], "goes with symmetry C1 alone"),
        (["--refine-poses", "--loss", "frc"], "does not go with the loss frc"),
        (["--chains", "A"], "--chains goes with --model"),
        (["--model", "m.pdb", "--chains", "Q"], "has no chain Q; its chains are A, B"),
        (["--model", "m.pdb", "--mask", "mask.mrc"], "were given; one of them was expected"),
        (["--half-set", "2"], "half_set is 2; 0 to 1 was expected"),
    ],
)
def test_bad_options_get_one_sentence(trimer, tmp_path, capsys, more, sentence):
    folder, _, _ = trimer
    more = [str(folder / part) if "." in part else part for part in more]
    assert train(folder, tmp_path / "run", *more, epochs=1) == BAD_INPUT
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
