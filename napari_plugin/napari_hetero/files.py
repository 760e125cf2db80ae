"""Names of files that are not there yet."""

from pathlib import Path


def free_path(path: Path) -> Path:
    """``path``, or the first of ``name_2``, ``name_3`` ... that is not there yet."""
    found, n = path, 1
    while found.exists():
        n += 1
        found = path.with_name(f"{path.stem}_{n}{path.suffix}")
    return found
