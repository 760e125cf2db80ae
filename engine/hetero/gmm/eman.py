"""EMAN2's model text: a Gaussian a line, ``x y z amplitude sigma [group]``.

Coordinates are shares of the box from its middle voxel ``n // 2``, with **y and z negated**. What the other two columns
mean depends on the program that wrote them:

| program | Fourier envelope of one Gaussian, k in Fourier pixels | as a width and a mass |
|---|---|---|
| ``new`` (e2gmm_refine_new, _jax) | ``amp^2 exp(-0.001 sigma k^2)`` | s.d. 0.00712 sqrt(sigma) of the box |
| ``refine`` (e2gmm_refine, the paper's) | ``amp exp(-0.1 sigma k)``, no Gaussian | half as high at the same k |
| ``point`` (e2gmm_refine_point, the GUI) | ``amp``, points without width | s.d. 0.00712 of the box |

Ours are written as ``new`` reads them, under a comment line (which EMAN2 skips) that says so and gives the map's grid.
"""

import json
import math
import re
import warnings
from pathlib import Path
from typing import Literal

import numpy as np

from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.foreign import check_file, reason
from hetero.gmm.model import GaussianModel
from hetero.maps import MapWarning

Program = Literal["new", "refine", "point"]
PROGRAMS = ("new", "refine", "point")
GUI_SETTINGS = "0_gmm_parms.json"
"""What a folder of EMAN2's GUI (e2gmm.py; gmm_00, gmm_01 ...) is known by."""

_LATENTS = ("_mid.txt", "_aug.txt")  # the GUI's tables of latents
_UNIT = math.sqrt(0.001 / (2 * math.pi**2))  # s.d. in boxes of sigma 1: 0.00712
_HALF = (
    math.sqrt(math.log(2) / 2) / math.pi / (math.log(2) / 0.1)
)  # s.d. in boxes that is half as high where sigma 1 is
_HEADER = re.compile(
    r"# hetero gaussians 1: program (?P<program>\w+), box (?P<box>\d+), apix (?P<apix>\S+), origin (?P<origin>.+)"
)


def write_model(path: Path | str, model: GaussianModel, program: Program = "new") -> None:
    """Write a model for EMAN2, whole or not at all; the largest amplitude becomes 1, as there.

    Masses keep their ratios. With ``point`` widths are lost.
    """
    centres = (model.centres - model.middle)[:, ::-1] / (model.box * model.apix) * [1, -1, -1]
    mass = model.masses / model.masses.max()
    amplitude = np.sqrt(mass) if program == "new" else mass
    share = model.sigmas / (model.box * model.apix)
    sigma = {"new": (share / _UNIT) ** 2, "refine": share / _HALF, "point": np.ones(len(model))}[program]
    origin = " ".join(f"{o:.9g}" for o in model.origin)
    header = f"hetero gaussians 1: program {program}, box {model.box}, apix {model.apix:.9g}, origin {origin}"
    with atomic_path(path) as temporary:
        np.savetxt(temporary, np.column_stack([centres, amplitude, sigma]), "%.9g", header=header)


def read_model(
    path: Path | str, program: Program | None = None, box: int | None = None, apix: float | None = None
) -> GaussianModel:
    """Read a model text of ours or of EMAN2's.

    Args:
        path: whitespace or tabs between 4 to 6 columns; a group is ignored.
        program: that wrote it; not needed for a text of ours.
        box, apix: voxels and Å per voxel of the map it belongs to; not needed for a text of ours.

    Returns:
        A model whose largest mass is 1 (Å^3 x density).

    Raises:
        HeteroError: no such text, a number that is none (NaN), coordinates that are no shares of a box, or a program or
            grid that neither the text nor the caller tells.

    Warns:
        MapWarning: Gaussians of negative amplitude (the GUI's probes), which are left out.
    """
    path = Path(path)
    table, header = _read_table(path)
    program = header.get("program", program)
    if program not in PROGRAMS:
        raise HeteroError(
            f"{path} does not say which program wrote it; new (e2gmm_refine_new, _jax), refine (e2gmm_refine) or point "
            "(e2gmm_refine_point, the GUI) was expected: widths and amplitudes differ."
        )
    box, apix = header.get("box", box), header.get("apix", apix)
    if box is None or apix is None:
        raise HeteroError(f"{path} does not say in which box it lies; a box and a voxel size (apix) were expected.")
    table = _without_probes(path, table)
    extent, origin = box * apix, np.asarray(header.get("origin", np.zeros(3)))
    centres = (table[:, :3] * [1, -1, -1])[:, ::-1] * extent + origin + box // 2 * apix
    amplitude, sigma = table[:, 3], table[:, 4] if table.shape[1] > 4 else np.ones(len(table))
    if program != "point" and (sigma <= 0).any():
        raise HeteroError(f"{path} has a width of {sigma.min():g} in line {np.argmin(sigma) + 1}; it must be positive.")
    shares = {"new": _UNIT * np.sqrt(np.abs(sigma)), "refine": _HALF * sigma, "point": np.full(len(table), _UNIT)}
    mass = amplitude**2 if program == "new" else amplitude
    return GaussianModel(
        centres, np.ones(len(table)), shares[program] * extent, box, apix, origin, path.stem
    ).with_masses(mass / mass.max())


def read_gui_folder(folder: Path | str) -> list[GaussianModel]:
    """The model texts in a folder of EMAN2's GUI, by name; its settings tell the box.

    Raises:
        HeteroError: the settings cannot be read or tell no box, no model is there, or as :func:`read_model`.
    """
    settings = Path(folder) / GUI_SETTINGS
    check_file(settings, "the settings of EMAN2's GUI")
    try:
        values = json.loads(settings.read_text(encoding="utf-8"))
        box, apix = int(values["boxsize"]), float(values["apix"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise HeteroError(
            f"{settings} tells no boxsize and apix ({reason(error)}); EMAN2's GUI writes them."
        ) from error
    texts = [path for path in sorted(Path(folder).glob("*.txt")) if not path.name.endswith(_LATENTS)]
    if not texts:
        raise HeteroError(f"{folder} holds no model text (.txt) beside {GUI_SETTINGS}.")
    return [read_model(path, "point", box, apix) for path in texts]


def describe_text(path: Path | str) -> dict:
    """``{"n", "program", "box", "apix"}`` of a model text; the last three None where it does not tell them.

    Raises:
        HeteroError: no such text.
    """
    table, header = _read_table(Path(path))
    return {"n": len(table)} | {name: header.get(name) for name in ("program", "box", "apix")}


def _read_table(path: Path) -> tuple[np.ndarray, dict]:
    check_file(path, "a model text of Gaussians")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HeteroError(f"{path} cannot be read as a text of Gaussians.") from error
    found = _HEADER.match(text)
    header = {}
    if found:
        origin = [float(value) for value in found["origin"].split()]
        header = {"program": found["program"], "box": int(found["box"]), "apix": float(found["apix"]), "origin": origin}
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        table = np.array(rows, dtype=float)
    except ValueError:
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1] not in (4, 5, 6):
        raise HeteroError(f"{path} is no model text: lines of x y z amplitude sigma, all numbers, were expected.")
    wrong = ~np.isfinite(table).all(axis=1)
    if wrong.any():
        raise HeteroError(
            f"{path} holds NaN or infinity in {np.count_nonzero(wrong):,} of {len(table):,} Gaussians; number "
            f"{np.argmax(wrong) + 1} is the first."
        )
    furthest = np.abs(table[:, :3]).max()
    if furthest > 1:
        raise HeteroError(
            f"{path} has coordinates up to {furthest:.4g}; shares of the box, -0.5 to 0.5, were expected."
        )
    return table, header


def _without_probes(path: Path, table: np.ndarray) -> np.ndarray:
    probes = table[:, 3] <= 0
    if probes.all():
        raise HeteroError(f"{path} holds no Gaussian of positive amplitude.")
    if probes.any():
        warnings.warn(
            f"{path}: {np.count_nonzero(probes):,} of {len(table):,} Gaussians have no or a negative amplitude and are "
            "left out.",
            MapWarning,
            stacklevel=3,
        )
    return table[~probes]
