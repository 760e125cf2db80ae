"""The verbs. One module each: ``Settings`` (frozen dataclass), ``run(settings, progress)``, ``describe(result)``.

The command line, the worker and the viewers are all made from these; files go in and files come out.
"""

import dataclasses
import math
import typing
from importlib import import_module
from types import ModuleType
from typing import Any

from hetero.errors import HeteroError

VERBS = {
    "level": "choose a contour level for maps",
    "blocks": "find the blocks of an ensemble of maps",
    "occupancy": "measure blocks or masks in every map",
    "populations": "count who has each block, with intervals",
    "classes": "sort volumes into classes by their occupancies",
    "select": "write the particles that fit a rule, for RELION or cryoSPARC",
    "decode": "decode latents of a trained model to maps",
    "analyze": "look at the latents of a trained model: components, UMAP, clusters, maps, a page",
    "traverse": "decode maps along a path through the latents",
    "landscape": "group a trained model's particles by what their maps look like",
    "reconstruct": "backproject particles to a map and two half maps, all or near a latent",
    "fsc": "say to what resolution two maps agree",
    "export": "write a run's particles and latents for cryoDRGN, RELION, cryoSPARC or a table",
    "info": "say what a file or folder is",
    "train-vae": "train cryoDRGN on particles with known poses",
    "downsample": "make particle images smaller, centred and windowed",
    "train-linear": "fit a linear model to particles: the landscape in seconds",
    "simulate": "make maps or particle images with a known truth",
    "gmm": "make a model of Gaussians of a map or of particles",
    "train-gmm": "train Gaussians that move on particles",
    "motion": "tell how a model of Gaussians moves",
    "train-level": "train the level network on simulated maps",
    "demo": "run the whole way on a packaged structure",
}


REQUESTS = {
    "peek": "the map of one latent, at its level, from a run that is kept open",
    "gaussians": "a model's Gaussians at one latent, and how they move to another",
    "latents": "the particles' places in a run's latent space, as arrays",
    "machine": "what the engine runs on",
}
"""What the worker answers besides the verbs: for viewers, who show and keep nothing."""


POSITIONAL = {"positional": True}
"""Metadata of a settings field that stands on the command line without a flag."""


def load(verb: str) -> ModuleType:
    """The module of a verb, or of a viewer's request.

    Raises:
        HeteroError: there is no such verb.
    """
    if verb not in VERBS and verb not in REQUESTS:
        raise HeteroError(f"There is no verb '{verb}'; the verbs are {', '.join(VERBS)}.")
    return import_module(f"hetero.commands.{verb.replace('-', '_')}")


def settings_from(verb: str, values: dict[str, Any]) -> Any:
    """Settings of ``verb`` from plain JSON values, checked.

    Raises:
        HeteroError: an unknown name, a missing one, or a value of the wrong kind; says which.
    """
    from pydantic import TypeAdapter, ValidationError

    cls = load(verb).Settings
    known = [f.name for f in dataclasses.fields(cls)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise HeteroError(f"'{verb}' has no setting {', '.join(unknown)}; its settings are {', '.join(known)}.")
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise HeteroError(f"Setting {name} of '{verb}' does not fit: {first['msg'].lower()}.") from error


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse a setting outside ``[low, high]``, or one that is not a number.

    Raises:
        HeteroError: names the setting, what was given and what was expected.
    """
    if not low <= value <= high:
        expected = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        raise HeteroError(f"{name} is {value:g}; {expected} was expected.")


def settings_types(cls: type) -> dict[str, Any]:
    """Field name -> type of a settings class, with string annotations resolved."""
    return typing.get_type_hints(cls)
