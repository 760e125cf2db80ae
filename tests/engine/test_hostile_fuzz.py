"""Valid files with random damage: every reader answers with a value or with the sentence, and with nothing else.

``HETERO_FUZZ=300 pytest tests/engine/test_hostile_fuzz.py -s`` looks for 300 seconds a reader; see docs/security.md.
"""

import json
import os
import pickle
import time
import warnings

import numpy as np
import pandas as pd
import pytest

from hetero.errors import HeteroError
from hetero.latent import Latents, RunConfig, read_config, read_latents, write_config, write_latents
from hetero.maps import Volume, read_blocks, read_header, read_map, read_structure, write_map
from hetero.maps.ensemble import read_table
from hetero.occupancy import read_occupancy
from hetero.particles import open_particles, write_stack
from hetero.pickles import read_pickles

pytest.importorskip("hypothesis", reason="damage is chosen by hypothesis")

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("HETERO_FUZZ", "0"))
PIECES = [
    b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0", b"nan", b"-1", b"1e999", b"9" * 30, b"\n",
    b'"', b"'", b",", b" ", b"#", b"@", b"../", b"data_", b"loop_\n", b"_rlnImageName", b"\x80\x04", b"cos\nsystem\n",
    b"(", b"R", b"{", b"[", b"O8", b"'|O'", b"\0", b"\xf0\x9f\x92\xa9", b";", b"=cmd()",
]  # fmt: skip
edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "put", "cut", "copy", "end"]),
        st.integers(0, 1 << 20),
        st.integers(0, 64),
        st.one_of(st.sampled_from(PIECES), st.binary(min_size=1, max_size=8)),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


def damaged(good: bytes, changes) -> bytes:
    """``good`` with pieces set over others, put in, cut out, moved, or cut short."""
    raw = bytearray(good)
    for how, place, length, piece in changes:
        at = place % (len(raw) + 1)
        if how == "set":
            raw[at : at + len(piece)] = piece
        elif how == "put":
            raw[at:at] = piece
        elif how == "cut":
            del raw[at : at + length]
        elif how == "copy":
            raw[at:at] = raw[: 8 * length]
        else:
            del raw[max(at, len(raw) // 8) :]
    return bytes(raw)


def a_map(folder):
    write_map(folder / "a.mrc", Volume(np.random.default_rng(0).standard_normal((6, 6, 6)), 2.0))
    return "a.mrc", lambda path: (read_header(path), read_map(path))


def a_packed_map(folder):
    import gzip

    a_map(folder)
    (folder / "b.mrc.gz").write_bytes(gzip.compress((folder / "a.mrc").read_bytes(), 0))
    return "b.mrc.gz", read_map


def a_stack(folder):
    with write_stack(folder / "s.mrcs", 3, 8, 2.0) as writer:
        writer.append(np.random.default_rng(0).standard_normal((3, 8, 8)))
    return "s.mrcs", open_particles


def a_star_file(folder):
    a_stack(folder)
    columns = ["ImageName", "AngleRot", "AngleTilt", "AnglePsi", "OpticsGroup", "DefocusU", "DefocusV", "DefocusAngle"]
    text = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnVoltage #2\n_rlnSphericalAberration #3\n"
    text += "_rlnAmplitudeContrast #4\n_rlnImagePixelSize #5\n1 300 2.7 0.1 2.0\n\n\ndata_particles\n\nloop_\n"
    text += "".join(f"_rln{name} #{i}\n" for i, name in enumerate(columns, 1))
    text += "".join(f"{i + 1:06d}@s.mrcs 10 20 30 1 12000 11000 40\n" for i in range(3))
    (folder / "p.star").write_text(text)
    return "p.star", open_particles


def a_cs_file(folder):
    a_stack(folder)
    kinds = {"uid": "u8", "blob/path": "S8", "blob/idx": "u4", "blob/psize_A": "f4", "alignments3D/pose": "(3,)f4",
             "alignments3D/shift": "(2,)f4", "ctf/df1_A": "f4", "ctf/df2_A": "f4",
             "ctf/accel_kv": "f4", "ctf/cs_mm": "f4"}  # fmt: skip
    made = np.zeros(3, dtype=list(kinds.items()))
    made["uid"], made["blob/path"], made["blob/idx"], made["blob/psize_A"] = [1, 2, 3], b"s.mrcs", [0, 1, 2], 2.0
    made["ctf/accel_kv"], made["ctf/df1_A"], made["ctf/df2_A"], made["ctf/cs_mm"] = 300, 12000, 11000, 2.7
    np.save(folder / "p.npy", made)
    os.replace(folder / "p.npy", folder / "p.cs")
    return "p.cs", open_particles


def a_pickle(folder):
    rng = np.random.default_rng(0)
    (folder / "a.pkl").write_bytes(
        pickle.dumps((rng.standard_normal((2, 3, 3)), np.arange(4), {"a": [1, "x"]}), protocol=4)
    )
    return "a.pkl", read_pickles


def a_table_of_an_ensemble(folder):
    pd.DataFrame({"name": ["a", "b"], "level": [0.5, 1.0], "class": ["A", 2]}).to_csv(folder / "e.csv", index=False)
    return "e.csv", read_table


def a_table_of_occupancies(folder):
    pd.DataFrame({"name": ["a", "b"], "block_00": [0.5, 1.0]}).to_csv(folder / "o.csv", index=False)
    return "o.csv", read_occupancy


def a_table_of_blocks(folder):
    blocks = folder / "blocks"
    blocks.mkdir()
    write_map(blocks / "block_00.mrc", Volume(np.ones((3, 3, 3)), 2.0))
    (blocks / "blocks.csv").write_text("name,color,mean_occupancy,chain,place\nblock_00,#ff0000,0.5,chain_1,0\n")
    return "blocks/blocks.csv", lambda path: read_blocks(path.parent)


def a_structure(folder):
    atom = "ATOM  {0:5d}  CA  ALA A{0:4d}    {1:8.3f}{1:8.3f}{1:8.3f}  1.00  0.00           C\n"
    (folder / "a.pdb").write_text("".join(atom.format(i, 1.5 * i) for i in range(1, 6)) + "END\n")
    return "a.pdb", read_structure


def a_text_of_gaussians(folder):
    from hetero.gmm.eman import describe_text, read_model

    (folder / "g.txt").write_text("0.1 -0.2 0.05 1.0 0.02\n-0.1 0.2 0.0 0.8 0.03\n")
    return "g.txt", lambda path: (describe_text(path), read_model(path, "new", 32, 2.0))


def settings_of_a_run(folder):
    write_config(folder / "config.json", RunConfig("drgn", 16, 2.0, {"a": [1, None]}))
    return "config.json", lambda path: read_config(path.parent)


def latents_of_a_run(folder):
    write_latents(folder / "latents.npz", Latents(np.zeros((3, 2)), np.arange(3), np.zeros((3, 2))))
    return "latents.npz", read_latents


def a_checkpoint(folder):
    pytest.importorskip("torch", reason="weights are written by torch")
    from hetero.drgn.decoder import CoordinateDecoder
    from hetero.drgn.files import load_checkpoint, save_checkpoint
    from hetero.drgn.shape import DecoderShape

    save_checkpoint(folder / "checkpoint.pt", CoordinateDecoder(DecoderShape(8, 2, 4, 1, per_axis=2)), 1.0)
    return "checkpoint.pt", load_checkpoint


def weights_of_cryodrgn(folder):
    torch = pytest.importorskip("torch", reason="weights are written by torch")
    from hetero.drgn.foreign_weights import load_checkpoint

    torch.save({"epoch": 1, "model_state_dict": {"a": torch.ones(3)}, "x": np.float64(2)}, folder / "weights.pkl")
    return "weights.pkl", load_checkpoint


def settings_of_cryodrgn(folder):
    pytest.importorskip("torch", reason="the room imports it")
    from hetero.drgn.foreign_files import read_config

    model = {"layers": 1, "dim": 4, "zdim": 2}
    whole = {"model_args": model, "lattice_args": {"D": 17}, "dataset_args": {"norm": [0.0, 1.0]}}
    (folder / "config.yaml").write_text(json.dumps(whole))
    return "config.yaml", lambda path: read_config(path.parent)


READERS = [
    a_map, a_packed_map, a_stack, a_star_file, a_cs_file, a_pickle, a_table_of_an_ensemble, a_table_of_occupancies,
    a_table_of_blocks, a_structure, a_text_of_gaussians, settings_of_a_run, latents_of_a_run, a_checkpoint,
    weights_of_cryodrgn, settings_of_cryodrgn,
]  # fmt: skip


@pytest.mark.parametrize("make", READERS, ids=[make.__name__ for make in READERS])
@pytest.mark.timeout(SECONDS * 2 + 300)
def test_damage_gives_a_value_or_a_sentence(tmp_path, make):
    name, read = make(tmp_path)
    path = tmp_path / name
    good = path.read_bytes()
    read(path)
    outcomes = {"value": 0, "sentence": 0}

    @settings(
        max_examples=40 if not SECONDS else 200,
        deadline=None,
        derandomize=not SECONDS,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(edits)
    def look(changes):
        path.write_bytes(damaged(good, changes))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                warnings.simplefilter("ignore", UserWarning)
                read(path)
            outcomes["value"] += 1
        except HeteroError as error:
            outcomes["sentence"] += 1
            assert str(error).isprintable() and str(error).endswith(".")

    end = time.monotonic() + SECONDS
    look()
    while time.monotonic() < end:  # each time other damage: only in CI is it always the same
        look()
    print(f"\n{make.__name__}: {outcomes['value']} values, {outcomes['sentence']} sentences")
    assert outcomes["sentence"]
