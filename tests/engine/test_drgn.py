"""cryoDRGN's decoder against the maths of the paper written out plainly, and its folders, good and bad."""

import os
import pickle
import shutil

import numpy as np
import pytest
import yaml

from hetero.commands import info, select
from hetero.commands.open_run import is_run_folder, open_run
from hetero.errors import HeteroError
from hetero.latent import Latents, RunConfig, View, write_config, write_latents

torch = pytest.importorskip("torch", reason="networks need torch")

ENCODINGS = ("gaussian", "geom_ft", "geom_full", "geom_lowf", "geom_nohighf", "linear_lowf", "none")


def reference_features(k, kind, box, per_axis, drawn):
    """``(p, 3)`` cycles per voxel to what cryoDRGN's first layer takes, in its order."""
    if kind == "none":
        return k
    if kind == "gaussian":
        angles = k @ (drawn.T * (box // 2))
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    j = np.arange(per_axis) / (per_axis - 1)
    lengths = {
        "geom_ft": box * np.pi * (2 / box) ** j,
        "geom_full": box * np.pi * (1 / (box * np.pi)) ** j,
        "geom_lowf": box / 2 * (2 / box) ** j,
        "geom_nohighf": box / 2 * (4 * np.pi / box) ** j,
        "linear_lowf": np.arange(1, box // 2 + 1),
    }[kind]
    return np.concatenate([f(k[:, axis, None] * lengths) for axis in range(3) for f in (np.sin, np.cos)], axis=1)


def reference_network(state, config, k, z):
    """``(p, outputs)``: Linear, act, [x + Linear(x), act] x layers, Linear, in double precision."""
    model, box = config["model_args"], config["lattice_args"]["D"] - 1
    drawn = next((np.float64(v) for key, v in state.items() if key.endswith("rand_freqs")), None)
    features = reference_features(k, model["pe_type"], box, model["pe_dim"] or box // 2, drawn)
    x = np.concatenate([features, np.broadcast_to(z, (len(k), len(z)))], axis=1)
    names = [n.removesuffix("weight") for n in state if ".main." in f".{n}" and n.endswith("weight")]
    names = [n for n in names if not n.startswith("encoder.")]
    for i, name in enumerate(names):
        y = x @ np.float64(state[name + "weight"]).T + np.float64(state[name + "bias"])
        x = x + y if name.endswith("linear.") else y
        if i < len(names) - 1:
            x = np.where(x > 0, x, x * (0.01 if model["activation"] == "leaky_relu" else 0))
    return x


def reference_volume(state, config, z, box=None):
    """Section 1d of the methods text: the whole lattice, each point on its own, an ordinary Fourier transform."""
    model, full = config["model_args"], config["lattice_args"]["D"] - 1
    box = box or full
    line = np.linspace(-0.5 * box / full, 0.5 * box / full, box + 1)
    kz, ky, kx = np.meshgrid(line, line, line, indexing="ij")
    k = np.stack([kx, ky, kz], axis=-1).reshape(-1, 3)
    if model["domain"] == "hartley":
        hartley = reference_network(state, config, k, z)[:, 0]
    else:
        stored = (k[:, 2] < 0) | ((k[:, 2] == 0) & ((k[:, 1] < 0) | ((k[:, 1] == 0) & (k[:, 0] <= 0))))
        value = reference_network(state, config, np.where(stored[:, None], k, -k), z)
        value = value[:, 0] + 1j * np.where(stored, 1, -1) * value[:, 1]
        inside = np.round((k * full) ** 2).sum(axis=1) <= (box // 2) ** 2
        hartley = np.where(inside, value.real - value.imag, 0)
    mean, sd = config["dataset_args"].get("norm") or (0, 1)
    hartley = (hartley.reshape(box + 1, box + 1, box + 1) * sd + mean)[:-1, :-1, :-1]
    transform = np.fft.fftshift(np.fft.fftn(np.fft.fftshift(hartley))) / full**3
    return transform.real - transform.imag


@pytest.mark.parametrize("domain", ["fourier", "hartley"])
@pytest.mark.parametrize("kind", ENCODINGS)
def test_every_decoder_gives_the_plain_maths_volume(write_cryodrgn, kind, domain):
    folder = write_cryodrgn(kind=kind, domain=domain, activation="leaky_relu", dataset={"norm": [0.3, 2.5]})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    state = torch.load(folder / "weights.pkl", weights_only=True)["model_state_dict"]
    state = {name: value.numpy() for name, value in state.items()}
    z = np.array([[0.3, -1.2], [2.0, 0.1], [-0.5, 0.5]])
    for box in (16, 10):
        for row, volume in zip(z, open_run(folder).decode(z, View(box=box)), strict=True):
            expected = reference_volume(state, config, row, box)
            np.testing.assert_allclose(volume.data, expected, atol=1e-5 * np.ptp(expected), rtol=0)


@pytest.mark.parametrize("domain", ["fourier", "hartley"])
def test_a_first_layer_that_maps_its_space_to_itself_is_residual(write_cryodrgn, domain):
    folder = write_cryodrgn(width=32, domain=domain)  # 6 x 5 waves and 2 latent numbers
    state = torch.load(folder / "weights.pkl", weights_only=True)["model_state_dict"]
    assert "decoder.decoder.main.0.linear.weight" in state
    config = yaml.safe_load((folder / "config.yaml").read_text())
    expected = reference_volume({n: v.numpy() for n, v in state.items()}, config, np.array([0.3, -1.2]))
    (volume,) = open_run(folder).decode([0.3, -1.2])
    np.testing.assert_allclose(volume.data, expected, atol=1e-5 * np.ptp(expected), rtol=0)


def real_run(shared, folder):
    folder.mkdir()
    for name, as_name in (("weights.pkl",) * 2, ("z.pkl",) * 2, ("config.yaml",) * 2):
        shutil.copy(shared / "data" / "trained" / "cryodrgn_tests" / f"het_{name}", folder / as_name)
    return folder


def test_the_real_run_decodes_to_its_maths(shared, tmp_path):
    """het_weights.pkl, trained by cryoDRGN; its search_pose array would need numpy's unpickling and is left out."""
    folder = real_run(shared, tmp_path / "hand")
    run = open_run(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    state = {n: v.numpy() for n, v in network_state(folder).items()}
    (volume,) = run.decode(run.latents[57])
    expected = reference_volume(state, config, run.latents[57].astype(float))
    np.testing.assert_allclose(volume.data, expected, atol=1e-5, rtol=0)
    assert np.abs(expected).max() > 0.1
    with open(folder / "z.pkl", "rb") as file:  # our own shared file
        np.testing.assert_array_equal(run.latents, pickle.load(file))
        np.testing.assert_array_equal(run.log_variance, pickle.load(file))
    assert (run.system, run.box, run.zdim, len(run), run.epoch) == ("cryodrgn", 64, 8, 100, 0)
    assert run.notes == ("the run does not say its voxel size (it was trained without CTF); 1 Å is assumed.",)


def network_state(folder):
    from hetero.drgn.foreign_weights import load_checkpoint, state_of

    return state_of(load_checkpoint(folder / "weights.pkl"))


def test_the_plain_module_and_the_fast_volumes_agree(write_cryodrgn):
    """The module that trains, at lattice points in any order, against the transform of a decoded map."""
    from hetero.drgn.foreign_files import read_config
    from hetero.drgn.foreign_weights import load_checkpoint, network_of

    for name, domain in (("a", "fourier"), ("b", "hartley")):
        folder = write_cryodrgn(name, domain=domain)
        network = network_of(load_checkpoint(folder / "weights.pkl"), read_config(folder).shape, folder)
        z = np.array([[0.5, 1.0], [-1.0, 0.0]], np.float32)
        points = np.random.default_rng(0).integers(-4, 5, (50, 3))
        coordinates = torch.from_numpy(points / 16).float()
        with torch.no_grad():
            values = network.hartley(coordinates, torch.from_numpy(z)).numpy() * 2.5
            again = network.hartley(coordinates.expand(2, -1, -1), torch.from_numpy(z)).numpy() * 2.5
        np.testing.assert_allclose(again, values, rtol=1e-5, atol=1e-5)
        for row, volume in zip(values, open_run(folder).decode(z), strict=True):
            transform = np.fft.fftn(np.fft.ifftshift(volume.data.astype(float)))
            hartley = (transform.real - transform.imag)[tuple(points[:, ::-1].T)]
            np.testing.assert_allclose(hartley, row, rtol=1e-4, atol=1e-4)


def test_latents_are_decoded_alike_alone_and_together(write_cryodrgn):
    run = open_run(write_cryodrgn())
    together = [v.data for v in run.decode(run.latents[:11])]
    for i in (0, 3, 10):
        (alone,) = run.decode(run.latents[i])
        np.testing.assert_allclose(alone.data, together[i], atol=1e-6)


# Folders


def test_the_newest_epoch_or_the_one_asked_for(write_cryodrgn):
    folder = write_cryodrgn(epochs=(0, 1, 2))
    assert open_run(folder).epoch == 2
    assert open_run(folder, epoch=1).epoch == 1
    one, two = open_run(folder, epoch=1), open_run(folder)
    assert not np.allclose(one.latents, two.latents)
    assert not np.allclose(next(one.decode([0, 0])).data, next(two.decode([0, 0])).data)
    with pytest.raises(HeteroError, match=r"run has no weights of epoch 7; there is 0, 1, 2\."):
        open_run(folder, epoch=7)


def test_verbs_read_the_epoch_asked_for(write_cryodrgn, tmp_path):
    folder = write_cryodrgn(epochs=(0, 1, 2))
    assert [info.run(info.Settings(folder, epoch))["epoch"] for epoch in (0, 1, None)] == [0, 1, 2]
    for epoch in (0, None):
        z = open_run(folder, epoch).latents[:, 0]
        rule = f"z1 > {float(np.sort(z)[20])}"
        select.run(select.Settings((folder,), tmp_path / "some.npy", rule, epoch=epoch))
        assert np.load(tmp_path / "some.npy").tolist() == np.flatnonzero(z > np.sort(z)[20]).tolist()
    with pytest.raises(HeteroError, match="is no run"):
        info.run(info.Settings(tmp_path, 1))


def test_a_run_that_was_continued_is_newer_than_its_old_final_weights(write_cryodrgn):
    folder = write_cryodrgn(epochs=(1, 2))
    later = write_cryodrgn("later", epochs=(3,), final=False)
    for name in ("weights.3.pkl", "z.3.pkl"):
        shutil.move(later / name, folder / name)
    assert open_run(folder).epoch == 3


def test_a_run_says_its_voxel_size_and_particles(write_cryodrgn, tmp_path):
    table = np.tile(np.array([128, 1.5, 1e4, 1e4, 0, 300, 2.7, 0.1, 0], np.float32), (60, 1))
    for name, value in (("ctf.pkl", table), ("ind.pkl", np.arange(1, 60, 2))):
        with open(tmp_path / name, "wb") as file:
            pickle.dump(value, file)
    folder = write_cryodrgn(dataset={"ctf": "/scratch/gone/ctf.pkl", "ind": str(tmp_path / "ind.pkl")})
    run = open_run(folder)
    assert run.apix == pytest.approx(128 * 1.5 / 16) and run.notes == ()
    np.testing.assert_array_equal(run.particle_index, np.arange(1, 60, 2))
    assert open_run(folder, apix=3.0).apix == 3.0
    os.remove(tmp_path / "ctf.pkl")
    os.remove(tmp_path / "ind.pkl")
    run = open_run(folder)
    assert run.apix == 1.0 and len(run.notes) == 2 and "/scratch/gone/ctf.pkl is not there" in run.notes[1]
    np.testing.assert_array_equal(run.particle_index, np.arange(30))


def test_a_homogeneous_run_has_no_latents(write_cryodrgn):
    folder = write_cryodrgn(zdim=0)
    state = torch.load(folder / "weights.pkl", weights_only=True)
    state["model_state_dict"] = {k.removeprefix("decoder."): v for k, v in state["model_state_dict"].items()}
    torch.save(state, folder / "weights.pkl")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    model = config["model_args"]
    for ours, theirs in (("players", "layers"), ("pdim", "dim")):
        model[theirs] = model.pop(ours)
    del model["zdim"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for z in folder.glob("z*.pkl"):
        z.unlink()
    run = open_run(folder)
    assert run.latents.shape == (0, 0)
    (volume,) = run.decode(np.zeros((1, 0)))
    expected = reference_volume({k: v.numpy() for k, v in state["model_state_dict"].items()}, config, np.zeros(0))
    np.testing.assert_allclose(volume.data, expected, atol=1e-5 * np.ptp(expected))


def test_a_pickled_configuration_of_an_old_run_is_read_without_running_it(write_cryodrgn):
    folder = write_cryodrgn()
    expected = next(open_run(folder).decode([1, 0])).data
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["dataset_args"]["norm"] = [np.float64(0.0), np.float32(2.5)]
    os.remove(folder / "config.yaml")
    with open(folder / "config.pkl", "wb") as file:
        pickle.dump(config, file)
    np.testing.assert_array_equal(next(open_run(folder).decode([1, 0])).data, expected)


def test_a_run_of_ours_round_trips(write_cryodrgn, tmp_path):
    from hetero.drgn.files import load_checkpoint, save_checkpoint
    from hetero.drgn.foreign_files import read_config
    from hetero.drgn.foreign_weights import load_checkpoint as load_foreign
    from hetero.drgn.foreign_weights import network_of

    folder = write_cryodrgn()
    foreign = open_run(folder)
    network = network_of(load_foreign(folder / "weights.pkl"), read_config(folder).shape, folder)
    ours = tmp_path / "ours"
    ours.mkdir()
    write_config(ours / "config.json", RunConfig("drgn", 16, 1.5, {"seed": 1}))
    write_latents(ours / "latents.npz", Latents(foreign.latents, foreign.particle_index + 5, foreign.log_variance))
    save_checkpoint(ours / "checkpoint.pt", network, 2.5, epoch=4, optimiser={"state": {0: torch.ones(2)}})
    assert is_run_folder(ours) and is_run_folder(folder) and not is_run_folder(tmp_path)
    run = open_run(ours)
    assert (run.system, run.apix, run.epoch, run.settings["seed"]) == ("drgn", 1.5, 4, 1)
    np.testing.assert_array_equal(run.particle_index, foreign.particle_index + 5)
    for a, b in zip(run.decode(run.latents[:2]), foreign.decode(run.latents[:2]), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert load_checkpoint(ours / "checkpoint.pt")[1]["optimiser"]["state"][0].tolist() == [1, 1]
    with pytest.raises(HeteroError, match="has no weights of epoch 3; there is 4"):
        open_run(ours, epoch=3)
    write_config(ours / "config.json", RunConfig("drgn", 32, 1.5, {}))
    with pytest.raises(HeteroError, match="do not fit the run: a box of 16"):
        open_run(ours)
    write_config(ours / "config.json", RunConfig("somebody", 32, 1.5, {}))
    with pytest.raises(HeteroError, match="a run of 'somebody', which this version"):
        open_run(ours)


# Damage and malice


class Trap:
    """Would make a folder, were it unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def edit_config(folder, change):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def edit_weights(folder, change):
    checkpoint = torch.load(folder / "weights.pkl", weights_only=True)
    change(checkpoint["model_state_dict"])
    torch.save(checkpoint, folder / "weights.pkl")


def model_args(**values):
    return lambda folder: edit_config(folder, lambda config: config["model_args"].update(values))


def truncate(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def dump_z(folder, value):
    with open(folder / "z.pkl", "wb") as file:
        pickle.dump(value, file)


BAD = {
    "no latents": (lambda f: os.remove(f / "z.pkl"), "z.pkl is not there; the latents were expected beside"),
    "latents of another dimension": (
        lambda f: dump_z(f, np.zeros((9, 5), np.float32)),
        "z.pkl holds latents of shape (9, 5); (particles, 2) was expected",
    ),
    "latents that are none": (lambda f: dump_z(f, [1, 2]), "z.pkl holds no latents"),
    "latents of NaN": (lambda f: dump_z(f, np.full((9, 2), np.nan, "f4")), "NaN or infinite) for 9 of 9 particles"),
    "latents cut short": (truncate("z.pkl", 100), "z.pkl cannot be read as a pickle"),
    "weights cut short": (truncate("weights.pkl", 900), "weights.pkl is not a file of network weights"),
    "weights of text": (lambda f: (f / "weights.pkl").write_text("weights"), "weights.pkl is not a file of network"),
    "weights without a decoder": (lambda f: torch.save({"epoch": 2}, f / "weights.pkl"), "holds no weights of a"),
    "weights of a list": (lambda f: torch.save([1], f / "weights.pkl"), "holds no weights of a decoder"),
    "another zdim": (model_args(zdim=3), "layer 1 of the decoder is 12 x 32; 12 x 33 was expected"),
    "another width": (model_args(pdim=13), "they hold 2 residual layers of 12 units; 2 of 13 were expected"),
    "another depth": (model_args(players=5), "2 residual layers of 12 units; 5 of 12 were expected"),
    "another encoding": (model_args(pe_type="geom_ft"), "they hold random waves, and the encoding is geom_ft"),
    "more waves": (model_args(pe_dim=6), "their waves are 15 x 3; 18 x 3 was expected"),
    "another domain": (model_args(domain="hartley"), "layer 4 of the decoder is 2 x 12; 1 x 12 was expected"),
    "unknown encoding": (model_args(pe_type="wavelets"), "gives the pe_type 'wavelets'; one of gaussian, geom_ft"),
    "unknown activation": (model_args(activation="tanh"), "gives the activation 'tanh'"),
    "a width of text": (model_args(pdim="wide"), "config.yaml gives pdim as 'wide'"),
    "an endless width": (model_args(pdim=10**9), "describes no network"),
    "no depth": (lambda f: edit_config(f, lambda c: c["model_args"].pop("players")), "config.yaml has no dim"),
    "an even lattice": (lambda f: edit_config(f, lambda c: c["lattice_args"].update(D=64)), "a lattice of 64 points"),
    "no norm": (lambda f: edit_config(f, lambda c: c["dataset_args"].pop("norm")), "config.yaml has no norm"),
    "a norm of NaN": (
        lambda f: edit_config(f, lambda c: c["dataset_args"].update(norm=[0, float("nan")])),
        "config.yaml gives norm as 'nan'",
    ),
    "no model": (lambda f: (f / "config.yaml").write_text("cmd: [a]"), "config.yaml holds no model_args"),
    "no YAML": (lambda f: (f / "config.yaml").write_text("a: [1"), "config.yaml cannot be read as plain YAML"),
    "a missing layer": (
        lambda f: edit_weights(f, lambda s: s.pop("decoder.decoder.main.2.linear.bias")),
        "layer decoder.decoder.main.2 is none of a residual network",
    ),
    "two networks": (
        lambda f: edit_weights(f, lambda s: s.update({"other.main.0.weight": torch.ones(2, 2)})),
        "they hold 2 coordinate networks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_folder_gets_one_sentence(write_cryodrgn, case):
    damage, words = BAD[case]
    folder = write_cryodrgn(epochs=(2,))
    damage(folder)
    os.remove(folder / "weights.2.pkl")
    with pytest.raises(HeteroError) as refused:
        open_run(folder)
    sentence = str(refused.value)
    assert words in sentence and sentence.endswith(".") and "\n" not in sentence


def test_nothing_in_a_hostile_folder_is_run(write_cryodrgn, tmp_path):
    trap = tmp_path / "trap"
    yaml_code = f"model_args: !!python/object/apply:os.mkdir ['{trap}']"
    for name, content in (("weights.pkl", None), ("z.pkl", None), ("config.yaml", yaml_code), ("config.pkl", None)):
        folder = write_cryodrgn(f"hostile {name}")
        if content:
            (folder / name).write_text(content)
        elif name == "weights.pkl":
            torch.save({"epoch": 9, "model_state_dict": {"decoder.main.0.weight": Trap(trap)}}, folder / name)
        else:
            with open(folder / name, "wb") as file:
                pickle.dump({"model_args": Trap(trap)}, file)
        if name == "config.pkl":
            os.remove(folder / "config.yaml")
        with pytest.raises(HeteroError, match=name):
            open_run(folder)
        assert not trap.exists()


def test_hidden_numpy_objects_in_weights_are_stood_in_for(write_cryodrgn, tmp_path):
    """The allow-list takes numpy's names and gives none of numpy: a called array of 10^15 numbers costs nothing."""

    class Huge:
        def __reduce__(self):
            return np.ndarray, ((10**15,),)

    folder = write_cryodrgn()
    expected = next(open_run(folder).decode([1, 0])).data
    checkpoint = torch.load(folder / "weights.pkl", weights_only=True)
    torch.save({**checkpoint, "search_pose": (np.arange(5), Huge(), np.float64(3))}, folder / "weights.pkl")
    np.testing.assert_array_equal(next(open_run(folder).decode([1, 0])).data, expected)


def test_what_is_no_run_gets_one_sentence(tmp_path):
    for make, words in (
        (lambda: tmp_path / "gone", "gone is not a folder; a run"),
        (lambda: tmp_path, "is not a run: it holds neither"),
    ):
        with pytest.raises(HeteroError, match=words):
            open_run(make())
    (tmp_path / "config.json").write_text('{"verb": "blocks"}')
    with pytest.raises(HeteroError, match="is not a run"):
        open_run(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "hetero run 1", "system": "drgn", "box": "x"}')
    with pytest.raises(HeteroError, match="gives box as 'x'; the file is damaged"):
        open_run(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(HeteroError, match="cannot be read as JSON"):
        open_run(tmp_path)
