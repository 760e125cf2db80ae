"""``hetero train-gmm``: Gaussians that move, trained on particles with known poses."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

import hetero
from hetero.commands import POSITIONAL, check_range
from hetero.commands.gaussian_region import read_region
from hetero.commands.gmm import check_gaussians, empty_frame, map_data
from hetero.commands.training_folder import check_training_folder
from hetero.errors import HeteroError
from hetero.gmm import GaussianModel, read_model, write_model
from hetero.gmm.presets import PRESETS, Preset
from hetero.latent import CONFIG, LATENTS, RunConfig, write_config
from hetero.maps import read_map
from hetero.particles import Particles, open_particles
from hetero.particles.refined_poses import REFINED, describe_moves, summary_of_moves, write_refined_poses
from hetero.particles.symmetry import symmetry_rotations
from hetero.progress import Progress, silent

LOG, NEUTRAL = "log.csv", "neutral.txt"
_MADE = (CONFIG, LATENTS, LOG, NEUTRAL, "checkpoint.pt", "detectability.csv", *REFINED)
_MAY_CHANGE = {"out", "threads", "hetero"}


@dataclass(frozen=True)
class Settings:
    """Train Gaussians that move: latents, motion and maps of particles whose poses are known.

    The folder is a run: decode, occupancy and the viewers open it. The same command again goes on from its last
    checkpoint. After training each particle's latent is refined by its likelihood; detectability.csv says whose view
    could show the change at all.

    Attributes:
        particles: .star, .cs, .txt or .mrcs, best made small by hetero downsample.
        out: Folder of the run.
        neutral: Model text to move (hetero gmm, or EMAN2's); without it and a map, one is fitted to the particles.
        map: Map to fit the neutral model to.
        program: Which of EMAN2's programs wrote the neutral text, if not Hetero: new, refine or point.
        zdim: Numbers in a latent.
        epochs: Passes over the particles; without it the preset's.
        seed: Same seed, same weights, on one kind of machine.
        preset: ours, or paper (Chen & Ludtke 2021).
        vary: What may vary: position, amplitude, width.
        mask: Map that is over 0.5 where Gaussians may vary; the others stay.
        model: In place of a mask a PDB or mmCIF file in the neutral model's frame: those at its chains may vary.
        chains: Chains of the model, A,B or A+B; without it all.
        symmetry: C1, C2 ..., D2 ..., T, O or I (Cn and Dn turn about z): each particle is copied to every orientation
            in which a body of this symmetry looks the same, and each copy has a latent of its own; the mask or model
            is of one asymmetric unit. latents.npz holds the copies of a particle side by side.
        refine_poses: Find a small turn and shift of each particle too, by its likelihood under its own moved model;
            poses.pkl and poses.npz in the run hold them.
        pose_wait: Epochs in which poses are kept first; without it until latents are laid out. Poses that are moved to
            fit a model that knows little yet take the motion into themselves.
        half_set: 0 or 1: train on this half of the particles alone (those of the file's refinement, else odd or even
            rows); hetero analyze --against compares the two runs.
        resolution: Å; without it as far as the particles show anything.
        low: Å; coarser rings are left out.
        most: Gaussians of a neutral model that is fitted here.
        ctf: full for images as they were recorded, flipped for phase-flipped ones, none for images without.
        loss: likelihood or frc (Fourier ring correlation); this and what follows: without it the preset's.
        batch: Particles a step.
        rate: Of learning, Adam's, at its highest.
        refine: Steps that refine each particle's latent after training; 0 for the encoder's alone.
        held_out: Share of the particles that are only judged by.
        poses: cryoDRGN's poses.pkl, in place of those in the file.
        ctf_file: cryoDRGN's ctf.pkl, in place of the CTFs in the file.
        ind: cryoDRGN's ind.pkl (or .npy): which particles to take.
        datadir: Folder that the stacks' names start from.
        invert: Turn the contrast over, for particles that are dark.
        threads: Processors to use; without it all.
    """

    particles: Path = field(metadata=POSITIONAL)
    out: Path
    neutral: Path | None = None
    map: Path | None = None
    program: Literal["new", "refine", "point"] | None = None
    zdim: int = 4
    epochs: int | None = None
    seed: int = 0
    preset: Literal["ours", "paper"] = "ours"
    vary: tuple[Literal["position", "amplitude", "width"], ...] = ("position", "amplitude")
    mask: Path | None = None
    model: Path | None = None
    chains: tuple[str, ...] = ()
    symmetry: str = "C1"
    refine_poses: bool = False
    pose_wait: int | None = None
    half_set: int | None = None
    resolution: float | None = None
    low: float = 500.0
    most: int = 512
    ctf: Literal["full", "flipped", "none"] = "full"
    loss: Literal["likelihood", "frc"] | None = None
    batch: int | None = None
    rate: float | None = None
    refine: int | None = None
    held_out: float = 0.0
    poses: Path | None = None
    ctf_file: Path | None = None
    ind: Path | None = None
    datadir: Path | None = None
    invert: bool = False
    threads: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{"out", "n", "zdim", "gaussians", "moving", "resolution", "epochs", "reason", "seconds", "cpu_seconds",
    "poses", ...}``; ``poses`` is None, or how far they moved.

    Memory: see :func:`hetero.gmm.images.load_spectra`, times the copies under a symmetry, and
    :func:`hetero.gmm.features.gradient_features`.

    Raises:
        HeteroError: bad particles or settings, a model or mask that does not fit, or a folder that holds other files.
    """
    import time

    import torch

    from hetero.gmm.images import load_spectra, useful_resolution
    from hetero.gmm.rings import rings_between
    from hetero.gmm.training import GmmTask, Wanted, refined
    from hetero.training.loop import train
    from hetero.training.plan import Plan
    from hetero.training.team import Team

    settings = dataclasses.replace(settings, symmetry=settings.symmetry.upper())
    preset = preset_of(settings)
    _check(settings, preset)
    group = symmetry_rotations(settings.symmetry)
    particles = _open(settings)
    config = RunConfig("gmm", particles.box, particles.apix, _plain(settings, preset))
    check_training_folder(settings.out, config, _MADE, _MAY_CHANGE)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    wall, cpu = time.perf_counter(), time.process_time()
    ctf = "none" if particles.ctf is None else settings.ctf
    resolution = settings.resolution or useful_resolution(particles, ctf)
    rings = rings_between(particles.box, particles.apix, resolution, settings.low, preset.published_rings)
    data = load_spectra(particles, rings, ctf, progress).expanded(group)
    settings.out.mkdir(parents=True, exist_ok=True)
    neutral = _neutral(settings, data, particles, progress)
    region = read_region(settings.mask, settings.model, settings.chains, neutral)
    moving = np.ones(len(neutral), dtype=bool) if region is None else neutral.inside(region)
    write_config(settings.out / CONFIG, config)
    plan = Plan(preset.epochs, preset.batch, seed=settings.seed)
    wanted = Wanted(settings.zdim, tuple(settings.vary), moving, settings.held_out, _pose_wait(settings, preset))
    torch.manual_seed(settings.seed)
    task = GmmTask(settings.out, data, particles.rows, neutral, wanted, preset, plan, progress)
    outcome = train(task, plan, Team(torch.device("cpu")), settings.out / LOG, progress)
    posterior = task.finish(progress)
    detectable = posterior.detectability.numpy()
    poses = None if posterior.poses is None else refined(particles.require_poses(), posterior.poses.numpy())
    if poses is not None:
        write_refined_poses(settings.out, particles, poses)
    return {
        "out": str(settings.out), "n": len(particles), "box": particles.box, "apix": particles.apix,
        "zdim": settings.zdim, "gaussians": len(neutral), "moving": int(moving.sum()),
        "resolution": rings.resolution, "epochs": outcome.epoch, "reason": outcome.reason,
        "detectability": round(float(np.median(detectable)), 3), "hidden": int((detectable < 0.5).sum()),
        "poses": None if poses is None else summary_of_moves(particles.require_poses(), poses),
        "seconds": round(time.perf_counter() - wall, 1), "cpu_seconds": round(time.process_time() - cpu, 1),
    }  # fmt: skip


def preset_of(settings: Settings) -> Preset:
    """The named preset, with whatever the settings change in it."""
    preset = PRESETS[settings.preset]
    names = ("epochs", "loss", "batch", "rate", "refine")
    changed = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    return dataclasses.replace(preset, **changed)


def _check(settings: Settings, preset: Preset) -> None:
    check_range("zdim", settings.zdim, 1, 64)
    check_range("epochs", preset.epochs, 1)
    check_range("batch", preset.batch, 2)
    check_range("The rate", preset.rate, 1e-9, 10)
    check_range("refine", preset.refine, 0, 100)
    check_range("The held-out share", settings.held_out, 0, 0.5)
    check_range("The number of threads", settings.threads or 1, 1)
    check_range("half_set", settings.half_set or 0, 0, 1)
    check_range("pose_wait", settings.pose_wait or 0, 0)
    if settings.refine_poses and preset.loss == "frc":
        raise HeteroError("Poses are refined by the likelihood; --refine-poses does not go with the loss frc.")
    if settings.symmetry != "C1":
        _check_symmetry(settings)
    if not settings.vary:
        raise HeteroError("Nothing may vary; one or more of position, amplitude and width was expected.")
    if settings.neutral is not None and settings.map is not None:
        raise HeteroError("A neutral model and a map to fit one to were given; one of them was expected.")


def _check_symmetry(settings: Settings) -> None:
    if settings.mask is None and settings.model is None:
        raise HeteroError(
            f"With symmetry {settings.symmetry} one asymmetric unit varies; a mask or a model of it was expected."
        )
    if settings.refine_poses:
        raise HeteroError("The copies of a particle share one pose; --refine-poses goes with symmetry C1 alone.")


def _pose_wait(settings: Settings, preset: Preset) -> int | None:
    if not settings.refine_poses:
        return None
    return round((1 - preset.laid_out) * preset.epochs) if settings.pose_wait is None else settings.pose_wait


def _open(settings: Settings) -> Particles:
    particles = open_particles(settings.particles, settings.poses, settings.ctf_file, settings.ind, settings.datadir)
    if settings.invert:
        particles = dataclasses.replace(particles, stack=particles.stack.inverted())
    particles.require_poses()
    if settings.half_set is not None:
        from hetero.particles.reconstruct import split_halves

        particles = particles.subset(split_halves(particles)[0] == settings.half_set)
    return particles


def _neutral(settings: Settings, data, particles: Particles, progress: Progress) -> GaussianModel:
    """The model of the folder where one is there already; a training that goes on must find the same."""
    kept = settings.out / NEUTRAL
    if kept.is_file():
        return read_model(kept)
    frame = empty_frame(particles.box, particles.apix)
    if settings.neutral is not None:
        model = read_model(settings.neutral, settings.program, particles.box, particles.apix)
        extent = particles.box * particles.apix
        if abs(model.box * model.apix - extent) > 0.01 * extent:
            raise HeteroError(
                f"{settings.neutral} lies in a box of {model.box * model.apix:.4g} Å, the particles in one of "
                f"{extent:.4g} Å; equal boxes were expected."
            )
        model = model.on_grid(particles.box, particles.apix)
    else:
        from hetero.gmm.neutral import fit_neutral

        check_gaussians(settings.most, frame)
        if settings.map is not None:
            volume = read_map(settings.map)
            empty_frame(particles.box, particles.apix, volume.origin).check_grid(volume)
            data, frame = map_data(volume, data.rings.resolution, settings.low)
        model, _ = fit_neutral(data, frame, settings.most, settings.seed, progress=progress)
    write_model(kept, model)
    return read_model(kept)


def _plain(settings: Settings, preset: Preset) -> dict[str, Any]:
    values = dataclasses.asdict(settings) | {"hetero": hetero.__version__, "resolved": dataclasses.asdict(preset)}
    for name in ("particles", "neutral", "map", "mask", "model", "poses", "ctf_file", "ind", "datadir"):
        values[name] = None if values[name] is None else str(Path(values[name]).resolve())
    return json.loads(json.dumps(values, default=str))


def describe(result: dict[str, Any]) -> str:
    """What was trained, how long, why it stopped, and what comes next."""
    lines = [
        f"latents of {result['zdim']} numbers from {result['n']:,} particles of {result['box']} pixels of "
        f"{result['apix']:.4g} Å, to {result['resolution']:.1f} Å",
        f"{result['moving']:,} of {result['gaussians']:,} Gaussians vary; {result['epochs']} epochs, "
        f"{result['seconds']:.0f} s ({result['cpu_seconds']:.0f} s of processors); stopped: {result['reason']}",
        f"the views of {result['hidden']:,} particles hide most of what varies (detectability below 0.5; median "
        f"{result['detectability']:.2f})",
    ]
    if result["poses"] is not None:
        lines.append(describe_moves(result["poses"]))
    return "\n".join([*lines, f"written: {result['out']}; hetero decode {result['out']} makes maps"])
