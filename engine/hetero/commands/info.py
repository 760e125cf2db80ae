"""``hetero info``: what a file or folder is."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from hetero.commands import POSITIONAL
from hetero.commands.open_run import is_run_folder, open_run
from hetero.errors import HeteroError
from hetero.gmm import describe_text
from hetero.maps import (
    grid_text,
    is_blocks_folder,
    list_maps,
    open_ensemble,
    read_blocks,
    read_header,
    read_map,
    read_structure,
)
from hetero.maps.mrc import is_map_path
from hetero.maps.structures import is_structure_path
from hetero.particles import is_particle_folder, is_particle_path, open_particles
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """Say what a file or folder is, and what is in it.

    Attributes:
        path: A map, a structure, a folder of maps or of blocks, a list or stack of particles, a run (a trained
            model), or a model text of Gaussians.
        epoch: Runs: which epoch, where the folder keeps several, as its file names count; without it the newest.
    """

    path: Path = field(metadata=POSITIONAL)
    epoch: int | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{"kind": ..., ...}`` as in docs/architecture.md.

    Kinds are map, structure, ensemble, blocks, particles, run and gaussians.

    Raises:
        HeteroError: nothing there, or nothing that Hetero knows.
    """
    path = Path(settings.path)
    if not path.exists():
        raise HeteroError(
            f"{path} is not there; a map, a structure, particles, or a folder of maps or blocks was expected."
        )
    if is_run_folder(path):
        return _run(path, settings.epoch)
    if settings.epoch is not None:
        raise HeteroError(f"{path} is no run (a trained model), so it has no epoch to be read with.")
    if path.is_dir():
        if is_blocks_folder(path):
            return _blocks(path)
        if list_maps(path):
            return _ensemble(path)
        if is_particle_folder(path):
            return _particles(path)
        raise HeteroError(f"{path} holds no maps; a folder of maps or of blocks, or a run, was expected.")
    if is_structure_path(path):
        return _structure(path)
    if is_map_path(path):
        return _map(path)
    if is_particle_path(path):
        return _particles(path)
    if path.suffix.lower() == ".txt":
        return {"kind": "gaussians", "path": str(path), "name": path.stem, **describe_text(path)}
    raise HeteroError(
        f"{path} is nothing Hetero knows; a map (.mrc, .map, .ccp4, .rec), a structure (.pdb, .cif), particles "
        "(.star, .cs, .lst, .mrcs) or Gaussians (.txt) were expected."
    )


def describe(result: dict[str, Any]) -> str:
    """The answer on one screen."""
    say = {
        "map": _say_map,
        "structure": _say_structure,
        "ensemble": _say_ensemble,
        "blocks": _say_blocks,
        "run": _say_run,
        "particles": _say_particles,
        "gaussians": _say_gaussians,
    }
    return say[result["kind"]](result)


def _grid(thing) -> dict[str, Any]:
    return {"shape": list(thing.shape), "apix": thing.apix.tolist(), "origin": thing.origin.tolist()}


def _map(path: Path) -> dict[str, Any]:
    header, volume = read_header(path), read_map(path)
    data = volume.data
    return {
        "kind": "map",
        "path": str(path),
        "name": volume.name,
        **_grid(volume),
        "mode": header.mode,
        "min": float(data.min()),
        "max": float(data.max()),
        "mean": float(data.mean(dtype=np.float64)),
        "sd": float(data.std(dtype=np.float64)),
        "notes": list(header.notes),
    }


def _structure(path: Path) -> dict[str, Any]:
    structure = read_structure(path)
    chains, atoms = np.unique(structure.chains, return_counts=True)
    return {
        "kind": "structure",
        "path": str(path),
        "name": structure.name,
        "atoms": len(structure),
        "chains": {str(c): int(n) for c, n in zip(chains, atoms, strict=True)},
    }


def _ensemble(folder: Path) -> dict[str, Any]:
    ensemble = open_ensemble(folder)
    maps = [
        {"name": name, "path": str(path), "level": None if np.isnan(level) else float(level)}
        for name, path, level in zip(ensemble.names, ensemble.paths, ensemble.levels, strict=True)
    ]
    return {
        "kind": "ensemble",
        "path": str(folder),
        "name": folder.resolve().name,
        "n": len(ensemble),
        **_grid(ensemble),
        "maps": maps,
        "columns": [str(c) for c in ensemble.table.columns],
        "notes": list(ensemble.header.notes),
    }


def _blocks(folder: Path) -> dict[str, Any]:
    blocks = read_blocks(folder)
    rows = [
        {"name": name, "path": str(path), **{k: _plain(v) for k, v in row.items()}}
        for path, (name, row) in zip(blocks.paths, blocks.table.iterrows(), strict=True)
    ]
    grid = _grid(blocks) if len(blocks) else {"shape": None, "apix": None, "origin": None}
    name = folder.resolve().name
    return {"kind": "blocks", "path": str(folder), "name": name, "n": len(blocks), **grid, "blocks": rows}


def _run(folder: Path, epoch: int | None) -> dict[str, Any]:
    run = open_run(folder, epoch)
    return {
        "kind": "run",
        "path": str(folder),
        "name": folder.resolve().name,
        "system": run.system,
        "n": len(run),
        "zdim": run.zdim,
        "epoch": run.epoch,
        "shape": [run.box] * 3,
        "apix": [run.apix] * 3,
        "origin": [0.0] * 3,
        "notes": list(run.notes),
    }


def _particles(path: Path) -> dict[str, Any]:
    particles = open_particles(path)
    stack, ctf, half = particles.stack, particles.ctf, particles.half_set
    sizes = np.unique(np.round(stack.apix, 4))
    defocus = None if ctf is None else np.quantile((ctf.defocus_u + ctf.defocus_v) / 2, [0, 0.5, 1]).tolist()
    return {
        "kind": "particles",
        "path": str(particles.path),
        "name": particles.path.name,
        "n": len(particles),
        "box": particles.box,
        "apix": sizes.tolist(),
        "stacks": len(stack.files),
        "poses": particles.poses is not None,
        "ctf": ctf is not None,
        "defocus": defocus,
        "voltage": None if ctf is None else np.unique(ctf.voltage).tolist(),
        "half_sets": None if half is None else np.bincount(half, minlength=2).tolist(),
        "dark": bool((stack.sign < 0).all()),
    }


def _plain(value: Any) -> Any:
    """A table's cell as JSON knows it; NaN becomes None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value


def _say_grid(result: dict[str, Any]) -> str:
    shape, apix, origin = (np.array(result[key]) for key in ("shape", "apix", "origin"))
    return grid_text(SimpleNamespace(shape=tuple(shape), apix=apix, origin=origin)) + " (x, y, z)"


def _say_map(result: dict[str, Any]) -> str:
    lines = [
        f"{result['path']}: a map",
        _say_grid(result),
        f"{result['mode']}, values {result['min']:.4g} to {result['max']:.4g}, "
        f"mean {result['mean']:.4g}, s.d. {result['sd']:.4g}",
    ]
    return "\n".join(lines + [f"note: {note}" for note in result["notes"]])


def _say_structure(result: dict[str, Any]) -> str:
    chains = ", ".join(f"{name} ({atoms})" for name, atoms in list(result["chains"].items())[:40])
    return f"{result['path']}: a structure\n{result['atoms']:,} atoms in {len(result['chains'])} chains: {chains}"


def _say_ensemble(result: dict[str, Any]) -> str:
    known = sum(m["level"] is not None for m in result["maps"])
    names = [m["name"] for m in result["maps"]]
    table = f"ensemble.csv has {', '.join(result['columns'])}" if result["columns"] else "no ensemble.csv"
    lines = [
        f"{result['path']}: an ensemble of {result['n']} maps, {names[0]} to {names[-1]}",
        _say_grid(result),
        f"levels known for {known} of {result['n']}; {table}",
    ]
    return "\n".join(lines + [f"note: {note}" for note in result["notes"]])


def _say_run(result: dict[str, Any]) -> str:
    epoch = "" if result["epoch"] is None else f", epoch {result['epoch']}"
    latents = f"latents of {result['n']:,} particles, {result['zdim']} numbers each"
    lines = [
        f"{result['path']}: a run of {result['system']}{epoch}",
        latents if result["zdim"] else "a homogeneous model: one map, no latents",
        f"maps of {_say_grid(result)}",
    ]
    return "\n".join(lines + [f"note: {note}" for note in result["notes"]])


def _say_blocks(result: dict[str, Any]) -> str:
    if not result["n"]:
        return f"{result['path']}: no blocks; nothing in the ensemble comes and goes together"
    lines = [f"{result['path']}: {result['n']} blocks", _say_grid(result)]
    lines.append(f"{'block':10}  {'voxels':>7}  {'Å^3':>10}  {'kDa':>7}  occupied in")
    for row in result["blocks"]:
        share = row.get("mean_occupancy")
        often = "" if share is None else f"{100 * share:.0f} %"
        lines.append(
            f"{row['name']:10}  {row['n_voxels']:7,}  {row['volume_a3']:10,.0f}  {row['mass_kda']:7,.0f}  {often:>11}"
        )
    chains = sorted({row["chain"] for row in result["blocks"] if row.get("chain")})
    for chain in chains:
        members = sorted((row["place"], row["name"]) for row in result["blocks"] if row.get("chain") == chain)
        lines.append(f"{chain}: one motion, in order {', '.join(name for _, name in members)}")
    return "\n".join(lines)


def _say_gaussians(result: dict[str, Any]) -> str:
    if result["program"] is None:
        where = "it does not say which program wrote it, nor in which box it lies"
    else:
        where = f"written for {result['program']}, in a box of {result['box']} voxels of {result['apix']:.4g} Å"
    return f"{result['path']}: a model of {result['n']:,} Gaussians\n{where}"


def _say_particles(result: dict[str, Any]) -> str:
    sizes = " and ".join(f"{a:.4g}" for a in result["apix"])
    stacks = "1 stack" if result["stacks"] == 1 else f"{result['stacks']:,} stacks"
    lines = [
        f"{result['path']}: {result['n']:,} particles",
        f"{result['box']} x {result['box']} pixels of {sizes} Å, in {stacks}"
        + (", dark on disk" if result["dark"] else ""),
    ]
    known = ["poses" if result["poses"] else "no poses"]
    if result["ctf"]:
        low, mid, high = (x / 1e4 for x in result["defocus"])
        voltage = " and ".join(f"{v:g}" for v in result["voltage"])
        known.append(f"CTF at {voltage} kV, defocus {low:.2f} to {high:.2f} µm (median {mid:.2f})")
    else:
        known.append("no CTF")
    if result["half_sets"] is not None:
        known.append("half sets of {:,} and {:,}".format(*result["half_sets"]))
    return "\n".join([*lines, "; ".join(known)])
