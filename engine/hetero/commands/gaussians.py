"""The worker's ``gaussians``: a model's Gaussians at one latent, and how they move to another."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hetero.commands.named_latent import NamedLatent
from hetero.commands.warm_run import WarmRun, warm_run
from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.gmm import GaussianModel, read_model
from hetero.gmm.eman import Program
from hetero.gmm.motion import motion_between, rigid_body
from hetero.maps import read_map
from hetero.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """The Gaussians of a run at one latent, or those of a model text; with a second latent, how they move there.

    Attributes:
        source: Folder of a run of hetero train-gmm, or a model text.
        out: File to write (.npz).
        start: The latent; none for a model text.
        end: Where they move to.
        epoch: Of a run: which one is to be there, as it counts them; without it the newest.
        mask: Map that is over 0.5 in a region: which Gaussians lie in it, and how it moves as a body.
        program, box, apix: Of a model text that does not say them.
    """

    source: Path
    out: Path
    start: NamedLatent = field(default_factory=NamedLatent)
    end: NamedLatent | None = None
    epoch: int | None = None
    mask: Path | None = None
    program: Program | None = None
    box: int | None = None
    apix: float | None = None


def run(settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """``{n, name, z, scores, nearest, distance, beyond, rigid, out}``.

    ``out`` holds ``centres`` ``(n, 3)`` Å along z, y, x, ``sigmas`` (Å) and ``masses`` ``(n,)``, ``inside`` ``(n,)``
    bool where there is a mask, and with an end ``displacements`` ``(n, 3)`` Å. The latent's place as ``peek`` tells it,
    null for a model text; ``rigid`` as ``motion`` does, null without a mask or an end.

    Raises:
        HeteroError: no run of moving Gaussians, no model text, a latent that is none of the run's, an epoch that is not
            there, or a mask that does not fit.
    """
    if Path(settings.source).is_file():
        model, place, arrays = _of_text(settings), dict.fromkeys(("z", "scores", "nearest", "distance", "beyond")), {}
        name, motion = model.name, None
    else:
        warm = warm_run(settings.source, settings.epoch)
        if warm.run.system != "gmm":
            raise HeteroError(
                f"{settings.source} is a run of '{warm.run.system}', which has no Gaussians; one of hetero train-gmm "
                "was expected."
            )
        z, name = settings.start.of(warm), settings.start.title
        (model,) = warm.run.decoder.models(z)
        place, motion = warm.place_of(z), _motion(settings.end, warm, z)
        arrays = {} if motion is None else {"displacements": motion.displacements}
    inside = None if settings.mask is None else model.inside(read_map(settings.mask))
    if inside is not None:
        arrays["inside"] = inside
    rigid = None if inside is None or motion is None else dataclasses.asdict(rigid_body(motion, inside))
    with atomic_path(settings.out) as temporary, open(temporary, "wb") as file:
        np.savez(file, centres=model.centres, sigmas=model.sigmas, masses=model.masses, **arrays)
    plain = rigid and {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in rigid.items()}
    return {"n": len(model), "name": name, **place, "rigid": plain, "out": str(settings.out)}


def _of_text(settings: Settings) -> GaussianModel:
    if settings.start != NamedLatent() or settings.end is not None or settings.epoch is not None:
        raise HeteroError(
            f"{settings.source} is a model text, which has no latents, no epochs and does not move; a run does."
        )
    return read_model(settings.source, settings.program, settings.box, settings.apix)


def _motion(end: NamedLatent | None, warm: WarmRun, z: np.ndarray):
    return None if end is None else motion_between(warm.run.decoder, z, end.of(warm))


def describe(result: dict[str, Any]) -> str:
    """How many, and where they are written."""
    return f"{result['name']}: {result['n']:,} Gaussians in {result['out']}"
