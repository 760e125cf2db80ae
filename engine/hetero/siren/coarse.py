"""Large boxes in bounded memory: find blocks in maps of fewer voxels, then refine their borders at full sampling.

The maps are read once, in chunks that are kept on disk until all is done.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetero.maps import Ensemble, Volume, resample_fourier
from hetero.parallel import map_chunks
from hetero.parts import Parts
from hetero.progress import Progress, silent
from hetero.siren.effect import EffectRule, signature, standardise
from hetero.siren.infer import Found, find_blocks
from hetero.siren.patterns import Patterns, binarise
from hetero.siren.published import PublishedRule

_CHUNK = 16  # maps
_UNPACKED = 32e6  # voxels, of all maps together, that are unpacked at a time


@dataclass(frozen=True, eq=False)
class CoarseReader:
    """Reads maps, 16 at a time: ``reader(start)``.

    Attributes:
        ensemble: the maps.
        rows: ``(n,)`` numbers of the maps that count.
        levels: ``(n,)`` their levels.
        shape: voxels along z, y, x of the coarse maps.
    """

    ensemble: Ensemble
    rows: np.ndarray
    levels: np.ndarray
    shape: tuple[int, int, int]

    @property
    def apix(self) -> np.ndarray:
        """``(3,)`` Å per voxel of the coarse maps."""
        return self.ensemble.apix * self.ensemble.shape / self.shape

    @property
    def starts(self) -> range:
        """Number of the first map of each chunk."""
        return range(0, len(self.rows), _CHUNK)

    @property
    def record(self) -> np.dtype:
        """What is kept of a map: its occupied voxels, packed; the coarse map and its level."""
        voxels = int(np.prod(self.ensemble.shape))
        coarse = ("coarse", np.float32, self.shape)
        return np.dtype([("bits", np.uint8, (-(-voxels // 8),)), ("level", np.float64), coarse])

    def __call__(self, start: int) -> np.ndarray:
        """``(k, bytes)`` uint8: the records of up to 16 maps from ``start``.

        The coarse map's level is the one that encloses as large a share of the box as the map's own does at full
        sampling: with the fine detail its highest values are gone, and so is some of the noise.
        """
        chosen = slice(start, start + _CHUNK)
        records = np.zeros(len(self.rows[chosen]), dtype=self.record)
        for record, i, level in zip(records, self.rows[chosen], self.levels[chosen], strict=True):
            data = self.ensemble[int(i)].data
            on = data >= level
            record["bits"] = np.packbits(on)
            record["coarse"] = resample_fourier(data, self.shape)
            record["level"] = level_enclosing(record["coarse"], np.count_nonzero(on) / on.size)
        return records.view(np.uint8).reshape(len(records), -1)

    def about(self) -> dict[str, Any]:
        """What tells this reading from another: the maps as they are on disk, their levels, the sampling."""
        return {**about_maps(self.ensemble, self.rows, self.levels), "coarse": list(self.shape)}


def about_maps(ensemble: Ensemble, rows: np.ndarray, levels: np.ndarray) -> dict[str, Any]:
    """Plain values that change when a map (name, size, time of writing) or a level does."""
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in (ensemble.paths[i] for i in rows)]
    numbers = np.asarray(levels, dtype=float).tolist()
    return {"folder": str(ensemble.folder.resolve()), "maps": _digest(files), "levels": _digest(numbers)}


def find_blocks_coarsely(
    reader: CoarseReader,
    parts: Parts,
    rule: EffectRule | PublishedRule,
    alpha: float | None = 0.05,
    resamples: int = 10,
    progress: Progress = silent,
    workers: int | None = 1,
    scheduler: str | None = None,
) -> tuple[Found, Patterns]:
    """Blocks and evidence from coarse maps, masks at full sampling; and the coarse patterns.

    A voxel at full sampling belongs to a block where its pattern correlates with the block's signature as the effect
    rule asks, whichever rule found the block.

    Memory: a bit for each voxel of each map, the coarse patterns, and what the rule needs for them. Disk, in
    ``parts``: the same bits, and four bytes for each voxel of the coarse maps.

    Args:
        parts: for ``reader.about()``; chunks that are there are not read again.
        workers, scheduler: who reads, as :func:`hetero.parallel.map_chunks` takes them.
    """
    _read(reader, parts, progress, workers, scheduler)
    levels = np.concatenate([records["level"] for records in _chunks(reader, parts)])
    patterns = binarise(_volumes(reader, parts), levels, progress)
    counted = set(patterns.volumes)
    volumes = (v for v in _volumes(reader, parts) if v.name in counted)
    found = find_blocks(patterns, volumes, rule, alpha, resamples, progress)
    bits = np.concatenate([records["bits"] for records in _chunks(reader, parts)])
    names = [reader.ensemble.names[i] for i in reader.rows]
    bits = bits[[name in counted for name in names]]
    border = rule if isinstance(rule, EffectRule) else EffectRule()
    masks, occupancy = refine(bits, reader.ensemble.shape, _signatures(patterns, found.columns), border, progress)
    order = np.argsort(-masks.sum(axis=(1, 2, 3)), kind="stable")
    evidence = {**found.evidence, "mean_occupancy": occupancy}
    evidence = {name: [values[i] for i in order] for name, values in evidence.items()}
    return Found(masks[order], [found.columns[i] for i in order], evidence, found.noise), patterns


def refine(
    bits: np.ndarray, shape: tuple[int, int, int], signatures: np.ndarray, rule: EffectRule, progress: Progress = silent
) -> tuple[np.ndarray, list[float]]:
    """Masks ``(K, z, y, x)`` of the voxels whose patterns correlate with each signature, and their mean occupancies.

    Args:
        bits: ``(n, ceil(voxels / 8))`` uint8, packed: which voxels of each map are occupied.
        shape: voxels along z, y, x.
        signatures: ``(K, n)``, each of mean 0 and s.d. 1.
        rule: for its thresholds.
    """
    n, width = bits.shape
    voxels = int(np.prod(shape))
    masks = np.zeros((len(signatures), 8 * width), dtype=bool)
    counts = np.zeros(8 * width, dtype=np.int64)
    slab = max(1, int(_UNPACKED / (8 * n)))
    for start in range(0, width, slab):
        progress(start, width, "refining borders")
        on = np.unpackbits(bits[:, start : start + slab], axis=1)
        here = slice(8 * start, 8 * start + on.shape[1])
        counts[here] = on.sum(axis=0)
        changes = here.start + np.flatnonzero((counts[here] > n / 100) & (counts[here] < n))
        if len(changes):
            z = standardise(on[:, changes - here.start])
            members = rule.members(z, counts[changes], list(signatures), voxels * max(len(signatures), 1))
            for mask, columns in zip(masks, members, strict=True):
                mask[changes[columns]] = True
    occupancy = [float(counts[mask].mean() / n) if mask.any() else 0.0 for mask in masks]
    return masks[:, :voxels].reshape(-1, *shape), occupancy


def level_enclosing(data: np.ndarray, share: float) -> float:
    """The level at or above which this share of the voxels lies: one voxel at least, or none where the share is 0."""
    if share == 0:
        return np.inf
    count = min(max(round(share * data.size), 1), data.size)
    return float(np.partition(data, -count, axis=None)[-count])


def _read(reader: CoarseReader, parts: Parts, progress: Progress, workers: int | None, scheduler: str | None) -> None:
    n = len(reader.rows)
    missing = [start for start in reader.starts if start // _CHUNK not in parts]
    done = n - sum(min(_CHUNK, n - start) for start in missing)
    progress(done, n, "reading maps")
    for start, records in map_chunks(reader, missing, workers, scheduler):
        parts.save(start // _CHUNK, records)
        done += len(records)
        progress(done, n, "reading maps")


def _chunks(reader: CoarseReader, parts: Parts) -> Iterator[np.ndarray]:
    for start in reader.starts:
        yield parts.load(start // _CHUNK).view(reader.record)[:, 0]


def _volumes(reader: CoarseReader, parts: Parts) -> Iterable[Volume]:
    rows = iter(reader.rows)
    for records in _chunks(reader, parts):
        for record in records:
            name = reader.ensemble.names[next(rows)]
            yield Volume(record["coarse"], reader.apix, reader.ensemble.origin, name)


def _signatures(patterns: Patterns, columns: list[np.ndarray]) -> np.ndarray:
    made = [signature(standardise(patterns.on[:, c]), np.arange(len(c))) for c in columns]
    return np.array(made, dtype=np.float32).reshape(len(columns), len(patterns.on))


def _digest(values: list) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]
