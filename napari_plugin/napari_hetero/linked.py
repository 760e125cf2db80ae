"""The same particles in two runs: what is selected in one is selected in the other. Knows no Qt."""

import numpy as np


class Link:
    """Keeps the selections of two :class:`napari_hetero.latent_model.LatentModel` alike, by the particles' numbers.

    At first each gets those of the other; from then on it follows every change, until :meth:`end`.

    Attributes:
        shared: how many particles of the first are in the second as well.
    """

    def __init__(self, first, second):
        self._models = (first, second)
        self._busy = False
        numbers = [model.space.run.particle_index for model in self._models]
        self.shared = int(np.isin(*numbers).sum())
        for name, chosen in list(second.selections.items()):
            if name not in first.selections:
                first.selections[name] = self._same(second, first, chosen)
        self._follow(first, second)
        first.picked.connect(self._on_first)
        second.picked.connect(self._on_second)

    def end(self) -> None:
        """Let go; both keep what they have."""
        first, second = self._models
        first.picked.disconnect(self._on_first, missing_ok=True)
        second.picked.disconnect(self._on_second, missing_ok=True)

    def words(self) -> str:
        """How many particles the two have in common."""
        first, second = (model.space.run for model in self._models)
        if not self.shared:
            return "These runs have no particle in common: their numbers differ."
        return f"{self.shared:,} of {len(first):,} and {len(second):,} particles are in both; a lasso selects in both."

    @staticmethod
    def _same(source, target, chosen: np.ndarray) -> np.ndarray:
        """``(m,)`` bool: the target's particles whose number is that of a chosen one; of copies of a particle, all."""
        here, there = source.space.run.particle_index, target.space.run.particle_index
        known = np.zeros(max(here.max(), there.max()) + 1, dtype=bool)
        known[here[chosen]] = True
        return known[there]

    def _follow(self, source, target) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            same = {name: self._same(source, target, chosen) for name, chosen in source.selections.items()}
            if source.current != target.current or not _alike(same, target.selections):
                target.selections = same
                target.show(source.current)
        finally:
            self._busy = False

    def _on_first(self) -> None:
        self._follow(*self._models)

    def _on_second(self) -> None:
        self._follow(*self._models[::-1])


def _alike(first: dict, second: dict) -> bool:
    return list(first) == list(second) and all(np.array_equal(first[name], second[name]) for name in first)
