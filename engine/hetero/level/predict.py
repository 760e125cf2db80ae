"""Contour levels of maps: by the network of ours, by the published one, or by a percentile."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hetero.errors import HeteroError
from hetero.level.framing import best_level, frame_map
from hetero.level.normalise import LevelScale, check_values, denormalise_level, normalise_map
from hetero.maps import DALTON_PER_A3, Volume, resample_fourier
from hetero.progress import Progress, silent

METHODS = ("cnn", "percentile")
PACKAGED_WEIGHTS = Path(__file__).parents[1] / "data" / "level_weights.pt"
_BATCH_MAPS = 8
_BATCH_VOXELS = 1 << 22  # maps wait in memory for their batch: fewer of them where they are large
_SLAB_VOXELS = 1 << 22


@dataclass(frozen=True)
class LevelAnswer:
    """A contour level and what it encloses.

    Attributes:
        level: in the map's own values; voxels at or above it are occupied.
        level_sd: the same in s.d. units, ``(level - mean) / sd`` over all voxels.
        enclosed_volume_a3: Å^3 of the occupied voxels.
        mass_kda: that volume at 0.81 Da/Å^3.
    """

    level: float
    level_sd: float
    enclosed_volume_a3: float
    mass_kda: float


def predict_level(
    volume: Volume, method: str = "cnn", weights: Path | str | None = None, percentile: float = 99.0
) -> LevelAnswer:
    """Contour level of one map; see :func:`predict_levels`.

    Raises:
        HeteroError: no level can be chosen, in one sentence.
    """
    answer = next(iter(predict_levels([volume], method, weights, percentile)))
    if isinstance(answer, HeteroError):
        raise answer
    return answer


def predict_levels(
    volumes: Iterable[Volume],
    method: str = "cnn",
    weights: Path | str | None = None,
    percentile: float = 99.0,
    *,
    progress: Progress = silent,
    total: int = 0,
) -> Iterator[LevelAnswer | HeteroError]:
    """Contour levels of many maps, a few in memory at a time, in the order they come.

    Args:
        volumes: maps of any box; read as they are needed.
        method: ``"cnn"`` (network) or ``"percentile"`` (the value that ``percentile`` % of the voxels do not exceed).
        weights: weights of a network; the packaged ones where not given. A published SIREn checkpoint follows the
            published protocol: padded to a cube, Fourier-resampled to 64^3, and the answer scaled by the raw map.
        percentile: for method ``"percentile"``.
        progress: called after each map with ``total``, where known.

    Yields:
        For each map its answer, or the HeteroError (a sentence without the map's name) saying why there is none.

    Raises:
        HeteroError: unknown method, percentile out of range, unreadable weights.
    """
    if method not in METHODS:
        raise HeteroError(f"There is no level method '{method}'; expected one of: {', '.join(METHODS)}.")
    if not 0 < percentile < 100:
        raise HeteroError(f"A percentile of {percentile:g} was given; a number between 0 and 100 was expected.")
    if method == "percentile":
        levels = ((volume, _attempt(_percentile_level, volume, percentile)) for volume in volumes)
    else:
        levels = network_levels(volumes, load_cached(Path(weights) if weights else PACKAGED_WEIGHTS))
    return _answers(levels, progress, total)


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

    from hetero.level.networks import load_network

    network = load_network(path)
    network.eval().to(memory_format=torch.channels_last_3d)
    return network.to("cuda" if torch.cuda.is_available() else "cpu")


def _attempt(function, *arguments):
    """The function's answer, or the HeteroError it raised: one bad map must not end a run over 500."""
    try:
        return function(*arguments)
    except HeteroError as error:
        return error


def _percentile_level(volume: Volume, percentile: float) -> float:
    _check(volume)
    return float(np.percentile(volume.data, percentile))


def _check(volume: Volume) -> None:
    """Raise a HeteroError that says what keeps the map from having a level, if anything does."""
    check_values(volume.data)
    if min(volume.shape) < 4:
        raise HeteroError(f"The map spans {volume.shape} voxels; at least 4 along each axis were expected.")
    lowest, highest = volume.data.min(), volume.data.max()
    if all(((part == lowest) | (part == highest)).all() for part in _parts(volume.data)):
        raise HeteroError(f"The map holds only the values {lowest:g} and {highest:g}; a map, not a mask, was expected.")


def network_levels(volumes: Iterable[Volume], network) -> Iterator[tuple[Volume, "float | HeteroError"]]:
    """Each map with its level by a network in memory, or with the HeteroError that says why it has none."""
    from hetero.level.networks import PublishedLevelNetwork

    evaluate = _published_levels if isinstance(network, PublishedLevelNetwork) else _envelope_levels
    batch: list[Volume] = []
    for volume in volumes:
        batch.append(volume)
        if len(batch) == _BATCH_MAPS or sum(v.data.size for v in batch) >= _BATCH_VOXELS:
            yield from zip(batch, evaluate(batch, network), strict=True)
            batch = []
    if batch:
        yield from zip(batch, evaluate(batch, network), strict=True)


def _envelope_levels(batch: list[Volume], network) -> list[float | HeteroError]:
    """Where is the molecule (network), then: which level encloses just that?"""

    def prepare(volume):
        _check(volume)
        return frame_map(volume.data, volume.apix)

    def finish(volume, frame, log_odds):
        return best_level(volume.data, frame, 1 / (1 + np.exp(-log_odds)))

    return _batched(batch, network, prepare, lambda frame: frame.features, finish)


def _published_levels(batch: list[Volume], network) -> list[float | HeteroError]:
    """The published protocol: the normalised level is taken to be the same for the raw map and its 64^3 copy."""

    def prepare(volume):
        _check(volume)
        scale = LevelScale.of(volume.data)
        cube = resample_fourier(_padded_to_cube(volume.data), (network.box,) * 3)
        return scale, normalise_map(cube)

    def finish(volume, prepared, normalised):
        return float(denormalise_level(float(normalised), prepared[0]))

    return _batched(batch, network, prepare, lambda prepared: prepared[1], finish)


def _batched(batch, network, prepare, tensor_of, finish) -> list[float | HeteroError]:
    """Prepare each map, run the network once over those that could be prepared, finish each."""
    import torch

    prepared = [_attempt(prepare, volume) for volume in batch]
    good = [i for i, p in enumerate(prepared) if not isinstance(p, HeteroError)]
    if good:
        device = next(network.parameters()).device
        tensor = torch.from_numpy(np.stack([tensor_of(prepared[i]) for i in good])).to(device)
        with torch.inference_mode():
            outputs = network(tensor).cpu().numpy()
        for i, output in zip(good, outputs, strict=True):
            prepared[i] = _attempt(finish, batch[i], prepared[i], output)
    return prepared


def _padded_to_cube(data: np.ndarray) -> np.ndarray:
    """The map in the middle of a cube, surrounded by the median of its faces."""
    side = max(data.shape)
    if data.shape == (side,) * 3:
        return data
    faces = np.concatenate([np.take(data, end, axis).ravel() for axis in range(3) for end in (0, -1)])
    before = [(side - n) // 2 for n in data.shape]
    around = [(b, side - n - b) for b, n in zip(before, data.shape, strict=True)]
    return np.pad(data, around, constant_values=np.median(faces))


def _describe(volume: Volume, level: float) -> LevelAnswer:
    mean = sum(float(part.sum(dtype=float)) for part in _parts(volume.data)) / volume.data.size
    # A second pass: the difference of two large sums would lose a small spread about a large mean.
    sd = (sum(float(np.square(part - mean).sum(dtype=float)) for part in _parts(volume.data)) / volume.data.size) ** 0.5
    enclosed = volume.enclosed_volume(level)
    return LevelAnswer(level, (level - mean) / sd, enclosed, enclosed * DALTON_PER_A3 / 1000)


def _parts(data: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _SLAB_VOXELS // (data.shape[1] * data.shape[2]))
    return (data[start : start + step] for start in range(0, len(data), step))
