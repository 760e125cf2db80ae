"""``hetero simulate``: maps whose blocks are known, or particle images whose every pose, CTF and state is."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.ndimage import gaussian_filter

import hetero
from hetero.commands import check_range, info
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.maps import DALTON_PER_A3, Structure, Volume, density_from_atoms, read_structure, write_blocks, write_map
from hetero.maps.blocks import make_blocks
from hetero.progress import Progress, silent

PACKAGED_STRUCTURE = Path(hetero.__file__).parent / "data" / "ribosome_6zu5.cif.gz"
TRUTH = "truth.csv"
FOLDER = FolderKind(TRUTH, ("vol_*.mrc", TRUTH, "truth"))
_PRESENCE = (0.5, 0.25, 0.75, 0.5, 0.35, 0.65, 0.1)  # how often each block is there, in turn
_DALTON_PER_ELECTRON = 2.1  # without the hydrogens' electrons: protein 2.15, nucleic acid 2.07


@dataclass(frozen=True)
class Settings:
    """Make maps in which chains of a structure come and go independently; with --particles, images of such particles.

    Of maps the first has all chains, and the truth lies beside them: truth.csv (which block is in which map) and truth/
    (the blocks themselves). Particles come as particles.mrcs and particles.star (RELION), with truth.npz (rotations,
    shifts, the state of each) and truth/ (maps of states, on the scale of the images, whose noise has s.d. 1).

    Attributes:
        out: Folder to make.
        structure: PDB or mmCIF file; without it the packaged ribosome (6ZU5, one atom a residue).
        volumes: How many maps.
        box: Voxels or pixels along each side.
        apix: Å per voxel or pixel; without it the structure fills 70 % of the box.
        resolution: Å; without it 2.5 voxels.
        blocks: Chains that come and go (or move); A+B are one block. Without it seven outer chains, far from each
            other (of which the first moves).
        noise: Maps: s.d. of the noise, as a share of the level that encloses the structure's mass.
        gain: Maps: s.d. of the random gain of each map.
        seed: For everything random.
        particles: Make this many particle images in place of maps.
        states: Particles: structures or maps in one frame, or a folder of maps; each particle is one of these.
        shares: Particles: how often each of the states is there; without it all alike.
        motion: Particles: the chains in blocks turn about their hinge, or slide, in place of coming and going.
        reach: Particles: length of the motion, degrees (80) or Å (30).
        spread: Particles: where along the motion they are: all alike, mostly at the ends, or with gaps.
        snr: Particles: variance of the signal, over that of the noise.
        shift: Particles: s.d. of their places about the image's centre, Å; without it two pixels.
        bfactor: Particles: Å^2, of the CTF's envelope.
        no_ctf: Particles: images without a CTF.
    """

    out: Path
    structure: Path | None = None
    volumes: int = 200
    box: int = 64
    apix: float | None = None
    resolution: float | None = None
    blocks: tuple[str, ...] = ()
    noise: float = 0.15
    gain: float = 0.03
    seed: int = 0
    particles: int = 0
    states: tuple[Path, ...] = ()
    shares: tuple[float, ...] = ()
    motion: Literal["none", "rotate", "slide"] = "none"
    reach: float | None = None
    spread: Literal["uniform", "cooperative", "non-contiguous"] = "uniform"
    snr: float = 0.1
    shift: float | None = None
    bfactor: float = 0.0
    no_ctf: bool = False


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Write maps or particles.

    The answer is ``info``'s on what was made; for maps with ``blocks`` (chains of each), ``level`` and ``resolution``,
    for particles with ``truth`` (its file), ``states`` (maps in truth/), ``resolution`` (null for maps) and ``scale``.

    Raises:
        HeteroError: no such chain, a box too small for the structure, fewer than one map, or settings of particles
            without --particles.
    """
    check_range("The number of particles", settings.particles, 0)
    if settings.particles:
        from hetero.commands.simulate_particles import make_particles

        return make_particles(settings, progress)
    if settings.states or settings.motion != "none":
        raise HeteroError("States and motions are for particle images; say how many with --particles.")
    return _make_maps(settings, progress)


def _make_maps(settings: Settings, progress: Progress) -> dict[str, Any]:
    check_folder(settings.out, FOLDER)
    check_range("The number of maps", settings.volumes, 1)
    check_range("The noise", settings.noise, 0)
    check_range("The gain", settings.gain, 0, 1)
    check_sampling(settings)
    structure = read_structure(settings.structure or PACKAGED_STRUCTURE)
    groups = chain_groups(structure, settings)
    apix, origin = _frame(structure, settings)
    resolution = settings.resolution or 2.5 * apix
    rng = np.random.default_rng(settings.seed)
    shape = (settings.box,) * 3

    def density(of: np.ndarray) -> np.ndarray:
        return density_from_atoms(structure.positions[of], structure.weights[of], shape, apix, origin, resolution)

    member = [np.isin(structure.chains, group) for group in groups]
    parts = np.array([density(m) for m in member])
    core = density(~np.any(member, axis=0))
    whole = core + parts.sum(axis=0)
    level = _level_of_mass(whole, structure.weights.sum() * _DALTON_PER_ELECTRON, apix)
    truth = make_blocks((parts > whole / 2) & (whole >= level), apix, origin)
    often = np.resize(_PRESENCE, len(groups))
    present = rng.random((settings.volumes, len(groups))) < often
    present[0] = True
    truth.table["chains"] = ["+".join(g) for g in groups]
    truth.table["mean_occupancy"] = present.mean(axis=0)
    with atomic_folder(settings.out, FOLDER) as folder:
        digits = max(3, len(str(settings.volumes - 1)))
        names = [f"vol_{i:0{digits}d}" for i in range(settings.volumes)]
        for i, name in enumerate(names):
            progress(i, len(names), "simulating maps")
            data = core + np.tensordot(present[i].astype(np.float32), parts, axes=1)
            data = data + _noise(rng, shape, settings.noise * level)
            data = data * np.exp(settings.gain * rng.standard_normal())
            write_map(folder / f"{name}.mrc", Volume(data, apix, origin, name))
        write_blocks(folder / "truth", truth, {"verb": "simulate", "settings": dataclasses.asdict(settings)})
        _write_presence(folder / TRUTH, names, present, truth.names)
    answer = info.run(info.Settings(settings.out))
    return answer | {"blocks": ["+".join(g) for g in groups], "level": level, "resolution": resolution}


def describe(result: dict[str, Any]) -> str:
    """What was made."""
    if result["kind"] == "particles":
        return (
            f"{info.describe(result)}\nthe truth is in {result['truth']}; maps beside it: {', '.join(result['states'])}"
        )
    return (
        f"{info.describe(result)}\n"
        f"{result['resolution']:.1f} Å; blocks that come and go: chains {', '.join(result['blocks'])}\n"
        f"the level that encloses the structure's mass: {result['level']:.4g}; the truth is in {result['path']}/truth"
    )


def check_sampling(settings: Settings) -> None:
    """Refuse a box, seed, voxel size or resolution that makes no sense."""
    check_range("The box", settings.box, 8)
    check_range("The seed", settings.seed, 0)
    check_range("The voxel size (apix)", 1.0 if settings.apix is None else settings.apix, 0.1, 1000)
    check_range("The resolution", 1.0 if settings.resolution is None else settings.resolution, 1, 1000)


def chain_groups(structure: Structure, settings: Settings) -> list[tuple[str, ...]]:
    """The chains of each block, as asked for or chosen."""
    groups = [tuple(b.split("+")) for b in settings.blocks] or _outer_chains(structure)
    _check_chains(structure, groups)
    return groups


def _outer_chains(structure: Structure, count: int = 7) -> list[tuple[str]]:
    """Chains of at least 8 kDa, outermost first, each as far as can be from those taken before."""
    names = np.unique(structure.chains)
    mass = np.array([structure.weights[structure.chains == c].sum() for c in names]) * _DALTON_PER_ELECTRON
    names = names[(mass >= 8000) & (mass < 0.2 * mass.sum())]
    if len(names) < 2:
        raise HeteroError(
            f"{structure.name} has fewer than two chains of at least 8 kDa; name the chains that come and go."
        )
    centers = np.array([structure.positions[structure.chains == c].mean(axis=0) for c in names])
    apart = np.linalg.norm(centers - structure.positions.mean(axis=0), axis=1)
    taken = [int(np.argmax(apart))]
    outer = apart >= np.quantile(apart, 0.5)
    while len(taken) < min(count, int(outer.sum())):
        nearest = np.min(np.linalg.norm(centers[:, None] - centers[taken], axis=2), axis=1)
        taken.append(int(np.argmax(np.where(outer, nearest, -1))))
    return [(str(names[i]),) for i in taken]


def _check_chains(structure: Structure, groups: list[tuple[str, ...]]) -> None:
    there = set(structure.chains.tolist())
    for chain in (c for group in groups for c in group):
        if chain not in there:
            some = ", ".join(sorted(there)[:20])
            raise HeteroError(
                f"{structure.name} has no chain {chain}; its chains are {some}{' ...' if len(there) > 20 else ''}."
            )


def _frame(structure: Structure, settings: Settings) -> tuple[float, np.ndarray]:
    low, high = structure.positions.min(axis=0), structure.positions.max(axis=0)
    if (high - low).max() < 1:
        raise HeteroError(f"{structure.name} is {(high - low).max():.1f} Å long; a molecule was expected.")
    apix = settings.apix or float((high - low).max() / (0.7 * settings.box))
    if (high - low).max() > 0.95 * apix * settings.box:
        raise HeteroError(
            f"{structure.name} is {(high - low).max():.0f} Å long and does not fit into {settings.box} voxels of "
            f"{apix:g} Å; give a larger --box or --apix."
        )
    return apix, (low + high) / 2 - apix * (settings.box - 1) / 2


def _level_of_mass(density: np.ndarray, dalton: float, apix: float) -> float:
    """The level whose enclosed volume weighs ``dalton`` at 0.81 Da/Å^3."""
    voxels = min(int(dalton / DALTON_PER_A3 / apix**3), density.size // 2)
    return float(np.partition(density.ravel(), -voxels)[-voxels])


def _noise(rng: np.random.Generator, shape: tuple[int, int, int], sd: float) -> np.ndarray:
    """Noise blurred to about the maps' resolution."""
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.8, mode="wrap")
    return noise * (sd / noise.std()) if sd > 0 else np.zeros(shape, np.float32)


def _write_presence(path: Path, names: list[str], present: np.ndarray, blocks: tuple[str, ...]) -> None:
    import pandas as pd

    pd.DataFrame(present.astype(int), index=names, columns=blocks).to_csv(path, index_label="name")
