"""``hetero train-vae``: cryoDRGN trained on particles with known poses."""

import dataclasses
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

import hetero
from hetero.commands import POSITIONAL
from hetero.commands.train_vae_model import (
    base_of,
    check,
    check_team,
    kind_of_latents,
    model_of,
    preset_of,
    start_of,
)
from hetero.commands.training_folder import check_training_folder
from hetero.drgn.presets import Preset
from hetero.errors import HeteroError
from hetero.latent import CHECKPOINT, CONFIG, LATENTS, RunConfig, write_config
from hetero.particles import Particles, ParticleWarning, open_particles
from hetero.particles.refined_poses import REFINED, describe_moves, summary_of_moves
from hetero.particles.symmetry import symmetry_rotations
from hetero.progress import Progress, silent

LOG = "log.csv"
_MADE_BY_TRAINING = (
    CONFIG, LATENTS, LOG, CHECKPOINT, "images.c64", "images.json", *REFINED,
)  # fmt: skip
_MAY_CHANGE = {"out", "epochs", "device", "threads", "memory", "no_cache", "accumulate", "minutes", "hetero"}


@dataclass(frozen=True)
class Settings:
    """Train cryoDRGN: latents and maps of particles whose poses are known.

    The folder is a run: decode, occupancy and the viewers open it. The same command again goes on from its last
    checkpoint, also with more epochs. Under torchrun all processes train one model.

    Attributes:
        particles: .star, .cs, .txt or .mrcs, best made small by hetero downsample.
        out: Folder of the run.
        poses: cryoDRGN's poses.pkl, in place of those in the file.
        ctf: cryoDRGN's ctf.pkl, in place of those in the file.
        ind: cryoDRGN's ind.pkl (or .npy): which particles to take.
        datadir: Folder that the stacks' names start from.
        invert: Turn the contrast over, for particles that are dark (a .cs file says itself whether they are).
        zdim: Numbers in a latent; 0 for one map of all particles.
        epochs: Passes over the particles; without it the preset's.
        seed: Same seed, same weights, on one kind of machine.
        preset: ours (measured to be fast), cryodrgn (its present defaults) or paper (Zhong et al. 2021).
        start: Run of the same particles (hetero train-linear) whose latents to start from.
        latents: From an encoder of images, or a table: parameters of their own for each particle (auto-decoder).
            Without it an encoder, but a table with --symmetry and no --focus-mask.
        focus_mask: A map, 0 to 1, soft at its edge, on the particles' own grid. The loss looks at each picture inside
            the mask as that particle sees it, and so does the encoder: latents follow what happens there. What lies
            in front of the mask or behind it is seen with it; maps mean something inside the mask alone.
        symmetry: C1, C2 ..., D2 ..., T, O or I (Cn and Dn turn about z): each particle is copied to every orientation
            in which a body of this symmetry looks the same, and each copy has a latent of its own: where the subunits
            differ. latents.npz holds the copies of a particle side by side, under its particle_index.
        refine_poses: Learn a small turn and shift of each particle too; poses.pkl and poses.npz in the run hold them.
        pose_rate: Of learning poses: pixels that a step moves a picture (or turns it, at a quarter of the box).
        pose_wait: Epochs in which poses are kept first; without it a quarter of all.
        batch: Particles a step; this and what follows: without it the preset's.
        rate: Of learning, Adam's.
        width: Units of the decoder's layers.
        layers: Residual layers of the decoder.
        encoder_width: Units of the encoder's layers.
        encoder_layers: Residual layers of the encoder.
        marching: Low frequencies first (on), or all of them from the beginning (off).
        base: regression: maps are first fitted to all particles as smooth functions of the latents at --start, and the
            network learns what to add to them (needs CTFs, and poses that are kept); none: it learns whole maps.
        beta: Weight of the latents' prior; without it 1 / zdim.
        beta_epochs: Epochs in which beta grows from 0.
        held_out: Share of the particles that are only judged by.
        patience: Epochs without a better held-out loss after which to stop; 0 for never.
        precision: Of products; without it bfloat16 where the machine is faster at it and the preset allows.
        accumulate: Parts that a batch is taken in, for less memory of a GPU.
        device: cpu, cuda or mps; without it the best there is.
        threads: Processors to use; without it all.
        memory: GB of memory for transformed images; beyond it they are kept in a file in the folder while training, and
            always under torchrun, so that the processes of a computer share them.
        no_cache: Transform images whenever they are read, instead of that file.
        minutes: Between checkpoints within an epoch.
    """

    particles: Path = field(metadata=POSITIONAL)
    out: Path
    poses: Path | None = None
    ctf: Path | None = None
    ind: Path | None = None
    datadir: Path | None = None
    invert: bool = False
    zdim: int = 8
    epochs: int | None = None
    seed: int = 0
    preset: Literal["ours", "cryodrgn", "paper"] = "ours"
    start: Path | None = None
    latents: Literal["encoder", "table"] | None = None
    focus_mask: Path | None = None
    symmetry: str = "C1"
    refine_poses: bool = False
    pose_rate: float = 0.1
    pose_wait: int | None = None
    batch: int | None = None
    rate: float | None = None
    width: int | None = None
    layers: int | None = None
    encoder_width: int | None = None
    encoder_layers: int | None = None
    marching: Literal["on", "off"] | None = None
    base: Literal["regression", "none"] | None = None
    beta: float | None = None
    beta_epochs: int = 0
    held_out: float | None = None
    patience: int | None = None
    precision: Literal["float32", "bfloat16", "float16"] | None = None
    accumulate: int = 1
    device: Literal["cpu", "cuda", "mps"] | None = None
    threads: int | None = None
    memory: float = 1.0
    no_cache: bool = False
    minutes: float = 5.0


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{"out", "n", "box", "apix", "zdim", "precision", "epochs", "reason", "seconds", "cpu_seconds", "loss",
    "held_out", "poses"}``; the last is None, or how far they moved.

    Memory: ``settings.memory``, the list of particles (0.2 kB each) and, on a CPU, a batch.

    Raises:
        HeteroError: bad particles or settings, a start that does not fit, or a folder that holds something else.
    """
    settings = dataclasses.replace(settings, latents=kind_of_latents(settings), symmetry=settings.symmetry.upper())
    preset = preset_of(settings)
    check(settings, preset)
    group = symmetry_rotations(settings.symmetry)
    particles = _open(settings)
    start = start_of(settings, np.repeat(particles.rows, len(group)))
    config = RunConfig("drgn", particles.box, particles.apix, _plain(settings, preset))
    check_training_folder(settings.out, config, _MADE_BY_TRAINING, _MAY_CHANGE)

    import torch

    from hetero.drgn.images import CACHE, expand, prepare_images, remove_cache
    from hetero.drgn.training import DrgnTask
    from hetero.training.loop import train
    from hetero.training.plan import Plan
    from hetero.training.team import best_precision, join_team

    model = dataclasses.replace(model_of(settings, preset, particles), start=start)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with join_team(settings.device) as team:
        check_team(settings, team.size)
        precision = settings.precision or (best_precision(team.device) if preset.mixed else "float32")
        plan = Plan(
            preset.epochs,
            preset.batch,
            settings.accumulate,
            precision,
            settings.seed,
            preset.patience,
            settings.minutes,
        )
        cache = None if settings.no_cache else settings.out / CACHE
        settings.out.mkdir(parents=True, exist_ok=True)
        memory = 0 if team.size > 1 else settings.memory  # a file is read once a node, whoever asks for it
        images = _prepare(team, lambda: prepare_images(particles, preset.window, memory, cache, progress))
        if team.leads:
            write_config(settings.out / CONFIG, config)
        if len(group) > 1:
            images = expand(images, group)
        model = dataclasses.replace(model, base=base_of(settings, preset, images, start, progress))
        task = DrgnTask(settings.out, images, model, team)
        outcome = train(task, plan, team, settings.out / LOG, progress)
        if team.leads and cache is not None:
            remove_cache(cache)
    return _answer(settings, particles, precision, outcome) | {"poses": _moves(task)}


def _moves(task) -> dict[str, float] | None:
    """How far refined poses have moved: medians and largest, degrees and Å."""
    from hetero.drgn.poses import refined

    if task.model.poses is None:
        return None
    return summary_of_moves(task.particles.require_poses(), refined(task.particles, task.model.poses))


def _open(settings: Settings) -> Particles:
    particles = open_particles(
        settings.particles, settings.poses, settings.ctf, settings.ind, settings.datadir, settings.invert
    )
    particles.require_poses()
    if settings.base == "regression":
        particles.require_ctf()
    if particles.box % 2:
        raise HeteroError(f"The images of {particles.path} have {particles.box} pixels; an even number was expected.")
    if particles.ctf is None:
        warnings.warn(
            f"{particles.path} has no CTF parameters; its images are taken as if the microscope had none.",
            ParticleWarning,
            stacklevel=2,
        )
    return particles


def _plain(settings: Settings, preset: Preset) -> dict[str, Any]:
    values = dataclasses.asdict(settings) | {"hetero": hetero.__version__, "resolved": dataclasses.asdict(preset)}
    values["resolved"].pop("epochs")
    for name in ("particles", "poses", "ctf", "ind", "datadir", "start", "focus_mask"):
        values[name] = None if values[name] is None else str(Path(values[name]).resolve())
    return json.loads(json.dumps(values, default=str))


def _prepare(team, make):
    """In a team the leader makes the file, and the others read it."""
    images = make() if team.leads else None
    team.wait()
    return images if team.leads else make()


def _answer(settings: Settings, particles: Particles, precision: str, outcome) -> dict[str, Any]:
    import pandas as pd

    answer = {
        "out": str(settings.out), "n": len(particles), "box": particles.box, "apix": particles.apix,
        "zdim": settings.zdim, "precision": precision, "epochs": outcome.epoch, "reason": outcome.reason,
        "seconds": round(outcome.seconds, 1), "cpu_seconds": round(outcome.cpu_seconds, 1), "loss": None,
        "held_out": None,
    }  # fmt: skip
    if (settings.out / LOG).is_file():
        rows = pd.read_csv(settings.out / LOG)
        judged = rows["held_out"].dropna()
        answer["loss"] = float(rows["loss"].iloc[-1])
        answer["held_out"] = float(judged.iloc[-1]) if len(judged) else None
    return answer


def describe(result: dict[str, Any]) -> str:
    """What was trained, how long, why it stopped, and what comes next."""
    what = f"latents of {result['zdim']} numbers" if result["zdim"] else "one map"
    lines = [
        f"{what} from {result['n']:,} particles of {result['box']} pixels of {result['apix']:.4g} Å, in "
        f"{result['precision']}",
        f"{result['epochs']} epochs in {result['seconds']:.0f} s ({result['cpu_seconds']:.0f} s of processors); "
        f"stopped: {result['reason']}",
    ]
    if result["loss"] is not None:
        held = f", held out {result['held_out']:.5f}" if result["held_out"] is not None else ""
        lines.append(f"loss {result['loss']:.5f}{held}")
    if result["poses"] is not None:
        lines.append(describe_moves(result["poses"]))
    return "\n".join([*lines, f"written: {result['out']}; hetero decode {result['out']} makes maps"])
