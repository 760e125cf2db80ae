"""``log.csv``: what happened while something was trained, a row as soon as it is known."""

import csv
import io
import os
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from hetero.errors import Interrupted
from hetero.files import atomic_path, reason


class TrainingLog:
    """A table that grows.

    Args:
        path: of the ``.csv``; rows of an earlier part of the same training are kept.
        kept: ``(epoch, step)`` of the checkpoint that training goes on from: later rows are dropped.
    """

    def __init__(self, path: Path | str, kept: tuple[int, int] = (0, 0)):
        self.path = Path(path)
        rows = _whole_rows(self.path)
        known = (rows["epoch"] < kept[0]) | ((rows["epoch"] == kept[0]) & (rows["step"] <= kept[1]))
        self.rows: list[dict[str, Any]] = rows[known].to_dict("records")
        if len(self.rows):
            with atomic_path(self.path) as temporary:
                rows[known].to_csv(temporary, index=False)
        else:
            self.path.unlink(missing_ok=True)

    @property
    def seconds(self) -> tuple[float, float]:
        """Wall and CPU seconds of all that is kept."""
        return (self.rows[-1]["seconds"], self.rows[-1]["cpu_seconds"]) if self.rows else (0.0, 0.0)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row; with all rows of one training the same columns."""
        text = io.StringIO()
        writer = csv.DictWriter(text, row)
        if not self.rows:
            writer.writeheader()
        writer.writerow(row)
        self.rows.append(row)
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(text.getvalue())
                file.flush()
                os.fsync(file.fileno())  # before the checkpoint that says that it is there
        except OSError as error:
            raise Interrupted(f"Cannot write {self.path}: {reason(error)}.") from error


def _whole_rows(path: Path) -> pd.DataFrame:
    """The table up to the first line that a crash left half-written."""
    raw = path.read_bytes() if path.is_file() else b""
    lines = raw[: raw.rfind(b"\n") + 1].decode(errors="replace").splitlines(keepends=True)
    width = lines[0].count(",") if lines else 0
    whole = list(takewhile(lambda line: line.count(",") == width and "\0" not in line, lines))
    if not whole or not whole[0].startswith("epoch,step,"):
        return pd.DataFrame({"epoch": [], "step": []})
    return pd.read_csv(io.StringIO("".join(whole)))
