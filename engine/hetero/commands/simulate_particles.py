"""The particle images of ``hetero simulate --particles``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands import check_range, info, simulate
from hetero.errors import HeteroError
from hetero.files import FolderKind, atomic_folder, check_folder
from hetero.maps import Structure, Volume, list_maps, read_map, read_structure, same_grid, write_map
from hetero.maps.mrc import is_map_path
from hetero.maps.structures import is_structure_path
from hetero.particles import write_stack, write_star
from hetero.particles.project import Points
from hetero.particles.relion import star_tables
from hetero.particles.simulate import random_ctf, random_poses, signal_scale, simulate_images
from hetero.particles.specimens import (
    Population,
    draw_amounts,
    draw_states,
    mix_of_maps,
    mix_of_points,
    part_moves,
    parts_come_and_go,
)
from hetero.progress import Progress

TRUTH = "truth.npz"
STAR, STACK = "particles.star", "particles.mrcs"
FOLDER = FolderKind(TRUTH, (STAR, STACK, TRUTH, "truth"))
_REACH = {"rotate": 80.0, "slide": 30.0}
_PRESENCE = 0.5
_SIGMA_PER_RESOLUTION = 0.225  # as ChimeraX's molmap


@dataclass(frozen=True)
class _Scene:
    """A population with its sampling."""

    population: Population
    box: int
    apix: float
    resolution: float | None
    names: tuple[str, ...]


def make_particles(settings: "simulate.Settings", progress: Progress) -> dict[str, Any]:
    """Write the particles of ``settings``; see :func:`hetero.commands.simulate.run`."""
    check_folder(settings.out, FOLDER)
    simulate.check_sampling(settings)
    check_range("The signal-to-noise ratio (snr)", settings.snr, 1e-6)
    check_range("The B-factor", settings.bfactor, 0)
    check_range("The shift", 0.0 if settings.shift is None else settings.shift, 0)
    check_range("The reach", 1.0 if settings.reach is None else settings.reach, 0, 360)
    n, rng = settings.particles, np.random.default_rng(settings.seed)
    scene = _scene(settings, rng)
    box, apix = scene.box, scene.apix
    poses = random_poses(n, 2 * apix if settings.shift is None else settings.shift, rng)
    ctf, micrograph = random_ctf(n, rng, bfactor=settings.bfactor)
    if settings.no_ctf:
        ctf = None
    progress(0, n, "simulating particles")
    scale = signal_scale(scene.population, poses, ctf, box, apix, settings.snr)
    half_set = np.arange(n) % 2
    with atomic_folder(settings.out, FOLDER) as folder:
        with write_stack(folder / STACK, n, box, apix) as writer:
            for images in simulate_images(scene.population, poses, ctf, box, apix, scale, rng):
                writer.append(images)
                progress(writer.n, n, "simulating particles")
        names = [f"{i:06d}@{STACK}" for i in range(1, n + 1)]
        extra = {"rlnMicrographName": [f"micrographs/mic_{m:04d}.mrc" for m in micrograph]}
        write_star(folder / STAR, star_tables(names, box, apix, poses, ctf, half_set, extra))
        np.savez_compressed(
            folder / TRUTH,
            rotations=poses.rotations,
            shifts=poses.shifts,
            scale=scale,
            names=np.array(scene.names),
            **scene.population.truth,
        )
        (folder / "truth").mkdir()
        for name, density in scene.population.examples.items():
            volume = Volume(density(box, apix) * scale, apix, np.full(3, -(box // 2) * apix), name)
            write_map(folder / "truth" / f"{name}.mrc", volume)
    answer = info.run(info.Settings(settings.out / STAR))
    return answer | {
        "truth": str(settings.out / TRUTH),
        "states": list(scene.population.examples),
        "resolution": scene.resolution,
        "scale": scale,
    }


def _scene(settings: "simulate.Settings", rng: np.random.Generator) -> _Scene:
    paths = _state_paths(settings.states)
    if settings.shares and len(settings.shares) != len(paths):
        raise HeteroError(
            f"{len(settings.shares)} shares are given for {len(paths)} states; one for each was expected."
        )
    if not paths:
        return _scene_of_one(settings, rng)
    if settings.structure is not None or settings.motion != "none" or settings.blocks:
        raise HeteroError("States stand for a mix of their own; give no structure, blocks or motion with them.")
    state = draw_states(settings.particles, settings.shares or np.ones(len(paths)), rng)
    if all(is_map_path(path) for path in paths):
        return _scene_of_maps(settings, paths, state)
    if not all(is_structure_path(path) for path in paths):
        other = next(p for p in paths if not is_structure_path(p))
        raise HeteroError(
            f"The states are of two kinds ({other} is no structure); all maps or all structures were expected."
        )
    structures = [read_structure(path) for path in paths]
    middle = _middle(np.concatenate([s.positions for s in structures]))
    radius = max(np.linalg.norm(s.positions - middle, axis=1).max() for s in structures)
    apix, resolution = _sampling(settings, radius)
    points = [_points(s, middle, resolution) for s in structures]
    names = tuple(s.name for s in structures)
    return _Scene(mix_of_points(points, state), settings.box, apix, resolution, names)


def _scene_of_maps(settings: "simulate.Settings", paths: list[Path], state: np.ndarray) -> _Scene:
    """Maps keep their own box and pixel."""
    maps = [read_map(path) for path in paths]
    for volume, path in zip(maps, paths, strict=True):
        if not same_grid(volume, maps[0]):
            raise HeteroError(f"{path} lies on another grid than {paths[0]}; states in one frame were expected.")
    apix = float(maps[0].apix[0])
    if np.ptp(maps[0].apix) > 1e-3 * apix:
        raise HeteroError(f"{paths[0]} has voxels of {maps[0].apix.tolist()} Å; cubic ones were expected.")
    if settings.apix is not None or settings.resolution is not None:
        raise HeteroError("Maps keep their own voxels and resolution; give no apix or resolution with them.")
    population = mix_of_maps([m.data for m in maps], state, apix)
    return _Scene(population, maps[0].shape[0], apix, None, tuple(m.name for m in maps))


def _scene_of_one(settings: "simulate.Settings", rng: np.random.Generator) -> _Scene:
    """One structure whose chains come and go, or move."""
    structure = read_structure(settings.structure or simulate.PACKAGED_STRUCTURE)
    groups = simulate.chain_groups(structure, settings)
    middle = _middle(structure.positions)
    radius = np.linalg.norm(structure.positions - middle, axis=1).max()
    if settings.motion != "none":
        chains = [c for group in (groups if settings.blocks else groups[:1]) for c in group]
        moving = np.isin(structure.chains, chains)
        reach = settings.reach if settings.reach is not None else _REACH[settings.motion]
        amount = reach * draw_amounts(settings.particles, settings.spread, rng)
        # how far out the motion leads shows before the pixel is chosen
        plain = part_moves(_points(structure, middle, 1.0), moving, settings.motion, reach, amount)
        apix, resolution = _sampling(settings, plain.radius)
        population = part_moves(_points(structure, middle, resolution), moving, settings.motion, reach, amount)
        return _Scene(population, settings.box, apix, resolution, ("+".join(chains),))
    apix, resolution = _sampling(settings, radius)
    points = _points(structure, middle, resolution)
    parts = np.array([np.isin(structure.chains, group) for group in groups])
    present = rng.random((settings.particles, len(groups))) < _PRESENCE
    population = parts_come_and_go(points, parts, present)
    return _Scene(population, settings.box, apix, resolution, tuple("+".join(g) for g in groups))


def _state_paths(states: tuple[Path, ...]) -> list[Path]:
    return [path for state in states for path in (list_maps(state) if Path(state).is_dir() else [Path(state)])]


def _middle(positions: np.ndarray) -> np.ndarray:
    return (positions.min(axis=0) + positions.max(axis=0)) / 2


def _sampling(settings: "simulate.Settings", radius: float) -> tuple[float, float]:
    apix = settings.apix or float(2 * radius / (0.7 * settings.box))
    return apix, settings.resolution or 2.5 * apix


def _points(structure: Structure, middle: np.ndarray, resolution: float) -> Points:
    return Points(structure.positions - middle, structure.weights, _SIGMA_PER_RESOLUTION * resolution)
