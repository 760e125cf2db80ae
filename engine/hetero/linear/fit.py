"""The whole linear model: EM at a low radius in two halves, all radii, latents of every particle."""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hetero.linear import full, junk
from hetero.linear.em import (
    Expectation,
    LinearMaps,
    em_step,
    expect,
    expectation,
    improve,
    joined,
    start_components,
    start_mean,
    sum_up,
)
from hetero.linear.grid import Grid
from hetero.linear.halves import (
    above_noise,
    alignment,
    gains,
    merged,
    principal,
    shell_correlation,
    split,
    trusted_radius,
)
from hetero.linear.posterior import Posterior, Statistics
from hetero.linear.slices import disc
from hetero.linear.store import read_store
from hetero.maps import low_pass, resample_fourier
from hetero.particles import Particles
from hetero.progress import Progress, silent

_COARSE = 25.0  # Å: EM looks no finer than this, if that is 8 to 16 cycles per box
_STILL = 0.2  # nats a particle and iteration: EM has arrived
_LEAST = 1e-4
_TOGETHER = 2  # iterations on all particles after those in halves


@dataclass(frozen=True)
class Plan:
    """What is fitted.

    Attributes:
        zdim: components.
        box: voxels along each side of the maps, even, at most the images'.
        radius: cycles per box out to which EM looks; None for a choice by the halves' agreement.
        iterations: of EM, at most, in each half.
        seed: of the random start.
        coarse: end with EM: latents and maps from within ``radius`` alone.
    """

    zdim: int
    box: int
    radius: int | None = None
    iterations: int = 10
    seed: int = 0
    coarse: bool = False


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A fitted model, in units in which the first latent has s.d. 1 and components differ in their latents' s.d.

    Attributes:
        mean: ``(box, box, box)`` float32.
        components: ``(q, box, box, box)`` float32, nearly orthogonal, of one norm.
        latents, log_variance: ``(n, q)``.
        sd: ``(q,)`` of the latents' prior: falls from 1.
        gain, gain_error: ``(2, q)`` nats by which a component raises the log likelihood of an image of the half that it
            was not fitted to, and the standard error.
        real: ``(q,)`` bool: components above noise in both halves.
        misfit, contrast, junk: ``(n,)`` see :mod:`hetero.linear.junk`.
        fsc: ``(q + 1, box / 2)`` between the halves, of the mean and the components.
        noise: ``(box / 2,)`` by ring.
        radius: cycles per box to which EM looked.
        final_radius: and to which the final latents did.
        log: a row for each step: stage, iteration, cost of either half in nats a particle, seconds.
        seconds: by stage.
    """

    mean: np.ndarray
    components: np.ndarray
    latents: np.ndarray
    log_variance: np.ndarray
    sd: np.ndarray
    gain: np.ndarray
    gain_error: np.ndarray
    real: np.ndarray
    misfit: np.ndarray
    contrast: np.ndarray
    junk: np.ndarray
    fsc: np.ndarray
    noise: np.ndarray
    radius: int
    final_radius: int
    log: list[dict] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Coarse:
    """What EM at a low radius leaves: particles in the order of their halves.

    ``fsc`` is of the halves' maps, ``(q + 1, coarse box / 2)``; ``gain`` and ``gain_error`` are ``(2, q)``.
    """

    state: LinearMaps
    found: Expectation
    fsc: np.ndarray
    gain: np.ndarray
    gain_error: np.ndarray
    radius: int
    box: int

    def noise_in(self, box: int, beyond: np.ndarray) -> np.ndarray:
        """``(box / 2,)`` by ring, in maps of ``box`` voxels; ``beyond`` the radius as given."""
        noise = beyond.copy()
        noise[: self.radius + 1] = self.state.noise * (box / self.box) ** 4
        return noise

    def maps_in(self, box: int) -> np.ndarray:
        """The maps in ``box`` voxels, nothing far beyond the radius."""
        apix = box / self.box  # in voxels of the answer
        maps = [low_pass(one, apix, box / (self.radius + 2)) for one in self.state.maps]
        # A projection adds up as many voxels along its way as the box has: fewer and larger ones weigh more.
        return np.stack([resample_fourier(one, (box,) * 3) / np.float32(apix) for one in maps])


def fit_linear(particles: Particles, plan: Plan, progress: Progress = silent) -> LinearModel:
    """Fit maps and latents. Poses and CTF must be there (:func:`check_particles`).

    Memory: 12 bytes for each of the some 200 coarse pixels of an image (on disk beyond a gigabyte an array), and
    :func:`hetero.linear.full.table_bytes`.

    Raises:
        HeteroError: an image holds values that are not numbers.
    """
    watch = _Watch()
    half = split(particles.half_set, len(particles))
    order = np.argsort(half, kind="stable")
    log: list[dict] = []
    with tempfile.TemporaryDirectory(prefix="hetero-linear-") as folder:
        coarse = _fit_coarse(particles.subset(order), int((half == 0).sum()), plan, Path(folder), log, watch, progress)
    back = np.argsort(order, kind="stable")
    return _finish(particles, half, plan, coarse, back, log, watch, progress)


def _fit_coarse(
    particles: Particles, first: int, plan: Plan, folder: Path, log: list[dict], watch: "_Watch", progress: Progress
) -> _Coarse:
    """EM in two halves, particles sorted by half and ``first`` of them in the first; then together."""
    radius = plan.radius or int(np.clip(round(particles.box * particles.apix / _COARSE), 8, 16))
    radius = min(radius, plan.box // 2 - 1)
    grid = Grid(2 * radius + 2)
    store = read_store(particles, grid.box, disc(radius), folder, progress)
    watch.stage("reading")
    halves = [store.rows(slice(0, first)), store.rows(slice(first, None))]
    with ThreadPoolExecutor(2) as pool:

        def both(work: Callable, *arguments: list) -> list:
            return list(pool.map(work, halves, *arguments))

        states = both(lambda half: start_mean(half, grid))
        if plan.radius is None:
            radius = trusted_radius(states[0].maps[0], states[1].maps[0], radius)
            store, halves = store.within(radius), [half.within(radius) for half in halves]
        rng = np.random.default_rng(plan.seed)
        states = [
            start_components(LinearMaps(state.maps, state.noise[: radius + 1]), plan.zdim, rng) for state in states
        ]
        before = [np.inf, np.inf]
        for i in range(plan.iterations):
            progress(i, plan.iterations, "expectation maximisation")
            states, costs = zip(*both(lambda half, s: em_step(half, grid, s), states), strict=True)
            costs = [cost / len(half) for cost, half in zip(costs, halves, strict=True)]
            log.append(watch.row("halves", i, costs))
            if i > 2 and max(b - c for b, c in zip(before, costs, strict=True)) < _STILL:
                break
            before = costs
        together = principal(merged(*states))
        states = [s.turned(alignment(together.maps[1:], s.maps[1:])) for s in states]
        # each half's maps on the other half's images
        crossed = [LinearMaps(states[1 - h].maps, states[h].noise) for h in range(2)]
        found = [gains(e) for e in both(lambda half, s: expect(half, grid, s), crossed)]
        for i in range(_TOGETHER):
            sums = both(lambda half, s: sum_up(half, grid, s), [together] * 2)
            log.append(watch.row("together", i, [s.cost / s.n for s in sums]))
            together = improve(together, sums[0] + sums[1], store.pixels)
        together = principal(together)
        parts = both(lambda half, s: expect(half, grid, s).statistics, [together] * 2)
    watch.stage("EM")
    gain, error = zip(*found, strict=True)
    fsc = shell_correlation(*(s.maps for s in states))
    return _Coarse(together, expectation(joined(parts)), fsc, np.array(gain), np.array(error), radius, grid.box)


def _finish(
    particles: Particles,
    half: np.ndarray,
    plan: Plan,
    coarse: _Coarse,
    back: np.ndarray,
    log: list[dict],
    watch: "_Watch",
    progress: Progress,
) -> LinearModel:
    """All radii, from the coarse latents (in the order of ``back``), and latents of the result."""
    box, pixels = plan.box, disc(plan.box // 2 - 1)
    latents = coarse.found.posterior.rows(back)
    noise = coarse.noise_in(box, full.image_power(particles, box, pixels))
    if plan.coarse:
        fsc = np.zeros((plan.zdim + 1, box // 2))
        fsc[:, : coarse.radius + 1] = coarse.fsc[:, : coarse.radius + 1]
        found, places = coarse.found.statistics.rows(back), len(pixels.within(coarse.radius).places)
        state = LinearMaps(coarse.maps_in(box), noise)
        return _model(state, latents, found, places, fsc, coarse, coarse.radius, log, watch)
    maps, fsc = full.regularised(*full.solve_halves(particles, half, latents, noise, box, progress))
    # by their variance now that noise is held down: a coarse component may be large and noise alone
    order = np.argsort(-np.square(maps[1:], dtype=np.float64).sum(axis=(1, 2, 3)), kind="stable")
    with_mean = np.concatenate([[0], order + 1])
    maps, fsc = maps[with_mean], fsc[with_mean]
    coarse = replace(coarse, gain=coarse.gain[:, order], gain_error=coarse.gain_error[:, order])
    latents = replace(latents, mean=latents.mean[:, order], covariance=latents.covariance[:, order][:, :, order])
    watch.stage("all radii")
    noise = full.residual_noise(particles, LinearMaps(maps, noise), latents.mean, pixels)
    state = LinearMaps(maps, noise)
    radius = full.informative_radius(state, full.transfer_power(particles, box))
    within = pixels.within(radius)
    found = full.read_statistics(particles, state, within, progress)
    latents = expectation(found).posterior
    watch.stage("latents")
    return _model(state, latents, found, len(within.places), fsc, coarse, radius, log, watch)


def _model(
    state: LinearMaps,
    latents: Posterior,
    found: Statistics,
    places: int,
    fsc: np.ndarray,
    coarse: _Coarse,
    final_radius: int,
    log: list[dict],
    watch: "_Watch",
) -> LinearModel:
    """In units in which the first latent has s.d. 1; ``places`` Fourier pixels were looked at to find the latents."""
    maps = state.maps
    norm = np.sqrt(np.square(maps[1:], dtype=np.float64).sum(axis=(1, 2, 3)))
    sd = np.maximum(norm / max(norm.max(), 1e-30), _LEAST)  # so that no map is divided by nothing
    spread = np.sqrt(np.einsum("nii->ni", latents.covariance))
    misfits = junk.misfit(found, latents, 2 * places)
    contrasts = junk.contrast(found, latents)
    return LinearModel(
        mean=maps[0],
        components=(maps[1:] / sd[:, None, None, None]).astype(np.float32),
        latents=(latents.mean * sd).astype(np.float32),
        log_variance=(2 * np.log(spread * sd)).astype(np.float32),
        sd=sd,
        gain=coarse.gain,
        gain_error=coarse.gain_error,
        real=above_noise(*zip(coarse.gain, coarse.gain_error, strict=True)),
        misfit=misfits,
        contrast=contrasts,
        junk=junk.is_junk(misfits, contrasts),
        fsc=fsc,
        noise=state.noise,
        radius=coarse.radius,
        final_radius=final_radius,
        log=log,
        seconds=watch.seconds,
    )


class _Watch:
    """Seconds, by stage and since the start."""

    def __init__(self):
        self._start = self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def stage(self, name: str) -> None:
        """The stage since the last one is over."""
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now

    def row(self, stage: str, iteration: int, costs: list[float]) -> dict:
        """A row of the log."""
        seconds = time.perf_counter() - self._start
        return {"stage": stage, "iteration": iteration, "cost_0": costs[0], "cost_1": costs[1], "seconds": seconds}
