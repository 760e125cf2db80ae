"""Masks from the chains of a model: geometry, the published masks of real chains, and what a user sees."""

import numpy as np
import pandas as pd
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands import occupancy
from hetero.errors import HeteroError
from hetero.maps import MapWarning, Structure, Volume, density_from_atoms, read_blocks, read_map, write_map
from hetero.occupancy.masks import masks_from_model, soften_mask

GRID = Volume(np.zeros((32, 36, 40)), 3.0, (-10.0, 5.0, 20.0))


def line_model(shift=0.0) -> Structure:
    """Two chains of 60 carbons, 30 Å apart, well inside GRID."""
    rng = np.random.default_rng(0)
    centers = GRID.origin + 3.0 * np.array([[16, 18, 15], [16, 18, 25]]) + shift
    positions = np.concatenate([c + rng.normal(0, 3, (60, 3)) for c in centers])
    return Structure(positions, np.full(120, 6.0), np.repeat(["A", "B"], 60), "line")


def test_a_mask_is_where_the_chain_is():
    model = line_model()
    made = masks_from_model(model, ["A", "B", "A+B"], GRID)
    assert made.names == ("chain_A", "chain_B", "chain_A+B") and made.masks.dtype == bool
    for mask, chain in zip(made.masks[:2], "AB", strict=True):
        center = np.argwhere(mask).mean(axis=0) * GRID.apix + GRID.origin
        np.testing.assert_allclose(center, model.positions[model.chains == chain].mean(axis=0), atol=1.0)
        density = density_from_atoms(
            model.positions[model.chains == chain], np.full(60, 6.0), GRID.shape, GRID.apix, GRID.origin, 12.0
        )
        np.testing.assert_array_equal(mask, density >= 0.01)
    assert (made.masks[2] >= made.masks[0] | made.masks[1]).all()
    # The reference sum is the chain's electrons, per Å^3, on voxels of 27 Å^3.
    np.testing.assert_allclose(made.sums * 27, [360, 360, 720], rtol=1e-4)


def test_chains_without_names_are_those_that_are_no_ions():
    model = line_model()
    ion = Structure(
        np.vstack([model.positions, model.positions[:1]]),
        np.append(np.full(120, 12.0), 20),
        np.append(model.chains, "Z"),
    )
    made = masks_from_model(ion, (), GRID)
    assert made.names == ("chain_A", "chain_B") and made.left_out == ("Z",)


def test_extension_and_edge_are_in_angstrom():
    """A ball of radius 12 Å grown by 6 Å is a ball of 18 Å; the edge is one half at half its width."""
    apix = np.array([2.0, 1.5, 1.0])
    radius = np.sqrt(sum((a * (i - 30)) ** 2 for a, i in zip(apix, np.indices((61, 61, 61)), strict=True)))
    ball = radius <= 12
    grown = soften_mask(ball, apix, extend=6.0)
    assert grown.dtype == bool and (grown >= ball).all()
    assert radius[grown].max() <= 18 and radius[~grown].min() > 16.5  # a voxel's coarseness
    soft = soften_mask(ball, apix, extend=6.0, soft=6.0)
    assert (soft[grown] == 1).all() and (soft[radius > 24] == 0).all()
    along_x = soft[30, 30, 30:]  # 1 Å a voxel: the ball ends at 12, the grown one at 18, the edge at 24
    np.testing.assert_allclose(along_x[18:25], 0.5 + 0.5 * np.cos(np.pi * np.arange(7) / 6), atol=1e-6)
    assert along_x[21] == pytest.approx(0.5)
    assert soften_mask(ball, apix) is ball


def test_models_that_do_not_fit():
    with pytest.raises(HeteroError, match="has no chain C; its chains are A, B"):
        masks_from_model(line_model(), ["C"], GRID)
    with pytest.raises(HeteroError, match=r"Only 0 % of the atoms of chain_A of line lie inside"):
        masks_from_model(line_model(shift=500), ["A"], GRID)
    with pytest.raises(HeteroError, match=r"reaches only .* not 10"):
        masks_from_model(line_model(), ["A"], GRID, level=10.0)
    with pytest.raises(HeteroError, match="chain_A is asked for twice"):
        masks_from_model(line_model(), ["A", "A"], GRID)


def test_the_published_masks_of_real_chains(shared, tmp_path):
    """Ten ribosomal proteins: our masks and numbers beside MAVEn's, which ChimeraX and RELION made."""
    data = shared / "data" / "ensembles" / "maven"
    occupancy.run(
        occupancy.Settings(
            data / "00_aligned",
            model=data / "00_aligned" / "prots1.pdb",
            chains=("A,B,C,D,E", "F", "G", "H", "I", "J"),
            reference="model",
            keep_masks=tmp_path / "masks",
            out=tmp_path / "o.csv",
        )
    )
    ours, theirs = read_blocks(tmp_path / "masks"), read_blocks(data / "02_masks")
    overlap = [(a & b).sum() / (a | b).sum() for a, b in zip(ours.masks, theirs.masks, strict=True)]
    assert min(overlap) > 0.92 and np.mean(overlap) > 0.94
    published = pd.read_csv(data / "occupancies_expected.csv", header=[0, 1], index_col=0)
    published.index = [f"vol_{int(i):03d}" for i in published.index]
    published.columns = [f"chain_{chain.upper()}" for _, chain in published.columns]
    measured = pd.read_csv(tmp_path / "o.csv", index_col="name").loc[published.index, published.columns]
    difference = np.abs(measured - published).to_numpy()
    assert difference.max() < 0.35 and np.median(difference) < 0.15  # of numbers from -3 to 13
    assert np.corrcoef(measured.to_numpy().ravel(), published.to_numpy().ravel())[0, 1] > 0.999


def write_pdb(path, positions, chains):
    line = "ATOM  {:5d}  CA  ALA {}{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00           C  "
    atoms = enumerate(zip(chains, positions, strict=True), start=1)
    path.write_text("\n".join([*(line.format(i, c, i, x, y, z) for i, (c, (z, y, x)) in atoms), "END"]) + "\n")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Maps of two chains, of which the second is in every other map, and the model."""
    model = line_model()
    write_pdb(tmp_path / "model.pdb", model.positions, model.chains)
    write_pdb(tmp_path / "elsewhere.pdb", model.positions[:60] + np.array([40, 15, 0]), model.chains[:60])
    (tmp_path / "maps").mkdir()
    for i in range(4):
        member = (model.chains == "A") | (i % 2 == 0)
        data = density_from_atoms(
            model.positions[member], 8.5 * model.weights[member], GRID.shape, GRID.apix, GRID.origin, 12.0
        )
        write_map(tmp_path / "maps" / f"vol_{i + 1:03d}.mrc", Volume(data, GRID.apix, GRID.origin))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_user_measures_chains(desk, capsys):
    arguments = ["occupancy", "maps", "--model", "model.pdb", "--level", "0.02", "--out", "o.csv"]
    assert main([*arguments, "--keep-masks", "masks", "--soft", "6"]) == DONE
    table = pd.read_csv("o.csv", index_col="name")
    assert list(table.columns) == ["chain_A", "chain_B"] and list(table.index) == [f"vol_{i:03d}" for i in (1, 2, 3, 4)]
    assert (table["chain_A"] > 0.5).all() and (table["chain_B"] > 0.5).tolist() == [True, False, True, False]
    assert read_map("masks/chain_A.mrc").data.min() + 1 > 0 and len(read_blocks("masks")) == 2
    capsys.readouterr()
    # The masks that were kept, measured as masks, give the same table.
    assert main(["occupancy", "maps", "masks", "--level", "0.02", "--out", "again.csv"]) == DONE
    pd.testing.assert_frame_equal(pd.read_csv("again.csv", index_col="name"), table)
    assert main(["occupancy", "maps", "--model", "model.pdb", "--reference", "model", "--out", "r.csv"]) == DONE
    normalised = pd.read_csv("r.csv", index_col="name")
    np.testing.assert_allclose(normalised, [[1, 1], [1, 0], [1, 1], [1, 0]], atol=0.02)  # maps like the reference


def test_another_frame_is_said(desk):
    with pytest.warns(MapWarning, match="is it in their frame"):
        occupancy.run(occupancy.Settings(desk / "maps", model=desk / "elsewhere.pdb", level="0.02", out=desk / "o.csv"))


def test_a_small_part_of_a_large_complex_lies_in_its_frame(shared, tmp_path):
    """Three of a ribosome's proteins fill little of its density; nothing is said of the frame (warnings are errors)."""
    maps = shared / "data" / "ensembles" / "maven" / "00_aligned"
    settings = occupancy.Settings(
        maps, model=maps / "prots1.pdb", chains=("A", "B", "C"), level="1", out=tmp_path / "o.csv"
    )
    assert occupancy.run(settings)["columns"] == ["chain_A", "chain_B", "chain_C"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["maps"], "or else --model FILE, was expected; neither was given"),
        (["maps", "maps2", "--model", "model.pdb"], "both were given"),
        (["maps", "masks", "--chains", "A"], "--chains goes with --model"),
        (["maps", "masks", "--reference", "model"], "--reference model goes with --model"),
        (["maps", "--model", "model.pdb", "--reference", "maps"], "the references are the model's own"),
        (["maps", "--model", "gone.pdb"], "gone.pdb is not there"),
        (["maps", "--model", "model.pdb", "--chains", "Q"], "model has no chain Q; its chains are A, B"),
        (["maps", "--model", "model.pdb", "--keep-masks", "maps"], "maps already holds other files"),
    ],
)
def test_bad_input_is_one_sentence(desk, capsys, arguments, words):
    (desk / "masks").mkdir()
    write_map(desk / "masks" / "block_00.mrc", Volume(np.ones(GRID.shape), GRID.apix, GRID.origin))
    before = sorted(desk.rglob("*"))
    assert main(["occupancy", *arguments, "--out", "o.csv"]) == BAD_INPUT
    err = capsys.readouterr().err
    assert words in err and len(err.strip().splitlines()) == 1
    assert sorted(desk.rglob("*")) == before
