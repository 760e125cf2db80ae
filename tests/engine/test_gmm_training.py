"""Neutral models and moving Gaussians, end to end on small particles whose truth is known."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands.open_run import open_run
from hetero.gmm import GaussianModel, read_model, write_model
from hetero.maps import Volume, open_ensemble, read_map, write_map
from hetero.particles import Poses, open_particles, write_stack, write_star
from hetero.particles.relion import star_tables
from hetero.particles.simulate import random_poses

pytest.importorskip("torch", reason="weights are written with torch")

N, BOX, APIX = 320, 24, 5.0


@pytest.fixture(scope="module")
def sliding(tmp_path_factory):
    """A body with a knob that slides along x by -12 to 12 Å; star file, average map, a mask of the knob, the truth."""
    folder = tmp_path_factory.mktemp("sliding")
    rng = np.random.default_rng(5)
    body = rng.normal(0, 8, (60, 3)) * [1.4, 1.0, 0.7] + [-6, -8, 0]
    knob = rng.normal([0, 24, 8], 3, (15, 3))  # x, y, z
    poses = random_poses(N, 0.0, rng)
    t = rng.uniform(-1, 1, N)
    along = APIX * (np.arange(BOX) - BOX // 2)
    images = np.empty((N, BOX, BOX), dtype=np.float32)
    for i, rotation in enumerate(poses.rotations):
        xy = (np.concatenate([body, knob + np.array([12 * t[i], 0, 0])]) @ rotation.T)[:, :2]
        x, y = (np.exp(-((along - c[:, None]) ** 2) / (2 * 5.0**2)) for c in xy.T)
        images[i] = y.T @ x
    images += rng.normal(0, images.std(), images.shape)
    with write_stack(folder / "p.mrcs", N, BOX, APIX) as writer:
        writer.append(images)
    names = [f"{i + 1:06d}@p.mrcs" for i in range(N)]
    poses = Poses(poses.rotations, np.zeros((N, 2)))
    write_star(folder / "p.star", star_tables(names, BOX, np.full(N, APIX), poses, None, None, {}))
    middle = APIX * (BOX // 2)
    spots = np.concatenate([body, *(knob + np.array([s, 0, 0]) for s in (-8, 0, 8))])[:, ::-1] + middle
    model = GaussianModel(spots, np.repeat([3.0, 1.0], [60, 45]), 5.0, BOX, APIX)
    write_map(folder / "average.mrc", model.density())
    write_model(folder / "neutral.txt", model)
    mask = model.subset(np.arange(len(model)) >= 60).density()
    write_map(folder / "mask.mrc", Volume((mask.data > 0.2 * mask.data.max()).astype(np.float32), mask.apix))
    return folder, t


@pytest.fixture(scope="module")
def trained(sliding):
    folder, _ = sliding
    assert main(train_arguments(folder, folder / "run")) == DONE
    return folder / "run"


def train_arguments(folder, out, **more):
    values = {"neutral": folder / "neutral.txt", "zdim": 1, "epochs": 25, "batch": 16, "resolution": 15} | more
    flags = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    return ["train-gmm", str(folder / "p.star"), "--out", str(out), "--threads", "1", "--quiet", *flags]


def test_latents_follow_the_motion_and_say_how_sure_they_are(sliding, trained):
    folder, t = sliding
    run = open_run(trained)
    assert run.system == "gmm" and run.latents.shape == (N, 1) and run.log_variance.shape == (N, 1)
    assert abs(spearmanr(run.latents[:, 0], t)[0]) > 0.9
    # views along the motion cannot show it: what a view shows is the length of the motion across the beam
    found = pd.read_csv(trained / "detectability.csv")["detectability"]
    rotations = open_particles(folder / "p.star").poses.rotations
    across = np.hypot(rotations[:, 0, 0], rotations[:, 1, 0])
    assert spearmanr(found, across)[0] > 0.8
    assert found[across < 0.2].max() < found[across > 0.8].min()


def test_numbers_of_a_latent_that_mean_nothing_hide_nothing():
    import torch

    from hetero.gmm.posterior import settled

    information = torch.zeros(3, 2, 2)
    information[:, 0, 0] = torch.tensor([0.0, 4.0, 96.0])  # what each view shows of the first number; none the second
    found = settled(information, torch.diag(torch.tensor([4.0, 1.0])))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.5, 0.96]))


def test_a_run_decodes_to_maps_that_move(sliding, trained, tmp_path):
    run = open_run(trained)
    low, high = np.percentile(run.latents[:, 0], [5, 95])
    first, last = run.decode([[low], [high]])
    assert first.shape == (BOX,) * 3 and first.apix[0] == APIX
    mask = read_map(sliding[0] / "mask.mrc").data > 0.5

    def place(volume):
        weight = np.where(mask, volume.data, 0)
        return APIX * (weight.sum((0, 1)) @ np.arange(BOX)) / weight.sum()

    assert 8 < abs(place(last) - place(first)) < 24  # the knob's middle, 5 to 95 %: 21.6 Å if nothing leaves the mask
    assert main(["decode", str(trained), "--out", str(tmp_path / "maps"), "--particles", "0-2", "--quiet"]) == DONE
    assert len(open_ensemble(tmp_path / "maps")) == 3


def test_a_motion_is_told_with_arrows_and_maps(sliding, trained, tmp_path, capsys):
    folder, _ = sliding
    arguments = [
        "motion",
        str(trained),
        "--out",
        str(tmp_path / "m"),
        "--mask",
        str(folder / "mask.mrc"),
        "--steps",
        "3",
    ]
    assert main([*arguments, "--json"]) == DONE
    answer = json.loads(capsys.readouterr().out)
    table = pd.read_csv(tmp_path / "m" / "motion.csv")
    assert len(open_ensemble(tmp_path / "m")) == 3 and len(table) == answer["gaussians"] == 105
    knob = table[table["inside"] == 1]
    mass = knob[["mass_start", "mass_end"]].to_numpy()
    ends = [np.average(knob["x"], weights=mass[:, 0]), np.average(knob["x"] + knob["dx"], weights=mass[:, 1])]
    assert 10 < abs(ends[1] - ends[0]) < 30  # the density of the knob: 21.6 Å from 5 to 95 %
    assert answer["rigid"]["moved"] > 0 and answer["ratio"][0] > 1
    arguments = ["motion", str(trained), "--out", str(tmp_path / "n"), "--start", "nan", "--end", "1"]
    assert main(arguments) == BAD_INPUT and not (tmp_path / "n").exists()
    assert "The start holds NaN or infinity" in capsys.readouterr().err


def test_a_neutral_model_may_come_from_a_finer_grid(sliding, tmp_path):
    folder, _ = sliding
    coarse = read_model(folder / "neutral.txt")
    write_model(tmp_path / "fine.txt", coarse.on_grid(2 * BOX, APIX / 2))
    assert main(train_arguments(folder, tmp_path / "run", neutral=tmp_path / "fine.txt", epochs=1, refine=0)) == DONE
    run = open_run(tmp_path / "run")
    (volume,) = run.decode(np.zeros((1, 1)))
    assert volume.data.shape == (BOX,) * 3
    mean = read_map(folder / "average.mrc").data
    assert np.corrcoef(volume.data.ravel(), mean.ravel())[0, 1] > 0.9


def test_a_training_goes_on_as_if_never_stopped_and_tells_when_latents_are_laid_out(sliding, tmp_path):
    from hetero.commands import train_gmm
    from hetero.errors import Cancelled

    folder, _ = sliding
    values = {"neutral": folder / "neutral.txt", "zdim": 2, "epochs": 3, "resolution": 20, "threads": 1, "refine": 0}
    whole, parts = (train_gmm.Settings(folder / "p.star", tmp_path / name, **values) for name in ("whole", "parts"))
    heard = []
    train_gmm.run(whole, lambda done, total, message: heard.append(message.split(" (")[0]))
    assert "refining latents" in heard[heard.index("training, epoch 1 of 3") : heard.index("training, epoch 2 of 3")]

    def stop(done, total, message):
        if message.startswith("training, epoch 2"):
            raise Cancelled

    with pytest.raises(Cancelled):
        train_gmm.run(parts, stop)
    train_gmm.run(parts)
    with np.load(whole.out / "latents.npz") as a, np.load(parts.out / "latents.npz") as b:
        np.testing.assert_array_equal(a["z_mean"], b["z_mean"])


def test_a_neutral_model_of_a_map_agrees_with_it(sliding, tmp_path, capsys):
    folder, _ = sliding
    out = tmp_path / "m.txt"
    arguments = [
        "gmm",
        str(folder / "average.mrc"),
        "--out",
        str(out),
        "--resolution",
        "20",
        "--threads",
        "1",
        "--json",
    ]
    assert main(arguments) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert answer["reached"] and answer["agreement"] > 0.95 and answer["rounds"][0]["gaussians"] == 256
    model, truth = read_model(out).density().data, read_map(folder / "average.mrc").data
    ring = np.rint(np.linalg.norm(np.indices(truth.shape).transpose(1, 2, 3, 0) - BOX // 2, axis=-1)).astype(int)
    a, b = (np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(v)))[ring <= 6] for v in (model, truth))
    rings = ring[ring <= 6]
    fsc = np.bincount(rings, (a * b.conj()).real) / np.sqrt(
        np.bincount(rings, abs(a) ** 2) * np.bincount(rings, abs(b) ** 2)
    )
    assert fsc[1:].min() > 0.95


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"resolution": 8}, "pixels of 5 Å show 10 Å at best"),
        ({"mask": "empty.mrc"}, "None of the 105 Gaussians"),
        ({"mask": "other.mrc"}, "has 24 x 24 x 24 voxels of 2 Å"),
        ({"neutral": "nan.txt"}, "holds NaN or infinity in 1 of 2"),
        ({"neutral": "foreign.txt"}, "does not say which program wrote it"),
        ({"zdim": 0}, "zdim is 0; 1 to 64 was expected"),
    ],
)
def test_bad_input_gets_one_sentence(sliding, tmp_path, capsys, change, sentence):
    folder, _ = sliding
    write_map(folder / "empty.mrc", Volume(np.zeros((BOX,) * 3), APIX))
    write_map(folder / "other.mrc", Volume(np.ones((BOX,) * 3), 2.0))
    (folder / "nan.txt").write_text("0 0 0 1 1\n0 nan 0 1 1\n")
    (folder / "foreign.txt").write_text("0 0 0 1 1\n0 0.1 0 1 1\n")
    change = {k: folder / v if isinstance(v, str) else v for k, v in change.items()}
    assert main(train_arguments(folder, tmp_path / "run", **change)) == BAD_INPUT
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_more_gaussians_than_voxels_and_another_run_are_refused(sliding, trained, tmp_path, capsys):
    folder, _ = sliding
    average = str(folder / "average.mrc")
    arguments = ["gmm", average, "--out", str(tmp_path / "m.txt"), "--resolution", "20", "--most", "20000"]
    assert main(arguments) == BAD_INPUT
    assert "20,000 Gaussians are allowed and the box has 13,824 voxels" in capsys.readouterr().err
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    assert main(train_arguments(folder, copy, zdim=3)) == BAD_INPUT
    assert "begun with another zdim (1, now 3)" in capsys.readouterr().err
