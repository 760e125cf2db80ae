"""What ``hetero train-vae`` makes of its settings: checked, and in the words of :mod:`hetero.drgn`."""

import dataclasses
import warnings
from typing import TYPE_CHECKING

import numpy as np

from hetero.checkpoints import CHECKPOINT, newest_whole
from hetero.commands import check_range
from hetero.drgn.presets import PRESETS, Preset
from hetero.errors import HeteroError
from hetero.maps import MapWarning
from hetero.particles import Particles
from hetero.progress import Progress

if TYPE_CHECKING:
    from hetero.commands.train_vae import Settings


def preset_of(settings: "Settings") -> Preset:
    """The named preset, with whatever the settings change in it."""
    preset = PRESETS[settings.preset]
    names = {f.name for f in dataclasses.fields(Preset)} & {f.name for f in dataclasses.fields(settings)}
    changed = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    if settings.marching == "off":
        changed["stages"] = ((1.0, 1.0),)
    elif settings.marching == "on":
        changed["stages"] = PRESETS["ours"].stages
    return dataclasses.replace(preset, **changed)


def check(settings: "Settings", preset: Preset) -> None:
    """Refuse numbers that make no sense, before anything is opened.

    Raises:
        HeteroError: names the first.
    """
    check_range("zdim", settings.zdim, 0, 1024)
    for name in ("epochs", "batch", "width", "encoder_width"):
        check_range(name, getattr(preset, name), 1)
    for name in ("layers", "encoder_layers", "patience"):
        check_range(name, getattr(preset, name), 0)
    check_range("The rate", preset.rate, 1e-9, 10)
    check_range("The held-out share", preset.held_out, 0, 0.5)
    check_range("beta_epochs", settings.beta_epochs, 0)
    check_range("accumulate", settings.accumulate, 1)
    check_range("The memory", settings.memory, 0)
    check_range("pose_rate", settings.pose_rate, 1e-9, 100)
    check_range("pose_wait", settings.pose_wait or 0, 0)
    if settings.beta is not None:
        check_range("beta", settings.beta, 0)
    if settings.threads is not None:
        check_range("The number of threads", settings.threads, 1)
    if settings.base == "regression" and (settings.start is None or settings.refine_poses):
        found = "no --start was given" if settings.start is None else "--refine-poses was given too"
        raise HeteroError(f"--base regression fits maps to the latents at --start, with poses as they are; {found}.")
    if settings.start is not None and settings.zdim == 0:
        raise HeteroError("A start was given and zdim is 0: a homogeneous model has no latents to start.")


def kind_of_latents(settings: "Settings") -> str:
    """encoder or table: an encoder sees the same picture in every copy of a particle, unless through a mask.

    Raises:
        HeteroError: an encoder was asked for where it cannot tell copies apart.
    """
    alike = settings.symmetry.upper() != "C1" and settings.focus_mask is None
    if alike and settings.latents == "encoder":
        raise HeteroError(
            f"An encoder cannot tell the copies of a particle under {settings.symmetry} apart, as it sees the same "
            "picture in each; --latents table or a --focus-mask was expected with --symmetry."
        )
    return settings.latents or ("table" if alike else "encoder")


def check_team(settings: "Settings", size: int) -> None:
    """Refuse several processes where one must have all of a table.

    Raises:
        HeteroError: says of what.
    """
    if size > 1 and (settings.latents == "table" or settings.refine_poses):
        what = "Latents in a table" if settings.latents == "table" else "Poses"
        raise HeteroError(f"{what} are trained by one process; torchrun started several.")


def model_of(settings: "Settings", preset: Preset, particles: Particles):
    """The :class:`hetero.drgn.training.Model`, but for its start and base."""
    from hetero.drgn.focus import read_focus
    from hetero.drgn.poses import Refinement
    from hetero.drgn.training import Model

    focus = poses = None
    if settings.focus_mask is not None:
        focus = read_focus(settings.focus_mask, particles.box, particles.apix)
    if settings.refine_poses:
        wait = preset.epochs // 4 if settings.pose_wait is None else settings.pose_wait
        poses = Refinement(settings.pose_rate, wait)
    return Model(
        settings.zdim, preset.epochs, preset, settings.latents == "table", settings.beta, settings.beta_epochs,
        settings.seed, focus, poses,
    )  # fmt: skip


def start_of(settings: "Settings", rows: np.ndarray):
    """Latents to start from, of particles ``(n,)``; None where no start was given."""
    if settings.start is None:
        return None
    from hetero.drgn.start import read_start

    return read_start(settings.start, rows, settings.zdim)


def base_of(settings: "Settings", preset: Preset, images, start, progress: Progress):
    """Maps that the network adds to: those of the checkpoint in a run that goes on; None where there are none."""
    from hetero.drgn.base import fit_base
    from hetero.drgn.files import base_in, load_checkpoint
    from hetero.linear.files import read_noise

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MapWarning)  # of a damaged checkpoint the training itself tells
        kept = newest_whole(settings.out / CHECKPOINT, lambda path: {"base": base_in(load_checkpoint(path)[1], path)})
    if kept is not None:
        return kept["base"]
    if preset.base == "none" or start is None or settings.refine_poses or images.particles.ctf is None:
        return None
    return fit_base(images, start, read_noise(settings.start), progress)
