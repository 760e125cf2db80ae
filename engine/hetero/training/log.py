"""``log.csv``: what happened while something was trained, a row as soon as it is known."""

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd

from hetero.files import atomic_path


class TrainingLog:
    """A table that grows.

    Args:
        path: of the ``.csv``; rows of an earlier part of the same training are kept.
        kept: ``(epoch, step)`` of the checkpoint that training goes on from: later rows are dropped.
    """

    def __init__(self, path: Path | str, kept: tuple[int, int] = (0, 0)):
        self.path = Path(path)
        rows = pd.read_csv(self.path) if self.path.is_file() else pd.DataFrame({"epoch": [], "step": []})
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
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
