"""Map files, resampling, structures: round trips, agreement with mrcfile, physical truths, and bad files."""

import gzip

import mrcfile
import numpy as np
import pytest

from hetero.errors import HeteroError
from hetero.maps import (
    MapWarning,
    Volume,
    density_from_atoms,
    map_name,
    read_header,
    read_map,
    read_structure,
    resample_fourier,
    write_map,
)


@pytest.fixture
def volume() -> Volume:
    rng = np.random.default_rng(1)
    return Volume(rng.standard_normal((5, 7, 9)), (1.5, 2.0, 2.5), (-3.0, 4.0, 10.0), "map")


def one_sentence(error) -> str:
    """The error's text, checked to be a sentence for a person."""
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and "Traceback" not in text
    return text


def test_round_trip_keeps_values_grid_and_place(tmp_path, volume):
    write_map(tmp_path / "map.mrc", volume)
    back = read_map(tmp_path / "map.mrc")
    np.testing.assert_array_equal(back.data, volume.data)
    np.testing.assert_allclose(back.apix, volume.apix, rtol=1e-6)
    np.testing.assert_allclose(back.origin, volume.origin)
    assert back.name == "map"
    assert mrcfile.validate(tmp_path / "map.mrc")  # by the reference reader's strict rules
    assert [p.name for p in tmp_path.iterdir()] == ["map.mrc"]


def test_axis_order_on_disk_is_undone(tmp_path, volume):
    """The same map stored with sections along x (mapc, mapr, maps = 2, 3, 1) reads the same."""
    with mrcfile.new(tmp_path / "turned.mrc") as mrc:
        mrc.set_data(np.ascontiguousarray(volume.data.transpose(2, 0, 1)))  # sections x, rows z, columns y
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = 2, 3, 1
        mrc.header.mx, mrc.header.my, mrc.header.mz = 9, 7, 5
        mrc.header.cella = (9 * 2.5, 7 * 2.0, 5 * 1.5)
        mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart = 2, -2, 4  # columns y, rows z, sections x
    back = read_map(tmp_path / "turned.mrc")
    np.testing.assert_array_equal(back.data, volume.data)
    np.testing.assert_allclose(back.apix, volume.apix)
    np.testing.assert_allclose(back.origin, [-2 * 1.5, 2 * 2.0, 4 * 2.5])


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float16, np.float32])
def test_number_types(tmp_path, dtype):
    data = np.arange(60).reshape(3, 4, 5).astype(dtype)
    with mrcfile.new(tmp_path / "map.mrc") as mrc:
        mrc.set_data(data)
        mrc.voxel_size = 2.0
    back = read_map(tmp_path / "map.mrc")
    assert back.data.dtype == np.float32
    assert read_header(tmp_path / "map.mrc").mode == np.dtype(dtype).name
    np.testing.assert_array_equal(back.data, data.astype(np.float32))


def test_gzip_and_names(tmp_path, volume):
    write_map(tmp_path / "emd_1.map", volume)
    (tmp_path / "emd_1.map.gz").write_bytes(gzip.compress((tmp_path / "emd_1.map").read_bytes()))
    np.testing.assert_array_equal(read_map(tmp_path / "emd_1.map.gz").data, volume.data)
    assert map_name("a/emd_1.map.gz") == map_name("emd_1.map") == map_name("emd_1.map.mrc") == "emd_1"


def test_zero_machine_stamp_and_missing_id_are_read_quietly(tmp_path, volume):
    write_map(tmp_path / "map.mrc", volume)
    raw = bytearray((tmp_path / "map.mrc").read_bytes())
    raw[208:216] = bytes(8)  # "MAP " and the stamp
    (tmp_path / "map.mrc").write_bytes(raw)
    np.testing.assert_array_equal(read_map(tmp_path / "map.mrc").data, volume.data)


def test_wrong_machine_stamp(tmp_path, volume):
    write_map(tmp_path / "map.mrc", volume)
    raw = bytearray((tmp_path / "map.mrc").read_bytes())
    raw[212:216] = b"\x11\x11\x00\x00"  # says big-endian; the data are little-endian
    (tmp_path / "map.mrc").write_bytes(raw)
    np.testing.assert_array_equal(read_map(tmp_path / "map.mrc").data, volume.data)


def test_voxel_size_zero_is_said(tmp_path, volume):
    with mrcfile.new(tmp_path / "map.mrc") as mrc:
        mrc.set_data(volume.data)
    with pytest.warns(MapWarning, match=r"voxel size 0 x 0 x 0; 1 Å is assumed"):
        back = read_map(tmp_path / "map.mrc")
    np.testing.assert_array_equal(back.apix, np.ones(3))


def test_bad_files_give_one_sentence(tmp_path, volume):
    write_map(tmp_path / "good.mrc", volume)
    raw = (tmp_path / "good.mrc").read_bytes()
    (tmp_path / "short.mrc").write_bytes(raw[:-40])
    (tmp_path / "short.mrc.gz").write_bytes(gzip.compress(raw[:-40]))
    (tmp_path / "cut.mrc.gz").write_bytes(gzip.compress(raw)[:-30])
    (tmp_path / "text.mrc").write_text("this is a text file\n" * 100)
    (tmp_path / "tiny.mrc").write_text("x")
    (tmp_path / "empty.mrc").write_bytes(b"")
    huge = bytearray(raw)
    huge[0:12] = np.array([10_000, 10_000, 10_000], "<i4").tobytes()
    (tmp_path / "huge.mrc").write_bytes(huge)
    negative = bytearray(raw)
    negative[0:4] = np.array([-9], "<i4").tobytes()
    (tmp_path / "negative.mrc").write_bytes(negative)
    expected = {
        "short.mrc": "truncated",
        "short.mrc.gz": "truncated",
        "cut.mrc.gz": "cannot be read",
        "text.mrc": "not an MRC map",
        "tiny.mrc": "not an MRC map",
        "empty.mrc": "not an MRC map",
        "huge.mrc": "truncated",
        "negative.mrc": "not an MRC map",
        "gone.mrc": "is not there",
        "": "is a folder",
    }
    for name, words in expected.items():
        with pytest.raises(HeteroError, match=words) as error:
            read_map(tmp_path / name)
        assert str(tmp_path / name) in one_sentence(error)


def test_nan_is_counted(tmp_path, volume):
    write_map(tmp_path / "nan.mrc", volume)
    raw = bytearray((tmp_path / "nan.mrc").read_bytes())
    raw[1024:1036] = np.full(3, np.nan, "<f4").tobytes()
    (tmp_path / "nan.mrc").write_bytes(raw)
    with pytest.raises(HeteroError, match="holds 3 values that are not numbers"):
        read_map(tmp_path / "nan.mrc")


def test_complex_and_stacks_of_volumes_are_refused(tmp_path):
    with mrcfile.new(tmp_path / "transform.mrc") as mrc:
        mrc.set_data(np.zeros((4, 4, 3), np.complex64))
    with pytest.raises(HeteroError, match="complex"):
        read_map(tmp_path / "transform.mrc")
    with mrcfile.new(tmp_path / "stack.mrc") as mrc:
        mrc.set_data(np.zeros((2, 4, 4, 4), np.float32))
    with pytest.raises(HeteroError, match="stack of volumes"):
        read_map(tmp_path / "stack.mrc")


def test_writing_that_fails_leaves_the_old_file(tmp_path, volume, monkeypatch):
    write_map(tmp_path / "map.mrc", volume)
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(HeteroError, match="no space left on device"):
        write_map(tmp_path / "map.mrc", Volume(volume.data * 2))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["map.mrc"]
    np.testing.assert_array_equal(read_map(tmp_path / "map.mrc").data, volume.data)


def band_limited(shape, box, seed=0):
    """A real function on the unit cube with frequencies below 3, sampled on ``shape`` points an axis."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij")
    total = np.zeros(shape)
    for _ in range(6):
        k = rng.integers(-2, 3, 3)
        total += rng.standard_normal() * np.cos(2 * np.pi * (k[0] * z + k[1] * y + k[2] * x) + rng.uniform(0, 6))
    return total


@pytest.mark.parametrize(
    ("old", "new"),
    [((8, 8, 8), (12, 12, 12)), ((9, 9, 9), (6, 6, 6)), ((12, 9, 7), (7, 16, 6)), ((10, 11, 12), (11, 10, 7))],
)
def test_resampling_is_exact_for_band_limited_maps(old, new):
    """Odd, even, non-cubic, up and down at once: the resampled map is the same function, sampled elsewhere."""
    resampled = resample_fourier(band_limited(old, 1), new)
    np.testing.assert_allclose(resampled, band_limited(new, 1), atol=3e-6)


def test_density_of_one_atom_is_its_gaussian():
    """Sum, centre and width of one atom, off the grid, against the formula."""
    apix, origin, at = np.array([1.0, 1.2, 0.8]), np.array([-5.0, 3.0, 0.0]), np.array([10.3, 17.7, 12.2])
    density = density_from_atoms(at[None], np.array([8.0]), (32, 30, 34), apix, origin, resolution=8.0)
    places = np.stack(np.indices(density.shape), axis=-1) * apix + origin
    weight = density / density.sum()
    assert density.sum() * np.prod(apix) == pytest.approx(8.0, rel=1e-5)
    np.testing.assert_allclose((places * weight[..., None]).sum(axis=(0, 1, 2)), at, atol=1e-3)
    spread = np.sqrt((((places - at) ** 2) * weight[..., None]).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(spread, 0.225 * 8.0, rtol=0.02)


def test_packaged_structure_reads():
    from hetero.commands.simulate import PACKAGED_STRUCTURE

    ribosome = read_structure(PACKAGED_STRUCTURE)
    assert len(ribosome) == 14218
    assert len(set(ribosome.chains)) == 74
    # residues as modelled: 10,308 amino acids and 3,910 nucleotides
    assert 2.1 * ribosome.weights.sum() == pytest.approx(10308 * 110 + 3910 * 321, rel=0.01)


def test_backbone_alone_weighs_as_much_as_whole_residues(tmp_path):
    line = "ATOM  {:5d}  {:2}  ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00           {}"
    atoms = [
        (4 * i + k, name, i + 1, 3.8 * i, 1.3 * k, 0, name[0])
        for i in range(9)
        for k, name in enumerate(("N", "CA", "C", "O"))
    ]
    (tmp_path / "backbone.pdb").write_text("\n".join(line.format(*atom) for atom in atoms) + "\nEND\n")
    weights = read_structure(tmp_path / "backbone.pdb").weights.reshape(9, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 51)  # electrons of a mean amino acid
    np.testing.assert_allclose(weights[:, 0] / weights[:, 3], 7 / 8)  # nitrogen, oxygen


def test_structure_errors(tmp_path):
    (tmp_path / "a.pdb").write_text("nothing here\n")
    for name in ("a.pdb", "gone.cif"):
        with pytest.raises(HeteroError) as error:
            read_structure(tmp_path / name)
        assert str(tmp_path / name) in one_sentence(error)


def test_real_maps_agree_with_mrcfile(shared):
    """Every map in the shared folder: the values that mrcfile gives, in our axis order."""
    import warnings

    for path in sorted((shared / "data" / "maps").iterdir()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MapWarning)
            ours = read_map(path)
        with mrcfile.open(path, permissive=False) as mrc:
            assert sorted(ours.shape) == sorted(mrc.data.shape)
            assert float(ours.data.sum(dtype=np.float64)) == pytest.approx(
                float(mrc.data.sum(dtype=np.float64)), rel=1e-6
            )
