"""What the engine's tests may ask for."""

import numpy as np
import pytest

from hetero.maps import Structure


@pytest.fixture(scope="session")
def globule():
    """A function that makes atoms at protein density in lumpy balls: a structure that needs no file."""
    return _globule


def _globule(seed: int = 0, atoms: int = 1500, chains: int = 2, radius: float = 28.0) -> Structure:
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(atoms, 3))
    positions *= radius * rng.uniform(0, 1, (atoms, 1)) ** (1 / 3) / np.linalg.norm(positions, axis=1, keepdims=True)
    chain = rng.integers(0, chains, atoms)
    positions += np.array([0, 0, 0.9 * radius]) * chain[:, None]
    return Structure(positions, np.full(atoms, 50.0), np.array(list("ABCDEF"))[chain], f"globule {seed}")
