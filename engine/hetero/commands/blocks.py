"""``hetero blocks``: SIREn's blocks of an ensemble."""

import dataclasses
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import hetero
from hetero.commands import POSITIONAL, check_range, info
from hetero.commands.resolve import resolve_levels
from hetero.errors import HeteroError
from hetero.files import check_folder
from hetero.locks import hold_result
from hetero.maps import Ensemble, open_ensemble, write_blocks
from hetero.maps.blocks import FOLDER, make_blocks
from hetero.parts import Parts, keep_parts
from hetero.progress import Progress, silent

if TYPE_CHECKING:
    from hetero.siren import EffectRule, Found, Patterns, PublishedRule

_LARGE = 96  # voxels along a side from which blocks are found coarsely
_COARSE = 64


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
        coarse: Find blocks in maps resampled to this many voxels along the longest side, then refine their borders at
            full sampling; 0 finds them at full sampling. Without it 64 where maps have more than 96.
        workers: Large boxes: local processes that read maps; without it one for each of four cores or more where
            there is much to do and Dask is installed.
        scheduler: Large boxes: address of a Dask scheduler (tcp://host:8786) whose workers share the work.
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
    coarse: int | None = None
    workers: int | None = None
    scheduler: str | None = None
    bootstrap: bool = False


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write the blocks; the answer is ``info``'s on the new folder, with ``left_out``, ``volumes``, ``seconds``.

    Raises:
        HeteroError: no ensemble there, one volume only, mixed boxes, or levels at which nothing changes.
    """
    _check(settings)
    started = time.perf_counter()
    ensemble = open_ensemble(settings.folder)
    if len(ensemble) < 2:
        raise HeteroError(f"{settings.folder} holds a single map; blocks are found by comparing many.")
    levels = resolve_levels(ensemble, settings.level, progress)
    kept = np.ones(len(ensemble), dtype=bool)
    if settings.filter:
        kept = np.abs(levels - levels.mean()) <= 2 * levels.std()
    rule = _rule(settings)
    with hold_result(settings.out, parents=True), ExitStack() as unfinished:
        found, patterns = _find(settings, ensemble, np.flatnonzero(kept), levels[kept], rule, progress, unfinished)
        blocks = make_blocks(found.masks, ensemble.apix, ensemble.origin, columns=found.evidence)
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
        "found_at": list(patterns.shape),
        "seconds": time.perf_counter() - started,
    }


def _check(settings: Settings) -> None:
    check_range("The seed", settings.seed, 0)
    check_range("The number of resamplings (resamples)", settings.resamples, 0)
    check_range("Alpha", settings.alpha, 0, 1)
    check_range("The smallest block (min-kda)", settings.min_kda, 0)
    if settings.coarse:
        check_range("The coarse box", settings.coarse, 16)
    if settings.workers is not None:
        check_range("The number of workers", settings.workers, 1)
    if settings.out.resolve() == settings.folder.resolve():
        raise HeteroError(f"{settings.out} holds the maps; give another folder for the blocks.")
    check_folder(settings.out, FOLDER)


def _rule(settings: Settings) -> "EffectRule | PublishedRule":
    from hetero.siren import EffectRule, PublishedRule

    if settings.rule == "effect":
        return EffectRule(seed=settings.seed, min_kda=settings.min_kda)
    return PublishedRule(seed=settings.seed, bootstrap=settings.bootstrap)


def _find(
    settings: Settings,
    ensemble: Ensemble,
    rows: np.ndarray,
    levels: np.ndarray,
    rule: "EffectRule | PublishedRule",
    progress: Progress,
    unfinished: ExitStack,
) -> "tuple[Found, Patterns]":
    """Blocks, and the patterns in which they were found; finished parts are kept until ``unfinished`` is closed."""
    from hetero import siren

    alpha = settings.alpha if settings.rule == "effect" else None
    side = max(ensemble.shape)
    coarse = (_COARSE if side > _LARGE else 0) if settings.coarse is None else settings.coarse
    if coarse and coarse < side:
        shape = tuple(max(1, round(n * coarse / side)) for n in ensemble.shape)
        reader = siren.CoarseReader(ensemble, rows, levels, shape)
        share = (settings.workers, settings.scheduler)
        parts = unfinished.enter_context(_parts(settings, reader.about()))
        return siren.find_blocks_coarsely(reader, parts, rule, alpha, settings.resamples, progress, *share)
    patterns = siren.binarise((ensemble[i] for i in rows), levels, progress)
    volumes = (ensemble[ensemble.names.index(name)] for name in patterns.volumes)
    if side <= _LARGE and settings.scheduler is None:
        return siren.find_blocks(patterns, volumes, rule, alpha, settings.resamples, progress), patterns
    about = siren.about_maps(ensemble, rows, levels) | {"coarse": 0, "rule": repr(rule)}
    parts = unfinished.enter_context(_parts(settings, about))
    gather = siren.gather_kept(parts, settings.workers or 1, settings.scheduler)
    return siren.find_blocks(patterns, volumes, rule, alpha, settings.resamples, progress, gather), patterns


def _parts(settings: Settings, about: dict[str, Any]) -> AbstractContextManager[Parts]:
    """A folder beside ``out`` for what is finished."""
    folder = settings.out.parent / f"{settings.out.name}.parts"
    return keep_parts(folder, about | {"verb": "blocks"})


def describe(result: dict[str, Any]) -> str:
    """A line a block."""
    lines = [info.describe(result), f"from {result['volumes']} maps in {result['seconds']:.1f} s"]
    if result["shape"] not in (None, result["found_at"]):
        box = " x ".join(str(n) for n in result["found_at"][::-1])
        lines.append(f"found in maps of {box} voxels, borders refined at full sampling")
    if result["noise"]:
        lines.append(f"dropped: {result['noise']} that vary no more than noise does")
    if result["left_out"]:
        names = result["left_out"]
        lines.append(f"left out: {len(names)} ({', '.join(names[:5])}{' ...' if len(names) > 5 else ''})")
    return "\n".join(lines)
