"""A folder that cryoDRGN itself wrote: which files are in it, and what its configuration says. Nothing is unpickled."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hetero.drgn.shape import ACTIVATIONS, DOMAINS, ENCODINGS, DecoderShape
from hetero.errors import HeteroError
from hetero.pickles import read_pickles

CONFIGS = ("config.yaml", "config.pkl")
_LARGEST_CONFIG = 1 << 20  # bytes
_NUMBERED = re.compile(r"weights\.(\d{1,9})\.pkl")


def is_cryodrgn_folder(folder: Path | str) -> bool:
    """Whether ``folder`` holds a configuration and weights under cryoDRGN's names."""
    folder = Path(folder)
    has_config = any((folder / name).is_file() for name in CONFIGS)
    return has_config and ((folder / "weights.pkl").is_file() or bool(numbered_weights(folder)))


def numbered_weights(folder: Path) -> dict[int, Path]:
    """``weights.N.pkl`` by N, as the file names count: from 0 in old runs, from 1 in new ones."""
    found = ((_NUMBERED.fullmatch(path.name), path) for path in folder.iterdir())
    return {int(match[1]): path for match, path in sorted(found, key=lambda item: item[1]) if match}


@dataclass(frozen=True)
class ForeignConfig:
    """What is needed of a configuration.

    Attributes:
        path: the file.
        settings: all of it, plain.
        shape: of the decoder.
        mean, sd: of the images' Hartley transforms.
        ctf, ind: file names as they were given, or None.
    """

    path: Path
    settings: dict[str, Any]
    shape: DecoderShape
    mean: float
    sd: float
    ctf: str | None
    ind: str | None


def read_config(folder: Path) -> ForeignConfig:
    """Read ``config.yaml`` (or an old run's ``config.pkl``) of a VAE, an auto-decoder, a homogeneous or ab-initio run.

    Raises:
        HeteroError: not there, no such configuration, or one that needs code to be run.
    """
    path = next((folder / name for name in CONFIGS if (folder / name).is_file()), folder / CONFIGS[0])
    if not path.is_file():
        raise HeteroError(f"{path} is not there; the configuration of a cryoDRGN run was expected.")
    if path.stat().st_size > _LARGEST_CONFIG:
        raise HeteroError(f"{path} is larger than any configuration is.")
    settings = _plain_yaml(path) if path.suffix == ".yaml" else read_pickles(path)[0]
    if not isinstance(settings, dict) or not isinstance(settings.get("model_args"), dict):
        raise HeteroError(f"{path} holds no model_args; the configuration of a cryoDRGN run was expected.")
    return _interpret(settings, path)


def _plain_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise HeteroError(f"{path} cannot be read as plain YAML.") from error


def _interpret(settings: dict[str, Any], path: Path) -> ForeignConfig:
    model = settings["model_args"]
    lattice = _get(settings, path, "lattice_args", dict)
    data = _get(settings, path, "dataset_args", dict)
    box = _get(lattice, path, "D", int) - 1
    if box < 2 or box % 2:
        raise HeteroError(f"{path} gives a lattice of {box + 1} points; an odd number (the box and one) was expected.")
    if "data_norm_std" in settings:  # ab initio
        training = _get(settings, path, "training", dict)
        mean, sd = (_get(settings, path, f"data_norm_{what}", float) for what in ("mean", "std"))
        width, layers = (_get(training, path, f"hypervolume_{what}", int) for what in ("dim", "layers"))
    else:
        norm = _get(data, path, "norm", (list, tuple))
        if len(norm) != 2:
            raise HeteroError(f"{path} gives a norm of {len(norm)} numbers; mean and s.d. were expected.")
        mean, sd = (_get({"norm": value}, path, "norm", float) for value in norm)
        names = ("pdim", "players") if "players" in model else ("dim", "layers")
        width, layers = (_get(model, path, name, int) for name in names)
    shape = DecoderShape(
        box=box,
        zdim=_get(model, path, "zdim", int, 0),
        width=width,
        layers=layers,
        encoding=_choice(model, path, "pe_type", ENCODINGS, "geom_lowf"),
        per_axis=_get(model, path, "pe_dim", int, box // 2),
        domain=_choice(model, path, "domain", DOMAINS, "fourier"),
        activation=_choice(model, path, "activation", ACTIVATIONS, "relu"),
    )
    if (
        min(shape.width, shape.per_axis) < 1
        or min(shape.layers, shape.zdim) < 0
        or max(width, shape.per_axis) > 1 << 16
    ):
        raise HeteroError(f"{path} describes no network: {layers} layers of {width} units for a zdim of {shape.zdim}.")
    return ForeignConfig(path, settings, shape, mean, sd, _name(data, "ctf"), _name(data, "ind"))


def _get(values: dict[str, Any], path: Path, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
    value = values.get(name)
    value = default if value is None else value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool) or (kind is float and not np.isfinite(value)):
        found = f"has no {name}" if value is None else f"gives {name} as {str(value)[:40]!r}"
        raise HeteroError(f"{path} {found}; the configuration of a cryoDRGN run was expected.")
    return value


def _choice(values: dict[str, Any], path: Path, name: str, known: tuple[str, ...], default: str) -> str:
    value = _get(values, path, name, str, default)
    if value not in known:
        raise HeteroError(f"{path} gives the {name} {value[:40]!r}; one of {', '.join(known)} was expected.")
    return value


def _name(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) and value else None


def read_latents(path: Path, zdim: int) -> tuple[np.ndarray, np.ndarray | None]:
    """A ``z.N.pkl``: the latents, and where there is a second pickle the log-variances, each ``(n, zdim)``.

    Raises:
        HeteroError: not there, not such a file, or of another dimension.
    """
    if not path.is_file():
        raise HeteroError(f"{path} is not there; the latents were expected beside the weights.")
    arrays = read_pickles(path)
    for array in arrays[:2]:
        if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
            raise HeteroError(f"{path} holds no latents; an array (particles, zdim) was expected.")
        if array.shape[1] != zdim or array.shape != arrays[0].shape:
            raise HeteroError(f"{path} holds latents of shape {array.shape}; (particles, {zdim}) was expected.")
    return arrays[0], arrays[1] if len(arrays) > 1 else None


def find_named(folder: Path, name: str) -> Path | None:
    """A file that a configuration names by a path of another day: as it is, or by its name in or beside the run."""
    given = Path(name)
    for place in (given, folder / given, folder / given.name, folder.parent / given, folder.parent / given.name):
        try:
            if place.is_file():
                return place
        except OSError:  # a name that no file can have
            continue
    return None
