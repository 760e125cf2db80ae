"""What the Latent dock shows, without a window: runs as layers, planes, selections, decoded maps in the session."""

import json

import numpy as np
import pytest
from napari.layers import Layer

from hetero.commands.latent_space import path_latents
from hetero.errors import HeteroError
from hetero.particles import read_indices
from napari_hetero import layers, readers
from napari_hetero.latent_model import LatentModel
from napari_hetero.process import in_process
from napari_hetero.session import Session

from .scenes import N_PARTICLES, RUN_APIX, RUN_BOX, arm_map

CIRCLE = np.column_stack([np.cos(t := np.linspace(0, 2 * np.pi, 60)), np.sin(t)])
WHOLE, GRID = (-0.5, 1.5, -0.5, 1.5), (40, 40)


@pytest.fixture
def latent(run_folder):
    """The model, in the plane of z1 and z2."""
    from hetero.commands.latent_space import open_space

    model = LatentModel(open_space(run_folder))
    model.set_axes("z1", "z2")
    return model


@pytest.fixture
def session(model):
    return Session(model, "llvmpipe")


def around(x: float, y: float, radius: float = 0.3) -> np.ndarray:
    return np.array([x, y]) + radius * CIRCLE


def cell(x: float, y: float) -> tuple[int, int]:
    return int((y + 0.5) / 2 * GRID[0]), int((x + 0.5) / 2 * GRID[1])


def test_reader_takes_runs_of_ours_and_cryodrgns(run_folder, shared, tmp_path):
    assert readers.get_reader(str(run_folder)) is readers.read_later
    [layer_tuple] = readers.read(run_folder)
    layer = Layer.create(*layer_tuple)
    assert layers.tag(layer)["kind"] == "run" and layer.data.shape == (RUN_BOX,) * 3
    assert tuple(layer.scale) == (RUN_APIX,) * 3
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for found in ("weights", "config", "z"):
        [path] = (shared / "data/trained/cryodrgn_tests").glob(f"het_{found}.*")
        (theirs / path.name.removeprefix("het_")).write_bytes(path.read_bytes())
    assert readers.get_reader(str(theirs)) is readers.read_later
    [(data, keywords, _)] = readers.read(theirs)
    assert keywords["metadata"][layers.KEY]["space"].run.system == "cryodrgn" and np.isfinite(data).all()


def test_a_damaged_run_gets_one_sentence(run_folder):
    (run_folder / "latents.npz").write_bytes(b"nothing")
    with pytest.raises(HeteroError, match=r"latents.npz cannot be read"):
        readers.read(run_folder)


def test_the_centre_stands_for_the_run_until_a_click(session, latent, run_folder):
    layers.add(session.viewer, readers.read(run_folder))
    assert session.ensemble.title == "run" and session.problem == ""
    level = session.ensemble.level()
    assert "the run's centre" in str(level)
    [before] = [len(layer.vertices) for layer in session.layers_of("drawn")]
    look = latent.decode(latent.request((1.0, 1.0)))
    np.testing.assert_allclose(look.volume.data, arm_map(1, 1), atol=1e-3)
    session.show_decoded(look.volume)
    [drawn] = session.layers_of("drawn")
    assert len(drawn.vertices) > before and session.ensemble.level() == level
    assert not session.maps_layer.visible


def test_decoded_maps_lie_where_the_run_lies_at_every_box(session, latent, run_folder):
    layers.add(session.viewer, readers.read(run_folder))
    centres = []
    for box in (RUN_BOX, 16):
        latent.box = box
        session.show_decoded(latent.decode(latent.request((1.0, 0.0))).volume)
        [drawn] = session.layers_of("drawn")
        vertices = drawn.vertices * drawn.scale + drawn.translate
        centres.append((vertices.min(axis=0) + vertices.max(axis=0)) / 2)
        np.testing.assert_allclose(drawn.scale, RUN_APIX * RUN_BOX / box)
    assert np.abs(centres[0] - centres[1]).max() < RUN_APIX  # less than a voxel apart
    off = centres[0] - RUN_BOX * RUN_APIX / 2
    assert off[2] > 2 * RUN_APIX > RUN_APIX > np.abs(off[:2]).max()  # the arm at +x


def test_blocks_are_measured_in_the_decoded_map(session, latent, run_folder, tmp_path):
    from hetero.maps import write_blocks
    from hetero.maps.blocks import make_blocks

    grid = np.indices((RUN_BOX,) * 3) - RUN_BOX // 2
    masks = np.array(
        [grid[0] ** 2 + grid[1] ** 2 + (grid[2] - 8) ** 2 <= 4, (grid[0] - 8) ** 2 + grid[1] ** 2 + grid[2] ** 2 <= 4]
    )
    write_blocks(tmp_path / "blocks", make_blocks(masks, np.full(3, RUN_APIX), np.zeros(3)), {})
    layers.add(session.viewer, [*readers.read(run_folder), *readers.read(tmp_path / "blocks")])
    found = []
    for point in ((1, 0), (0, 1), (0, 0)):
        session.show_decoded(latent.decode(latent.request(point)).volume)
        found.append(session.blocks.occupancy)
    assert found[0][0] > 0.9 and found[0][1] < 0.1
    assert found[1][1] > 0.9 and found[1][0] < 0.1
    assert max(found[2]) < 0.1


def test_picture_shows_counts_columns_and_the_selection(latent, run_folder, tmp_path):
    picture = latent.picture(WHOLE, GRID)
    assert (picture[..., 3] > 0).sum() == (latent.plane.counts(WHOLE, GRID) > 0).sum()
    assert picture[cell(0.5, 0.5)][3] == 0
    (tmp_path / "t.csv").write_text(
        "particle,kind\n" + "".join(f"{1000 + i},{'cold' if i < 200 else 'warm'}\n" for i in range(N_PARTICLES))
    )
    latent.space.read_columns(tmp_path / "t.csv")
    latent.color_by("kind")
    picture = latent.picture(WHOLE, GRID)
    [cold, warm] = [color for color, _ in latent.legend()]
    assert tuple(picture[cell(0, 0)][:3]) == cold and tuple(picture[cell(1, 0)][:3]) == warm
    latent.lasso(around(1, 0))
    picture = latent.picture(WHOLE, GRID)
    assert picture[cell(1, 0)][0] > 2 * picture[cell(1, 0)][2] and tuple(picture[cell(0, 0)][:3]) == cold


def test_lasso_and_set_operations(latent):
    told = []
    latent.picked.connect(lambda: told.append(list(latent.selections)))
    assert latent.lasso(around(0.5, 0.5, 0.1)) is None
    right, both = (
        latent.lasso(around(1, 0)),
        latent.lasso(np.array([[0.7, -1], [2, -1], [2, 2], [-1, 2], [-1, 0.7], [0.7, 0.7]])),
    )
    assert (latent.count(right), latent.count(both)) == (200, 400)
    sizes = [latent.count(latent.combine(both, right, op)) for op in ("union", "intersection", "difference")]
    assert sizes == [400, 200, 200]
    with pytest.raises(HeteroError, match="No particle is in selection 1 without selection 2"):
        latent.combine(right, both, "difference")
    latent.rename(right, "with the arm")
    assert "with the arm" in latent.selections and told[-1][0] == "with the arm"
    latent.rename(both, "with the arm")
    assert "with the arm (2)" in latent.selections


def test_saved_particles_carry_their_provenance(latent, run_folder, tmp_path):
    latent.lasso(around(0, 1))
    answer = latent.save("selection 1", tmp_path / "arm.csv")
    assert answer["selected"] == 200 and answer["of"] == N_PARTICLES
    kept = np.loadtxt(tmp_path / "arm.csv", skiprows=1, dtype=int)
    np.testing.assert_array_equal(kept, np.arange(1400, 1600))
    record = json.loads((tmp_path / "arm.csv.json").read_text())
    assert record["run"] == str(run_folder) and "hetero select" in record["command"]
    numbers = tmp_path / "arm_numbers.npy"
    assert str(numbers) in record["command"]
    np.testing.assert_array_equal(read_indices(numbers, 2000), kept)
    with pytest.raises(HeteroError, match="is there already"):
        (tmp_path / "mine.csv").write_text("mine")
        latent.save("selection 1", tmp_path / "mine.csv")
    assert not (tmp_path / "mine_numbers.npy").exists() and (tmp_path / "mine.csv").read_text() == "mine"


def test_star_rows_are_the_originals(latent, tmp_path):
    rows = "".join(f"{i + 1:06d}@stack.mrcs {i}.5\n" for i in range(1600))
    star = "data_\n\nloop_\n_rlnImageName #1\n_rlnDefocusU #2\n" + rows + "\n"
    (tmp_path / "all.star").write_text(star)
    latent.lasso(around(1, 0))
    latent.save("selection 1", tmp_path / "some.star", tmp_path / "all.star")
    lines = [line for line in (tmp_path / "some.star").read_text().splitlines() if "@" in line]
    assert lines == [f"{i + 1:06d}@stack.mrcs {i}.5" for i in range(1200, 1400)]


def test_anchors_and_path_lie_in_the_plane(latent, run_folder, tmp_path):
    from hetero.commands import traverse

    assert latent.add_anchor() is None
    for point in ((1, 0), (0, 1)):
        latent.look = latent.decode(latent.request(point))
        latent.add_anchor()
    assert len(latent.anchors) == 2
    traverse.run(
        traverse.Settings(run=run_folder, out=tmp_path / "way", how="direct", n=5, particles=tuple(latent.anchors))
    )
    latent.take_path(path_latents(tmp_path / "way"))
    places = latent.path_places()
    assert len(places) == 6 and np.abs(places.sum(axis=1) - 1).max() < 0.2  # the straight line from (1, 0) to (0, 1)
    latent.clear_path()
    assert len(latent.path_places()) == len(latent.anchor_places()) == 0


def test_hover_names_the_particle(latent):
    assert latent.under((1, 0)) == ""
    latent.plane.prepare()
    point = latent.plane.points[17]
    assert latent.under(tuple(point)) == "particle 1,017"
    latent.color_by("z2")
    assert latent.under(tuple(point)) == f"particle 1,017, z2 {point[1]:.3g}"


def test_a_verb_in_a_process_answers_and_complains(run_folder, tmp_path):
    seen = []
    values = {"run": str(run_folder), "out": str(tmp_path / "way"), "n": 3}
    answer = in_process("traverse", values, lambda *report: seen.append(report))
    assert answer["n"] == 3 and answer["warnings"] == [] and seen
    with pytest.raises(HeteroError, match="no component 9"):
        in_process("traverse", values | {"out": str(tmp_path / "other"), "component": 9})
