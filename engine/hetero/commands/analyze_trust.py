"""What ``hetero analyze`` says about how far a run can be believed, without a truth."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands.open_run import epochs_of, open_run
from hetero.errors import HeteroError
from hetero.latent import Run, View
from hetero.latent.trust import FEWEST, Foretold
from hetero.maps import Volume
from hetero.particles import Particles, open_particles
from hetero.progress import Progress, silent

_BOX = 64  # voxels along each side of the maps that are compared
_MAPS = 8  # maps that are followed from epoch to epoch
_GROUPS = 10  # maps of each half that are compared
_EPOCHS = 4  # how many of the last are compared
_SURE = 0.01
_MATTERS = 0.01  # share of something foretold that is worth a warning
_STRONG = 0.2  # share of it that may make groups
_SETTLED = 0.25  # change of the maps in an epoch, as a share of what sets them apart
_AGREE, _PARTLY = 0.7, 0.3


@dataclass(frozen=True)
class Evidence:
    """What there is to judge a run by.

    Attributes:
        particles: those of the run, in its order; None where no file was given.
        other: a second run.
        epochs: that the folder keeps, up to the opened one, oldest first.
    """

    particles: Particles | None
    other: Run | None
    epochs: tuple[int, ...]


@dataclass
class Trust:
    """The findings: plain ``values`` for programs, ``sentences`` and ``warnings`` for people."""

    values: dict[str, Any] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return self.values | {"sentences": self.sentences, "warnings": self.warnings}


def gather(
    model: Run, particles: Path | None, poses: Path | None, ctf: Path | None, against: Path | None, apix: float | None
) -> Evidence:
    """Open what was given, before anything that takes long.

    Raises:
        HeteroError: files that cannot be opened, or that are not of these particles.
    """
    there = epochs_of(model.folder)
    epochs = tuple(n for n in there if model.epoch is None or n <= model.epoch)[-_EPOCHS:]
    other = None if against is None else open_run(against, apix=apix)
    if other is not None and (not other.zdim or len(other) < 2):
        raise HeteroError(f"{against} has latents of {len(other)} particles; a run to compare with was expected.")
    if particles is None:
        if poses is not None or ctf is not None:
            raise HeteroError("--poses and --ctf belong to --particles, which was not given.")
        return Evidence(None, other, epochs)
    opened = open_particles(particles, poses, ctf)
    last = int(model.particle_index.max())
    if last >= len(opened):
        raise HeteroError(
            f"{particles} lists {len(opened):,} particles and {model.folder} has a particle in row {last}; the file "
            "that the run was trained on was expected."
        )
    opened = opened.subset(model.particle_index)
    if opened.poses is None and opened.ctf is None:
        raise HeteroError(f"{particles} has neither poses nor CTF; give --poses or --ctf to test the latents for them.")
    return Evidence(opened, other, epochs)


def judge(
    evidence: Evidence, model: Run, chosen: np.ndarray, mixture: np.ndarray, seed: int = 0, progress: Progress = silent
) -> Trust:
    """All that can be said.

    Args:
        evidence: from :func:`gather`.
        model: the run.
        chosen: rows of particles, spread over the latents, whose maps are compared.
        mixture: ``(n,)`` group of each particle by a mixture of Gaussians.
        seed: of samples, shuffles and clusters.
        progress: told of each step.
    """
    trust = Trust()
    _use(trust, model)
    _leakage(trust, evidence, model, seed, progress)
    _agreement(trust, evidence, model, mixture, seed, progress)
    _convergence(trust, evidence, model, chosen[:: -(-len(chosen) // _MAPS)], progress)
    return trust


def _use(trust: Trust, model: Run) -> None:
    from hetero.latent.trust import used_numbers

    trust.values["used"] = None
    if model.log_variance is None:
        return
    trust.values["used"] = used = used_numbers(model.latents, model.log_variance)
    text = f"{used} of the {model.zdim} numbers of a latent tell particles apart beyond their own uncertainty."
    if used:
        trust.sentences.append(text)
    else:
        trust.warnings.append(f"{text} The latents hold next to nothing: groups and paths in them mean nothing.")


def _leakage(trust: Trust, evidence: Evidence, model: Run, seed: int, progress: Progress) -> None:
    from hetero.latent.trust import foretold_by_neighbours, imaging_targets

    trust.values["leakage"] = None
    if evidence.particles is None:
        trust.sentences.append("Whether the latents know pose or CTF was not tested: give --particles for it.")
        return
    if len(model) < FEWEST:
        trust.sentences.append(f"{len(model)} particles are too few to test whether the latents know pose or CTF.")
        return
    poses, ctf = evidence.particles.poses, evidence.particles.ctf
    targets = imaging_targets(
        None if poses is None else poses.rotations,
        None if poses is None else poses.shifts,
        None if ctf is None else (ctf.defocus_u + ctf.defocus_v) / 2,
    )
    found = foretold_by_neighbours(model.latents, targets, seed, progress)
    trust.values["leakage"] = [{"of": name, "share": f.share, "p": f.p} for name, f in found.items()]
    known = {name: f for name, f in found.items() if f.p <= _SURE and f.share >= _MATTERS}
    strong = [name for name, f in known.items() if f.share >= _STRONG]
    slight = [name for name in known if name not in strong]
    if strong:
        trust.warnings.append(
            f"The latents know the {_listed(strong, known)}. Groups may be differences in imaging, not in structure: "
            "look at how it differs between groups before you believe them."
        )
    if slight:
        trust.warnings.append(
            f"The latents know a little of the {_listed(slight, known)}. That is too little to make the large groups, "
            "but small differences within them may be of imaging, not of structure."
        )
    if known:
        trust.sentences.append(
            "Per cent are of the variance that is foretold from particles near by in the latent space, 0 where the two "
            "are unrelated; none of 99 shuffles of the particles did as well."
        )
    clean = [name for name in found if name not in known]
    if clean:
        trust.sentences.append(f"The latents do not know the {_listed(clean, found)}: chance, or too little to matter.")


def _listed(names: list[str], found: dict[str, Foretold]) -> str:
    return ", the ".join(f"{name} ({100 * max(found[name].share, 0):.1f} %)" for name in names)


def _agreement(trust: Trust, evidence: Evidence, model: Run, mixture, seed: int, progress: Progress) -> None:
    from hetero.latent.trust import agreement

    trust.values["agreement"] = None
    other = evidence.other
    if other is None:
        trust.sentences.append("Whether a second training finds the same was not tested: give --against another run.")
        return
    _, here, there = np.intersect1d(model.particle_index, other.particle_index, return_indices=True)
    if not len(here):
        _agreement_of_maps(trust, model, other, seed, progress)
        return
    if len(here) < FEWEST:
        trust.sentences.append(f"{other.folder} has {len(here)} of these particles, too few to compare latents.")
        return
    found = agreement(model.latents[here], other.latents[there], seed, progress)
    same = _same_groups(mixture[here], other.latents[there], seed)
    trust.values["agreement"] = {
        "run": str(other.folder), "n": found.n, "linear": found.linear, "neighbours": found.neighbours,
        "chance": found.chance, "same_groups": same,
    }  # fmt: skip
    text = (
        f"{other.folder} and this run, {found.n:,} particles in both: a linear map between the two latent spaces "
        f"explains {100 * max(found.linear, 0):.0f} % of their variance; {100 * found.neighbours:.0f} % of a "
        f"particle's neighbours are the same ({100 * found.chance:.1f} % by chance)"
    )
    text += (
        f"; {100 * same:.0f} % of the particles fall into the same group of the mixture." if same is not None else "."
    )
    _say(trust, text, found.linear)


def _say(trust: Trust, text: str, share: float) -> None:
    if share >= _AGREE:
        trust.sentences.append(f"{text} The two trainings tell the same story.")
    elif share >= _PARTLY:
        trust.sentences.append(f"{text} They agree in part: believe what both show, and no more.")
    else:
        trust.warnings.append(f"{text} They do not agree: what one shows is not a property of the particles.")


def _same_groups(mixture: np.ndarray, latents: np.ndarray, seed: int) -> float | None:
    """Share of particles in the same group of the same number of Gaussians, groups paired as well as can be.

    Zhong et al. 2021, "Reproducibility".
    """
    from scipy.optimize import linear_sum_assignment

    from hetero.latent.clusters import mixture_labels

    k = int(mixture.max()) + 1
    if k < 2 or len(mixture) < 2 * k:
        return None
    counts = np.zeros((k, k), int)
    np.add.at(counts, (mixture, mixture_labels(latents, k, seed)), 1)
    return float(counts[linear_sum_assignment(-counts)].sum() / len(mixture))


def _agreement_of_maps(trust: Trust, model: Run, other: Run, seed: int, progress: Progress) -> None:
    """Half-set runs share no particle: do the maps of one come back in the other?"""
    from hetero.latent.clusters import k_means
    from hetero.latent.trust import maps_found_again

    if abs(model.box * model.apix / (other.box * other.apix) - 1) > 0.01:
        trust.sentences.append(
            f"{other.folder} shares no particle with this run and its maps span {other.box * other.apix:.4g} Å, not "
            f"{model.box * model.apix:.4g} Å: the two cannot be compared."
        )
        return
    box = min(_BOX, model.box, other.box)
    stacks, sizes = [], []
    for run in (model, other):
        clusters = k_means(run.latents, min(_GROUPS, len(run)), seed)
        stacks.append(_decoded(run, run.latents[clusters.nearest], box, progress, "decoding maps of both runs"))
        sizes.append(clusters.sizes)
    share = maps_found_again(*stacks, sizes[0], sizes[1])
    trust.values["agreement"] = {"run": str(other.folder), "n": 0, "maps": share}
    text = (
        f"{other.folder} and this run share no particle, as two half sets do; maps of {len(sizes[0])} groups of each, "
        f"less their average, find their like in the other run with a correlation of {share:.2f} on average."
    )
    _say(trust, text, share)


def _convergence(trust: Trust, evidence: Evidence, model: Run, chosen: np.ndarray, progress: Progress) -> None:
    from hetero.latent.trust import map_change

    trust.values["epochs"] = []
    if len(evidence.epochs) < 2 or len(chosen) < 2:
        trust.sentences.append("Whether the maps have settled was not tested: the folder keeps no two epochs.")
        return
    box, particles, before = min(_BOX, model.box), model.particle_index[chosen], None
    for number in evidence.epochs:
        run = open_run(model.folder, number, model.apix)
        place = {particle: row for row, particle in enumerate(run.particle_index.tolist())}
        latents = run.latents[[place[particle] for particle in particles.tolist()]]
        maps = _decoded(run, latents, box, progress, f"decoding epoch {number}")
        if before is not None:
            trust.values["epochs"].append({"epoch": number, "change": map_change(before, maps)})
        before = maps
    changes = trust.values["epochs"]
    last = changes[-1]["change"]
    listed = ", ".join(f"{_percent(row['change'])} (epoch {row['epoch']})" for row in changes)
    text = f"Change of the maps of {len(chosen)} particles in an epoch, as a share of what sets them apart: {listed}."
    if last <= _SETTLED:
        trust.sentences.append(f"{text} They have settled.")
    elif last > 1:
        trust.warnings.append(f"{text} They differ less from each other than from one epoch to the next.")
    else:
        trust.warnings.append(f"{text} They still move: train longer, or believe only what stays.")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share <= 1 else "more than 100 %"


def _decoded(run: Run, latents: np.ndarray, box: int, progress: Progress, what: str) -> np.ndarray:
    """``(k, box, box, box)``."""
    maps: list[Volume] = []
    for volume in run.decode(latents, View(box=box)):
        progress(len(maps), len(latents), what)
        maps.append(volume)
    return np.stack([volume.data for volume in maps])
