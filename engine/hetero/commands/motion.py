"""``hetero motion``: how a model of Gaussians moves."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hetero
from hetero.commands import POSITIONAL, check_range
from hetero.commands.decode import counted
from hetero.commands.gaussian_region import read_region
from hetero.commands.open_run import open_run
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.gmm.motion import localised_motions, motion_between, rigid_body
from hetero.latent import Run, point_table
from hetero.latent.paths import component_path
from hetero.latent.pca import principal_components
from hetero.maps import write_ensemble
from hetero.progress import Progress, silent

ARROWS, MARK = "motion.csv", "motion.json"
FOLDER = FolderKind(MARK, ("vol_*.mrc", "ensemble.csv", ARROWS, MARK))


@dataclass(frozen=True)
class Settings:
    """Tell how the Gaussians of a run move: an arrow each, maps along the way, and how far a region turned.

    From one latent to another, or along a principal component; with a mask or a model along the direction that moves
    the Gaussians in it most and the others least. The folder opens as an ensemble.

    Attributes:
        run: Folder of a run of hetero train-gmm.
        out: Folder for motion.csv, motion.json and vol_000.mrc ...
        start: Latent to start from, zdim numbers; with end.
        end: Latent to end at.
        component: Which principal component, or which localised motion, counted from 1.
        mask: Map that is over 0.5 in a region: its own motions are looked for, and how it turns as a body.
        model: In place of a mask a PDB or mmCIF file in the run's frame: the region of its chains.
        chains: Chains of the model, A,B or A+B; without it all.
        steps: Maps along the way; 0 for none.
        scale: Factor for the arrows.
    """

    run: Path = field(metadata=POSITIONAL)
    out: Path
    start: tuple[float, ...] = ()
    end: tuple[float, ...] = ()
    component: int = 1
    mask: Path | None = None
    model: Path | None = None
    chains: tuple[str, ...] = ()
    steps: int = 10
    scale: float = 1.0


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{"out", "gaussians", "start", "end", "longest", "median", "ratio", "rigid", "volumes"}``.

    ``ratio`` is, for each localised motion, the change inside over that outside; ``rigid`` the region's
    ``angle`` (degrees), ``axis``, ``shift`` (Å, z, y, x), ``moved`` and ``left`` (Å); both null without a region.

    Raises:
        HeteroError: a run of another system, latents of another dimension, or a region that does not fit.
    """
    check_folder(settings.out, FOLDER)
    check_range("steps", settings.steps, 0, 1000)
    model = open_run(settings.run)
    if model.system != "gmm":
        raise HeteroError(f"{settings.run} is a run of '{model.system}'; one of hetero train-gmm was expected.")
    region = read_region(settings.mask, settings.model, settings.chains, model.decoder.frame)
    inside = None if region is None else model.decoder.frame.inside(region)
    path, ratio = motion_path(settings, model, inside)
    motion = motion_between(model.decoder, path[0], path[-1])
    rigid = None if inside is None else rigid_body(motion, inside)
    with atomic_folder(settings.out, FOLDER) as folder:
        _arrows(motion, inside, settings.scale).to_csv(folder / ARROWS, index=False)
        if settings.steps:
            write_ensemble(
                folder, counted(model.decode(path), len(path), progress, "maps along the motion"), point_table(path)
            )
        answer = {
            "out": str(settings.out), "gaussians": len(motion.centres), "start": path[0].tolist(),
            "end": path[-1].tolist(), "longest": float(motion.lengths.max()),
            "median": float(np.median(motion.lengths)), "ratio": ratio, "rigid": _plain(rigid),
            "volumes": len(path) if settings.steps else 0,
        }  # fmt: skip
        record = {"verb": "motion", "settings": dataclasses.asdict(settings), "hetero": hetero.__version__}
        (folder / MARK).write_text(json.dumps(record | {"result": answer}, indent=1, default=str) + "\n")
    return answer


def motion_path(settings: Settings, model: Run, inside: np.ndarray | None) -> tuple[np.ndarray, list[float] | None]:
    """``(n, zdim)`` points along the way, and the localised motions' ratios."""
    n = max(2, settings.steps)
    if settings.start or settings.end:
        for what, z in (("start", settings.start), ("end", settings.end)):
            if len(z) != model.zdim:
                raise HeteroError(f"The {what} has {len(z)} numbers; {settings.run} has latents of {model.zdim}.")
            if not np.isfinite(z).all():
                raise HeteroError(f"The {what} holds NaN or infinity; finite numbers were expected.")
        return np.linspace(settings.start, settings.end, n), None
    check_range("component", settings.component, 1, model.zdim)
    if inside is not None:
        found = localised_motions(model.decoder, model.latents, inside)
        return found.path(settings.component - 1, model.latents, n), found.ratio.round(4).tolist()
    components = principal_components(model.latents)
    return component_path(components, components.scores(model.latents), settings.component - 1, n), None


def _arrows(motion, inside: np.ndarray | None, scale: float) -> pd.DataFrame:
    """A row a Gaussian, Å in the map's frame."""
    table = pd.DataFrame(motion.centres[:, ::-1], columns=["x", "y", "z"])
    table[["dx", "dy", "dz"]] = scale * motion.displacements[:, ::-1]
    table["length"] = scale * motion.lengths
    table[["mass_start", "mass_end"]] = motion.masses
    if inside is not None:
        table["inside"] = inside.astype(int)
    table.insert(0, "gaussian", np.arange(1, len(table) + 1))
    return table.round(5)


def _plain(rigid) -> dict[str, Any] | None:
    if rigid is None:
        return None
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in dataclasses.asdict(rigid).items()}


def describe(result: dict[str, Any]) -> str:
    """How far Gaussians moved, and how a region turned."""
    lines = [
        f"{result['gaussians']:,} Gaussians move by {result['median']:.1f} Å (median), the furthest by "
        f"{result['longest']:.1f} Å"
    ]
    if result["ratio"] is not None:
        shares = ", ".join(f"{r:.3g}" for r in result["ratio"])
        lines.append(f"localised motions, change inside over outside: {shares}")
    if result["rigid"] is not None:
        body = result["rigid"]
        shift = np.linalg.norm(body["shift"])
        lines.append(
            f"as a body the region turns by {body['angle']:.1f} degrees and shifts by {shift:.1f} Å "
            f"({body['left']:.1f} of {body['moved']:.1f} Å r.m.s. not explained by that)"
        )
    return "\n".join([*lines, f"written: {result['out']} ({result['volumes']} maps, {ARROWS})"])
