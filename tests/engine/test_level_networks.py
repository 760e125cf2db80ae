"""The networks: the published layout, safe reading of weights, symmetry, training, and levels of real maps."""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from hetero.errors import HeteroError  # noqa: E402
from hetero.level import (  # noqa: E402
    LevelMethod,
    LevelScale,
    denormalise_level,
    networks,
    normalise_map,
    predict_level,
    predict_levels,
)
from hetero.level.evaluate import KnownLevel, found_levels  # noqa: E402
from hetero.level.framing import CHANNELS, COARSE, GRID  # noqa: E402
from hetero.level.networks import (  # noqa: E402
    LevelNetwork,
    PointwiseConv3d,
    PublishedLevelNetwork,
    SymmetricConv3d,
    folded,
    load_network,
)
from hetero.level.predict import PACKAGED_WEIGHTS  # noqa: E402
from hetero.level.simulate import simulate_map  # noqa: E402
from hetero.maps import MapWarning, Volume, read_map, resample_fourier  # noqa: E402

SHAPES = {
    "conv.0": (32, 1, 7, 7, 7), "conv.3": (64, 32, 5, 5, 5), "conv.7": (128, 64, 5, 5, 5),
    "conv.11": (256, 128, 3, 3, 3), "conv.15": (384, 256, 1, 1, 1),
    "conv.1": (32,), "conv.4": (64,), "conv.8": (128,), "conv.12": (256,),
    "mlp.0": (64, 384), "mlp.2": (1, 64),
}  # fmt: skip


@pytest.fixture(scope="module")
def simulated(globule) -> Volume:
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
    assert predict_level(Volume(data), LevelMethod(weights=path)).level == pytest.approx(expected, rel=1e-4)


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
    earlier = tmp_path / "earlier.pt"
    torch.save({"format": "hetero envelope network 3", "state": {}}, earlier)
    torch.save([1, 2], loose)
    torch.save({"weights": 1}, plain)
    text.write_text("not weights")
    whole = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(2, 2), whole)
    for path, sentence in {
        evil: "read safely", text: "read safely", whole: "read safely", other: "do not fit", loose: "holds a list",
        plain: "neither", earlier: "another version", tmp_path / "gone.pt": "is not there",
    }.items():  # fmt: skip
        with pytest.raises(HeteroError, match=sentence) as caught:
            load_network(path)
        assert "\n" not in str(caught.value)
    assert not mark.exists()
    with pytest.raises(HeteroError, match="no weights file"):
        predict_level(Volume(np.eye(8)[None].repeat(8, 0)), LevelMethod(weights=tmp_path / "gone.pt"))


def test_our_networks_are_light_and_symmetric():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LevelNetwork().eval()
    assert sum(p.numel() for p in network.parameters()) < 1_000_000
    for part, n in ((network.finder, COARSE), (network.envelope, GRID)):
        features = torch.randn(1, CHANNELS, n, n, n, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            plain, sureness = part(features)
            flipped, same = part(features.flip(2))
            turned, also = part(features.permute(0, 1, 3, 4, 2))
        rounding = 1e-5 * float(plain.abs().max())  # float32 sums in another order
        assert torch.allclose(flipped.flip(1), plain, atol=rounding)
        assert torch.allclose(turned.permute(0, 3, 1, 2), plain, atol=rounding)
        assert torch.allclose(same, sureness, atol=1e-3)
        assert torch.allclose(also, sureness, atol=1e-3)


def test_a_pointwise_layer_is_a_convolution_and_leaves_the_layout_of_its_values():
    layer = PointwiseConv3d(6, 4)
    values = torch.rand(2, 6, 5, 4, 3, generator=torch.Generator().manual_seed(0))
    values = values.to(memory_format=torch.channels_last_3d)
    found, expected = layer(values), F.conv3d(values, layer.weight, layer.bias)
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    grads = (torch.autograd.grad((said**2).sum(), layer.parameters()) for said in (found, expected))
    assert all(torch.allclose(ours, other, rtol=1e-4, atol=1e-5) for ours, other in zip(*grads, strict=True))


@pytest.mark.parametrize("values_a_part", [600, 10000])
def test_a_symmetric_layer_learns_as_a_convolution_does(values_a_part, monkeypatch):
    """On a CPU neighbours are added up by their distance, a few planes or a few maps at a time."""
    monkeypatch.setattr(networks, "_SLAB_VALUES", values_a_part)
    layer = SymmetricConv3d(3, 5)
    values, gradient = (torch.rand(5, c, 9, 7, 6, generator=torch.Generator().manual_seed(c)) for c in (3, 5))
    values = values.to(memory_format=torch.channels_last_3d).requires_grad_()
    found = layer(values)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    expected = F.conv3d(values, layer.weight[:, :, layer.distance], padding=1)
    assert torch.allclose(found, expected, atol=1e-5)
    grads = (torch.autograd.grad(said, (values, layer.weight), gradient) for said in (found, expected))
    assert all(torch.allclose(ours, other, rtol=1e-4, atol=1e-4) for ours, other in zip(*grads, strict=True))
    assert not torch.equal(found, expected)  # it was another way


@pytest.mark.parametrize("maps", [1, 3])
def test_a_folded_network_gives_the_same_answers(maps):
    """On a CPU a folded layer adds up first and multiplies then, some planes at a time."""
    network = load_network(PACKAGED_WEIGHTS)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fast = folded(network)
    assert not any(isinstance(module, SymmetricConv3d | torch.nn.BatchNorm3d) for module in fast.modules())
    for part, same, n in ((network.finder, fast.finder, COARSE), (network.envelope, fast.envelope, GRID)):
        features = torch.rand(maps, CHANNELS, n, n, n, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            for expected, found in zip(part(features), same(features), strict=True):
                assert torch.allclose(expected, found, atol=1e-3, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_is_found_in_maps_belongs_to_them(globule):
    """More maps than a batch, at several times in threads; the two in which nothing is found are left out."""
    known = []
    for i in range(11):
        made = simulate_map(globule(), np.random.default_rng(i), max_box=40)
        known.append(KnownLevel(Volume(made.data, made.apix), made.level, str(i)))
    for i in (3, 9):
        known[i] = KnownLevel(Volume(np.ones((20, 20, 20), np.float32)), 1.0, str(i))
    said = []
    found = list(found_levels(load_network(PACKAGED_WEIGHTS), known, lambda *words: said.append(words), "looking"))
    assert [one.molecule for one, _ in found] == [str(i) for i in range(11) if i not in (3, 9)]
    for one, answer in found:
        assert answer.level == pytest.approx(predict_level(one.volume).level, rel=1e-3)
    assert said == [(i, 0, "looking") for i in range(11)]


def test_the_members_of_a_correction_are_averaged():
    correction = load_network(PACKAGED_WEIGHTS).correction
    numbers = correction.centre + correction.width * torch.linspace(-1, 1, 4)[:, None]
    with torch.inference_mode():
        each = correction.of_each_member(numbers.expand(len(correction.members), *numbers.shape))
        assert torch.allclose(correction(numbers), each.mean(dim=0))
    assert len(torch.unique(each[:, 0])) == len(correction.members)


def test_level_scales_exactly_with_the_map(simulated):
    level = predict_level(simulated).level
    assert predict_level(Volume(simulated.data * 2**7, simulated.apix)).level == level * 2**7
    assert predict_level(Volume(simulated.data * 3.3, simulated.apix)).level == pytest.approx(3.3 * level, rel=1e-3)


def normalised_change(volume: Volume, level: float, before: float) -> float:
    return abs(level - before) * 2 / (LevelScale.of(volume.data).maximum - LevelScale.of(volume.data).minimum)


def test_level_ignores_padding_mirrors_axis_order_and_origin(simulated):
    """Constant borders and the origin exactly, mirrors and axis order to 0.2 % of the normalised scale."""
    data, apix = simulated.data, simulated.apix
    level = predict_level(simulated).level
    padded = np.pad(data, ((5, 0), (17, 3), (2, 2)), constant_values=np.median(data))
    assert predict_level(Volume(padded, apix)).level == level
    assert predict_level(Volume(data, apix, (5, 6, 7))).level == level
    for other in (data[::-1], data[:, ::-1, ::-1], data.transpose(2, 0, 1), data.transpose(1, 0, 2)):
        assert normalised_change(simulated, predict_level(Volume(other, apix)).level, level) < 0.002


def test_level_ignores_what_is_cut_from_noisy_borders():
    """Less than 1 % of the normalised scale: the second look is at the molecule, however large the box."""
    place = np.indices((72, 72, 72)) - 36.2
    distance = np.sqrt((place**2).sum(axis=0))
    data = 1 / (1 + np.exp(distance - 13)) + np.random.default_rng(0).normal(0, 0.08, distance.shape)
    volume = Volume(data, (1.5, 1.5, 1.5))
    level = predict_level(volume).level
    for cut in (slice(4, -4), slice(8, -6), slice(12, -12)):
        cropped = Volume(data[cut, cut, cut], volume.apix)
        assert normalised_change(volume, predict_level(cropped).level, level) < 0.01


def test_the_same_map_on_disk_in_any_guise_has_the_same_level(simulated, tmp_path):
    mrcfile = pytest.importorskip("mrcfile")
    level = predict_level(simulated).level
    turned = np.ascontiguousarray(simulated.data.transpose(2, 1, 0))  # sections along x
    guises = {"plain.mrc": (simulated.data, (1, 2, 3)), "packed.mrc.gz": (simulated.data, (1, 2, 3)),
              "turned.mrc": (turned, (3, 2, 1))}  # fmt: skip
    for name, (data, axes) in guises.items():
        with mrcfile.new(tmp_path / name, compression="gzip" if name.endswith("gz") else None) as mrc:
            mrc.set_data(data)
            mrc.header.mapc, mrc.header.mapr, mrc.header.maps = axes
            mrc.header.cella = tuple(float(n * a) for n, a in zip(simulated.shape, simulated.apix, strict=True))[::-1]
            mrc.header.mx, mrc.header.my, mrc.header.mz = simulated.shape[::-1]
        assert predict_level(read_map(tmp_path / name)).level == pytest.approx(level, rel=1e-6)


@pytest.mark.parametrize("side", [64, 160])
def test_memory_is_a_few_times_the_map(side):
    place = np.indices((side,) * 3, dtype=np.float32) - side / 2
    data = (np.sqrt((place**2).sum(axis=0)) < side / 4).astype(np.float32)
    del place
    data += np.random.default_rng(0).normal(0, 0.1, data.shape).astype(np.float32)
    volume = Volume(data)
    predict_level(Volume(data[:40, :40, :40]))  # torch and the weights are there
    tracemalloc.start()
    predict_level(volume)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * data.nbytes


def test_the_stated_range_holds_the_level():
    place = np.indices((48, 48, 48)) - 24
    ball = 1 / (1 + np.exp(np.sqrt((place**2).sum(axis=0)) - 10))
    volume = Volume(ball + np.random.default_rng(0).normal(0, 0.05, ball.shape))
    answer = predict_level(volume)
    assert answer.level_low < answer.level < answer.level_high
    more, less = (volume.enclosed_volume(x) / answer.enclosed_volume_a3 for x in (answer.level_low, answer.level_high))
    assert 0.5 < less < 0.98
    assert 1.02 < more < 2


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


def test_simulation_repeats_with_its_seed_and_its_label_is_the_best_level(globule):
    first, again = (simulate_map(globule(), np.random.default_rng(9), 48) for _ in range(2))
    assert (first.data == again.data).all()
    assert first.level == again.level

    def dice(level):
        inside = first.data >= level
        return 2 * (inside & first.envelope).sum() / (inside.sum() + first.envelope.sum())

    assert dice(first.level) > max(dice(first.level * f) for f in (0.5, 0.7, 1.4, 2)) - 0.003


def _read(path):
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MapWarning)
        return read_map(path)


def test_emd_1832_is_near_the_authors_volume(shared):
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
    assert PACKAGED_WEIGHTS.stat().st_size < 20e6
    metadata = torch.load(PACKAGED_WEIGHTS, weights_only=True)["metadata"]
    assert metadata["seed"] == 0
    assert {"maps", "epochs", "held_out", "report", "versions"} <= set(metadata)
