"""A focus mask, symmetry and refined poses: each shows what is true of particles whose truth is known."""

import re

import numpy as np
import pytest

from hetero.cli import BAD_INPUT, DONE, main
from hetero.commands.open_run import open_run
from hetero.drgn.half_disc import HalfDisc
from hetero.drgn.images import expand, prepare_images
from hetero.latent import read_latents
from hetero.maps import Volume, write_map
from hetero.particles import CTF, Poses, open_particles, write_ctf, write_poses, write_stack
from hetero.particles.project import Points, images_from_transforms, shift_phases, transforms_from_images
from hetero.particles.symmetry import symmetry_rotations

torch = pytest.importorskip("torch", reason="networks need torch")

BOX, APIX = 20, 4.0
QUICK = ["--threads", "1", "--device", "cpu", "--seed", "1", "--held-out", "0", "--width", "48", "--layers", "2"]
QUICK += ["--encoder-width", "48", "--encoder-layers", "1", "--batch", "16", "--rate", "0.002", "--quiet"]


def rotations_of(n, seed=0):
    from scipy.spatial.transform import Rotation

    return Rotation.random(n, random_state=seed).as_matrix()


def write_particles(folder, structures, rotations, noise, shifts=None, given=None, seed=0):
    """Images of one structure each, with CTFs; poses.pkl holds the poses ``given``, the true ones where not."""
    rng, n = np.random.default_rng(seed), len(rotations)
    shifts = np.zeros((n, 2)) if shifts is None else shifts
    ctf = CTF(rng.uniform(8e3, 2e4, n), 1e4, 30.0, 300.0, 2.7, 0.1)
    transforms = np.stack([s.transform(r, BOX, APIX) for s, r in zip(structures, rotations, strict=True)])
    images = images_from_transforms(transforms * ctf.images(BOX, APIX) * shift_phases(-shifts, BOX, APIX), BOX)
    images = images / images.std()
    with write_stack(folder / "p.mrcs", n, BOX, APIX) as writer:
        writer.append(images + rng.normal(0, noise, images.shape))
    write_poses(folder / "poses.pkl", given or Poses(rotations, shifts), BOX * APIX)
    write_ctf(folder / "ctf.pkl", ctf, BOX, APIX)


def train(folder, out, *more):
    files = ["--poses", str(folder / "poses.pkl"), "--ctf", str(folder / "ctf.pkl")]
    return main(["train-vae", str(folder / "p.mrcs"), "--out", str(out), *files, *QUICK, *map(str, more)])


def blob(centre, n=30, radius=5.0, seed=0):
    rng = np.random.default_rng(seed)
    return np.asarray(centre) + rng.normal(0, radius, (n, 3))


def points(*parts):
    positions = np.concatenate(parts)
    return Points(positions, np.ones(len(positions)), 4.0)


# Pictures


def test_pictures_of_half_discs_are_the_images_and_their_power_is_that_of_the_disc():
    from hetero.drgn.focus import Window

    disc = HalfDisc(BOX, BOX // 2 - 1)
    window = Window(disc)
    image = np.random.default_rng(0).standard_normal((3, BOX, BOX))
    kept = np.zeros((3, BOX * (BOX // 2 + 1)), dtype=complex)
    values = np.fft.rfft2(image).reshape(3, -1)[:, disc.places]
    kept[:, disc.places] = values
    mirrored = HalfDisc(BOX, BOX // 2 - 1).points
    on_axis = mirrored[:, 0] == 0
    kept[:, (-mirrored[on_axis, 1] % BOX) * (BOX // 2 + 1)] = values[:, on_axis].conj()
    expected = np.fft.irfft2(kept.reshape(3, BOX, -1), s=(BOX, BOX))
    pairs = torch.view_as_real(torch.from_numpy(values))
    np.testing.assert_allclose(window.pictures(pairs).numpy(), expected, atol=1e-12)
    ones = torch.ones(3, BOX, BOX, dtype=torch.float64)
    assert window.power(pairs, ones).item() == pytest.approx((np.abs(values) ** 2).sum(), rel=1e-12)
    torch.testing.assert_close(window(pairs, ones), pairs)
    half = ones.clone()
    half[:, BOX // 2 :] = 0
    assert window.power(pairs, half).item() == pytest.approx((expected[:, : BOX // 2] ** 2).sum() * BOX**2 / 2)


# A focus mask


@pytest.fixture(scope="module")
def two_motions(tmp_path_factory):
    """A body with a part that is in one of two places, and a larger one, elsewhere, independently so."""
    folder = tmp_path_factory.mktemp("motions")
    rng, n = np.random.default_rng(3), 500
    small, large = rng.integers(0, 2, (2, n))
    body = blob((0, 0, 0), 40)
    smalls = [blob((-18, side, 0), 25, 3.0, 1) for side in (-9, 9)]
    larges = [blob((18, side, 0), 45, 4.0, 2) for side in (-11, 11)]
    structures = [points(body, smalls[a], larges[b]) for a, b in zip(small, large, strict=True)]
    write_particles(folder, structures, rotations_of(n), 0.3)
    z = (np.arange(BOX) - BOX // 2) * APIX
    far = np.sqrt(sum(np.square(np.subtract(axis, at)) for axis, at in zip(
        np.meshgrid(z, z, z, indexing="ij"), (-20, 0, 0), strict=True
    )))  # fmt: skip
    mask = 1 / (1 + np.exp((far - 18) / 2))
    write_map(folder / "mask.mrc", Volume(mask.astype(np.float32), APIX))
    return folder, small, large


def follows(z, state):
    return abs(np.corrcoef(z[:, 0], state)[0, 1])


def test_latents_follow_the_motion_inside_the_focus_mask(two_motions, tmp_path):
    folder, small, large = two_motions
    plain = ["--zdim", "1", "--epochs", "14", "--latents", "table"]
    assert train(folder, tmp_path / "all", *plain) == DONE
    assert train(folder, tmp_path / "focus", *plain, "--focus-mask", folder / "mask.mrc") == DONE
    everywhere, inside = (read_latents(tmp_path / name / "latents.npz").mean for name in ("all", "focus"))
    assert follows(everywhere, large) > 0.8 and follows(everywhere, small) < 0.45
    assert follows(inside, small) > 0.5 and follows(inside, large) < 0.25


def test_the_encoder_sees_the_picture_inside_the_mask_alone(two_motions, tmp_path):
    from hetero.drgn.focus import read_focus
    from hetero.drgn.presets import PRESETS
    from hetero.drgn.training import DrgnTask, Model
    from hetero.training.team import Team

    folder, _, _ = two_motions
    focus = read_focus(folder / "mask.mrc", BOX, APIX)
    images = prepare_images(open_particles(folder / "p.mrcs", folder / "poses.pkl", folder / "ctf.pkl"))
    task = DrgnTask(tmp_path, images, Model(1, 1, PRESETS["cryodrgn"], focus=focus), Team(torch.device("cpu")))
    task.begin_epoch(1)
    batch = task.load(np.arange(4), None, 0)
    outside = transforms_from_images(
        np.random.default_rng(0).standard_normal((4, BOX, BOX)) * np.fft.fftshift(batch["mask"].numpy() < 1e-3, (1, 2))
    )
    seen = task.model.infer(batch)[0]
    more = outside.reshape(4, -1)[:, images.disc.places]
    sign = batch["transfer"].sign()[..., None]
    batch["image"] = batch["image"] + sign * torch.view_as_real(torch.from_numpy(more)).float()
    # What was added is beyond the disc in part, so a little of it comes in when it is cut off there.
    change = (task.model.infer(batch)[0] - seen).abs().mean()
    del batch["mask"]
    assert change < 0.2 * (task.model.infer(batch)[0] - seen).abs().mean()


# Symmetry


def test_copies_look_at_a_symmetric_body_and_see_the_same(tmp_path):
    group = symmetry_rotations("C3")
    third = blob((0, 0, 14), seed=4)  # z, y, x
    body = points(*[(third[:, ::-1] @ turn.T)[:, ::-1] for turn in group])
    rotations = rotations_of(5)
    write_particles(tmp_path, [body] * 5, rotations, 0.1)
    images = prepare_images(open_particles(tmp_path / "p.mrcs", tmp_path / "poses.pkl", tmp_path / "ctf.pkl"))
    copies = expand(images, group)
    assert len(copies) == 15 and copies.copies == 3
    np.testing.assert_array_equal(copies.particles.rows, np.repeat(np.arange(5), 3))
    for i in range(15):
        seen = body.transform(copies.particles.poses.rotations[i], BOX, APIX)
        np.testing.assert_allclose(seen, body.transform(rotations[i // 3], BOX, APIX), atol=1e-2 * np.abs(seen).max())
    np.testing.assert_array_equal(copies.read(np.array([4, 0]), 9), images.read(np.array([1, 0]), 9))
    np.testing.assert_array_equal(copies.transfer(np.array([4]), 9), images.transfer(np.array([1]), 9))


def test_symmetry_finds_the_one_subunit_that_has_a_ligand(tmp_path, capsys):
    """Poses say nothing of where on the ring the ligand is; of a particle's three copies one has it in front."""
    rng, n = np.random.default_rng(5), 300
    group = symmetry_rotations("C3")
    third, ligand = blob((0, 0, 14), seed=4), blob((10, 0, 20), 25, 3.0, 6)
    ring = np.concatenate([(third[:, ::-1] @ turn.T)[:, ::-1] for turn in group])
    where = rng.integers(0, 3, n)
    structures = [points(ring, (ligand[:, ::-1] @ group[w].T)[:, ::-1]) for w in where]
    write_particles(tmp_path, structures, rotations_of(n), 0.3)
    out = tmp_path / "run"
    assert train(tmp_path, out, "--symmetry", "C3", "--zdim", "2", "--epochs", "12") == DONE
    run = open_run(out)
    assert len(run) == 3 * n
    np.testing.assert_array_equal(run.particle_index, np.repeat(np.arange(n), 3))
    assert main(["export", str(out), "--out", str(tmp_path / "list"), "--format", "indices"]) == BAD_INPUT
    assert "has several latents for each particle" in capsys.readouterr().err
    # Copy j turns the map by group[j]: the ligand is at group[j]^-1 group[where] of it.
    place = (where[:, None] - np.arange(3)) % 3
    centres = np.stack([run.latents[place.ravel() == k].mean(axis=0) for k in range(3)])
    nearest = np.argmin(np.linalg.norm(run.latents[:, None] - centres, axis=2), axis=1)
    assert (nearest == place.ravel()).mean() > 0.8  # a third by chance
    truth = [points(ring, (ligand[:, ::-1] @ turn.T)[:, ::-1]).density(BOX, APIX) for turn in group]
    found = [volume.data for volume in run.decode(centres)]
    agree = np.array([[np.corrcoef(a.ravel(), b.ravel())[0, 1] for b in truth] for a in found])
    assert (agree.argmax(axis=1) == np.arange(3)).all(), agree


# Poses


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """One structure, seen from poses that are given wrongly by some degrees and pixels."""
    from scipy.spatial.transform import Rotation

    folder = tmp_path_factory.mktemp("turned")
    rng, n = np.random.default_rng(7), 400
    body = points(blob((0, 0, 0), 40, 9.0), blob((20, 8, 4), 25, 4.0, 1), blob((-4, -22, 10), 25, 4.0, 2))
    rotations, shifts = rotations_of(n), rng.normal(0, 3, (n, 2))
    wrong = Rotation.from_rotvec(rng.normal(0, np.radians(5), (n, 3))).as_matrix() @ rotations
    given = Poses(wrong, shifts + rng.normal(0, 3, (n, 2)))
    write_particles(folder, [body] * n, rotations, 0.5, shifts, given)
    return folder, Poses(rotations, shifts), given


def errors(poses, true):
    """Median degrees and Å, after the turn and shift of the whole map that suit best: no picture shows these."""
    from scipy.spatial.transform import Rotation

    between = np.swapaxes(true.rotations, 1, 2) @ poses.rotations
    common = Rotation.from_matrix(between).mean().as_matrix()
    degrees = np.degrees(Rotation.from_matrix(between @ common.T).magnitude())
    off = poses.shifts - true.shifts
    design = true.rotations[:, :2].reshape(-1, 3)  # a map moved by v moves the picture by R v
    moved = design @ np.linalg.lstsq(design, off.ravel(), rcond=None)[0]
    return np.median(degrees), np.median(np.linalg.norm(off - moved.reshape(off.shape), axis=1))


def test_refined_poses_come_nearer_to_the_truth(turned, tmp_path):
    folder, true, given = turned
    out = tmp_path / "run"
    more = ["--zdim", "0", "--epochs", "24", "--refine-poses", "--pose-wait", "4", "--marching", "off"]
    assert train(folder, out, *more) == DONE
    found = open_particles(folder / "p.mrcs", out / "poses.pkl", folder / "ctf.pkl").poses
    before, after = errors(given, true), errors(found, true)
    assert after[0] < 0.6 * before[0] and after[1] < 0.6 * before[1], (before, after)
    with np.load(out / "poses.npz") as kept:
        np.testing.assert_allclose(kept["rotations"], found.rotations, atol=1e-6)
        np.testing.assert_allclose(kept["shifts"], found.shifts, atol=1e-4)
        between = np.trace(np.swapaxes(given.rotations, 1, 2) @ kept["rotations"], axis1=1, axis2=2)
        np.testing.assert_allclose(kept["moved_degrees"], np.degrees(np.arccos((between - 1) / 2)), atol=0.05)
        off = np.linalg.norm(kept["shifts"] - given.shifts, axis=1)
        np.testing.assert_allclose(kept["moved_angstrom"], off, atol=1e-3)


def test_poses_wait_as_long_as_they_are_told(turned, tmp_path):
    folder, _, given = turned
    assert train(folder, tmp_path / "run", "--zdim", "0", "--epochs", "1", "--refine-poses", "--pose-wait", "1") == DONE
    kept = open_particles(folder / "p.mrcs", tmp_path / "run/poses.pkl", folder / "ctf.pkl").poses
    np.testing.assert_allclose(kept.rotations, given.rotations, atol=1e-6)


@pytest.mark.parametrize("focus", [False, True])
def test_gradients_of_poses_are_those_of_finite_differences(two_motions, tmp_path, focus):
    from hetero.drgn.focus import read_focus
    from hetero.drgn.poses import Refinement
    from hetero.drgn.presets import PRESETS
    from hetero.drgn.training import DrgnTask, Model
    from hetero.training.team import Team

    folder, _, _ = two_motions
    mask = read_focus(folder / "mask.mrc", BOX, APIX) if focus else None
    images = prepare_images(open_particles(folder / "p.mrcs", folder / "poses.pkl", folder / "ctf.pkl"))
    model = Model(0, 1, PRESETS["ours"], focus=mask, poses=Refinement())
    task = DrgnTask(tmp_path, images, model, Team(torch.device("cpu")))
    task.model.double()
    task.begin_epoch(1)
    rows = task.model.poses.rows.weight
    with torch.no_grad():
        rows.copy_(torch.from_numpy(np.random.default_rng(0).normal(0, 0.3, rows.shape)))
    batch = task.load(np.array([7, 2]), None, 0)
    batch = {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
    gradient = torch.autograd.grad(task.model(batch)["loss"], rows)[0].to_dense()
    for column in range(5):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                rows[2, column] += sign * 1e-6
                values.append(task.model(batch)["loss"].item())
                rows[2, column] -= sign * 1e-6
        assert gradient[2, column].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-9)


BAD = {
    "another grid": (["--focus-mask", "small.mrc"], "has 8 x 8 x 8 voxels of 4 Å; .* 20 voxels of 4 Å"),
    "an empty mask": (["--focus-mask", "empty.mrc"], "is empty: none of its voxels"),
    "no mask": (["--focus-mask", "map.mrc"], "has values from 0 to 7; 0 to 1 was expected"),
    "no group": (["--symmetry", "C0"], "There is no symmetry 'C0' here"),
    "an encoder": (["--symmetry", "C2", "--latents", "encoder"], "An encoder cannot tell the copies"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_one_sentence(two_motions, tmp_path, case, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, box, top in (("small", 8, 1), ("empty", BOX, 0), ("map", BOX, 7)):
        data = np.zeros((box,) * 3, np.float32)
        data[3, 3, 3] = top
        write_map(tmp_path / f"{name}.mrc", Volume(data, APIX))
    more, message = BAD[case]
    assert train(two_motions[0], tmp_path / "run", "--epochs", "1", *more) == BAD_INPUT
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and re.search(message, error[0]), error
    assert not (tmp_path / "run").exists()
