"""The networks: the published layout, safe reading of weights, symmetry, training, and levels of real maps."""

import hashlib
import warnings

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from hetero.commands import train_level  # noqa: E402
from hetero.errors import Cancelled, HeteroError  # noqa: E402
from hetero.level import (  # noqa: E402
    LevelScale,
    denormalise_level,
    normalise_level,
    normalise_map,
    predict_level,
    predict_levels,
    training,
)
from hetero.level.networks import EnvelopeNetwork, PublishedLevelNetwork, load_network  # noqa: E402
from hetero.level.predict import PACKAGED_WEIGHTS  # noqa: E402
from hetero.level.simulate import simulate_map  # noqa: E402
from hetero.level.training import TrainingPlan  # noqa: E402
from hetero.maps import MapWarning, Structure, Volume, read_map, resample_fourier  # noqa: E402

SHAPES = {
    "conv.0": (32, 1, 7, 7, 7), "conv.3": (64, 32, 5, 5, 5), "conv.7": (128, 64, 5, 5, 5),
    "conv.11": (256, 128, 3, 3, 3), "conv.15": (384, 256, 1, 1, 1),
    "conv.1": (32,), "conv.4": (64,), "conv.8": (128,), "conv.12": (256,),
    "mlp.0": (64, 384), "mlp.2": (1, 64),
}  # fmt: skip


def globule(seed: int = 0, atoms: int = 1500, chains: int = 2, radius: float = 28.0) -> Structure:
    """Atoms at protein density in lumpy balls: a structure that needs no file."""
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(atoms, 3))
    positions *= radius * rng.uniform(0, 1, (atoms, 1)) ** (1 / 3) / np.linalg.norm(positions, axis=1, keepdims=True)
    chain = rng.integers(0, chains, atoms)
    positions += np.array([0, 0, 0.9 * radius]) * chain[:, None]
    return Structure(positions, np.full(atoms, 50.0), np.array(list("ABCDEF"))[chain], f"globule {seed}")


@pytest.fixture(scope="module")
def simulated() -> Volume:
    made = simulate_map(globule(), np.random.default_rng(5), max_box=64)
    return Volume(made.data, made.apix)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A random checkpoint of the published layout, pickled as theirs are, with lived-in batch statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = PublishedLevelNetwork()
        state = network.state_dict()
        for name, value in state.items():
            if "running" in name:
                value.copy_(torch.rand_like(value) + 0.5)
    path = tmp_path_factory.mktemp("weights") / "weights_5e6.pth"
    torch.save({"epoch": 9, "model_state_dict": state, "optimizer_state_dict": {}, "loss": torch.nn.MSELoss()}, path)
    return path, state


def published_forward(state, maps):
    """The published network written a second time, from the methods text."""

    def norm(x, name):
        return F.batch_norm(x, state[f"{name}.running_mean"], state[f"{name}.running_var"], state[f"{name}.weight"],
                            state[f"{name}.bias"], training=False, eps=1e-5)  # fmt: skip

    def conv(x, name):
        return F.conv3d(x, state[f"{name}.weight"], state[f"{name}.bias"])

    x = maps.view(-1, 1, 64, 64, 64)
    x = F.relu(norm(conv(x, "conv.0"), "conv.1"))
    x = F.max_pool3d(F.relu(norm(conv(x, "conv.3"), "conv.4")), 2)
    x = F.max_pool3d(F.relu(norm(conv(x, "conv.7"), "conv.8")), 2)
    x = F.max_pool3d(F.relu(norm(conv(x, "conv.11"), "conv.12")), 2)
    x = F.avg_pool3d(F.relu(conv(x, "conv.15")), 3, 2).flatten(1)
    x = F.relu(F.linear(x, state["mlp.0.weight"], state["mlp.0.bias"]))
    return F.linear(x, state["mlp.2.weight"], state["mlp.2.bias"])[:, 0]


def test_published_layout():
    network = PublishedLevelNetwork()
    assert sum(p.numel() for p in network.parameters()) == 2_300_545
    state = network.state_dict()
    assert len(state) == 34
    for name, shape in SHAPES.items():
        assert tuple(state[f"{name}.weight"].shape) == shape
        assert tuple(state[f"{name}.bias"].shape) == shape[:1]


def test_published_checkpoint_loads_and_runs_as_an_independent_forward_pass(checkpoint):
    path, state = checkpoint
    network = load_network(path)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])
    maps = torch.randn(1, 64, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(network(maps), published_forward(state, maps))


@pytest.mark.parametrize("shape", [(64, 64, 64), (50, 38, 45)])
def test_published_protocol(checkpoint, shape):
    path, state = checkpoint
    data = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    data[10:30, 12:28, 14:30] += 5
    cube = data
    if shape != (64, 64, 64):
        faces = np.concatenate([np.take(data, end, axis).ravel() for axis in range(3) for end in (0, -1)])
        cube = np.full((50, 50, 50), np.median(faces), np.float32)
        cube[:, 6:44, 2:47] = data
    small = normalise_map(resample_fourier(cube, (64, 64, 64)))
    with torch.inference_mode():
        normalised = float(published_forward(state, torch.from_numpy(small)))
    expected = denormalise_level(normalised, LevelScale.of(data))
    assert predict_level(Volume(data), weights=path).level == pytest.approx(expected, rel=1e-4)


class Boom:
    """Would make a file if its pickle were obeyed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_foreign_files_are_refused_and_not_executed(tmp_path):
    evil, mark = tmp_path / "evil.pt", tmp_path / "mark"
    torch.save({"model_state_dict": Boom(mark)}, evil)
    other = tmp_path / "other.pt"
    torch.save({"model_state_dict": {"layer": torch.zeros(3)}}, other)
    loose, plain, text = tmp_path / "loose.pt", tmp_path / "plain.pt", tmp_path / "text.pt"
    torch.save([1, 2], loose)
    torch.save({"weights": 1}, plain)
    text.write_text("not weights")
    whole = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(2, 2), whole)
    for path, sentence in {
        evil: "read safely", text: "read safely", whole: "read safely", other: "do not fit", loose: "holds a list",
        plain: "neither", tmp_path / "gone.pt": "no weights file",
    }.items():  # fmt: skip
        with pytest.raises(HeteroError, match=sentence) as caught:
            load_network(path)
        assert "\n" not in str(caught.value)
    assert not mark.exists()
    with pytest.raises(HeteroError, match="no weights file"):
        predict_level(Volume(np.eye(8)[None].repeat(8, 0)), weights=tmp_path / "gone.pt")


def test_our_network_is_light_and_symmetric():
    network = EnvelopeNetwork().eval()
    assert sum(p.numel() for p in network.parameters()) < 500_000
    features = torch.randn(1, 3, 40, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = network(features)
        flipped = network(features.flip(2)).flip(1)
        turned = network(features.permute(0, 1, 3, 4, 2)).permute(0, 3, 1, 2)
    assert torch.allclose(flipped, plain, atol=1e-3)  # float32 sums in another order
    assert torch.allclose(turned, plain, atol=1e-3)  # float32 sums in another order


def test_level_scales_exactly_with_the_map(simulated):
    level = predict_level(simulated).level
    assert predict_level(Volume(simulated.data * 2**7, simulated.apix)).level == level * 2**7
    assert predict_level(Volume(simulated.data * 3.3, simulated.apix)).level == pytest.approx(3.3 * level, rel=1e-3)


def test_level_ignores_padding_mirrors_axis_order_and_origin(simulated):
    """Constant borders and the origin exactly, mirrors and axis order to 0.2 % of the normalised scale."""
    scale = LevelScale.of(simulated.data)
    data, apix = simulated.data, simulated.apix
    level = predict_level(simulated).level
    padded = np.pad(data, ((5, 0), (17, 3), (2, 2)), constant_values=np.median(data))
    assert predict_level(Volume(padded, apix)).level == level
    assert predict_level(Volume(data, apix, (5, 6, 7))).level == level
    for other in (data[::-1], data[:, ::-1, ::-1], data.transpose(2, 0, 1), data.transpose(1, 0, 2)):
        moved = predict_level(Volume(other, apix)).level
        assert normalise_level(moved, scale) == pytest.approx(normalise_level(level, scale), abs=0.002)


def test_batches_give_the_same_levels_as_single_maps(simulated):
    maps = [simulated, Volume(np.zeros((9, 9, 9))), Volume(simulated.data[3:-2], simulated.apix), simulated]
    many = list(predict_levels(maps))
    assert isinstance(many[1], HeteroError)
    for volume, answer in zip(maps, many, strict=True):
        if not isinstance(answer, HeteroError):
            assert answer.level == pytest.approx(predict_level(volume).level, rel=1e-3)


@pytest.mark.parametrize("shape", [(24, 24, 24), (31, 30, 17), (48, 100, 40)])
def test_any_box(shape):
    place = np.indices(shape) - (np.array(shape) / 2)[:, None, None, None]
    data = (np.sqrt((place**2).sum(axis=0)) < min(shape) / 4) + np.random.default_rng(0).normal(0, 0.02, shape)
    answer = predict_level(Volume(data, (1.0, 1.2, 1.5)))
    assert 0.02 < answer.level < 1.05
    assert answer.enclosed_volume_a3 == pytest.approx((data > 0.5).sum() * 1.8, rel=0.1)


def test_simulation_repeats_with_its_seed_and_its_label_is_the_best_level():
    first, again = (simulate_map(globule(), np.random.default_rng(9), 48) for _ in range(2))
    assert (first.data == again.data).all()
    assert first.level == again.level

    def dice(level):
        inside = first.data >= level
        return 2 * (inside & first.envelope).sum() / (inside.sum() + first.envelope.sum())

    assert dice(first.level) > max(dice(first.level * f) for f in (0.5, 0.7, 1.4, 2)) - 0.003


def test_soft_count_loss_is_the_papers():
    values, predicted, true = torch.tensor([[-0.9, 0.1, 0.5]]), torch.tensor([-0.5]), torch.tensor([0.2])
    terms = [(1 / (1 + np.exp(-10 * (v + 0.5))) - 1 / (1 + np.exp(-10 * (v - 0.2)))) ** 2 for v in (-0.9, 0.1, 0.5)]
    assert float(training.soft_count_loss(values, predicted, true)) == pytest.approx(np.mean(terms), rel=1e-5)


def test_differentiable_level_follows_the_envelope():
    values = torch.rand(1, 4000, generator=torch.Generator().manual_seed(0))
    inside = (values > 0.6).float().requires_grad_()
    level = training.agreeing_level(values, inside)
    assert level.item() == pytest.approx(0.6, abs=0.02)
    level.sum().backward()
    assert inside.grad.abs().sum() > 0


def test_relatives_stay_on_one_side():
    structures = [globule(i, 1500 + 700 * (i // 2), radius=25 + 5 * (i // 2)) for i in range(10)]
    trained, held_out = training.split_structures(structures, 0.2, seed=1)
    assert len(trained) + len(held_out) == 10
    families = [{int(s.name.split()[1]) // 2 for s in side} for side in (trained, held_out)]
    assert not families[0] & families[1]


def test_small_training_learns_and_its_weights_come_back(tmp_path, simulated):
    plan = TrainingPlan(maps=16, epochs=4, batch=4, max_box=32)
    features, envelopes = training.simulate_frames([globule(1), globule(2)], plan)
    losses = []
    network = training.train_network(features, envelopes, plan, report=lambda epoch, loss: losses.append(loss))
    assert losses[-1] < 0.8 * losses[0]
    path = tmp_path / "mine.pt"
    training.save_network(path, network, {"seed": 0})
    for name, value in load_network(path).state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    before = [value.clone() for value in network.state_dict().values()]
    more = training.train_network(features, envelopes, TrainingPlan(maps=16, epochs=1, batch=4), start=network)
    assert not torch.equal(more.head.weight, network.head.weight)
    assert all(map(torch.equal, before, network.state_dict().values()))
    with pytest.raises(HeteroError, match="fewer than one batch"):
        training.train_network(features[:2], envelopes[:2], plan)


def test_any_number_of_processes_simulates_the_same_maps():
    structures = [globule(1, 900), globule(2, 900)]
    one, two = (training.simulate_frames(structures, TrainingPlan(maps=12, max_box=32, processes=n)) for n in (1, 2))
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first, second)


def test_train_level_command(tmp_path):
    folder = tmp_path / "structures"
    folder.mkdir()
    for i in range(4):
        _write_pdb(folder / f"s{i}.pdb", globule(i, 900 + 500 * i, radius=22 + 5 * i))
    settings = train_level.Settings(folder, tmp_path / "w.pt", maps=8, epochs=1, held_out_maps=3, max_box=32)
    result = train_level.run(settings)
    assert set(result["held_out"]) < {"s0", "s1", "s2", "s3"}
    assert "held out" in train_level.describe(result)
    assert isinstance(load_network(tmp_path / "w.pt"), EnvelopeNetwork)

    more = train_level.Settings(folder, tmp_path / "v.pt", start=tmp_path / "w.pt", maps=8, epochs=1, held_out_maps=0,
                                max_box=32, bfloat16=True)  # fmt: skip
    train_level.run(more)
    metadata = [torch.load(tmp_path / name, weights_only=True)["metadata"] for name in ("w.pt", "v.pt")]
    assert metadata[0]["start"] is None
    assert metadata[1]["start"] == hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()

    def stop(done, total, message):
        raise Cancelled

    with pytest.raises(Cancelled):
        train_level.run(train_level.Settings(folder, tmp_path / "x.pt", maps=8), stop)
    with pytest.raises(HeteroError, match="not a folder"):
        train_level.run(train_level.Settings(tmp_path / "gone", tmp_path / "x.pt"))
    with pytest.raises(HeteroError, match="holds 0 structures"):
        train_level.run(train_level.Settings(tmp_path, tmp_path / "x.pt"))
    assert not (tmp_path / "x.pt").exists()


def _write_pdb(path, structure: Structure) -> None:
    lines = [
        f"ATOM  {i + 1:5d}  CA  ALA {chain}{i % 9999 + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
        for i, ((z, y, x), chain) in enumerate(zip(structure.positions, structure.chains, strict=True))
    ]
    path.write_text("\n".join([*lines, "END", ""]))


def _read(path):
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MapWarning)
        return read_map(path)


def test_emd_1832_within_a_quarter_of_the_authors_volume(shared):
    volume = _read(shared / "data" / "maps" / "emd_1832.map")
    assert predict_level(volume).enclosed_volume_a3 == pytest.approx(volume.enclosed_volume(0.42), rel=0.25)


def test_ribosomes_neither_swell_nor_vanish(shared):
    """Ten cryoDRGN volumes of the assembling 50S subunit, 1.3 MDa when complete; each is in one piece."""
    folder = shared / "data" / "ensembles" / "maven" / "00_aligned"
    volumes = [_read(path) for path in sorted(folder.glob("*.mrc"))]
    if not volumes:
        pytest.skip(f"{folder} holds no maps")
    for volume, answer in zip(volumes, predict_levels(volumes), strict=True):
        assert 0.5 < answer.level < 1.3
        assert 600 < answer.mass_kda < 1800
        pieces, _ = ndimage.label(volume.data >= answer.level)
        assert np.bincount(pieces.ravel())[1:].max() > 0.95 * np.count_nonzero(pieces)


def test_packaged_weights_are_small_and_say_where_they_come_from():
    assert PACKAGED_WEIGHTS.stat().st_size < 10e6
    metadata = torch.load(PACKAGED_WEIGHTS, weights_only=True)["metadata"]
    assert metadata["seed"] == 0
    assert {"maps", "epochs", "held_out", "report", "versions"} <= set(metadata)
