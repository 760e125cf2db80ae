"""``hetero train-level``: train the level network on simulated maps of structures, or on maps with known levels."""

import math
import time
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from hetero.commands import POSITIONAL
from hetero.commands.train_level_material import (
    Material,
    job_of,
    read_structures,
    sha256_of,
    split_material,
    start_path,
)
from hetero.errors import HeteroError
from hetero.level.plan import TrainingPlan
from hetero.locks import hold_result
from hetero.parts import keep_parts
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Train the level network on simulated maps of a folder of structures, on maps with levels of your own, or on both.

    A training that was stopped goes on when the same command is given again.

    Attributes:
        structures: Folder of PDB or mmCIF files (also .gz); about a fifth of them is held out and only measured on.
        out: Weights file to write (.pt); hetero level --weights takes it.
        labels: Table (.csv) with the columns map and level: maps and the levels that you chose. With ten or more, a
            fifth is held out and only measured on.
        emdb: Folder of EMDB maps with their headers (.xml), whose contour levels are learned like labels.
        start: Weights to go on from: packaged, or a file of an earlier train-level.
        network: ours, or published: the SIREn network with its own loss and rate, about 3 s a map and epoch on two
            cores.
        maps: Simulated maps; each takes 0.6 MB of memory.
        epochs: Passes over the maps; 0 keeps the networks of --from and fits their correction and uncertainty anew.
        correction_maps: Simulated maps on which the correction is learned; 0 leaves it out.
        held_out_maps: Simulated maps of held-out structures on which the result is measured; 0 leaves the measuring
            out.
        seed: Same seed, same maps, same split, same weights.
        max_box: Largest simulated box, in voxels.
        threads: CPU threads of the training.
        processes: Processes that simulate side by side; the maps are the same with any number.
        precision: Of products; without it bfloat16 where the machine is faster at it.
    """

    structures: Path | None = field(default=None, metadata=POSITIONAL)
    out: Path = field(kw_only=True)
    labels: Path | None = None
    emdb: Path | None = None
    start: str | None = field(default=None, metadata={"flag": "from"})
    network: Literal["ours", "published"] = "ours"
    maps: int = 12000
    epochs: int = 6
    correction_maps: int = 5000
    held_out_maps: int = 300
    seed: int = 0
    max_box: int = 128
    threads: int = 1
    processes: int = 1
    precision: Literal["float32", "bfloat16"] | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{"out", "simulated", "labelled", "epochs", "seed", "losses", "corrected", "held_out", "report", ...}``.

    Raises:
        HeteroError: nothing to train on, fewer than three structures, labels that do not fit their maps, a number that
            is too small, or the weights cannot be written.
    """
    _check(settings)
    start = _starting_network(settings)
    structures = read_structures(settings.structures, progress) if settings.structures else []
    material = split_material(settings, structures)
    with hold_result(settings.out), keep_parts(f"{settings.out}.parts", job_of(settings, material)) as parts:
        return _work(settings, material, start, parts.folder, progress)


def _work(settings: Settings, material: Material, start, folder: Path, progress: Progress) -> dict[str, Any]:
    """Train, correct, measure, write; what is done is kept in ``folder``."""
    from hetero.level.evaluate import evaluate_levels, labelled_levels
    from hetero.level.kept import KeptTraining
    from hetero.level.training import save_network

    kept, losses = KeptTraining(folder), []
    began = time.perf_counter()
    network, prepared = _train(settings, material, start, losses, kept, progress)
    trained = time.perf_counter()
    corrected = _correct(settings, material, network, kept, progress)
    report, label_report = {}, {}
    if material.held_out and settings.held_out_maps:
        tuning = _simulated(settings, material.training, settings.held_out_maps, "tuning")
        tests = _simulated(settings, material.held_out, settings.held_out_maps, "held out")
        report = evaluate_levels(network, tuning, tests, seed=settings.seed, progress=progress)
    if material.kept:
        tuning, tests = labelled_levels(material.labelled), labelled_levels(material.kept)
        label_report = evaluate_levels(network, tuning, tests, seed=settings.seed, progress=progress)
    names = [structure.name for structure in material.held_out]
    metadata = {
        "maps": settings.maps if material.training and settings.epochs else 0, "labelled": len(material.labelled),
        "epochs": settings.epochs, "seed": settings.seed, "max_box": settings.max_box,
        "start": sha256_of(settings.start), "structures": len(material.training), "held_out": names, "report": report,
        "label_report": label_report,
    }  # fmt: skip
    save_network(settings.out, network, metadata)
    progress(1, 1, "weights are written")
    return {
        "out": str(settings.out), "simulated": metadata["maps"], "labelled": metadata["labelled"],
        "epochs": settings.epochs, "seed": settings.seed, "losses": losses,
        "training_structures": metadata["structures"], "held_out": names, "corrected": corrected,
        "held_out_labels": [str(one.path) for one in material.kept], "report": report, "label_report": label_report,
        "seconds": {"preparing": round(prepared - began, 1), "training": round(trained - prepared, 1)},
    }  # fmt: skip


def _correct(settings: Settings, material: Material, network, kept, progress: Progress) -> float:
    """Fit the correction and the uncertainty of a network of ours; how much of the correction counts."""
    from hetero.level.evaluate import calibrate_error, labelled_levels
    from hetero.level.networks import LevelNetwork
    from hetero.level.training import train_correction

    if not isinstance(network, LevelNetwork):
        return 0.0

    def known(purpose, maps):
        if not material.training:
            return labelled_levels(material.labelled)
        return _simulated(settings, material.training, maps, purpose)

    stage, corrected = kept.state.get("stage"), kept.state.get("corrected", 0.0)
    if stage in ("corrected", "measured"):
        network.load_state_dict(kept.state["network"])
    elif settings.correction_maps:
        maps = known("correction", settings.correction_maps)
        corrected = train_correction(network, maps, settings.seed, progress)
        kept.save_network(network, stage="corrected", corrected=corrected)
    if settings.held_out_maps and stage != "measured":
        maps = known("uncertainty", settings.held_out_maps)
        network.volume_error.fill_(calibrate_error(network, maps, progress))
        kept.save_network(network, stage="measured", corrected=corrected)
    return corrected


def _simulated(settings: Settings, structures, maps: int, purpose: str):
    from hetero.level.evaluate import simulated_levels

    return simulated_levels(structures, maps, purpose, settings.seed, settings.max_box, settings.processes)


def describe(result: dict[str, Any]) -> str:
    """Losses, and the errors on held-out maps."""
    seconds, lines = result["seconds"], []
    if result["epochs"]:
        lines = [
            f"trained on {result['simulated']} simulated maps of {result['training_structures']} structures and "
            f"{result['labelled']} labelled maps, seed {result['seed']}: preparing took {seconds['preparing']:.0f} s, "
            f"training {seconds['training']:.0f} s",
            "mean loss of each epoch: " + ", ".join(f"{loss:.4f}" for loss in result["losses"]),
        ]
    lines.append(f"of the correction learned on further maps {result['corrected']:.0%} counts")
    if result["held_out"]:
        lines.append(f"held-out structures: {', '.join(result['held_out'])}")
        lines += _report_lines(result["report"])
    if result["held_out_labels"]:
        lines.append(f"held-out labelled maps: {len(result['held_out_labels'])}")
        lines += _report_lines(result["label_report"])
    return "\n".join([*lines, f"written: {result['out']}"])


def _report_lines(report: dict[str, Any]) -> list[str]:
    rules = {name: row for name, row in report.items() if "mae" in row}
    if not rules:
        return []
    lines = [f"{'rule':16}  {'error of the normalised level (95 %)':>38}  {'volume within 25 % (95 %)':>28}"]
    for name, row in rules.items():
        error = f"{row['mae']:.3f} ({row['mae_low']:.3f} - {row['mae_high']:.3f})"
        within = f"{row['within_25']:.0%} ({row['within_25_low']:.0%} - {row['within_25_high']:.0%})"
        lines.append(f"{name:16}  {error:>38}  {within:>28}")
    if "coverage" in report:
        lines.append(f"true volume inside the stated 68 % range: {report['coverage']['share']:.0%}")
    return lines


def _check(settings: Settings) -> None:
    if min(settings.threads, settings.processes) < 1 or min(settings.held_out_maps, settings.correction_maps) < 0:
        raise HeteroError("Threads and processes must be at least 1, held-out maps and correction maps at least 0.")
    if settings.epochs < (0 if settings.start and settings.network == "ours" else 1):
        raise HeteroError("Epochs must be at least 1; 0 is for networks of ours given with --from.")
    if settings.max_box < 24:
        raise HeteroError(f"The largest box is {settings.max_box}; at least 24 voxels were expected.")
    if not settings.out.absolute().parent.is_dir():
        raise HeteroError(f"Cannot write {settings.out}: its folder is not there.")
    if settings.structures is None and settings.labels is None and settings.emdb is None:
        raise HeteroError("Nothing to train on; give a folder of structures, --labels or --emdb.")


def _plan(settings: Settings, start) -> TrainingPlan:
    """A start is left slowly, and on a handful of labelled maps very slowly."""
    import torch

    from hetero.training.team import best_precision

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = settings.precision or best_precision(device)
    slower = (2 if settings.structures else 4) if start else 1
    return TrainingPlan(
        maps=settings.maps, epochs=settings.epochs, rate=TrainingPlan.rate / slower, seed=settings.seed,
        threads=settings.threads, max_box=settings.max_box, processes=settings.processes,
        bfloat16=precision == "bfloat16", statistics=bool(settings.structures) or not start,
    )  # fmt: skip


def _train(settings: Settings, material: Material, start, losses: list, kept, progress: Progress):
    """The trained network, and when its material was ready."""
    if settings.epochs == 0:
        return start, time.perf_counter()
    plan, training, labelled = _plan(settings, start), material.training, material.labelled

    def report(epoch, loss):
        losses.append(loss)

    if settings.network == "published":
        from hetero.level.evaluate import labelled_levels
        from hetero.level.published import train_published

        simulated = _simulated(settings, training, plan.maps if training else 0, "training")
        known = ((one.volume, one.level) for one in chain(simulated, labelled_levels(labelled)))
        return train_published(known, plan, progress, report, start), time.perf_counter()
    from hetero.level.examples import joined, labelled_examples, simulate_examples
    from hetero.level.training import train_network, trained_network

    if "stage" in kept.state:
        losses += [math.fsum(epoch) / len(epoch) for epoch in kept.state["losses"]]
        return trained_network(kept), time.perf_counter()
    parts = [simulate_examples(training, plan, progress)] if training else []
    parts += [labelled_examples(labelled, plan, progress)] if labelled else []
    prepared = time.perf_counter()
    network = train_network(reduce(joined, parts), plan, progress, report, start, kept)
    kept.save(stage="trained")
    return network, prepared


def _starting_network(settings: Settings):
    from hetero.level.networks import LevelNetwork, PublishedLevelNetwork, load_network

    if settings.start is None:
        return None
    network = load_network(start_path(settings.start))
    if not isinstance(network, LevelNetwork if settings.network == "ours" else PublishedLevelNetwork):
        raise HeteroError(f"{settings.start} holds the other network than --network {settings.network} asks for.")
    return network
