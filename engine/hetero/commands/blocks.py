"""``hetero blocks``: SIREn's blocks of an ensemble."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

import hetero
from hetero.commands import POSITIONAL, check_range, info
from hetero.commands.resolve import resolve_levels
from hetero.errors import HeteroError
from hetero.files import check_folder
from hetero.maps import open_ensemble, write_blocks
from hetero.maps.blocks import FOLDER, make_blocks
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Find the blocks of an ensemble: sets of voxels that come and go together.

    Attributes:
        folder: Folder of maps in one frame.
        out: Folder for block_00.mrc ... and blocks.csv.
        level: A number for all maps, from-table (ensemble.csv) or predict; without it the table's levels where it has
            them, else predicted ones.
        rule: effect links voxels whose on/off patterns correlate; published is the rule of Kinman & Carreira.
        seed: For the random choices of either rule.
        filter: Leave out maps whose level is more than 2 s.d. from the mean level, as published.
        min_kda: Smallest block that the effect rule reports, kDa at 0.81 Da/Å^3.
        alpha: The effect rule drops blocks whose variance noise would reach with more than this probability, in any
            place. (The published rule has no such test; its blocks' probabilities are in blocks.csv all the same.)
        resamples: Random halves of the maps in which each block is looked for again, for its stability in blocks.csv.
        bootstrap: For the published rule: draw its table of cut-offs anew, as published, not take its exact limit.
    """

    folder: Path = field(metadata=POSITIONAL)
    out: Path
    level: str | None = None
    rule: Literal["effect", "published"] = "effect"
    seed: int = 0
    filter: bool = False
    min_kda: float = 5.0
    alpha: float = 0.05
    resamples: int = 10
    bootstrap: bool = False


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the blocks; the answer is ``info``'s on the new folder, with ``left_out``, ``volumes``, ``seconds``.

    Raises:
        HeteroError: no ensemble there, one volume only, mixed boxes, or levels at which nothing changes.
    """
    from hetero.siren import EffectRule, PublishedRule, binarise, find_blocks

    check_range("The seed", settings.seed, 0)
    check_range("The number of resamplings (resamples)", settings.resamples, 0)
    check_range("Alpha", settings.alpha, 0, 1)
    check_range("The smallest block (min-kda)", settings.min_kda, 0)
    if settings.out.resolve() == settings.folder.resolve():
        raise HeteroError(f"{settings.out} holds the maps; give another folder for the blocks.")
    check_folder(settings.out, FOLDER)
    started = time.perf_counter()
    ensemble = open_ensemble(settings.folder)
    if len(ensemble) < 2:
        raise HeteroError(f"{settings.folder} holds a single map; blocks are found by comparing many.")
    levels = resolve_levels(ensemble, settings.level, progress)
    kept = np.ones(len(ensemble), dtype=bool)
    if settings.filter:
        kept = np.abs(levels - levels.mean()) <= 2 * levels.std()
    chosen = np.flatnonzero(kept)
    patterns = binarise((ensemble[i] for i in chosen), levels[chosen], progress)
    if settings.rule == "effect":
        rule = EffectRule(seed=settings.seed, min_kda=settings.min_kda)
    else:
        rule = PublishedRule(seed=settings.seed, bootstrap=settings.bootstrap)
    counted = [ensemble.names.index(name) for name in patterns.volumes]
    alpha = settings.alpha if settings.rule == "effect" else None
    found = find_blocks(patterns, (ensemble[i] for i in counted), rule, alpha, settings.resamples, progress)
    occupancy = [float(patterns.on[:, c].mean()) for c in found.columns]
    blocks = make_blocks(
        patterns.masks(found.columns),
        ensemble.apix,
        ensemble.origin,
        columns={"mean_occupancy": occupancy, **found.evidence},
    )
    left_out = [ensemble.names[i] for i in np.flatnonzero(~kept)] + list(patterns.empty)
    config = {
        "verb": "blocks",
        "settings": dataclasses.asdict(settings),
        "rule": dataclasses.asdict(rule),
        "levels": dict(zip(ensemble.names, levels.tolist(), strict=True)),
        "left_out": left_out,
        "hetero": hetero.__version__,
    }
    write_blocks(settings.out, blocks, config)
    answer = info.run(info.Settings(settings.out))
    return answer | {
        "left_out": left_out,
        "noise": found.noise,
        "volumes": len(patterns.volumes),
        "seconds": time.perf_counter() - started,
    }


def describe(result: dict[str, Any]) -> str:
    """A line a block."""
    lines = [info.describe(result), f"from {result['volumes']} maps in {result['seconds']:.1f} s"]
    if result["noise"]:
        lines.append(f"dropped: {result['noise']} that vary no more than noise does")
    if result["left_out"]:
        names = result["left_out"]
        lines.append(f"left out: {len(names)} ({', '.join(names[:5])}{' ...' if len(names) > 5 else ''})")
    return "\n".join(lines)
