"""Large boxes: coarse first, then borders at full sampling; finished parts survive; processes change nothing."""

import shutil
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from hetero.commands import blocks
from hetero.errors import Cancelled, HeteroError
from hetero.maps import Ensemble, Volume, open_ensemble, read_blocks, write_map
from hetero.parts import Parts
from hetero.siren import EffectRule, PublishedRule, binarise, gather_kept, tiles
from hetero.siren.coarse import level_enclosing, refine
from hetero.siren.effect import EffectQuery, standardise
from hetero.siren.tiles import gather_here

SHAPE, APIX, N = (52, 54, 60), 4.0, 120


def truth() -> np.ndarray:
    """Two blocks on a ball, ``(2, *SHAPE)``."""
    masks = np.zeros((2, *SHAPE), dtype=bool)
    masks[0, 22:30, 23:31, 40:46] = True
    masks[1, 22:30, 37:43, 26:34] = True
    return masks


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """A ball with two blocks, each in about a third of 120 maps, in noise; level 1."""
    folder = tmp_path_factory.mktemp("large") / "maps"
    folder.mkdir()
    rng = np.random.default_rng(0)
    z, y, x = (i - s / 2 for i, s in zip(np.indices(SHAPE), SHAPE, strict=True))
    ball = 2.0 / (1 + np.exp(np.sqrt(z**2 + y**2 + x**2) - 15))
    blocks_ = truth()
    for i in range(N):
        data = ball.copy()
        for mask, there in zip(blocks_, rng.random(2) < 0.35, strict=True):
            data[mask] = 2.0 if there else 0.1
        noise = gaussian_filter(rng.standard_normal(SHAPE), 0.7)
        write_map(folder / f"vol_{i:03d}.mrc", Volume(data + 0.25 * noise / noise.std(), APIX, (1.0, 2.0, 3.0)))
    return folder


def settings(folder, out, **other):
    return blocks.Settings(folder, out, level="1.0", **{"coarse": 30, "workers": 1, "resamples": 2, **other})


def overlap(a, b) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(scope="module")
def coarse_run(ensemble, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "blocks"
    return blocks.run(settings(ensemble, out)), out


def test_borders_are_those_of_full_sampling(ensemble, coarse_run, tmp_path):
    answer, out = coarse_run
    assert answer["found_at"] == [26, 27, 30] and answer["shape"] == list(SHAPE) and answer["n"] == 2
    assert "found in maps of 30 x 27 x 26 voxels, borders refined" in blocks.describe(answer)
    exact = blocks.run(settings(ensemble, tmp_path / "exact", coarse=0))
    assert exact["found_at"] == list(SHAPE)
    coarse, full = read_blocks(out), read_blocks(tmp_path / "exact")
    for mask in truth():
        assert max(overlap(mask, m) for m in coarse.masks) > 0.93
    for mask in full.masks:
        assert max(overlap(mask, m) for m in coarse.masks) > 0.98
    np.testing.assert_allclose(sorted(coarse.table["mean_occupancy"]), sorted(full.table["mean_occupancy"]), atol=0.01)
    assert not out.with_name("blocks.parts").exists()


def test_the_published_rule_s_blocks_are_refined_too(ensemble, tmp_path):
    answer = blocks.run(settings(ensemble, tmp_path / "b", rule="published"))
    assert answer["found_at"] == [26, 27, 30]
    for mask in truth():
        assert max(overlap(mask, m) for m in read_blocks(tmp_path / "b").masks) > 0.9


def test_no_block_at_all(ensemble, tmp_path):
    answer = blocks.run(settings(ensemble, tmp_path / "b", min_kda=1e6))
    assert answer["n"] == 0 and "no blocks" in blocks.describe(answer)


def test_a_run_cut_short_goes_on_and_gives_the_same(ensemble, coarse_run, tmp_path, monkeypatch):
    out = tmp_path / "blocks"

    def stop(done, total, message):
        if message == "reading maps" and done >= 32:
            raise Cancelled

    with pytest.raises(Cancelled):
        blocks.run(settings(ensemble, out), stop)
    assert not out.exists() and (tmp_path / "blocks.parts").is_dir()
    read = []
    get = Ensemble.__getitem__
    monkeypatch.setattr(Ensemble, "__getitem__", lambda self, i: read.append(i) or get(self, i))
    blocks.run(settings(ensemble, out))
    assert sorted(read) == list(range(32, N)), "two chunks of 16 maps were there already"
    pd.testing.assert_frame_equal(read_blocks(out).table, read_blocks(coarse_run[1]).table)
    np.testing.assert_array_equal(read_blocks(out).masks, read_blocks(coarse_run[1]).masks)
    assert not (tmp_path / "blocks.parts").exists()


def test_parts_of_other_maps_are_not_taken_for_these(ensemble, tmp_path):
    copy = tmp_path / "maps"
    shutil.copytree(ensemble, copy)

    def stop(done, total, message):
        if message == "reading maps" and done >= 16:
            raise Cancelled

    with pytest.raises(Cancelled):
        blocks.run(settings(copy, tmp_path / "b"), stop)
    with pytest.raises(HeteroError, match="unfinished work with another levels"):
        blocks.run(replace(settings(copy, tmp_path / "b"), level="1.1"))
    (copy / "vol_005.mrc").unlink()
    with pytest.raises(HeteroError, match=r"unfinished work with another (levels|maps)"):
        blocks.run(settings(copy, tmp_path / "b"))


def test_local_processes_give_the_same(ensemble, coarse_run, tmp_path):
    pytest.importorskip("distributed")
    blocks.run(settings(ensemble, tmp_path / "b", workers=2))
    pd.testing.assert_frame_equal(read_blocks(tmp_path / "b").table, read_blocks(coarse_run[1]).table)


@pytest.mark.parametrize("rule", [EffectRule(), PublishedRule()])
def test_kept_tiles_are_the_tiles(ensemble, tmp_path, monkeypatch, rule):
    for module in ("effect", "published", "tiles"):
        monkeypatch.setattr(f"hetero.siren.{module}.TILE", 300)
    patterns = binarise(iter(open_ensemble(ensemble)), np.ones(N))
    plain = rule.infer_blocks(patterns)
    asked = []

    def counted(query, progress):
        class Counted:
            tiles = query.tiles

            def __call__(self, row):
                asked.append(row)
                if len(asked) == 3:
                    raise KeyboardInterrupt
                return query(row)

        return gather_kept(parts)(Counted(), progress)

    parts = Parts(tmp_path / "p", {"rule": repr(rule)})
    with pytest.raises(KeyboardInterrupt):
        rule.infer_blocks(patterns, gather=counted)
    again = rule.infer_blocks(patterns, gather=counted)
    assert asked[:3] == [0, 1, 2] and asked[3] == 2, "rows 0 and 1 were kept"
    assert [b.tolist() for b in again] == [b.tolist() for b in plain]


def test_tiles_survive_killed_workers(ensemble, tmp_path, kill_worker):
    pytest.importorskip("distributed", reason="Dask's workers are an extra")
    patterns = binarise(iter(open_ensemble(ensemble)), np.ones(N))
    plain, killed = EffectRule().infer_blocks(patterns), []

    def slowly(query, progress):
        class Slow:  # inside, so that it travels whole
            tiles = query.tiles

            def __call__(self, row):
                time.sleep(0.5)
                return query(row)

        def kill(done, total, message):
            if len(killed) < 2 and kill_worker(done):
                killed.append(done)

        return gather_kept(parts, workers=2)(Slow(), kill)

    parts = Parts(tmp_path / "p", {})
    found = EffectRule().infer_blocks(patterns, gather=slowly)
    assert killed and [b.tolist() for b in found] == [b.tolist() for b in plain]


def test_rows_of_tiles_are_all_pairs_once(monkeypatch):
    rng = np.random.default_rng(0)
    patterns = binarise([Volume(rng.random((6, 6, 6)) < rng.random(), name=str(i)) for i in range(40)], np.ones(40))
    whole = gather_here(EffectQuery.of(EffectRule(), patterns))
    monkeypatch.setattr("hetero.siren.effect.TILE", 50)
    parts = gather_here(EffectQuery.of(EffectRule(), patterns))
    assert len(whole) > 0 and tiles.TILE == 2048
    assert sorted(map(tuple, parts.tolist())) == sorted(map(tuple, whole.tolist()))


def test_refining_in_slabs_is_a_correlation_of_every_voxel(monkeypatch):
    """Against the definition: phi of each voxel that changes with the signature, one at a time."""
    rng = np.random.default_rng(0)
    n, shape = 50, (5, 6, 7)
    state = rng.random(n) < 0.4
    on = np.where(rng.random((n, 210)) < 0.5, state[:, None], rng.random((n, 210)) < rng.random(210))
    signature = (state - state.mean()) / state.std()
    monkeypatch.setattr("hetero.siren.coarse._UNPACKED", 8 * n * 4)
    masks, occupancy = refine(np.packbits(on, axis=1), shape, signature[None], EffectRule(expand=0.45))
    changes = on.any(axis=0) & ~on.all(axis=0)
    phi = [np.corrcoef(on[:, k], state)[0, 1] if changes[k] else 0 for k in range(210)]
    expected = EffectRule(expand=0.45).members(
        standardise(on[:, changes]), on[:, changes].sum(axis=0), [signature], 210
    )[0]
    assert masks[0].ravel().nonzero()[0].tolist() == np.flatnonzero(changes)[expected].tolist()
    assert all(phi[k] >= 0.45 - 1e-6 for k in masks[0].ravel().nonzero()[0]) and 20 < masks.sum() < 150
    assert occupancy[0] == pytest.approx(on[:, masks[0].ravel()].mean())


def test_coarse_level_encloses_the_same_share():
    data = np.random.default_rng(0).standard_normal((10, 10, 10)).astype(np.float32)
    for share in (0.001, 0.02, 0.5, 1.0):
        assert np.mean(data >= level_enclosing(data, share)) == share
    assert level_enclosing(data, 0.0) == np.inf
