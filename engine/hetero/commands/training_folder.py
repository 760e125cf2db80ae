"""The folder that a training writes into, and goes on in: a question that several verbs ask."""

from collections.abc import Collection
from pathlib import Path

from hetero.earlier import STORE
from hetero.errors import HeteroError
from hetero.latent import RunConfig, read_config
from hetero.locks import LOCK, check_free


def check_training_folder(out: Path, config: RunConfig, made: Collection[str], may_change: Collection[str]) -> None:
    """Refuse a folder that is neither new, empty, nor this very training begun.

    Args:
        out: where the run shall lie.
        config: of the training that is asked for.
        made: names of what a training cut short before its ``config.json`` may have left.
        may_change: settings in which a training that goes on may differ from the one begun.

    Raises:
        HeteroError: what else is there.
    """
    if out.exists() and not out.is_dir():
        raise HeteroError(f"{out} is a file; a folder to write into was expected.")
    ours = (".partial-", LOCK, STORE)
    there = sorted(p.name for p in out.iterdir() if not p.name.startswith(ours)) if out.is_dir() else []
    check_free(out)  # the loop holds it; here the second process is told before it works
    begun = read_config(out) if there else None
    if begun is None:
        other = [name for name in there if name not in made]
        if other:
            raise HeteroError(f"{out} already holds other files ({other[0]} is one); give a new or empty folder.")
        return
    if begun.system != config.system:
        raise HeteroError(f"{out} holds a run of '{begun.system}'; give a new or empty folder.")
    for key in sorted((begun.settings.keys() | config.settings.keys()) - set(may_change)):
        old, new = begun.settings.get(key), config.settings.get(key)
        if old != new:
            raise HeteroError(
                f"{out} holds a run that was begun with another {key} ({old}, now {new}); go on with that, or give a "
                "new folder."
            )
