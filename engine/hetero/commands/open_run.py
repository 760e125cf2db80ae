"""A trained model from its folder, whichever system trained it: a question that several verbs ask."""

import dataclasses
from collections.abc import Callable
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
    run = _reader(folder, config.system)(folder)
    if epoch is not None and epoch != run.epoch:
        there = f"there is {run.epoch}" if run.epoch is not None else f"a run of '{run.system}' has no epochs"
        raise HeteroError(f"{folder} has no weights of epoch {epoch}; {there}.")
    return run if apix is None else dataclasses.replace(run, apix=apix)


def epochs_of(folder: Path | str) -> list[int]:
    """The epochs that a run's folder keeps weights and latents of, oldest first; none where it keeps the last alone."""
    from hetero.drgn.foreign_files import numbered_weights

    folder = Path(folder)
    if read_config(folder) is not None:
        return []
    return [n for n in sorted(numbered_weights(folder)) if (folder / f"z.{n}.pkl").is_file()]


def _reader(folder: Path, system: str) -> Callable[[Path], Run]:
    if system == "drgn":
        from hetero.drgn.files import open_drgn

        return open_drgn
    if system == "linear":
        from hetero.linear.files import open_linear

        return open_linear
    if system == "gmm":
        from hetero.gmm.files import open_gmm

        return open_gmm
    raise HeteroError(f"{folder} is a run of '{system}', which this version of Hetero does not open.")


def is_run_folder(folder: Path | str) -> bool:
    """Whether :func:`open_run` would try to open ``folder``."""
    from hetero.drgn.foreign_files import is_cryodrgn_folder

    return Path(folder).is_dir() and (read_config(folder) is not None or is_cryodrgn_folder(folder))
