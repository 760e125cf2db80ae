"""cryoDRGN's training: the loss against the paper's written plainly, its gradient, and what a user meets."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands import train_vae
from hetero.commands.open_run import open_run
from hetero.drgn.half_disc import HalfDisc
from hetero.drgn.images import prepare_images
from hetero.drgn.presets import PRESETS
from hetero.drgn.start import read_start
from hetero.errors import Cancelled, HeteroError
from hetero.latent import Latents, read_latents, write_latents
from hetero.maps import MapWarning, read_map
from hetero.particles import CTF, Poses, open_particles, rotations_from_euler, write_ctf, write_poses, write_stack

torch = pytest.importorskip("torch", reason="networks need torch")

BOX, APIX, N = 16, 4.0, 24


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A folder with 24 images of noise, poses and CTFs of all kinds, as cryoDRGN takes them."""
    folder = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(0)
    with write_stack(folder / "p.mrcs", N, BOX, APIX) as writer:
        writer.append(rng.normal(0.3, 2.0, (N, BOX, BOX)))
    rotations = rotations_from_euler(*rng.uniform(0, 180, (3, N)))
    write_poses(folder / "poses.pkl", Poses(rotations, rng.uniform(-8, 8, (N, 2))), BOX * APIX)
    ctf = CTF(rng.uniform(8e3, 2e4, N), rng.uniform(8e3, 2e4, N), rng.uniform(0, 180, N), 300.0, 2.7, 0.1, 20.0)
    write_ctf(folder / "ctf.pkl", ctf, BOX, APIX)
    return folder


def arguments(folder, out, *more, preset="cryodrgn", epochs=2):
    width = ["--width", "12", "--encoder-width", "8", "--layers", "1", "--threads", "1", "--device", "cpu"]
    files = ["--poses", str(folder / "poses.pkl"), "--ctf", str(folder / "ctf.pkl"), "--zdim", "2", "--batch", "5"]
    what = ["train-vae", str(folder / "p.mrcs"), "--out", str(out), "--preset", preset, "--epochs", str(epochs)]
    return [*what, *files, *width, "--quiet", *more]


def settings_of(folder, out, **more):
    return train_vae.Settings(
        folder / "p.mrcs", out, poses=folder / "poses.pkl", ctf=folder / "ctf.pkl", zdim=3, width=12, encoder_width=8,
        layers=2, encoder_layers=1, **more,
    )  # fmt: skip


def task_of(folder, tmp_path, dtype=torch.float64, **more):
    from hetero.drgn.training import DrgnTask, Model
    from hetero.training.team import Team

    settings = settings_of(folder, tmp_path, **more)
    preset = dataclasses.replace(train_vae.preset_of(settings), held_out=0.0)
    images = prepare_images(open_particles(settings.particles, settings.poses, settings.ctf))
    task = DrgnTask(tmp_path, images, Model(3, 5, preset, seed=4), Team(torch.device("cpu")))
    task.model.to(dtype)
    task.begin_epoch(5)
    return task


def batch_of(task, items, dtype=torch.float64):
    noise = np.random.default_rng(1).standard_normal((len(items), 3), dtype=np.float32)
    batch = task.load(np.asarray(items), noise, 0)
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in batch.items()}


def plain_network(x, module, first, outputs_last):
    """Linear, relu, [x + Linear(x), relu] x layers, Linear, with numpy."""
    x = np.maximum(first(x), 0)
    for layer in module.residual:
        x = np.maximum(x + x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy(), 0)
    return x @ outputs_last.weight.detach().numpy().T + outputs_last.bias.detach().numpy()


def plain_loss(folder, model, items, noise, kind, beta):
    """Sections 1c and 1d of the methods text, image by image: Hartley transforms of the whole, symmetrised lattice."""
    particles = open_particles(folder / "p.mrcs", folder / "poses.pkl", folder / "ctf.pkl")

    def hartley(image):
        f = np.fft.fftshift(np.fft.fft2(np.fft.fftshift(image)))
        h = np.empty((BOX + 1, BOX + 1))
        h[:-1, :-1] = f.real - f.imag
        h[-1, :-1], h[:, -1] = h[0, :-1], np.append(h[:-1, 0], h[0, 0])
        return h

    images = particles.stack[:].astype(float)
    sd = np.std([hartley(image)[:-1, :-1] for image in images])
    line = np.linspace(-0.5, 0.5, BOX + 1)
    y, x = np.meshgrid(line, line, indexing="ij")
    disc = (np.hypot(x, y) <= 0.5 + 1e-9) & (np.hypot(x, y) > 0)
    radius = np.hypot(*np.meshgrid(*[(np.arange(BOX) - BOX // 2) / (BOX / 2)] * 2))
    window = np.clip((0.99 - radius) / (0.99 - 0.85), 0, 1)
    waves = model.decoder.waves.numpy()
    total, kl, pixels = 0.0, 0.0, disc.sum()
    opposite = [np.argmin(np.abs(x[disc] + px) + np.abs(y[disc] + py)) for px, py in zip(x[disc], y[disc], strict=True)]
    half = HalfDisc(BOX, BOX // 2).points / BOX
    place = [np.argmin(np.abs(x[disc] - px) + np.abs(y[disc] - py)) for px, py in half]
    for i, eps in zip(items, noise, strict=True):
        h = hartley(images[i] * window)[disc] / sd
        phase = 2 * np.pi * np.stack([x[disc], y[disc]], -1) @ (particles.poses.shifts[i] / APIX)
        h = np.cos(phase) * h + np.sin(phase) * h[opposite]
        ctf = particles.ctf[[i]].evaluate(x[disc][None] / APIX, y[disc][None] / APIX)[0]
        # The order of inputs is ours: one half of the disc, then the pixels opposite.
        seen = (h * np.sign(ctf))[[*place, *np.array(opposite)[place]]]
        first = model.encoder.first
        out = plain_network(
            seen, model.encoder, lambda v, f=first: v @ f.weight.detach().numpy().T + f.bias.detach().numpy(),
            model.encoder.last,
        )  # fmt: skip
        mean, log_variance = np.split(out, 2)
        z = mean + eps * np.exp(0.5 * log_variance)
        kl += 0.5 * np.sum(np.exp(log_variance) + mean**2 - 1 - log_variance)
        k = np.stack([x[disc], y[disc], 0 * x[disc]], -1) @ particles.poses.rotations[i]
        stored = (k[:, 2] < 0) | ((k[:, 2] == 0) & ((k[:, 1] < 0) | ((k[:, 1] == 0) & (k[:, 0] <= 0))))
        angles = np.where(stored[:, None], k, -k) @ waves.T
        features = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        decoder = model.decoder

        def first_layer(v, decoder=decoder, z=z):
            place, latent = decoder.place, decoder.latent
            return (
                v @ place.weight.detach().numpy().T + place.bias.detach().numpy() + latent.weight.detach().numpy() @ z
            )

        value = plain_network(features, decoder, first_layer, decoder.last)
        slice_ = value[:, 0] - np.where(stored, 1, -1) * value[:, 1]
        total += np.mean((ctf * slice_ - h) ** 2)
    assert waves.shape[0] == 3 * BOX // 2 and kind in ("gaussian", "geom_ft")
    return total / len(items) + beta * kl / len(items) / pixels


@pytest.mark.parametrize("preset", ["cryodrgn", "paper"])
def test_the_loss_is_the_papers_written_plainly(noisy, tmp_path, preset):
    task = task_of(noisy, tmp_path, preset=preset)
    items = [3, 0, 17, 9]
    batch = batch_of(task, items)
    loss = task.model(batch)["loss"].item()
    assert task.model.points == HalfDisc(BOX, BOX // 2).points.shape[0]
    expected = plain_loss(noisy, task.model, items, batch["noise"].numpy(), PRESETS[preset].encoding, 1 / 3)
    assert loss == pytest.approx(expected, rel=2e-6)


def test_presets_are_what_they_are_named_after():
    paper, theirs = PRESETS["paper"], PRESETS["cryodrgn"]
    assert (paper.batch, paper.rate, paper.width, paper.layers, paper.encoder_width) == (8, 1e-4, 256, 3, 256)
    assert (theirs.batch, theirs.rate, theirs.width, theirs.layers, theirs.encoder_width) == (16, 1e-4, 1024, 3, 1024)
    for preset in (paper, theirs):
        assert preset.stages == ((1.0, 1.0),) and preset.held_out == 0 and preset.sees == 1 and not preset.matched
        assert preset.base == "none"


def test_gradients_are_those_of_finite_differences(noisy, tmp_path):
    task = task_of(noisy, tmp_path, preset="ours")
    batch = batch_of(task, [1, 2])
    names = ["decoder.place.weight", "decoder.latent.weight", "decoder.last.weight", "encoder.last.weight"]
    parameters = dict(task.model.named_parameters())
    chosen = [parameters[name] for name in names]

    def loss(*values):
        return torch.func.functional_call(task.model, dict(zip(names, values, strict=True)), (batch,))["loss"]

    gradients = torch.autograd.grad(task.model(batch)["loss"], chosen)
    rng = np.random.default_rng(0)
    step = 1e-6
    for name, parameter, gradient in zip(names, chosen, gradients, strict=True):
        for flat in rng.choice(parameter.numel(), 5, replace=False):
            where = np.unravel_index(flat, parameter.shape)
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter[where] += sign * step
                    values.append(task.model(batch)["loss"].item())
                    parameter[where] -= sign * step
            expected = (values[0] - values[1]) / (2 * step)
            assert gradient[where].item() == pytest.approx(expected, rel=1e-5, abs=1e-9), name


def test_the_half_disc_holds_each_pair_of_opposites_once():
    disc = HalfDisc(64, 32)
    assert 2 * len(disc) == 3208  # cryoDRGN's count at this box, the centre left out
    both = {tuple(p) for p in disc.points} | {tuple(-p) for p in disc.points}
    assert len(both) == 2 * len(disc)
    assert np.all(np.diff(np.hypot(*disc.points.T)) >= 0)
    assert disc.count(12) == len(HalfDisc(64, 12))


@pytest.mark.parametrize("how", ["in a file", "each time"])
def test_images_are_the_same_wherever_they_are_kept(noisy, tmp_path, how):
    particles = open_particles(noisy / "p.mrcs", noisy / "poses.pkl", noisy / "ctf.pkl")
    memory = prepare_images(particles)
    cache = tmp_path / "images.c64" if how == "in a file" else None
    other = prepare_images(particles, memory=0, cache=cache)
    items = np.array([5, 2, 23])
    np.testing.assert_allclose(other.read(items, 7), memory.read(items, len(memory.disc))[:, :7], rtol=1e-6)
    if cache:
        again = cache.stat().st_mtime_ns
        prepare_images(particles, memory=0, cache=cache)
        assert cache.stat().st_mtime_ns == again


def weights_of(out):
    from hetero.drgn.files import load_checkpoint

    return load_checkpoint(out / "checkpoint.pt")[1]["training"]["model"]


@pytest.mark.parametrize(
    "more", [[], ["--latents", "table"], ["--preset", "ours", "--held-out", "0.2"], ["--refine-poses"]]
)
def test_a_stopped_run_goes_on_bit_for_bit(noisy, tmp_path, more):
    more = [*more, "--minutes", "0"]
    assert main(arguments(noisy, tmp_path / "whole", *more, epochs=4)) == DONE
    made = arguments(noisy, tmp_path / "parts", *more, epochs=4)
    for step in (7, 13):
        stop_at(made, step)
    assert main(made) == DONE
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    one, other = (read_latents(tmp_path / name / "latents.npz") for name in ("whole", "parts"))
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.log_variance, other.log_variance)
    assert {p.name for p in (tmp_path / "parts").iterdir()} == {
        ".hetero", ".lock", "checkpoint.previous.pt", "checkpoint.pt", "config.json", "latents.npz", "log.csv",
        *(["poses.npz", "poses.pkl"] if "--refine-poses" in more else []),
    }  # fmt: skip


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(noisy, tmp_path):
    more = ["--minutes", "0"]
    assert main(arguments(noisy, tmp_path / "whole", *more, epochs=3)) == DONE
    made = arguments(noisy, tmp_path / "parts", *more, epochs=3)
    stop_at(made, 13)
    path = tmp_path / "parts" / "checkpoint.pt"
    raw = bytearray(path.read_bytes())
    middle = slice(len(raw) // 2, len(raw) // 2 + 256)  # longer than the archive's padding
    raw[middle] = bytes(byte ^ 16 for byte in raw[middle])
    path.write_bytes(raw)
    with pytest.warns(MapWarning, match="is damaged: .* the one before"):
        run_until(made, 10**9)
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def stop_at(words, step):
    with pytest.raises(Cancelled):
        run_until(words, step)


def run_until(words, step):
    from hetero.cli import _parse

    options = _parse("train-vae", train_vae.Settings, words[1:])
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(train_vae.Settings)}

    def progress(done, total, message):
        if message.startswith("training") and done == step:
            raise Cancelled

    train_vae.run(train_vae.Settings(**values), progress)


def test_a_run_without_latents_is_one_map(noisy, tmp_path):
    assert main(arguments(noisy, tmp_path / "run", "--zdim", "0", preset="ours")) == DONE
    run = open_run(tmp_path / "run")
    (volume,) = run.decode(np.zeros((1, 0)))
    assert volume.data.shape == (BOX,) * 3 and run.zdim == 0 and np.ptp(volume.data) > 0


def test_two_processes_train_what_one_does(noisy, tmp_path):
    more = ["--precision", "float32"]
    assert main(arguments(noisy, tmp_path / "one", *more)) == DONE
    team = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "hetero"]
    aloud = [word for word in arguments(noisy, tmp_path / "two", *more) if word != "--quiet"]
    done = subprocess.run(
        [*team, *aloud], check=False, capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("written:") == 1  # one answer, not one from each process
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=2e-5)
    a, b = (read_latents(tmp_path / name / "latents.npz") for name in ("one", "two"))
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-3)


def test_a_start_is_joined_by_particle(tmp_path):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((50, 4)) * [5, 2, 1, 0.1] + 7
    index = rng.permutation(60)[:50]
    write_latents(tmp_path / "latents.npz", Latents(z, index, np.full(z.shape, -1.0)))
    rows = np.sort(index)[5:30]
    order = [int(np.flatnonzero(index == row)[0]) for row in rows]
    start = read_start(tmp_path, rows, 6)
    assert start.mean.shape == (25, 6) and not start.mean[:, 4:].any()
    expected = z[order] - z[order].mean(axis=0)
    np.testing.assert_allclose(start.mean[:, :4] * expected.std(axis=0).max(), expected, atol=1e-5)
    two = read_start(tmp_path, rows, 2).mean
    np.testing.assert_allclose(np.linalg.norm(two, axis=1).std(), np.linalg.norm(start.mean, axis=1).std(), rtol=0.2)
    absent = np.setdiff1d(np.arange(60), index)[0]
    with pytest.raises(HeteroError, match=f"no latents of 1 of the 3 particles; row {absent} of"):
        read_start(tmp_path, np.array([rows[0], absent, rows[1]]), 4)


@pytest.mark.parametrize("latents", ["encoder", "table"])
def test_a_start_is_where_the_latents_are_before_anything_is_learned(noisy, tmp_path, latents):
    z = np.random.default_rng(0).standard_normal((N, 2))
    write_latents(tmp_path / "latents.npz", Latents(z, np.arange(N), np.full(z.shape, -1.0)))
    begun = ["--start", str(tmp_path), "--latents", latents, "--rate", "1e-9", "--seed", "2"]
    out = tmp_path / "run"
    stop_at(arguments(noisy, out, *begun, preset="ours"), 0)
    first = weights_of(out)
    if latents == "table":
        expected = read_start(tmp_path, np.arange(N), 2)
        np.testing.assert_array_equal(first["encoder.rows.weight"][:, :2], expected.mean)
        return
    assert main(arguments(noisy, out, *begun, preset="ours")) == DONE
    found, expected = read_latents(out / "latents.npz"), read_start(tmp_path, np.arange(N), 2)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-5)
    np.testing.assert_allclose(found.log_variance, expected.log_variance, atol=1e-5)


@pytest.mark.parametrize("more", [["--epochs", "14"], ["--epochs", "14", "--latents", "table"]])
def test_two_states_are_told_apart_and_decoded(two_states, tmp_path, more):
    out = tmp_path / "run"
    small = ["--width", "64", "--encoder-width", "64", "--layers", "2", "--batch", "16", "--rate", "0.002"]
    quick = ["--threads", "1", "--device", "cpu", "--zdim", "2", "--seed", "1", "--held-out", "0.05"]
    assert main(["train-vae", str(two_states), "--out", str(out), *small, *quick, "--quiet", *more]) == DONE
    run = open_run(out)
    state = np.load(two_states / "truth.npz")["state"]
    truth = [read_map(two_states / f"truth/state_{k}.mrc").data for k in range(2)]
    centres = np.stack([run.latents[state == k].mean(axis=0) for k in range(2)])
    assigned = np.argmin(np.linalg.norm(run.latents[:, None] - centres, axis=2), axis=1)
    assert (assigned == state).mean() > 0.95
    found = [volume.data for volume in run.decode(centres)]
    agree = np.array([[np.corrcoef(a.ravel(), b.ravel())[0, 1] for b in truth] for a in found])
    assert agree[0, 0] > 0.8 and agree[1, 1] > 0.7, agree
    assert agree[0, 0] > agree[0, 1] + 0.1 and agree[1, 1] > agree[1, 0] + 0.1, agree
    log = pd.read_csv(out / "log.csv")
    assert log["data"].iloc[-1] < log["data"].iloc[0]
    assert json.loads((out / "config.json").read_text())["settings"]["resolved"]["width"] == 64


BAD = {
    "poses of another count": (["--poses", "six.pkl"], "six.pkl is for 6 particles, .* has 24 images"),
    "no poses": ([], "has no poses"),
    "not there": (["--start", "gone"], "gone/latents.npz is not there"),
    "no epochs": (["--epochs", "0"], "epochs is 0; 1 or more was expected"),
    "a homogeneous start": (["--zdim", "0", "--start", "x"], "a homogeneous model has no latents"),
    "a negative zdim": (["--zdim", "-1"], "zdim is -1"),
    "a folder of others": ([], "already holds other files \\(ctf.pkl is one\\)"),
    "NaN": ([], "Image 000014@.*nan.mrcs holds values that are not numbers"),
    "an odd box": ([], "have 15 pixels; an even number"),
    "no cuda": (["--device", "cuda"], "The device is 'cuda'; this machine has"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_one_sentence_before_training(noisy, tmp_path, case, capsys, monkeypatch):
    if case == "no cuda" and torch.cuda.is_available():
        pytest.skip("this machine has cuda")
    monkeypatch.chdir(tmp_path)
    write_poses("six.pkl", Poses(np.broadcast_to(np.eye(3), (6, 3, 3)), np.zeros((6, 2))), BOX * APIX)
    more, message = BAD[case]
    words = arguments(noisy, "run", *more)
    if case == "no poses":
        words[words.index("--poses") : words.index("--poses") + 2] = []
    if case == "a folder of others":
        words[words.index("--out") + 1] = str(noisy)
    if case in ("NaN", "an odd box"):
        box = 15 if case == "an odd box" else BOX
        images = np.random.default_rng(0).standard_normal((2000, box, box))
        images[13, 2, 2] = np.nan if case == "NaN" else 0
        with np.errstate(invalid="ignore"), write_stack("nan.mrcs", 2000, box, APIX) as writer:
            writer.append(images)
        write_poses("many.pkl", Poses(np.broadcast_to(np.eye(3), (2000, 3, 3)), np.zeros((2000, 2))), box * APIX)
        words[1] = "nan.mrcs"
        words[words.index("--poses") + 1] = "many.pkl"
        write_ctf("many_ctf.pkl", CTF(np.full(2000, 1e4), 1e4, 0.0, 300.0, 2.7, 0.1), box, APIX)
        words[words.index("--ctf") + 1] = "many_ctf.pkl"
    assert main(words) == BAD_INPUT
    error = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, error[-1]), error
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_run_is_not_overwritten_by_another(noisy, tmp_path, capsys):
    assert main(arguments(noisy, tmp_path / "run", epochs=1)) == DONE
    before = (tmp_path / "run/latents.npz").read_bytes()
    assert main(arguments(noisy, tmp_path / "run", "--seed", "9", epochs=1)) == BAD_INPUT
    assert "was begun with another seed (0, now 9)" in capsys.readouterr().err
    assert (tmp_path / "run/latents.npz").read_bytes() == before


_OPEN_A_MILLION = """
import resource, sys
import numpy as np, torch
from pathlib import Path
from hetero.drgn.images import prepare_images
from hetero.drgn.presets import PRESETS
from hetero.drgn.training import DrgnTask, Model
from hetero.particles import open_particles
from hetero.training.team import Team

folder = Path(sys.argv[1])
torch.set_num_threads(1)
particles = open_particles(folder / "p.mrcs", folder / "poses.pkl", folder / "ctf.pkl")
images = prepare_images(particles)  # 51 GB: beyond the memory, so they are transformed when they are read
task = DrgnTask(folder, images, Model(8, 20, PRESETS["ours"]), Team(torch.device("cpu")))
task.begin_epoch(20)
items = np.sort(np.random.default_rng(0).choice(task.items, 32, replace=False))
loss = task.model(task.load(items, np.zeros((32, 8), np.float32), 0))["loss"]
loss.backward()
task.optimisers[0].step()
for start in range(0, 1024, 256):
    with torch.no_grad():
        task.model.infer(task._seen(np.arange(start, start + 256), task._encoder_pixels()))
print(len(particles), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_a_million_particles_take_less_than_four_gigabytes(tmp_path):
    """1,000,000 images of 128 pixels, of which all but 16 are holes in a sparse file: open, one step, latents."""
    n, box = 1_000_000, 128
    rng = np.random.default_rng(0)
    with write_stack(tmp_path / "few.mrcs", 16, box, 1.5) as writer:
        writer.append(rng.standard_normal((16, box, box)))
    start = bytearray((tmp_path / "few.mrcs").read_bytes())
    start[8:12] = start[36:40] = np.int32(n).tobytes()
    (tmp_path / "p.mrcs").write_bytes(start)
    os.truncate(tmp_path / "p.mrcs", 1024 + 4 * n * box * box)
    rotations = rotations_from_euler(*rng.uniform(0, 180, (3, n)))
    write_poses(tmp_path / "poses.pkl", Poses(rotations, rng.normal(0, 3, (n, 2))), box * 1.5)
    write_ctf(tmp_path / "ctf.pkl", CTF(rng.uniform(8e3, 2e4, n), 1e4, 0.0, 300.0, 2.7, 0.1), box, 1.5)
    done = subprocess.run(
        [sys.executable, "-c", _OPEN_A_MILLION, str(tmp_path)], check=False, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    count, gigabytes = done.stdout.split()
    assert int(count) == n and float(gigabytes) < 4
