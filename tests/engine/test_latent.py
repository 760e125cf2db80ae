"""Latent spaces: known groups, known axes, known ways, against plain references."""

from itertools import pairwise

import networkx
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from hetero.errors import Cancelled, HeteroError
from hetero.latent import clusters
from hetero.latent.clusters import k_means, mixture_labels
from hetero.latent.density import density_raster
from hetero.latent.embedding import umap_embedding
from hetero.latent.paths import component_path, graph_path, neighbour_graph, neighbours, straight_path
from hetero.latent.pca import principal_components


def blobs(n=300, k=4, zdim=5, apart=8.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = apart * rng.standard_normal((k, zdim))
    labels = np.arange(n) % k
    return (centres[labels] + rng.standard_normal((n, zdim))).astype(np.float32), labels


def test_components_are_those_of_an_independent_program():
    latents = (blobs()[0] * [1, 5, 2, 0.5, 3]).astype(np.float32) + 100
    ours, theirs = principal_components(latents), PCA().fit(latents.astype(float))
    np.testing.assert_allclose(ours.variances, theirs.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(ours.shares, theirs.explained_variance_ratio_, rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.sum(ours.axes * theirs.components_, axis=1)), 1, rtol=1e-5)
    np.testing.assert_allclose(ours.latents(ours.scores(latents)), latents, atol=1e-3)
    assert (ours.axes[np.arange(5), np.abs(ours.axes).argmax(axis=1)] > 0).all()


def test_k_means_finds_the_groups_and_centres_on_the_data():
    latents, truth = blobs()
    found = k_means(latents, 4)
    assert adjusted_rand_score(truth, found.labels) == 1
    assert found.sizes.tolist() == [75] * 4
    np.testing.assert_array_equal(found.labels[found.nearest], np.arange(4))
    for label, row in enumerate(found.nearest):
        distances = np.linalg.norm(latents - found.centres[label], axis=1)
        assert distances[row] == distances[found.labels == label].min()
    # Alike groups lie side by side: the order of the leaves of a tree.
    line = np.repeat([[0.0], [9.0], [3.0], [6.0]], 10, axis=0) + 0.1 * np.random.default_rng(0).random((40, 1))
    assert np.abs(np.diff(k_means(line, 4).centres[:, 0])).max() < 4


def test_k_means_of_many_is_polished_on_all(monkeypatch):
    monkeypatch.setattr(clusters, "_FITTED", 100)
    latents, truth = blobs(2000)
    found = k_means(latents, 4, seed=3)
    assert adjusted_rand_score(truth, found.labels) == 1
    for label in range(4):
        np.testing.assert_allclose(found.centres[label], latents[found.labels == label].mean(axis=0), atol=1e-4)


def test_a_mixture_tells_stretched_groups_that_k_means_cuts():
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1], [400, 200])
    latents = rng.standard_normal((600, 2)) * [6, 0.5] + truth[:, None] * [0, 5.0]
    assert adjusted_rand_score(truth, mixture_labels(latents, 2)) > 0.95
    assert adjusted_rand_score(truth, k_means(latents, 2).labels) < 0.2
    assert np.bincount(mixture_labels(latents, 2)).argmax() == 0


def test_too_many_groups_get_a_sentence():
    latents = np.repeat(np.eye(3), 5, axis=0)
    with pytest.raises(HeteroError, match=r"16 clusters of 15 particles"):
        k_means(latents, 16)
    with pytest.raises(HeteroError, match=r"Fewer than 4 of the latents differ"):
        k_means(latents, 4)
    with pytest.raises(HeteroError, match=r"mixture of 8 Gaussians of 15 particles"):
        mixture_labels(latents, 8)


def test_a_component_path_spans_its_percentiles_and_nothing_else():
    latents, _ = blobs()
    components = principal_components(latents)
    scores = components.scores(latents)
    places = components.scores(component_path(components, scores, along=1, n=7))
    np.testing.assert_allclose(places[[0, -1], 1], np.percentile(scores[:, 1], [5, 95]), rtol=1e-4)
    np.testing.assert_allclose(np.diff(places[:, 1]), np.diff(places[:, 1])[0], rtol=1e-3)
    np.testing.assert_allclose(np.delete(places, 1, axis=1), 0, atol=1e-4)


def test_straight_paths():
    path = straight_path(np.array([[0, 0], [4, 0], [4, 2]]), n=4)
    np.testing.assert_array_equal(path[[0, 1, 4, 6, 8]], [[0, 0], [1, 0], [4, 0], [4, 1], [4, 2]])
    assert len(path) == 9
    assert straight_path(np.array([[0, 0], [4, 0], [4, 2]]), n=4, loop=True)[-1].tolist() == [0, 0]


def test_neighbours_are_the_nearest_others():
    latents = np.random.default_rng(2).standard_normal((200, 3)).astype(np.float32)
    latents[50:60] = latents[50]  # coincide
    rows, distances = neighbours(latents, 5)
    every = cdist(latents, latents)
    np.fill_diagonal(every, np.inf)
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :5], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(every, rows, axis=1), distances, atol=1e-5)


def ring(n=400, noise=0.02):
    rng = np.random.default_rng(3)
    angle = np.linspace(0, 1.5 * np.pi, n) + 0.004 * rng.standard_normal(n)  # three quarters of a circle
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * rng.standard_normal((n, 2)), angle


def test_the_graph_s_way_stays_on_the_data():
    latents, angle = ring()
    degrees = np.diff(neighbour_graph(latents).edges.indptr)
    assert degrees.mean() == pytest.approx(5, abs=0.02) and degrees.max() <= 10
    graph = neighbour_graph(latents, average=9)
    first, last = np.flatnonzero(graph.parts == 0)[[0, -1]]
    assert angle[last] - angle[first] > 1.4 * np.pi
    path = graph_path(graph, np.array([first, last]))
    assert path.jumps == () and path.rows[[0, -1]].tolist() == [first, last]
    assert np.linalg.norm(latents[path.rows], axis=1).min() > 0.85, "never through the empty middle"
    assert np.diff(angle[path.rows]).min() > -0.05, "and round it once"
    edges = graph.edges.tocoo()
    other = networkx.Graph()
    other.add_weighted_edges_from(zip(edges.row.tolist(), edges.col.tolist(), edges.data.tolist(), strict=True))
    length = sum(np.linalg.norm(latents[b] - latents[a]) for a, b in pairwise(path.rows))
    assert length == pytest.approx(networkx.dijkstra_path_length(other, first, last), rel=1e-4)


def test_the_way_passes_its_anchors_in_order():
    latents, _ = ring()
    path = graph_path(neighbour_graph(latents, average=9), np.array([200, 5, 394]))
    places = [path.rows.tolist().index(a) for a in (200, 5, 394)]
    assert places == sorted(places) and (np.diff(path.rows) != 0).all()


def test_a_gap_is_said_and_stepped_over_where_it_is_narrowest():
    latents, truth = blobs(200, 2, 3, apart=20.0)
    graph = neighbour_graph(latents)
    groups = [
        np.flatnonzero((truth == k) & (graph.parts == np.bincount(graph.parts[truth == k]).argmax())) for k in (0, 1)
    ]
    here, there = (int(group[0]) for group in groups)
    path = graph_path(graph, np.array([here, there]))
    assert path.rows[0] == here and path.rows[-1] == there
    gap = max(path.jumps, key=lambda jump: jump.length)
    assert gap.length == pytest.approx(cdist(latents[truth == 0], latents[truth == 1]).min(), rel=1e-5)
    assert all(jump.length > graph.longest for jump in path.jumps)
    steps = [(a, b) for a, b in pairwise(path.rows.tolist()) if graph.edges[a, b] == 0 == graph.edges[b, a]]
    assert steps == [(jump.start, jump.end) for jump in path.jumps], "every other step is an edge"


def test_a_lonely_particle_is_reached_over_its_nearest_neighbour():
    latents, _ = ring()
    latents = np.concatenate([latents, [[1.2, 0.0]]])
    graph = neighbour_graph(latents)
    assert graph.parts[400] != 0, "too far to be joined"
    path = graph_path(graph, np.array([400, 350]))
    (jump,) = [jump for jump in path.jumps if jump.start == 400]
    assert jump.end in neighbours(latents, 10)[0][400]


def test_a_raster_counts_every_point_where_it_is():
    points = np.random.default_rng(4).standard_normal((10_000, 2)) * [3, 1] + [0, 50]
    raster = density_raster(points, size=50)
    assert raster.counts.sum() == 10_000 and raster.counts.shape == (50, 50)
    left, right, bottom, top = raster.extent
    rows, columns = np.unravel_index(raster.counts.argmax(), raster.counts.shape)
    assert left + (columns + 0.5) * (right - left) / 50 == pytest.approx(0, abs=1)
    assert bottom + (rows + 0.5) * (top - bottom) / 50 == pytest.approx(50, abs=0.5)
    assert density_raster(np.zeros((3, 2))).counts.sum() == 3


def test_umap_keeps_groups_apart_repeats_and_can_be_stopped():
    latents, truth = blobs(150, 3)
    told = []
    first = umap_embedding(latents, progress=lambda *call: told.append(call))
    np.testing.assert_array_equal(first, umap_embedding(latents))
    nearest = cdist(first, first).argsort(axis=1)[:, 1:6]
    assert (truth[nearest] == truth[:, None]).mean() > 0.99
    rounds = [(done, total) for done, total, message in told if "rounds" in message]
    assert rounds[-1] == (500, 500) and rounds[0][0] < 500

    def stop(done, total, message):
        if "rounds" in message:
            raise Cancelled

    with pytest.raises(Cancelled):
        umap_embedding(latents, progress=stop)
