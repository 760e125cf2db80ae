"""What the engine's tests may ask for: a structure without a file, and folders as cryoDRGN writes them."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import yaml

from hetero.cli import DONE, main
from hetero.gmm import GaussianModel
from hetero.maps import Structure


@pytest.fixture(scope="session")
def globule():
    """A function that makes atoms at protein density in lumpy balls: a structure that needs no file."""
    return _globule


def _globule(seed: int = 0, atoms: int = 1500, chains: int = 2, radius: float = 28.0) -> Structure:
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(atoms, 3))
    positions *= radius * rng.uniform(0, 1, (atoms, 1)) ** (1 / 3) / np.linalg.norm(positions, axis=1, keepdims=True)
    chain = rng.integers(0, chains, atoms)
    positions += np.array([0, 0, 0.9 * radius]) * chain[:, None]
    return Structure(positions, np.full(atoms, 50.0), np.array(list("ABCDEF"))[chain], f"globule {seed}")


@pytest.fixture(scope="session")
def gaussians():
    """A function that makes a small model of Gaussians in a map of 32 voxels of 3 Å."""
    return _gaussians


def _gaussians(n=20, box=32, apix=3.0, seed=0, origin=(5.0, -7.0, 11.0)):
    rng = np.random.default_rng(seed)
    centres = np.asarray(origin) + apix * (box / 2 + rng.normal(0, box / 10, (n, 3)))
    return GaussianModel(centres, rng.uniform(0.5, 1.5, n), rng.uniform(4, 7, n), box, apix, origin, "some")


def features_of(kind, box, per_axis):
    return {"none": 3, "linear_lowf": 6 * (box // 2)}.get(kind, 6 * per_axis)


def cryodrgn_state(rng, box, zdim, width, layers, kind, domain, per_axis, prefix="decoder.decoder."):
    """A state dictionary under cryoDRGN's names, numpy arrays, weights of a sensible size."""
    sizes = [features_of(kind, box, per_axis) + zdim, *[width] * (layers + 1), 2 if domain == "fourier" else 1]
    state = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        name = f"{prefix}main.{2 * i}." + ("linear." if inputs == outputs else "")
        state[name + "weight"] = (rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
        state[name + "bias"] = (0.1 * rng.standard_normal(outputs)).astype(np.float32)
    if kind == "gaussian":
        state[prefix.removesuffix("decoder.") + "rand_freqs"] = rng.normal(0, 0.5, (3 * per_axis, 3)).astype(np.float32)
    return state


def cryodrgn_config(box, zdim, width, layers, kind, domain, per_axis, activation="relu", **dataset):
    """A VAE's configuration."""
    return {
        "dataset_args": {"particles": "p.mrcs", "norm": [0.0, 2.5], "ctf": None, "ind": None, **dataset},
        "lattice_args": {"D": box + 1, "extent": 0.5, "ignore_DC": True},
        "model_args": {
            "qlayers": 1, "qdim": 8, "players": layers, "pdim": width, "zdim": zdim, "pe_type": kind,
            "pe_dim": per_axis, "feat_sigma": 0.5, "domain": domain, "activation": activation, "encode_mode": "resid",
        },
        "seed": 1,
    }  # fmt: skip


@pytest.fixture
def write_cryodrgn(tmp_path):
    """``write(name="run", epochs=(1, 2), n=30, **choices)`` makes such a folder; answers with it.

    The latents of particle ``i`` lie near 3 corners by ``i % 3``, so that clusters are known.
    """
    torch = pytest.importorskip("torch", reason="weights are written by torch")

    def write(name="run", epochs=(1, 2), n=30, final=True, state=None, dataset=None, **choices):
        shape = {"box": 16, "zdim": 2, "width": 12, "layers": 2, "kind": "gaussian", "domain": "fourier", "per_axis": 5}
        shape |= {k: v for k, v in choices.items() if k != "activation"}
        rng = np.random.default_rng(5)
        folder = tmp_path / name
        folder.mkdir()
        dataset = dataset or {}
        config = cryodrgn_config(**shape, activation=choices.get("activation", "relu"), **dataset)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        names = [(f".{epoch}", epoch) for epoch in epochs] + ([("", max(epochs))] if final else [])
        states = {epoch: state or cryodrgn_state(rng, **shape) for epoch in epochs}
        corners = 4 * np.eye(3, max(shape["zdim"], 1))
        latents = {
            epoch: corners[np.arange(n) % 3] + 0.3 * rng.standard_normal((n, corners.shape[1])) for epoch in epochs
        }
        for suffix, epoch in names:
            tensors = {key: torch.from_numpy(np.array(value)) for key, value in states[epoch].items()}
            torch.save(
                {"epoch": epoch, "model_state_dict": tensors, "optimizer_state_dict": {"state": {}}},
                folder / f"weights{suffix}.pkl",
            )
            with open(folder / f"z{suffix}.pkl", "wb") as file:
                pickle.dump(latents[epoch].astype(np.float32), file)
                pickle.dump(np.full_like(latents[epoch], -3, dtype=np.float32), file)
        return folder

    write.state, write.config = cryodrgn_state, cryodrgn_config
    return write


@pytest.fixture(scope="session")
def two_states(tmp_path_factory):
    """400 images of two little proteins at 24 pixels, one twice as common."""
    folder = tmp_path_factory.mktemp("states")
    for seed, name in enumerate(("open", "closed")):
        rng = np.random.default_rng(seed)
        places = rng.normal(0, 9, (60, 3)).clip(-22, 22)
        lines = [
            f"ATOM  {i + 1:5d}  CA  ALA A{i + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
            for i, (z, y, x) in enumerate(places)
        ]
        (folder / f"{name}.pdb").write_text("\n".join([*lines, "END", ""]))
    states = [str(folder / f"{name}.pdb") for name in ("open", "closed")]
    made = ["simulate", "--out", str(folder / "sim"), "--particles", "600", "--box", "24", "--states", *states]
    assert main([*made, "--shares", "2", "1", "--snr", "1", "--quiet"]) == DONE
    return folder / "sim"
