"""A trained model from its folder, whichever system trained it: a question that several verbs ask."""

import dataclasses
from pathlib import Path

from hetero.commands import check_range
from hetero.errors import HeteroError
from hetero.latent import Run, read_config


def open_run(folder: Path | str, epoch: int | None = None, apix: float | None = None) -> Run:
    """Open a run of ours, or a folder that cryoDRGN itself wrote.

    Args:
        folder: the run.
        epoch: which one, where a folder keeps several, as its file names count; the newest where not given.
        apix: Å per voxel at the run's box, for runs that do not say, or say it wrongly.

    Raises:
        HeteroError: no run, a damaged one, or an epoch that is not there.
    """
    folder = Path(folder)
    if apix is not None:
        check_range("The voxel size (apix)", apix, 0.01, 1000)
    if not folder.is_dir():
        raise HeteroError(f"{folder} is not a folder; a run, or a folder that cryoDRGN wrote, was expected.")
    config = read_config(folder)
    if config is None:
        from hetero.drgn.foreign_files import is_cryodrgn_folder

        if not is_cryodrgn_folder(folder):
            raise HeteroError(
                f"{folder} is not a run: it holds neither our config.json nor cryoDRGN's config.yaml and weights."
            )
        from hetero.drgn.foreign import open_cryodrgn

        return open_cryodrgn(folder, epoch, apix)
    if config.system == "gmm":
        from hetero.gmm.files import open_gmm as open_ours
    elif config.system == "drgn":
        from hetero.drgn.files import open_drgn as open_ours
    else:
        raise HeteroError(f"{folder} is a run of '{config.system}', which this version of Hetero does not open.")
    run = open_ours(folder)
    if epoch is not None and epoch != run.epoch:
        raise HeteroError(f"{folder} has no weights of epoch {epoch}; there is {run.epoch}.")
    return run if apix is None else dataclasses.replace(run, apix=apix)


def is_run_folder(folder: Path | str) -> bool:
    """Whether :func:`open_run` would try to open ``folder``."""
    from hetero.drgn.foreign_files import is_cryodrgn_folder

    return Path(folder).is_dir() and (read_config(folder) is not None or is_cryodrgn_folder(folder))
