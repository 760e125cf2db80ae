"""What every room's tests may ask for."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data (``HETERO_SHARED``, or ``../shared`` beside the checkout); skips where there is none."""
    folder = Path(os.environ.get("HETERO_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real data are not here: {folder / 'data'} is no folder (set HETERO_SHARED)")
    return folder
