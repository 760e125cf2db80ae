"""The manifest, the readers and the layer tuples: no window is needed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Layer

from hetero.errors import HeteroError
from hetero.maps import Volume, write_map
from napari_hetero import layers, readers

YAML = Path(readers.__file__).with_name("napari.yaml")


def units(layer) -> list[str]:
    return [str(unit) for unit in layer.units]


def spoil(path: Path) -> None:
    """Make a map that cannot be read (NaN) and whose header is fine."""
    shape = (24,) * 3
    raw = bytearray(path.read_bytes())
    raw[-4 * np.prod(shape) :] = np.full(shape, np.nan, "<f4").tobytes()
    path.write_bytes(raw)


def test_manifest_is_valid_and_everything_it_names_is_there():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(YAML)
    assert manifest.name == "hetero-em"
    manifest.validate_imports()
    assert {w.display_name for w in manifest.contributions.widgets} == {
        "Ensemble", "Latent", "Two runs", "Blocks", "Motion", "Jobs", "Level",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (
            "napari_hetero.readers, napari_hetero.layers, napari_hetero.writers, napari_hetero.sample_data",
            "torch qtpy PyQt6 PySide6 napari pandas skimage",
        ),
        ("napari_hetero.session, napari_hetero.actions, napari_hetero.opening", "torch PyQt6 PySide6"),
    ],
)
def test_importing_is_light(modules, heavy):
    code = f"import sys, {modules}; print(*(set('{heavy}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_paths_that_are_not_ours(tmp_path, ensemble_folder):
    (tmp_path / "notes.txt").write_text("x")
    assert readers.get_reader(str(tmp_path)) is None
    assert readers.get_reader(str(tmp_path / "notes.txt")) is None
    assert readers.get_reader(str(tmp_path / "gone")) is None
    assert readers.get_reader([str(p) for p in ensemble_folder.glob("*.mrc")]) is None


def test_ensemble_layer_stands_where_its_maps_stand(ensemble_folder):
    [layer_tuple] = readers.get_reader(str(ensemble_folder))(str(ensemble_folder))
    layer = Layer.create(*layer_tuple)
    assert layer.data.shape == (4, 24, 24, 24)
    assert tuple(layer.scale) == (1, 2, 2, 2)
    assert tuple(layer.translate) == (0, 10, 20, 30)
    assert units(layer) == ["dimensionless", "angstrom", "angstrom", "angstrom"]
    assert layer.axis_labels == ("volume", "z", "y", "x")
    assert layers.tag(layer)["names"] == ["vol_0", "vol_1", "vol_2", "vol_3"]


def test_opening_an_ensemble_reads_its_first_map_only(ensemble_folder):
    for k in (1, 2, 3):
        spoil(ensemble_folder / f"vol_{k}.mrc")
    data, _, _ = readers.read(ensemble_folder)[0]
    assert np.asarray(data[0]).max() > 0
    with pytest.raises(HeteroError, match="not numbers"):
        np.asarray(data[1])


def test_blocks_layer_has_colours_names_and_place(blocks_folder):
    [layer_tuple] = readers.read(blocks_folder)
    layer = Layer.create(*layer_tuple)
    assert layer_tuple[2] == "labels"
    assert set(np.unique(layer.data)) == {0, 1, 2}
    assert tuple(layer.scale) == (2, 2, 2) and tuple(layer.translate) == (10, 20, 30)
    assert units(layer) == ["angstrom"] * 3
    np.testing.assert_allclose(layer.get_color(1)[:3], np.array([0xEE, 0x66, 0x77]) / 255, atol=1e-3)
    assert list(layer.features["name"]) == ["block_00", "block_01"]


def test_folder_of_masks_is_read_as_blocks(shared):
    folder = shared / "data" / "ensembles" / "maven" / "02_masks"
    data, _, kind = readers.read(folder)[0]
    assert kind == "labels" and data.max() == 10


def test_single_map_and_gz(tmp_path):
    data = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    for name in ("a.mrc", "b.map.gz", "c.ccp4"):
        write_map(tmp_path / name, Volume(data, 1.5, 4.0))
        reader = readers.get_reader(str(tmp_path / name))
        assert reader is not None, name
        layer = Layer.create(*reader(str(tmp_path / name))[0])
        np.testing.assert_array_equal(layer.data, data)
        assert tuple(layer.scale) == (1.5,) * 3 and tuple(layer.translate) == (4.0,) * 3


def test_constant_map_opens(tmp_path):
    write_map(tmp_path / "flat.mrc", Volume(np.ones((5, 5, 5)), 1.0))
    low, high = Layer.create(*readers.read(tmp_path / "flat.mrc")[0]).contrast_limits
    assert low < high


def test_text_called_mrc_gives_one_sentence(tmp_path):
    (tmp_path / "a.mrc").write_text("this is no map\n" * 200)
    with pytest.raises(HeteroError):
        readers.read(tmp_path / "a.mrc")


def test_smaller_of_two_overlapping_blocks_is_seen():
    masks = np.zeros((2, 3, 3, 3), bool)
    masks[0, 1, 1, 1] = masks[1] = True
    assert layers.paint_labels(masks)[1, 1, 1] == 1


def test_viewer_opens_both_folders_by_the_manifest(make_napari_viewer, npe2pm, ensemble_folder, blocks_folder):
    with npe2pm.tmp_plugin(package="hetero-em"):
        viewer = make_napari_viewer()
        viewer.open(str(ensemble_folder), plugin="hetero-em")
        viewer.open(str(blocks_folder), plugin="hetero-em")
    maps, blocks = viewer.layers
    assert maps.data.shape == (4, 24, 24, 24) and blocks.data.shape == (24, 24, 24)
    assert [str(u) for u in viewer.layers.extent.units] == ["dimensionless", "angstrom", "angstrom", "angstrom"]


def test_sample_opens_with_levels_and_blocks(make_napari_viewer, npe2pm, tmp_path, monkeypatch, qtbot):
    from napari_hetero import sample_data

    monkeypatch.setattr(sample_data, "VOLUMES", 3)
    monkeypatch.setattr(sample_data, "BOX", 24)
    monkeypatch.setattr(sample_data, "sample_folder", lambda: tmp_path / "cache" / "sample")
    with npe2pm.tmp_plugin(package="hetero-em"):
        viewer = make_napari_viewer()
        viewer.open_sample("hetero-em", "simulated")
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=60_000)  # made in a thread
    assert [layers.tag(layer)["kind"] for layer in viewer.layers] == ["ensemble", "blocks"]
    assert viewer.layers[0].data.shape == (3, 24, 24, 24)
    written = (tmp_path / "cache" / "sample" / "ensemble.csv").stat().st_mtime_ns
    layers.add(viewer, sample_data.simulated_ensemble())
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=60_000)
    assert (tmp_path / "cache" / "sample" / "ensemble.csv").stat().st_mtime_ns == written


def test_sample_run_opens_and_is_made_once(make_napari_viewer, npe2pm, tmp_path, monkeypatch, qtbot):
    pytest.importorskip("torch", reason="weights are written with torch")
    from napari_hetero import sample_data

    monkeypatch.setattr(sample_data, "PARTICLES", 120)
    monkeypatch.setattr(sample_data, "PARTICLE_BOX", 24)
    monkeypatch.setattr(sample_data, "sample_folder", lambda: tmp_path / "sample")
    with npe2pm.tmp_plugin(package="hetero-em"):
        viewer = make_napari_viewer()
        viewer.open_sample("hetero-em", "simulated_run")
    assert viewer.layers[0].name == "opening simulated particles ..."
    qtbot.waitUntil(lambda: layers.tag(viewer.layers[0])["kind"] == "run", timeout=60_000)
    [layer] = viewer.layers
    space = layers.tag(layer)["space"]
    assert len(space.run) == 120 and space.particle_file().name == "particles.star"
    made = (space.run.folder / "latents.npz").stat().st_mtime_ns
    layers.add(viewer, sample_data.simulated_run())
    qtbot.waitUntil(lambda: all(layers.tag(layer)["kind"] == "run" for layer in viewer.layers), timeout=60_000)
    assert (space.run.folder / "latents.npz").stat().st_mtime_ns == made
