"""Contour levels of maps: by the network of ours, by the published one, or by a simple method."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.special import expit
from threadpoolctl import ThreadpoolController

from hetero.errors import HeteroError
from hetero.level.correction import describe_fit
from hetero.level.framing import best_level, frame_map, molecule_region, slabs, zoom_frame
from hetero.level.methods import LevelMethod, simple_level
from hetero.level.normalise import check_values, denormalise_level
from hetero.level.thresholds import FittedLevel
from hetero.maps import DALTON_PER_A3, Volume
from hetero.progress import Progress, silent

PACKAGED_WEIGHTS = Path(__file__).parents[1] / "data" / "level_weights.pt"
_BATCH_MAPS = 8
_BATCH_VOXELS = 1 << 22  # maps wait in memory for their batch: fewer of them where they are large
_LARGEST_ERROR = 2.0  # of log volume; what is wrong by a factor of 7 is no more wrong by 70


@dataclass(frozen=True, eq=False)
class MapOutline:
    """What is kept of a map to compare it with others of its ensemble.

    Attributes:
        background, scale: of the map's values, as in :class:`hetero.level.framing.Frame`.
        picture: ``(12, 12, 12)`` float16, the map in units of ``scale``, whole.
    """

    background: float
    scale: float
    picture: np.ndarray


@dataclass(frozen=True)
class LevelAnswer:
    """A contour level and what it encloses.

    Attributes:
        level: in the map's own values; voxels at or above it are occupied.
        level_sd: the same in s.d. units, ``(level - mean) / sd`` over all voxels.
        enclosed_volume_a3: Å^3 of the occupied voxels.
        mass_kda: that volume at 0.81 Da/Å^3.
        level_low, level_high: where the level lies with 68 %; None where the method has no uncertainty.
        outline: for :func:`hetero.level.share_levels`; None but for the network of ours.
    """

    level: float
    level_sd: float
    enclosed_volume_a3: float
    mass_kda: float
    level_low: float | None = None
    level_high: float | None = None
    outline: MapOutline | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class NetworkLevel:
    """What a network says of a map; as in :class:`LevelAnswer`.

    ``error``: of the log of the enclosed volume; the true one lies within with 68 %. ``fit`` and ``seen``: the level
    before its correction, and what was seen of it (:func:`hetero.level.correction.describe_fit`).
    """

    level: float
    low: float | None = None
    high: float | None = None
    error: float | None = None
    outline: MapOutline | None = None
    fit: FittedLevel | None = None
    seen: np.ndarray | None = None


def predict_level(volume: Volume, method: LevelMethod | None = None) -> LevelAnswer:
    """Contour level of one map; see :func:`predict_levels`.

    Raises:
        HeteroError: no level can be chosen, in one sentence.
    """
    answer = next(iter(predict_levels([volume], method)))
    if isinstance(answer, HeteroError):
        raise answer
    return answer


def predict_levels(
    volumes: Iterable[Volume], method: LevelMethod | None = None, *, progress: Progress = silent, total: int = 0
) -> Iterator[LevelAnswer | HeteroError]:
    """Contour levels of many maps, a few in memory at a time, in the order they come.

    A published SIREn checkpoint follows the published protocol: padded to a cube, Fourier-resampled to 64^3, and the
    answer scaled by the raw map.

    Args:
        volumes: maps of any box; read as they are needed.
        method: the packaged network where not given.
        progress: called after each map with ``total``, where known.

    Yields:
        For each map its answer, or the HeteroError (a sentence without the map's name) saying why there is none.

    Raises:
        HeteroError: unreadable weights.
    """
    method = method or LevelMethod()
    if method.name == "cnn":
        weights = Path(method.weights) if method.weights else PACKAGED_WEIGHTS
        levels = network_levels(volumes, load_cached(weights))
    else:
        levels = ((volume, _attempt(_checked_level, volume, method)) for volume in volumes)
    return _answers(levels, progress, total)


def with_level(answer: LevelAnswer, volume: Volume, level: float, low: float, high: float) -> LevelAnswer:
    """The answer for ``volume`` with another level."""
    return replace(_describe(volume, NetworkLevel(level, low, high)), outline=answer.outline)


def _answers(levels, progress: Progress, total: int) -> Iterator[LevelAnswer | HeteroError]:
    for done, (volume, level) in enumerate(levels, start=1):
        progress(done, max(total, done), "predicting levels")
        yield level if isinstance(level, HeteroError) else _describe(volume, level)


def load_cached(path: Path):
    """The network of a weights file, on the GPU where there is one; read again only when the file has changed."""
    if not path.is_file():
        raise HeteroError(f"There is no weights file {path}.")
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(path: Path, modified: int):
    import torch

    from hetero.level.networks import folded, load_network

    network = folded(load_network(path)).to(memory_format=torch.channels_last_3d)
    return network.to("cuda" if torch.cuda.is_available() else "cpu")


def _attempt(function, *arguments):
    """The function's answer, or the HeteroError it raised: one bad map must not end a run over 500."""
    try:
        return function(*arguments)
    except HeteroError as error:
        return error


def _checked_level(volume: Volume, method: LevelMethod) -> NetworkLevel:
    _check(volume)
    return NetworkLevel(simple_level(volume, method))


def _check(volume: Volume) -> None:
    """Raise a HeteroError that says what keeps the map from having a level, if anything does."""
    check_values(volume.data)
    if min(volume.shape) < 4:
        raise HeteroError(f"The map spans {volume.shape} voxels; at least 4 along each axis were expected.")
    lowest, highest = volume.data.min(), volume.data.max()
    if all(((part == lowest) | (part == highest)).all() for part in _parts(volume.data)):
        raise HeteroError(f"The map holds only the values {lowest:g} and {highest:g}; a map, not a mask, was expected.")


def network_levels(volumes: Iterable[Volume], network) -> Iterator[tuple[Volume, NetworkLevel | HeteroError]]:
    """Each map with its level by a network in memory, or with the HeteroError that says why it has none.

    A network of ours is faster when it is :func:`hetero.level.networks.folded`.
    """
    from hetero.level.networks import PublishedLevelNetwork

    evaluate = _published_levels if isinstance(network, PublishedLevelNetwork) else _envelope_levels
    batch: list[Volume] = []
    for volume in volumes:
        batch.append(volume)
        if len(batch) == _BATCH_MAPS or sum(v.data.size for v in batch) >= _BATCH_VOXELS:
            yield from zip(batch, _batch_levels(evaluate, batch, network), strict=True)
            batch = []
    if batch:
        yield from zip(batch, _batch_levels(evaluate, batch, network), strict=True)


def _batch_levels(evaluate, batch: list[Volume], network) -> list[NetworkLevel | HeteroError]:
    """``evaluate``, on a CPU with two maps at a time in each thread: their values fit its caches.

    Numpy's products have one thread: more, which wait for the next one, would slow torch down.
    """
    import torch

    from hetero.threads import in_slices

    found = [None] * len(batch)
    device = next(network.parameters()).device
    step = min(max(len(batch) // torch.get_num_threads(), 1), 2) if device.type == "cpu" else len(batch)

    def work(part: slice) -> None:
        found[part] = evaluate(batch[part], network)

    with _numpy_threads().limit(limits=1):
        in_slices(work, len(batch), step, device)
    return found


@lru_cache(maxsize=1)
def _numpy_threads() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def _envelope_levels(batch: list[Volume], network) -> list[NetworkLevel | HeteroError]:
    """Where is the molecule, what is its envelope (networks), which level encloses just that, and is it usually so?"""
    import torch

    def whole(volume):
        _check(volume)
        return frame_map(volume.data, volume.apix)

    def around_molecule(volume, frame, outputs):
        outline = MapOutline(frame.background, frame.scale, _halved(frame.features[0]))
        return zoom_frame(volume.data, frame, molecule_region(inside_probability(outputs[0]), frame)), outline

    def level(volume, framed, outputs):
        frame, outline = framed
        error = min(volume_error * float(np.exp(min(outputs[1], np.log(_LARGEST_ERROR)))), _LARGEST_ERROR)
        inside = inside_probability(outputs[0])
        fit = best_level(volume.data, frame, inside)
        seen = describe_fit(fit, frame, inside)
        with torch.inference_mode():
            correction = float(network.correction(torch.from_numpy(seen)[None].to(network.volume_error.device)))
        found, low, high = fit.other(correction + error * np.array([0, 1, -1]))
        return NetworkLevel(float(found), float(low), float(high), error, outline, fit, seen)

    volume_error = float(network.volume_error)
    frames = [_attempt(whole, volume) for volume in batch]
    frames = _evaluated(network.finder, batch, frames, lambda frame: frame.features, around_molecule)
    return _evaluated(network.envelope, batch, frames, lambda framed: framed[0].features, level)


def _halved(cube: np.ndarray) -> np.ndarray:
    n = len(cube) // 2
    return cube.reshape(n, 2, n, 2, n, 2).mean(axis=(1, 3, 5)).astype(np.float16)


def inside_probability(log_odds: np.ndarray) -> np.ndarray:
    """Probabilities from log-odds."""
    return expit(log_odds)


def _published_levels(batch: list[Volume], network) -> list[NetworkLevel | HeteroError]:
    from hetero.level.published import published_input

    def prepare(volume):
        _check(volume)
        return published_input(volume)

    def finish(volume, prepared, outputs):
        return NetworkLevel(float(denormalise_level(float(outputs[0]), prepared[0])))

    return _evaluated(network, batch, [_attempt(prepare, v) for v in batch], lambda prepared: prepared[1], finish)


def _evaluated(network, batch, prepared, tensor_of, finish) -> list:
    """Run the network once over what could be prepared; finish each map, or keep the error it has."""
    import torch

    answers = list(prepared)
    good = [i for i, p in enumerate(prepared) if not isinstance(p, HeteroError)]
    if good:
        device = next(network.parameters()).device
        tensor = torch.from_numpy(np.stack([tensor_of(prepared[i]) for i in good])).to(device)
        with torch.inference_mode():
            outputs = network(tensor)
        outputs = [o.cpu().numpy() for o in (outputs if isinstance(outputs, tuple) else (outputs,))]
        del tensor
        for k, i in enumerate(good):
            answers[i] = _attempt(finish, batch[i], prepared[i], [o[k] for o in outputs])
    return answers


def _describe(volume: Volume, found: NetworkLevel) -> LevelAnswer:
    mean = sum(float(part.sum(dtype=float)) for part in _parts(volume.data)) / volume.data.size
    # A second pass: the difference of two large sums would lose a small spread about a large mean.
    sd = (sum(float(np.square(part - mean).sum(dtype=float)) for part in _parts(volume.data)) / volume.data.size) ** 0.5
    enclosed = volume.enclosed_volume(found.level)
    return LevelAnswer(
        found.level,
        (found.level - mean) / sd,
        enclosed,
        enclosed * DALTON_PER_A3 / 1000,
        found.low,
        found.high,
        found.outline,
    )


def _parts(data: np.ndarray) -> Iterator[np.ndarray]:
    return (data[slab] for slab in slabs(data.shape))
