"""What the worker answers for viewers of Gaussians: ``gaussians``, and ``info`` on model texts."""

import json

import numpy as np
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands import gaussians, settings_from
from hetero.errors import HeteroError
from hetero.gmm import GaussianModel, write_model
from hetero.latent import CHECKPOINT, Latents, RunConfig, write_config, write_latents
from hetero.maps import Volume, write_map

BOX, APIX, N = 16, 4.0, 30


@pytest.fixture
def model():
    """Two clouds of 20 and 10 Gaussians, to the left and to the right (x)."""
    rng = np.random.default_rng(3)
    centres = 32 + rng.normal(0, 3, (N, 3)) + np.where(np.arange(N)[:, None] < 20, [0, 0, -12], [0, 0, 12])
    return GaussianModel(centres, np.linspace(1, 2, N), 3.0, BOX, APIX)


@pytest.fixture
def turning(model, tmp_path):
    """A run of the model whose right cloud shifts by 8 z1 Å along y."""
    torch = pytest.importorskip("torch", reason="weights are written with torch")
    from hetero.gmm.files import save_checkpoint
    from hetero.gmm.networks import DynamicModel, NetworkShape
    from hetero.gmm.scene import cloud_of

    moving = torch.arange(N) >= 20
    linear = NetworkShape(zdim=2, width=2, layers=0, dropout=0.0, batch_norm=False, features=0, reach=1.0)
    network = DynamicModel(linear, cloud_of(model), moving, ("position",))
    weight = torch.zeros(30, 2)
    weight[1::3, 0] = 8.0  # x, y, z
    network.decoder[-1].weight.data = weight
    folder = tmp_path / "run"
    folder.mkdir()
    save_checkpoint(folder / CHECKPOINT, network, model, epoch=1)
    write_config(folder / "config.json", RunConfig("gmm", BOX, APIX, {}))
    z = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    write_latents(folder / "latents.npz", Latents(z, np.arange(50)))
    return folder, z


def ask(source, tmp_path, **how):
    out = tmp_path / "g.npz"
    answer = gaussians.run(settings_from("gaussians", {"source": str(source), "out": str(out)} | how))
    with np.load(out) as arrays:
        return answer, dict(arrays)


def test_gaussians_lie_where_the_latent_puts_them(turning, model, tmp_path):
    folder, z = turning
    answer, arrays = ask(folder, tmp_path, start={"particle": 7})
    shift = np.where(np.arange(N) < 20, 0, 8 * z[7, 0])
    np.testing.assert_allclose(arrays["centres"], model.centres + np.outer(shift, [0, 1, 0]), atol=1e-4)
    np.testing.assert_allclose(arrays["masses"], model.masses, rtol=1e-5)
    assert set(arrays) == {"centres", "sigmas", "masses"} and answer["n"] == N and answer["nearest"] == 7


def test_a_motion_and_its_body(turning, model, tmp_path):
    folder, _ = turning
    data = np.zeros((BOX,) * 3, np.float32)
    data[:, :, BOX // 2 :] = 1
    write_map(tmp_path / "right.mrc", Volume(data, APIX))
    points = {"start": {"z": [-0.5, 0]}, "end": {"z": [0.5, 1]}}
    answer, arrays = ask(folder, tmp_path, mask=str(tmp_path / "right.mrc"), **points)
    moved = np.where(np.arange(N) < 20, 0, 8.0)
    np.testing.assert_allclose(arrays["displacements"], np.outer(moved, [0, 1, 0]), atol=1e-4)
    assert arrays["inside"].tolist() == (np.arange(N) >= 20).tolist()
    body = answer["rigid"]
    assert body["angle"] == pytest.approx(0, abs=0.1) and body["left"] == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(body["shift"], [0, 8, 0], atol=1e-3)


def test_model_texts_are_told_and_shown(model, tmp_path, capsys):
    write_model(tmp_path / "m.txt", model)
    assert main(["info", str(tmp_path / "m.txt"), "--json"]) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert answer["kind"] == "gaussians" and (answer["n"], answer["box"], answer["program"]) == (N, BOX, "new")
    answer, arrays = ask(tmp_path / "m.txt", tmp_path)
    np.testing.assert_allclose(arrays["centres"], model.centres, atol=1e-4)
    assert answer["z"] is None and answer["name"] == "m"
    foreign = tmp_path / "f.txt"
    np.savetxt(foreign, np.loadtxt(tmp_path / "m.txt"))
    assert main(["info", str(foreign)]) == DONE
    assert "30 Gaussians" in (said := capsys.readouterr().out) and "does not say which program wrote it" in said
    _, theirs = ask(foreign, tmp_path, program="new", box=BOX, apix=APIX)
    np.testing.assert_allclose(theirs["centres"], arrays["centres"], atol=1e-4)


def test_what_is_no_model_gets_a_sentence(turning, model, write_cryodrgn, tmp_path, capsys):
    folder, _ = turning
    write_model(tmp_path / "m.txt", model)
    (tmp_path / "note.txt").write_text("to do: everything\n")
    assert main(["info", str(tmp_path / "note.txt")]) == BAD_INPUT
    assert "is no model text" in capsys.readouterr().err
    for source, how, words in (
        (write_cryodrgn("other"), {"start": {"particle": 1}}, "which has no Gaussians"),
        (tmp_path / "m.txt", {"start": {"particle": 1}}, "which has no latents, no epochs and does not move"),
        (tmp_path / "m.txt", {"epoch": 1}, "which has no latents, no epochs and does not move"),
        (folder, {}, "One of z, at, particle"),
        (folder, {"start": {"particle": 1}, "epoch": 7}, "has no weights of epoch 7; there is 1"),
        (folder, {"start": {"z": [0, 0]}, "end": {"z": [0]}}, "A latent of 1 numbers"),
    ):
        with pytest.raises(HeteroError, match=words):
            ask(source, tmp_path, **how)
