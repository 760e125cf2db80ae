"""Trust without a truth: what latents know of the imaging, whether runs agree, whether maps have settled."""

import json

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands.open_run import open_run
from hetero.latent.trust import (
    agreement,
    foretold_by_neighbours,
    imaging_targets,
    map_change,
    maps_found_again,
    used_numbers,
)
from hetero.particles import CTF, Poses, euler_from_rotations, write_ctf, write_indices, write_poses, write_stack

RNG = np.random.default_rng


def random_rotations(n: int, seed: int = 0) -> np.ndarray:
    return Rotation.random(n, random_state=seed).as_matrix()


def test_what_is_foretold_is_the_share_that_the_latents_know():
    rng = RNG(1)
    latents = rng.uniform(0, 1, (6000, 1)).astype(np.float32)
    signal = np.sin(3 * latents[:, :1])
    noise = rng.normal(0, signal.std(), (6000, 1))
    found = foretold_by_neighbours(
        latents, {"half": signal + noise, "all": signal, "nothing": noise, "the same": np.full((6000, 1), 7.0)}
    )
    assert found["half"].share == pytest.approx(0.5, abs=0.03) and found["half"].p == 0.01
    assert found["all"].share > 0.97
    assert abs(found["nothing"].share) < 0.01 and found["nothing"].p > 0.01
    assert "the same" not in found


def test_an_unrelated_target_is_seldom_called_related():
    rng = RNG(2)
    latents = rng.standard_normal((400, 3)).astype(np.float32)
    found = foretold_by_neighbours(latents, {str(i): rng.standard_normal((400, 2)) for i in range(100)})
    chances = np.array([f.p for f in found.values()])
    assert (chances <= 0.05).mean() == pytest.approx(0.05, abs=0.05)
    assert np.mean([f.share for f in found.values()]) == pytest.approx(0, abs=0.004)


def test_a_view_is_found_also_where_its_sign_is_not_in_the_latents():
    rotations = random_rotations(3000)
    view, psi = rotations[:, 2], euler_from_rotations(rotations)[2]
    targets = imaging_targets(rotations, None, np.full(3000, 1e4))
    np.testing.assert_allclose(
        targets["in-plane angle"], np.stack([np.cos(np.radians(psi)), np.sin(np.radians(psi))], axis=1), atol=1e-9
    )
    top = foretold_by_neighbours(np.abs(view[:, 2:]).astype(np.float32), targets)
    assert set(top) == {"view direction", "in-plane angle"}, "one defocus for all cannot be known"
    # Of a view up to its sign and its place around the axis: 2/15 of a variance of 1 + 2/3.
    assert top["view direction"].p == 0.01 and top["view direction"].share == pytest.approx(0.08, abs=0.015)
    assert top["in-plane angle"].p > 0.01
    turned = foretold_by_neighbours(targets["in-plane angle"].astype(np.float32), targets)
    assert turned["in-plane angle"].share > 0.95 and turned["view direction"].p > 0.01


def test_two_latent_spaces_agree_whatever_turns_one_into_the_other():
    rng = RNG(3)
    first = rng.standard_normal((1500, 3))
    turned = 5 * first @ Rotation.random(random_state=1).as_matrix() + 2
    same, half = agreement(first, turned), agreement(first, turned + rng.normal(0, 5, first.shape))
    assert same.linear == pytest.approx(1) and same.neighbours == pytest.approx(1, abs=1e-3)
    assert half.linear == pytest.approx(0.5, abs=0.03), "noise of the signal's size leaves half of the variance"
    strange = agreement(first, rng.standard_normal((1500, 2)))
    assert abs(strange.linear) < 0.02 and strange.neighbours == pytest.approx(strange.chance, abs=0.004)
    nearest = [cdist(z, z).argsort(axis=1)[:, 1:16] for z in (first, first**3)]
    shared = np.mean([len(set(a) & set(b)) for a, b in zip(*nearest, strict=True)]) / 15
    assert agreement(first, first**3).neighbours == pytest.approx(shared)


def test_maps_are_found_again_in_any_order_and_noise_is_not():
    rng = RNG(4)
    maps = rng.standard_normal((6, 12, 12, 12)).astype(np.float32)
    order, sizes = rng.permutation(6), rng.integers(10, 99, 6)
    assert maps_found_again(maps + 3, 2 * maps[order], sizes, sizes[order]) == pytest.approx(1)
    assert maps_found_again(maps, rng.standard_normal(maps.shape), sizes, sizes) < 0.2


def test_the_change_of_maps_is_measured_by_what_sets_them_apart():
    maps = RNG(5).standard_normal((5, 8, 8, 8))
    apart = np.sqrt(np.square(maps - maps.mean(axis=0)).mean())
    assert map_change(maps, maps) == 0
    assert map_change(maps - apart, maps) == pytest.approx(1)


def test_a_collapsed_number_is_not_used():
    latents = RNG(6).standard_normal((1000, 3)) * [2, 0.1, 1]
    assert used_numbers(latents, np.log(np.full((1000, 3), 0.5))) == 2


@pytest.fixture
def judged(write_cryodrgn, tmp_path, capsys):
    """``judged(*flags, run=...)`` analyses a run of 120 particles in three groups: the answer and the page."""
    folder = write_cryodrgn(n=120, zdim=3)

    def analyse(*flags, run=folder):
        fast = ("--k", 3, "--mixture", 3, "--skip-umap", "--components", 0, "--json", "--out", tmp_path / "a")
        status = main([str(a) for a in ("analyze", run, *fast, *flags)])
        out, err = capsys.readouterr()
        assert (status, err) == (DONE, "")
        return json.loads(out)["trust"], (tmp_path / "a" / "report.html").read_text()

    analyse.folder = folder
    return analyse


def write_particles(folder, n: int, defocus) -> list:
    """A stack with poses and CTF as cryoDRGN has them; the flags that name them."""
    with write_stack(folder / "p.mrcs", n, 16, 2.0) as writer:
        writer.append(RNG(0).standard_normal((n, 16, 16)).astype(np.float32))
    write_poses(folder / "poses.pkl", Poses(random_rotations(n), np.zeros((n, 2))), 32.0)
    write_ctf(folder / "ctf.pkl", CTF(defocus, defocus, 0.0, 300.0, 2.7, 0.1), 16, 2.0)
    return ["--particles", folder / "p.mrcs", "--poses", folder / "poses.pkl", "--ctf", folder / "ctf.pkl"]


def test_the_page_warns_where_groups_are_defocus(judged, tmp_path):
    defocus = 1e4 + 5000.0 * (np.arange(120) % 3) + RNG(0).uniform(0, 100, 120)  # particle i lies in group i % 3
    trust, page = judged(*write_particles(tmp_path, 120, defocus))
    leaks = {leak["of"]: leak for leak in trust["leakage"]}
    assert leaks["defocus"]["share"] > 0.8 and "shift" not in leaks
    warning = next(w for w in trust["warnings"] if "know the defocus" in w and "not in structure" in w)
    assert f'<p class="warning">{warning[:40]}' in page
    assert "do not know the view direction" in page
    clean, _ = judged(*write_particles(tmp_path, 120, RNG(1).uniform(1e4, 2e4, 120)))
    assert not any("defocus" in w for w in clean["warnings"])


def test_the_page_says_what_was_not_tested(judged):
    trust, page = judged()
    assert trust["leakage"] is trust["agreement"] is None
    assert "give --particles for it" in page and "give --against another run" in page
    assert trust["used"] == 3 and "3 of the 3 numbers of a latent tell particles apart" in page


def test_untrained_weights_of_each_epoch_have_not_settled(judged):
    trust, page = judged()
    assert [row["epoch"] for row in trust["epochs"]] == [2]
    maps = []
    for epoch in (1, 2):
        run, rows = open_run(judged.folder, epoch), [0, 1, 2]
        maps.append(np.stack([v.data for v in run.decode(run.latents[rows])]))
    assert trust["epochs"][0]["change"] == pytest.approx(map_change(*maps), rel=0.1)
    assert "more than 100 % (epoch 2)" in page and "from one epoch to the next" in page


def test_a_second_training_is_compared(judged, write_cryodrgn):
    trust, page = judged("--against", write_cryodrgn("again", n=120, zdim=3))
    found = trust["agreement"]
    assert found["linear"] == pytest.approx(1) and found["same_groups"] == found["neighbours"] == 1
    assert "tell the same story" in page
    trust, _ = judged("--against", write_cryodrgn("fewer", n=90, zdim=3))
    assert trust["agreement"]["n"] == 90


def test_half_sets_are_compared_by_their_maps(judged, write_cryodrgn, tmp_path):
    write_indices(tmp_path / "other.pkl", np.arange(120, 240))
    other = write_cryodrgn("other", n=120, zdim=3, dataset={"ind": str(tmp_path / "other.pkl")})
    trust, page = judged("--against", other)
    assert trust["agreement"]["n"] == 0 and trust["agreement"]["maps"] > 0.99
    assert "share no particle, as two half sets do" in page and "tell the same story" in page


BAD = {
    "poses without particles": (["--poses", "poses.pkl"], "--poses and --ctf belong to --particles"),
    "fewer particles": (["--particles", "p.mrcs"], "lists 60 particles and", "a particle in row 119"),
    "nothing known of them": (["--particles", "q.mrcs"], "has neither poses nor CTF; give --poses or --ctf"),
    "no particles": (["--particles", "r.star"], "r.star is not there"),
    "no run": (["--against", "poses.pkl"], "poses.pkl is not a folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_evidence_that_does_not_fit_is_refused_before_anything_starts(
    write_cryodrgn, tmp_path, monkeypatch, capsys, case
):
    flags, *words = BAD[case]
    run = write_cryodrgn(n=120, zdim=3)
    monkeypatch.chdir(tmp_path)
    write_particles(tmp_path, 60, np.full(60, 1e4))
    with write_stack("q.mrcs", 120, 16, 2.0) as writer:
        writer.append(RNG(0).standard_normal((120, 16, 16)).astype(np.float32))
    assert main(["analyze", str(run), "--out", "a", *flags]) == BAD_INPUT
    err = capsys.readouterr().err
    assert all(part in err for part in words) and len(err.strip().splitlines()) == 1 and not (tmp_path / "a").exists()
