"""Gaussians to images: the fast paths against the plain form, and against images made another way."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from hetero.errors import HeteroError  # noqa: E402
from hetero.gmm.exact import ExactProjector  # noqa: E402
from hetero.gmm.fused import losses_of_gaussians  # noqa: E402
from hetero.gmm.images import load_spectra  # noqa: E402
from hetero.gmm.losses import FRC, Images, Likelihood, frc  # noqa: E402
from hetero.gmm.reference import frc_directly, project_directly  # noqa: E402
from hetero.gmm.rings import rings_between  # noqa: E402
from hetero.gmm.spread import SpreadProjector  # noqa: E402
from hetero.particles import CTF, Poses, open_particles, rotations_from_euler, write_stack, write_star  # noqa: E402
from hetero.particles.project import MapProjector, images_from_transforms, shift_phases  # noqa: E402
from hetero.particles.relion import star_tables  # noqa: E402
from hetero.threads import in_slices  # noqa: E402

RINGS = rings_between(32, 3.0, 8.0, 400.0)


def scene(widths, seed=0, b=3, g=40):
    """Gaussians, random images with CTFs, and weights, in float64."""
    torch.manual_seed(seed)
    kind = {"dtype": torch.float64}
    xy, masses = torch.randn(b, g, 2, **kind) * 15, torch.rand(b, g, **kind) + 0.1
    sigmas = {"one": torch.tensor(2.5, **kind), "each": torch.rand(g, **kind) + 2, "all": torch.rand(b, g, **kind) + 2}
    p = len(RINGS.ring)
    images = Images(torch.randn(b, 2, p, **kind), torch.rand(b, p, **kind) + 0.2, torch.rand(b, RINGS.count, **kind))
    return [t.requires_grad_() for t in (xy, masses, sigmas[widths])], images


def plain_losses(gaussians, images, kind):
    """The losses from the plain form, by autograd."""
    seen = project_directly(*gaussians, RINGS) * images.transfer
    data = torch.view_as_complex(images.spectra.transpose(1, 2).contiguous())
    if kind is FRC:
        return -(frc_directly(seen, data, RINGS) * images.weights).sum(1) / images.weights.sum(1)
    weights = images.weights[:, torch.from_numpy(RINGS.ring)]
    return 0.5 * (weights * (seen - data).abs() ** 2).sum(1)


def differences(projector, kind, widths, dtype):
    """Of the losses, and of the gradients over places, masses and widths as a share of their length."""
    gaussians, images = scene(widths)
    expected = plain_losses(gaussians, images, kind)
    gradients = torch.autograd.grad((expected * torch.tensor([1.0, 2.0, 3.0])).sum(), gaussians)
    ours = [t.detach().to(dtype).requires_grad_() for t in gaussians]
    images = Images(*(t.to(dtype) for t in (images.spectra, images.transfer, images.weights)))
    found = losses_of_gaussians(projector, kind(RINGS), *ours, images)
    again = torch.autograd.grad((found * torch.tensor([1.0, 2.0, 3.0])).sum(), ours)
    off = float((found.detach() - expected.detach()).abs().max() / expected.detach().abs().max().clamp_min(1))
    return off, [float((a - e).norm() / e.norm()) for a, e in zip(again, gradients, strict=True)]


@pytest.mark.parametrize("widths", ["one", "each", "all"])
@pytest.mark.parametrize("kind", [FRC, Likelihood])
def test_the_exact_path_is_the_plain_form(kind, widths):
    off, gradients = differences(ExactProjector(RINGS), kind, widths, torch.float64)
    assert off < 1e-10 and max(gradients) < 1e-10
    off, gradients = differences(ExactProjector(RINGS), kind, widths, torch.float32)
    cancels = 100 if widths == "one" else 1  # a common width hardly changes an FRC: a small sum of large terms
    assert off < 1e-5 and max(gradients[:2]) < 1e-5 and gradients[2] < 1e-5 * cancels


@pytest.mark.parametrize("widths", ["one", "each", "all"])
@pytest.mark.parametrize("kind", [FRC, Likelihood])
def test_spreading_keeps_its_tolerance(kind, widths):
    for dtype in (torch.float64, torch.float32):
        off, gradients = differences(SpreadProjector(RINGS), kind, widths, dtype)
        assert off < 2e-3 and max(gradients[:2]) < 2e-3 and gradients[2] < 0.02


@pytest.fixture
def threads():
    """Sets how many threads torch has; afterwards it has as many as before."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("projector", [ExactProjector, SpreadProjector])
def test_images_and_gradients_are_the_same_in_any_number_of_threads(threads, projector):
    found = []
    for n in (1, 3):
        threads(n)
        gaussians, images = scene("all", b=50)
        losses = losses_of_gaussians(projector(RINGS), FRC(RINGS), *gaussians, images)
        found.append([losses.detach(), *torch.autograd.grad(losses.sum(), gaussians)])
        assert torch.get_num_threads() == n
    assert all(torch.equal(one, three) for one, three in zip(*found, strict=True))


def test_what_fails_in_a_thread_is_raised_and_slices_are_told_in_order(threads):
    threads(3)
    told, worked, second = [], {}, threading.Event()

    def work(part):
        second.set() if part.start else second.wait(10)  # the first slice ends last
        worked[part.start] = (threading.current_thread().name[:6], torch.get_num_threads(), torch.is_grad_enabled())

    in_slices(work, 10, 4, torch.device("cpu"), told.append)
    assert told == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert worked == dict.fromkeys((0, 4, 8), ("slices", 1, False))
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 3
    with pytest.raises(ZeroDivisionError):
        in_slices(lambda part: 1 // (part.start - 4), 10, 4, torch.device("cpu"))


def test_a_stop_leaves_the_rest_of_the_slices_alone(threads):
    threads(2)
    worked = []

    def work(part):
        time.sleep(0.01)
        worked.append(part)

    with pytest.raises(KeyboardInterrupt):
        in_slices(work, 100, 1, torch.device("cpu"), lambda part: (_ for _ in ()).throw(KeyboardInterrupt))
    done = len(worked)
    time.sleep(0.1)
    assert len(worked) <= done + 2 < 20


def test_rings_hold_each_pair_of_pixels_once():
    k = RINGS.pixels
    assert len({tuple(p) for p in k} | {tuple(-p) for p in k}) == 2 * len(k)
    full = np.rint(np.hypot(*np.meshgrid(np.arange(-15, 16), np.arange(-15, 16))))
    for r in range(RINGS.first, RINGS.last + 1):
        assert 2 * RINGS.sizes[r - RINGS.first] == (full == r).sum()
    published = rings_between(32, 3.0, 8.0, 400.0, as_published=True)
    assert len(published.ring) == len(k) + RINGS.last  # the column kx = 0 has both


def test_images_of_a_model_are_those_of_its_map(tmp_path, gaussians):
    """A model's projections agree with slices of its map through the CTF, poses and shifts of a star file."""
    model = gaussians(origin=(0.0, 0.0, 0.0))
    n, box, apix = 12, model.box, model.apix
    rng = np.random.default_rng(3)
    poses = Poses(rotations_from_euler(*rng.uniform(0, 180, (3, n))), rng.normal(0, 5, (n, 2)))
    ctf = CTF(rng.uniform(8e3, 2e4, n), rng.uniform(8e3, 2e4, n), rng.uniform(0, 180, n), 300.0, 2.7, 0.1)
    transforms = MapProjector(model.density().data).transforms(poses.rotations)
    transforms = transforms * shift_phases(-poses.shifts, box, apix) * ctf.images(box, apix)
    with write_stack(tmp_path / "p.mrcs", n, box, apix) as writer:
        writer.append(images_from_transforms(transforms, box).astype(np.float32))
    names = [f"{i + 1:06d}@p.mrcs" for i in range(n)]
    write_star(tmp_path / "p.star", star_tables(names, box, np.full(n, apix), poses, ctf, None, {}))

    rings = rings_between(box, apix, 8.0)
    data = load_spectra(open_particles(tmp_path / "p.star"), rings)
    centres = torch.tensor((model.centres - model.middle)[:, ::-1].copy(), dtype=torch.float32)
    xy = (centres @ data.rotations.transpose(1, 2))[..., :2] + data.shifts[:, None]
    masses = torch.tensor(model.masses, dtype=torch.float32).expand(n, -1)
    projections, _ = ExactProjector(rings).project(xy, masses, torch.tensor(model.sigmas, dtype=torch.float32))
    assert frc(projections * data.ctf[:, None], data.spectra, rings).min() > 0.999
    for wrong in (-data.shifts, 0 * data.shifts):
        moved = xy - data.shifts[:, None] + wrong[:, None]
        projections, _ = ExactProjector(rings).project(moved, masses, torch.tensor(4.0))
        assert frc(projections * data.ctf[:, None], data.spectra, rings).mean() < 0.8


def test_the_corners_tell_noise_from_signal(tmp_path):
    rng = np.random.default_rng(0)
    n, box = 300, 32
    along = np.arange(box) - box // 2
    blob = np.exp(-(along[:, None] ** 2 + along**2) / (2 * 2.0**2)) * 6
    images = rng.normal(0, 3.0, (n, box, box)) + blob
    with write_stack(tmp_path / "p.mrcs", n, box, 3.0) as writer:
        writer.append(images.astype(np.float32))
    names = [f"{i + 1:06d}@p.mrcs" for i in range(n)]
    poses = Poses(np.broadcast_to(np.eye(3), (n, 3, 3)), np.zeros((n, 2)))
    write_star(tmp_path / "p.star", star_tables(names, box, np.full(n, 3.0), poses, None, None, {}))
    data = load_spectra(open_particles(tmp_path / "p.star"), RINGS, "none")
    np.testing.assert_allclose(data.noise[1:], 9 * box**2, rtol=0.05)
    spectrum = (np.abs(np.fft.fft2(blob)) ** 2 / (9 * box**2))[RINGS.pixels[:, 1], RINGS.pixels[:, 0]]
    rings = np.bincount(RINGS.ring, spectrum) / RINGS.sizes
    np.testing.assert_allclose(data.signal[1:4], rings[1:4], rtol=0.2)
    high = data.spectra[:, :, torch.from_numpy(RINGS.ring) == RINGS.count - 1]
    assert float(high.std()) == pytest.approx(1, abs=0.03)


def test_targets_that_cannot_be_reached_get_a_sentence():
    with pytest.raises(HeteroError, match="pixels of 3 Å show 6 Å at best"):
        rings_between(32, 3.0, 5.0)
    with pytest.raises(HeteroError, match="fewer than two Fourier rings"):
        rings_between(32, 3.0, 100.0)
