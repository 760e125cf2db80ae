"""cryoDRGN on top of maps that are fitted to a linear run's latents: what it begins with, and what it learns to add."""

import numpy as np
import pytest

from hetero.checkpoints import CHECKPOINT, PREVIOUS
from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands.open_run import open_run
from hetero.errors import HeteroError
from hetero.latent import View, read_latents
from hetero.maps import read_map, resample_fourier
from hetero.particles import open_particles
from hetero.particles.project import MapProjector

torch = pytest.importorskip("torch", reason="networks need torch")

BOX = 24


@pytest.fixture(scope="module")
def linear(two_states, tmp_path_factory):
    """A linear run of two components on the two states."""
    out = tmp_path_factory.mktemp("linear") / "run"
    assert main(["train-linear", str(two_states), "--out", str(out), "--zdim", "2", "--quiet"]) == DONE
    return out


def train(particles, out, *more):
    small = ["--width", "48", "--encoder-width", "32", "--layers", "2", "--batch", "16"]
    quick = ["--threads", "1", "--device", "cpu", "--seed", "1", "--quiet"]
    return main(["train-vae", str(particles), "--out", str(out), *small, *quick, *map(str, more)])


def shell_area(data, truth):
    """Mean over shells of the FSC."""
    a, b = np.fft.fftn(data), np.fft.fftn(truth)
    along = np.fft.fftfreq(BOX, 1 / BOX)
    shell = np.sqrt(along[:, None, None] ** 2 + along[:, None] ** 2 + along**2).round().astype(int).ravel()

    def sums(values):
        return np.bincount(shell, values.ravel())[1 : BOX // 2 + 1]

    return np.mean(sums((a * b.conj()).real) / np.sqrt(sums(np.abs(a) ** 2) * sums(np.abs(b) ** 2)))


def areas(folders, two_states):
    """Of each run, the mean over some particles of the area under the FSC of its map with the particle's own state."""
    state = np.load(two_states / "truth.npz")["state"]
    truth = [read_map(two_states / f"truth/state_{k}.mrc").data for k in range(2)]
    some, found = np.arange(0, 600, 29), []
    for folder in folders:
        run = open_run(folder)
        maps = run.decode(run.latents[some])
        found.append(np.mean([shell_area(m.data, truth[state[i]]) for i, m in zip(some, maps, strict=True)]))
    return found


@pytest.mark.parametrize("zdim", [2, 4])
def test_it_begins_with_maps_as_good_as_the_linear_runs(two_states, linear, tmp_path, zdim):
    """A network that learns nothing: what is decoded are the fitted maps."""
    assert train(two_states, tmp_path / "run", "--start", linear, "--zdim", zdim, "--epochs", 1, "--rate", 1e-9) == DONE
    ours, before = areas([tmp_path / "run", linear], two_states)
    assert ours > before - 0.01, (ours, before)
    run = open_run(tmp_path / "run")
    (large,), (small,) = (run.decode(run.latents[:1], View(box=box)) for box in (None, 16))
    np.testing.assert_allclose(
        small.data, resample_fourier(large.data, (16,) * 3), atol=1e-3 * np.abs(large.data).max()
    )


@pytest.fixture
def task(two_states, linear, tmp_path):
    """A training about to begin, its network made to say something, and one latent."""
    from hetero.drgn.base import fit_base
    from hetero.drgn.images import prepare_images
    from hetero.drgn.presets import PRESETS
    from hetero.drgn.start import read_start
    from hetero.drgn.training import DrgnTask, Model
    from hetero.training.team import Team

    images = prepare_images(open_particles(two_states))
    start = read_start(linear, images.particles.rows, 3)
    model = Model(3, 1, PRESETS["ours"], start=start, base=fit_base(images, start))
    task = DrgnTask(tmp_path, images, model, Team(torch.device("cpu")))
    task.begin_epoch(1)
    with torch.no_grad():
        task.model.decoder.last.weight.normal_(0, 0.1)
    return task


def test_gradients_of_latents_are_those_of_finite_differences(task):
    task.model.double()
    batch = {k: v.double() if v.is_floating_point() else v for k, v in task.load(np.arange(4), None, 0).items()}
    z = torch.tensor(task.start.mean[:4]).double().requires_grad_()
    task.model.misfit(z, batch).backward()
    for i, j in ((0, 0), (1, 1), (3, 2)):
        moved = [z.detach().clone() for _ in range(2)]
        for one, step in zip(moved, (1e-6, -1e-6), strict=True):  # a ReLU's kink lies in no such step
            one[i, j] += step
        with torch.no_grad():
            up, down = (float(task.model.misfit(one, batch)) for one in moved)
        assert float(z.grad[i, j]) == pytest.approx((up - down) / 2e-6, rel=1e-3, abs=1e-8)


def test_what_training_sees_are_slices_of_the_decoded_map(task):
    """The model's pictures against projections of the map that decode gives."""
    from hetero.drgn.volumes import VolumeDecoder

    z = torch.tensor(task.start.mean[:1])
    # turns that bring the map's grid onto itself: projections are exact there
    turns = np.array([np.eye(3), [[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    task._rotations = turns.astype(np.float32)
    batch = task.load(np.arange(3), None, 0)
    batch["transfer"] = torch.ones_like(batch["transfer"])
    decoder = VolumeDecoder(task.model.decoder, task.images.sd, device="cpu", base=task.model.base)
    (volume,) = decoder(z.numpy(), BOX)
    slices = MapProjector(volume).transforms(turns).reshape(3, -1)[:, task.images.disc.places] / task.images.sd
    inside = np.hypot(*task.images.disc.points.T) < BOX / 2 - 1
    pictures = torch.view_as_real(torch.from_numpy(slices.astype(np.complex64)))
    batch["image"] = torch.where(torch.from_numpy(inside)[:, None], pictures, 0.0)
    batch["transfer"] *= torch.from_numpy(inside)
    with torch.no_grad():
        left = task.model.misfit(z.expand(3, -1), batch)
        power = (batch["image"] ** 2).sum(dim=-1).mean()
        batch["base"] = batch["base"] * 0
        without = task.model.misfit(z.expand(3, -1), batch)
    assert left < 3e-3 * power and without > 0.1 * power, (left, without, power)


def test_functions_of_latents_follow_a_curved_path():
    """Along an arc: what a linear model cannot say, such as the second harmonic of the way along it."""
    from hetero.drgn.base import functions_of

    rng = np.random.default_rng(0)
    way = rng.uniform(0, 1, 3000)
    arc = np.stack([np.cos(2.5 * way), np.sin(2.5 * way), 0 * way], axis=1) + 0.02 * rng.standard_normal((3000, 3))
    arc = ((arc - arc.mean(axis=0)) / arc.std(axis=0).max()).astype(np.float32)
    base = functions_of(arc, 8)
    zeros = torch.zeros(3000, 2)  # numbers of a latent that no run knows
    values = base.functions(torch.cat([torch.from_numpy(arc), zeros], dim=1)).numpy()
    np.testing.assert_allclose(values.T @ values / 3000, np.eye(8), atol=0.01)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=0.01)
    straight = np.linalg.lstsq(np.column_stack([np.ones(3000), arc]), values, rcond=None)[1]
    assert (straight[:2] < 1e-3 * 3000).all() and (straight[2:] > 0.5 * 3000).all()
    wanted = np.cos(4 * np.pi * way)
    for known, least, most in ((values, 0.9, 1.0), (arc, 0.0, 0.4)):
        given = np.column_stack([np.ones(3000), known])
        left = wanted - given @ np.linalg.lstsq(given, wanted, rcond=None)[0]
        assert least < 1 - left.var() / wanted.var() < most


def test_a_base_needs_a_start_and_poses_that_stay(two_states, linear, tmp_path, capsys):
    for more, words in (
        ([], "--base regression fits maps to the latents at --start, with poses as they are; no --start was given."),
        (["--start", linear, "--refine-poses"], "with poses as they are; --refine-poses was given too."),
    ):
        assert train(two_states, tmp_path / "no", "--zdim", 2, "--base", "regression", *more) == BAD_INPUT
        assert words in capsys.readouterr().err and not (tmp_path / "no").exists()
    none = ["--start", linear, "--zdim", 2, "--epochs", 1, "--base", "none"]
    assert train(two_states, tmp_path / "run", *none) == DONE
    assert "base" not in torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)


def test_export_says_what_cryodrgns_files_cannot_hold(two_states, linear, tmp_path, capsys):
    assert train(two_states, tmp_path / "run", "--start", linear, "--zdim", 2, "--epochs", 1) == DONE
    capsys.readouterr()
    assert (
        main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "new"), "--original", str(two_states)]) == DONE
    )
    assert "this network adds to fitted maps" in capsys.readouterr().out
    names = {p.name for p in (tmp_path / "new").iterdir()}
    assert {"z.1.pkl", "poses.pkl", "latents.csv"} < names and not {"weights.1.pkl", "config.yaml"} & names


def test_a_damaged_base_is_named(two_states, linear, tmp_path):
    assert train(two_states, tmp_path / "run", "--start", linear, "--zdim", 2, "--epochs", 1) == DONE
    path = tmp_path / "run" / CHECKPOINT
    path.with_name(PREVIOUS).unlink()  # else it would be used
    found = torch.load(path, weights_only=True)
    for harm in ({"maps": found["base"]["maps"]}, "x", found["base"] | {"maps": torch.full((3, 4, 4, 4), torch.nan)}):
        torch.save(found | {"base": harm}, path)
        with pytest.raises(HeteroError, match="lacks the maps that its network adds to; the file is damaged"):
            open_run(tmp_path / "run")
    assert len(read_latents(tmp_path / "run/latents.npz").mean) == 600
