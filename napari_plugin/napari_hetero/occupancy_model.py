"""What the histogram of the Blocks widget shows, without Qt or napari: who has how much of a block, and where the cut
is."""

from pathlib import Path

import numpy as np
from psygnal import Signal

BINS = 40


class OccupancyModel:
    """A table of occupancies of volumes or particles. ``changed`` is emitted after every change.

    Attributes:
        path: the table, from ``hetero occupancy``.
        table: it, a column a block.
        block: the column looked at.
        cut: occupancy at or above which a unit counts as having the block; set by hand, or by a fit.
        fits: block -> its row of ``hetero populations``.
        pairs: its rows of two blocks.

    Raises:
        HeteroError: no such table.
    """

    changed = Signal()

    def __init__(self, path: Path | str):
        from hetero.commands.populations import read_occupancies

        self.path = Path(path)
        self.table = read_occupancies(self.path)
        self.block = str(self.table.columns[0])
        self.fits: dict[str, dict] = {}
        self.pairs: list[dict] = []
        self._cuts: dict[str, float] = {}

    @property
    def units(self) -> str:
        """``"particles"`` or ``"volumes"``."""
        return "particles" if self.table.index.name == "particle" else "volumes"

    @property
    def blocks(self) -> list[str]:
        """The columns."""
        return [str(name) for name in self.table.columns]

    @property
    def values(self) -> np.ndarray:
        """``(n,)`` known occupancies of the block looked at."""
        return self._known(self.block)

    @property
    def cut(self) -> float:
        """Where the cut of the block looked at is."""
        return self.cut_of(self.block)

    def cut_of(self, block: str) -> float:
        """Where a block's cut is: yours, the fit's, or the middle of what there is."""
        fitted = self.fits.get(block, {}).get("cut")
        if block in self._cuts:
            return self._cuts[block]
        if fitted is not None:
            return float(fitted)
        values = self._known(block)
        return float((values.min() + values.max()) / 2) if len(values) else 0.5

    def look_at(self, block: str) -> None:
        """Look at another block."""
        if block != self.block and block in self.table:
            self.block = block
            self.changed.emit()

    def set_cut(self, cut: float | None) -> None:
        """Move the cut; None goes back to the fit's."""
        if cut is None:
            self._cuts.pop(self.block, None)
        else:
            self._cuts[self.block] = float(cut)
        self.changed.emit()

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts ``(bins,)`` and edges ``(bins + 1,)``."""
        values = self.values
        if not len(values):
            return np.zeros(BINS, int), np.linspace(0, 1, BINS + 1)
        low, high = min(0.0, values.min()), max(1.0, values.max())
        return np.histogram(values, bins=BINS, range=(low, high))

    def above(self) -> int:
        """How many units are at the cut or above."""
        return int((self.values >= self.cut).sum())

    def words(self) -> str:
        """What the cut says, and what the fit says."""
        n = len(self.values)
        above = self.above()
        said = f"{above:,} of {n:,} {self.units} ({100 * above / max(n, 1):.1f} %) have {self.cut:.2f} or more."
        fit = self.fits.get(self.block)
        if fit is None:
            return said
        if fit["kind"] == "two":
            low, high = 100 * fit["fraction_low95"], 100 * fit["fraction_high95"]
            return f"{said} Two populations: {100 * fit['fraction']:.1f} % have it ({low:.1f} - {high:.1f} %, 95 %)."
        kind = "One population" if fit["kind"] == "one" else "Spread without two groups"
        return f"{said} {kind}: no fraction can be told from the fit."

    def pair_words(self, first: str, second: str) -> str:
        """How many have both blocks, one, or neither, by their cuts; and what the fit says of the two."""
        from hetero.commands.occupancy_space import quadrants

        both, one, other, neither = quadrants(self.table, first, second, (self.cut_of(first), self.cut_of(second)))
        said = f"Both: {both:,}. Only {first}: {one:,}. Only {second}: {other:,}. Neither: {neither:,}."
        pair = next((row for row in self.pairs if {row["first"], row["second"]} == {first, second}), None)
        return said if pair is None else f"{said} {pair['relation'].capitalize()} (p {pair['p_holm']:.1g}, Holm)."

    def populations(self, progress) -> dict:
        """Fit populations to every block (``hetero populations``); written beside the table. Runs in a thread."""
        from hetero.commands import populations

        out = self.path.with_name(f"{self.path.stem}_populations.csv")
        return populations.run(populations.Settings(table=self.path, out=out), progress)

    def take_fits(self, answer: dict) -> None:
        """Take the answer of :meth:`populations`."""
        self.fits = {row["block"]: row for row in answer["blocks"]}
        self.pairs = answer["pairs"]
        self._cuts = {}
        self.changed.emit()

    def save_above(self, out: Path, original: Path | None, progress) -> dict:
        """Write the particles at the cut or above with ``hetero select``; its answer. Runs in a thread."""
        from hetero.commands import select

        rule = f'"{self.block}" >= {self.cut:.6g}'
        return select.run(select.Settings(sources=(self.path,), out=out, rule=rule, original=original), progress)

    def _known(self, block: str) -> np.ndarray:
        values = self.table[block].to_numpy(float)
        return values[np.isfinite(values)]
