"""Which level each map of an ensemble is taken at: a question that several verbs ask."""

import math

import numpy as np
from natsort import natsorted

from hetero.errors import HeteroError
from hetero.maps import Ensemble
from hetero.progress import Progress, silent


def resolve_levels(ensemble: Ensemble, level: str | float | None, progress: Progress = silent) -> np.ndarray:
    """``(N,)`` levels, in each map's own values.

    Args:
        level: a number for all maps, ``"from-table"`` (``ensemble.csv``), ``"predict"``, or None: from the table
            where it has a level for every map, else predicted.

    Raises:
        HeteroError: a word that is none of these, or a table without levels.
    """
    if level is None:
        level = "predict" if np.isnan(ensemble.levels).any() else "from-table"
    if level == "from-table":
        missing = natsorted(name for name, x in zip(ensemble.names, ensemble.levels, strict=True) if np.isnan(x))
        if missing:
            raise HeteroError(
                f"{ensemble.folder / 'ensemble.csv'} has no level for {len(missing)} of {len(ensemble)} maps "
                f"({missing[0]} is the first); run 'hetero level {ensemble.folder} --out "
                f"{ensemble.folder / 'ensemble.csv'}' or give --level predict or a number."
            )
        return ensemble.levels
    if level == "predict":
        from hetero.level import predict_levels

        levels = []
        answers = predict_levels(ensemble, progress=progress, total=len(ensemble))
        for name, answer in zip(ensemble.names, answers, strict=True):
            if isinstance(answer, HeteroError):
                raise HeteroError(f"No level can be predicted for {name}: {answer}")
            levels.append(answer.level)
        return np.array(levels)
    try:
        number = float(level)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise HeteroError(f"'{level}' is no level; a number, from-table or predict was expected.")
    return np.full(len(ensemble), number)
