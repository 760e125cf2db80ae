"""``hetero train-level``: train the level network on simulated maps of atomic structures."""

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hetero.commands import POSITIONAL
from hetero.errors import HeteroError
from hetero.maps import read_structure
from hetero.maps.structures import is_structure_path
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Train the level network on simulated maps of a folder of structures.

    Attributes:
        structures: Folder of PDB or mmCIF files (also .gz); about a fifth of them is held out and only measured on.
        out: Weights file to write (.pt); hetero level --weights takes it.
        start: Weights of an earlier train-level to go on from, at half the learning rate.
        maps: Simulated maps; each takes 0.5 MB of memory.
        epochs: Passes over the maps.
        held_out_maps: Maps of held-out structures on which the result is measured; 0 leaves the measuring out.
        seed: Same seed, same maps, same split, same weights.
        max_box: Largest simulated box, in voxels.
        threads: CPU threads of the training.
        processes: Processes that simulate side by side; the maps are the same with any number.
        bfloat16: Multiply in bfloat16: faster where the CPU has it.
    """

    structures: Path = field(metadata=POSITIONAL)
    out: Path
    start: Path | None = None
    maps: int = 4000
    epochs: int = 3
    held_out_maps: int = 300
    seed: int = 0
    max_box: int = 128
    threads: int = 1
    processes: int = 1
    bfloat16: bool = False


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{"out", "simulated", "epochs", "seed", "losses", "held_out", "report", "seconds"}``.

    Raises:
        HeteroError: fewer than three structures, a number that is too small, or the weights cannot be written.
    """
    from hetero.level.evaluate import evaluate_levels
    from hetero.level.training import TrainingPlan, save_network, simulate_frames, split_structures, train_network

    if min(settings.epochs, settings.threads, settings.processes) < 1 or settings.held_out_maps < 0:
        raise HeteroError("Epochs, threads and processes must be at least 1, held-out maps at least 0.")
    if settings.max_box < 24:
        raise HeteroError(f"The largest box is {settings.max_box}; at least 24 voxels were expected.")
    if not settings.out.absolute().parent.is_dir():
        raise HeteroError(f"Cannot write {settings.out}: its folder is not there.")
    start = _starting_network(settings.start)
    plan = TrainingPlan(
        rate=TrainingPlan.rate / (2 if start else 1),
        maps=settings.maps,
        epochs=settings.epochs,
        seed=settings.seed,
        threads=settings.threads,
        max_box=settings.max_box,
        processes=settings.processes,
        bfloat16=settings.bfloat16,
    )
    structures = read_structures(settings.structures, progress)
    training, held_out = split_structures(structures, plan.held_out, plan.seed)
    losses: list[float] = []
    began = time.perf_counter()
    features, envelopes = simulate_frames(training, plan, progress)
    simulated = time.perf_counter()
    network = train_network(features, envelopes, plan, progress, lambda epoch, loss: losses.append(loss), start)
    trained = time.perf_counter()
    del features, envelopes
    report = {}
    if settings.held_out_maps:
        report = evaluate_levels(
            network,
            training,
            held_out,
            maps=settings.held_out_maps,
            seed=settings.seed,
            max_box=settings.max_box,
            progress=progress,
        )
    names = [structure.name for structure in held_out]
    metadata = {
        "maps": settings.maps, "epochs": settings.epochs, "seed": settings.seed, "max_box": settings.max_box,
        "start": _sha256(settings.start), "structures": len(training), "held_out": names, "report": report,
    }  # fmt: skip
    save_network(settings.out, network, metadata)
    progress(settings.maps, settings.maps, "weights are written")
    seconds = {"simulating": round(simulated - began, 1), "training": round(trained - simulated, 1)}
    return {
        "out": str(settings.out), "simulated": settings.maps, "epochs": settings.epochs, "seed": settings.seed,
        "losses": losses, "training_structures": len(training), "held_out": names, "report": report, "seconds": seconds,
    }  # fmt: skip


def describe(result: dict[str, Any]) -> str:
    """Losses, and the errors on held-out structures."""
    lines = [
        f"trained on {result['simulated']} maps of {result['training_structures']} structures, seed {result['seed']}: "
        f"simulating took {result['seconds']['simulating']:.0f} s, training {result['seconds']['training']:.0f} s",
        "mean loss of each epoch: " + ", ".join(f"{loss:.4f}" for loss in result["losses"]),
        f"held out: {', '.join(result['held_out'])}",
    ]
    rules = {name: row for name, row in result["report"].items() if name != "labels"}
    if rules:
        lines.append(f"{'rule':16}  {'error of the normalised level (95 %)':>38}  {'volume within 25 %':>18}")
    for name, row in rules.items():
        error = f"{row['mae']:.3f} ({row['mae_low']:.3f} - {row['mae_high']:.3f})"
        lines.append(f"{name:16}  {error:>38}  {row['within_25']:18.0%}")
    lines.append(f"written: {result['out']}")
    return "\n".join(lines)


def _starting_network(path: Path | None):
    from hetero.level.networks import EnvelopeNetwork, load_network

    network = load_network(path) if path else None
    if network and not isinstance(network, EnvelopeNetwork):
        raise HeteroError(f"{path} holds the published network; weights written by hetero train-level were expected.")
    return network


def _sha256(path: Path | None) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else None


def read_structures(folder: Path, progress: Progress = silent) -> list:
    """All structures of a folder, in the order of their names.

    Raises:
        HeteroError: not a folder, or fewer than three structures in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise HeteroError(f"{folder} is not a folder; a folder of PDB or mmCIF files was expected.")
    paths = sorted(path for path in folder.iterdir() if is_structure_path(path))
    structures = []
    for i, path in enumerate(paths):
        progress(i, len(paths), f"reading {path.name}")
        structures.append(read_structure(path))
    if len(structures) < 3:
        raise HeteroError(f"{folder} holds {len(structures)} structures; at least 3 were expected.")
    return structures
