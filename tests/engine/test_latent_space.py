"""A run as a viewer looks at it: planes, lassos, columns, and maps under a click."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from hetero.commands.latent_space import level_of, numbers_of, open_space, path_latents
from hetero.errors import HeteroError
from hetero.latent import View
from hetero.latent.plane import Nearness, Plane


@pytest.fixture
def space(write_cryodrgn):
    """A run of 300 particles in three groups: 4 e_0, 4 e_1 and 0 + 4 e_... of two latents."""
    return open_space(write_cryodrgn(n=300))


def star(n: int = 200, cross: bool = False) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    if cross:
        return np.column_stack([1.5 * np.cos(t), 1.2 * np.sin(2 * t)])
    return ((1 + 0.4 * np.sin(5 * t))[:, None]) * np.column_stack([np.cos(t), np.sin(t)])


@pytest.mark.parametrize("cross", [False, True])
def test_lasso_is_matplotlibs_even_odd_rule_on_every_point(cross):
    points = np.random.default_rng(0).normal(size=(100_000, 2)).astype(np.float32)
    polygon = star(cross=cross)
    expected = Outline(polygon).contains_points(points.astype(float))
    np.testing.assert_array_equal(Plane(points).inside(polygon), expected)
    assert 0.1 < expected.mean() < 0.9


def test_a_lasso_without_an_inside_catches_nothing():
    plane = Plane(np.zeros((5, 2)))
    for polygon in (np.zeros((0, 2)), np.array([[0, 0], [1, 1.0]]), np.array([[-1, 0], [1, 0], [0.5, 0.0]])):
        assert not plane.inside(polygon).any()


def test_counts_of_a_view_are_numpys():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(20_000, 2)).astype(np.float32)
    points[::100] = np.nan
    weights, some = rng.normal(size=(20_000, 3)), rng.random(20_000) < 0.3
    known = np.isfinite(points).all(axis=1)
    plane, extent, shape = Plane(points), (-1.0, 0.7, -0.5, 2.0), (13, 17)

    def reference(which, w=None):
        edges = [np.linspace(-0.5, 2.0, 14), np.linspace(-1.0, 0.7, 18)]
        return np.histogram2d(points[which, 1], points[which, 0], edges, weights=w)[0]

    np.testing.assert_array_equal(plane.counts(extent, shape), reference(known))
    np.testing.assert_array_equal(plane.counts(extent, shape, some=some), reference(known & some))
    summed = plane.counts(extent, shape, weights)
    for k in range(3):
        np.testing.assert_allclose(summed[..., k], reference(known, weights[known, k]), atol=1e-9)


def test_nearest_particle_and_what_is_too_far():
    latents = np.random.default_rng(2).normal(size=(2000, 3)).astype(np.float32)
    plane = Plane(latents[:, :2])
    assert not plane.ready
    row, distance = plane.nearest((0.3, -0.2))
    assert plane.ready
    apart = np.linalg.norm(latents[:, :2] - (0.3, -0.2), axis=1)
    assert row == apart.argmin() and distance == pytest.approx(apart.min())
    near = Nearness(latents)
    assert not near.is_far(latents[7]) and not near.is_far(np.zeros(3)) and near.is_far(np.full(3, 20.0))
    own = np.sort(np.linalg.norm(latents[:300, None] - latents[None], axis=2), axis=1)[:, 1]
    assert np.mean(own <= near.limit) == pytest.approx(0.99, abs=0.02)


@pytest.mark.parametrize("axes", [("z1", "z2"), ("PC 1", "PC 2"), ("z2", "PC 1")])
def test_the_latent_under_a_click_lies_under_the_click(space, axes):
    plane = space.plane(*axes)
    point = plane.points[17] + np.float32(0.05)
    look = space.look(plane, *axes, point)
    np.testing.assert_allclose(look.at, point, atol=1e-4)
    np.testing.assert_allclose(space.places(look.z[None], *axes)[0], point, atol=1e-4)
    snapped = space.look(plane, *axes, point, snap=True)
    row = np.flatnonzero(space.run.particle_index == snapped.particle)[0]
    np.testing.assert_array_equal(snapped.z, space.run.latents[row])
    assert not snapped.far


def test_a_click_decodes_what_decode_decodes_and_far_ones_are_marked(space):
    plane = space.plane("z1", "z2")
    near, far = (space.look(plane, "z1", "z2", point, box=8) for point in (plane.points[3], (40.0, -40.0)))
    assert not near.far and far.far
    expected = next(space.run.decode(far.z, View(box=8)))
    np.testing.assert_allclose(far.volume.data, expected.data, rtol=1e-5, atol=1e-6)
    assert far.volume.shape == (8, 8, 8)


def test_columns_become_axes_and_colours(space, tmp_path):
    n = len(space.run)
    rows = [f"{i},{i / 7},{'ab'[i % 2]},{i % 3}" for i in range(n - 1, 4, -1)]  # other order, five missing
    (tmp_path / "t.csv").write_text("\n".join(["particle,score,kind,cluster", *rows]) + "\n")
    assert space.read_columns(tmp_path / "t.csv") == ["score", "kind", "cluster"]
    assert space.columns["kind"].classes == ("a", "b") and space.columns["cluster"].classes == ("0", "1", "2")
    assert space.axes == ["PC 1", "PC 2", "z1", "z2", "score"]
    np.testing.assert_allclose(space.values("score")[5:], np.arange(5, n) / 7, rtol=1e-6)
    assert np.isnan(space.values("score")[:5]).all()
    plane = space.plane("score", "z1")
    look = space.look(plane, "score", "z1", plane.points[50])
    np.testing.assert_array_equal(look.z, space.run.latents[50])  # a column has no direction to go in


def test_tables_that_do_not_fit_get_one_sentence(space, tmp_path):
    (tmp_path / "names.csv").write_text("name,x\nvol_0,1\n")
    (tmp_path / "others.csv").write_text("particle,x\n99999,1\n")
    (tmp_path / "twice.csv").write_text("particle,x\n1,1\n1,2\n")
    for name, words in (("names.csv", "'particle', was expected"), ("others.csv", "names none of the 300 particles"),
                        ("twice.csv", "each particle's number once"), ("gone.csv", "is not there")):  # fmt: skip
        with pytest.raises(HeteroError, match=words):
            space.read_columns(tmp_path / name)
    with pytest.raises(HeteroError, match="no axis 'z9'"):
        space.values("z9")


def test_mean_map_is_the_mean_of_decoded_maps(space):
    some = np.zeros(300, bool)
    some[[3, 30, 200]] = True
    seen = []
    mean = space.mean_map(some, progress=lambda *report: seen.append(report))
    expected = np.mean([v.data for v in space.run.decode(space.run.latents[some])], axis=0)
    np.testing.assert_allclose(mean.data, expected, rtol=1e-4, atol=1e-5)
    assert seen[-1][:2] == (3, 3)
    assert space.mean_map(np.ones(300, bool), most=5).name == "mean of 5"
    with pytest.raises(HeteroError, match="selection is empty"):
        space.mean_map(np.zeros(300, bool))


def test_numbers_centre_and_level(space):
    some = np.arange(300) < 4
    np.testing.assert_array_equal(numbers_of(space, some), space.run.particle_index[:4])
    assert (space.run.latents == space.centre()).all(axis=1).any()
    volume = space.decode(space.centre())
    assert volume.data.min() < level_of(volume) < volume.data.max()


def test_labels_of_an_analysis_and_points_of_a_path_are_found(write_cryodrgn, tmp_path):
    from hetero.commands import traverse

    folder = write_cryodrgn(n=60)
    (folder / "analysis").mkdir()
    (folder / "analysis" / "labels.csv").write_text("particle,cluster\n" + "".join(f"{i},{i % 4}\n" for i in range(60)))
    assert list(open_space(folder).columns) == ["cluster"]
    traverse.run(traverse.Settings(run=folder, out=tmp_path / "way", n=4))
    assert path_latents(tmp_path / "way").shape == (4, 2)
    with pytest.raises(HeteroError, match=r"path.csv is not there; a table of the points of a path was expected"):
        path_latents(tmp_path)
