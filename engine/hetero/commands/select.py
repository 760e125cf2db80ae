"""``hetero select``: the particles that fit a rule, as files for the next program."""

import dataclasses
import datetime
import json
import platform
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hetero
from hetero.commands import POSITIONAL
from hetero.commands.particle_occupancy import read_numbers, sidecar
from hetero.commands.selection_sources import Extent, check_extent, read_sources
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.progress import Progress, silent

_LISTS = (".csv", ".txt", ".npy", ".pkl")


@dataclass(frozen=True)
class Settings:
    """Select particles by a rule on occupancies, classes or latents, and write them for RELION, cryoSPARC or cryoDRGN.

    Attributes:
        sources: What is known of the particles: tables of hetero occupancy (--particles) or OUT_particles.csv of hetero
            classes; a trained run, for its latents z1, z2 ...; several are joined by particle number. A table of
            volumes needs --labels.
        out: .star or .cs to write, from --original; or a list of particle numbers: .csv, .txt, .npy, .pkl (cryoDRGN).
        rule: Such as "block 5 > 0.7 and block 2 < 0.1", "class == 2", "0 < z1 < 2 and not z2 > 1".
        among: Only these particles: a file of numbers (.csv, .txt, .npy, .pkl), such as a viewer's selection.
        original: The particle file (.star, .cs) that the model was trained on; its rows are copied as they are.
        labels: For tables of volumes: which volume each particle belongs to, as in hetero classes.
        epoch: Runs: which epoch, where the folder keeps several, as its file names count; without it the newest.
    """

    sources: tuple[Path, ...] = field(metadata=POSITIONAL)
    out: Path
    rule: str | None = None
    among: Path | None = None
    original: Path | None = None
    labels: Path | None = None
    epoch: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{selected, of, unknown, rule, out, written, original}``; ``unknown`` lack a number that the rule needs.

    Raises:
        HeteroError: an unknown block, no rule, no particle that fits, an original whose rows are not the run's, or
            something at ``out`` that is not ours.
    """
    from hetero.occupancy.rules import parse_rule

    _check(settings)
    table, extent = read_sources(settings.sources, settings.labels, settings.epoch)
    if settings.original is not None:
        check_extent(settings.original, extent)
    chosen = np.ones(len(table), dtype=bool)
    unknown, rule = 0, None
    if settings.rule is not None:
        rule = parse_rule(settings.rule, table.columns)
        chosen = rule.holds(table)
        unknown = int(table[list(rule.columns)].isna().any(axis=1).sum())
    if settings.among is not None:
        chosen &= table.index.isin(read_numbers(settings.among, extent.rows))
    particles = np.sort(table.index.to_numpy()[chosen])
    if not len(particles):
        what = f"'{settings.rule}'" if settings.rule else str(settings.among)
        raise HeteroError(f"None of the {len(table):,} particles fits {what}; nothing was written.")
    write_particles(settings.out, particles, settings.original)
    _write_provenance(settings, extent, len(particles), len(table))
    return {
        "selected": len(particles),
        "of": len(table),
        "unknown": unknown,
        "rule": settings.rule,
        "original": None if settings.original is None else str(settings.original),
        "out": str(settings.out),
        "written": [str(settings.out), str(sidecar(settings.out))],
    }


def describe(result: dict[str, Any]) -> str:
    """How many, by which rule, and where they are."""
    share = 100 * result["selected"] / result["of"]
    lines = [f"{result['selected']:,} of {result['of']:,} particles ({share:.1f} %)"]
    if result["rule"]:
        lines[0] += f": {result['rule']}"
    if result["unknown"]:
        lines.append(f"{result['unknown']:,} lack a number that the rule needs and were left out")
    if result["original"]:
        lines.append(f"rows of {result['original']}, as they are there")
    return "\n".join([*lines, "written: " + " and ".join(result["written"])])


def _check(settings: Settings) -> None:
    kind = settings.out.suffix.lower()
    if kind not in (".star", ".cs", *_LISTS):
        raise HeteroError(
            f"{settings.out} is no kind of file that particles can be written to; .star, .cs, {', '.join(_LISTS[:-1])} "
            f"or {_LISTS[-1]} was expected."
        )
    if settings.rule is None and settings.among is None:
        raise HeteroError("Neither --rule nor --among was given; what to select was expected.")
    if not settings.sources:
        raise HeteroError("No table and no run was named; what the rule is about was expected.")
    if kind in (".star", ".cs") and settings.original is None:
        raise HeteroError(f"To write {settings.out} the particles' own file is needed: give --original FILE{kind}.")
    if settings.original is not None:
        if not settings.original.is_file():
            raise HeteroError(f"{settings.original} is not there; the original particle file was expected.")
        if kind in (".star", ".cs") and settings.original.suffix.lower() != kind:
            raise HeteroError(
                f"{settings.original} is no {kind} file; {settings.out} is written from an original of its own kind."
            )
        if settings.original.resolve() == settings.out.resolve():
            raise HeteroError(f"{settings.out} is the original itself; give another file to write.")
    if not settings.out.absolute().parent.is_dir():
        raise HeteroError(f"Cannot write {settings.out}: its folder is not there.")
    if settings.out.exists() and _verb_of(sidecar(settings.out)) != "select":
        raise HeteroError(f"{settings.out} is there already and is no selection of ours; it was kept.")


def _verb_of(path: Path) -> str | None:
    try:
        return json.loads(path.read_text()).get("verb")
    except (OSError, ValueError, AttributeError):
        return None


def write_particles(out: Path, particles: np.ndarray, original: Path | None = None) -> None:
    """Write particle numbers as the suffix of ``out`` says: rows of ``original`` (.star, .cs), or a list of numbers."""
    from hetero.particles import write_cs_subset, write_indices, write_star_subset

    kind = out.suffix.lower()
    if kind == ".star":
        write_star_subset(original, particles, out)
    elif kind == ".cs":
        write_cs_subset(original, particles, out)
    elif kind in (".npy", ".pkl"):
        write_indices(out, particles)
    else:
        with atomic_path(out) as temporary:
            pd.Series(particles, name="particle").to_csv(temporary, index=False, header=kind == ".csv")


def _write_provenance(settings: Settings, extent: Extent, selected: int, of: int) -> None:
    record = {
        "verb": "select",
        "command": command_line(settings),
        "rule": settings.rule,
        "selected": selected,
        "of": of,
        "run": extent.run,
        "sources": [str(path.resolve()) for path in settings.sources],
        "original": None if settings.original is None else str(settings.original.resolve()),
        "settings": dataclasses.asdict(settings),
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"hetero": hetero.__version__, "python": platform.python_version(), "numpy": np.__version__},
    }
    with atomic_path(sidecar(settings.out)) as temporary:
        temporary.write_text(json.dumps(record, indent=1, default=str) + "\n")


def command_line(settings: Settings) -> str:
    """The command that makes the same selection again, as one types it."""
    words = ["hetero", "select", *map(str, settings.sources)]
    for f in dataclasses.fields(settings):
        value = getattr(settings, f.name)
        if f.name != "sources" and value is not None:
            words += [f"--{f.name}", str(value)]
    return shlex.join(words)
