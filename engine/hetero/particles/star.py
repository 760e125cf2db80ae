"""RELION's star files: tables read at a million rows, and subsets that keep every other byte as it was."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hetero.errors import HeteroError
from hetero.files import atomic_path
from hetero.foreign import check_file
from hetero.particles.stack import as_indices

IMAGE = "rlnImageName"
_MOST_COLUMNS = 10_000


@dataclass(frozen=True)
class StarBlock:
    """One ``data_`` block of a star file, as found; its rows are not read yet.

    Attributes:
        name: what follows ``data_``; may be empty.
        columns: column names without the underscore; keys, in a block that is no loop.
        first_line: lines of the file before the block's first row.
        rows: rows of the loop; 1 for a block that is none.
        values: key -> text, for a block that is no loop.
        commented: whether comments stand between the rows; elsewhere ``#`` is part of a name.
    """

    name: str
    columns: tuple[str, ...]
    first_line: int
    rows: int
    values: dict[str, str] | None = None
    commented: bool = False


def scan_star(path: Path | str) -> list[StarBlock]:
    """Find the blocks of a star file. Memory: one line.

    Raises:
        HeteroError: not there, or no star file.
    """
    path = Path(path)
    check_file(path, "a star file")
    try:
        with open(path, "rb") as file:
            blocks = _scan(file, path)
    except OSError as error:
        raise HeteroError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    if not blocks:
        raise HeteroError(f"{path} is not a star file: no line in it begins with data_.")
    return blocks


def particle_block(path: Path | str, blocks: list[StarBlock] | None = None) -> StarBlock:
    """The block of a star file that lists the particles: the one with rlnImageName.

    Args:
        path: star file.
        blocks: what :func:`scan_star` found there, where that is known already.

    Raises:
        HeteroError: there is none, or it is empty; says what the file has.
    """
    blocks = scan_star(path) if blocks is None else blocks
    listing = [b for b in blocks if IMAGE in b.columns and b.values is None]
    if not listing:
        found = ", ".join(f"data_{b.name}" for b in blocks)
        raise HeteroError(f"{path} lists no particles: none of its blocks ({found}) has a column {IMAGE}.")
    block = next((b for b in listing if b.name == "particles"), listing[0])
    if not block.rows:
        raise HeteroError(f"{path} lists no particles: data_{block.name} is empty.")
    return block


def read_block(path: Path | str, block: StarBlock, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Read a block's rows.

    Args:
        path: the file that ``block`` was found in.
        block: from :func:`scan_star`.
        columns: which to read; without it all. Those that the block lacks are left out.

    Returns:
        One row a line, in the file's order; numbers where a whole column is numbers, else text.

    Raises:
        HeteroError: a row has too many or too few fields.
    """
    wanted = [c for c in block.columns if columns is None or c in set(columns)]
    if block.values is not None:
        return pd.DataFrame({c: [_number(block.values[c])] for c in wanted})
    if not block.rows:
        return pd.DataFrame(columns=wanted)
    try:
        table = pd.read_csv(
            path,
            sep=r"\s+",
            header=None,
            names=list(block.columns),
            usecols=wanted,
            skiprows=block.first_line,
            nrows=block.rows,
            index_col=False,
            comment="#" if block.commented else None,
            keep_default_na=False,
            na_values={c: ["nan", "NaN", "<NA>"] for c in wanted if c != IMAGE},
            engine="c",
            encoding_errors="replace",
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise HeteroError(
            f"{path}: data_{block.name} cannot be read: {str(error).splitlines()[0].rstrip('.')}."
        ) from error
    if len(table) != block.rows:
        raise HeteroError(f"{path}: data_{block.name} has {block.rows:,} lines but {len(table):,} rows could be read.")
    return table[wanted]


def write_star_subset(original: Path | str, indices, out: Path | str) -> None:
    """Write the star file of some of the particles of ``original``, in the order of ``indices``.

    Every other block (optics groups, general) and every column of the kept rows is copied byte for byte, so a RELION
    3.1 or 5 file stays one, and a 3.0 file stays 3.0. Paths of images are left as they are: RELION counts them from its
    project folder.

    Args:
        original: star file.
        indices: integers counted from 0, or booleans, one a particle.
        out: ``.star`` to write; appears whole or not at all.

    Raises:
        HeteroError: no particles in ``original``, an index beyond its end or given twice, or none chosen.
    """
    block = particle_block(original)
    chosen = checked_selection(indices, block.rows, original)
    with open(original, "rb") as file:
        head = [next(file) for _ in range(block.first_line)]
        rows: list[bytes] = []
        while len(rows) < block.rows:
            line = next(file)
            if _is_row(line.strip()):
                rows.append(line if line.endswith(b"\n") else line + b"\n")
        with atomic_path(out) as temporary, open(temporary, "wb") as written:
            written.writelines(head)
            written.writelines(rows[i] for i in chosen)
            written.writelines(file)


def checked_selection(indices, n: int, path: Path | str) -> np.ndarray:
    """``indices`` as ``(k,)`` int64, each particle at most once.

    Raises:
        HeteroError: none chosen, one beyond the end of the ``n`` particles of ``path``, or one given twice.
    """
    chosen = as_indices(indices, n, f"particles in {path}")
    if not len(chosen):
        raise HeteroError(f"No particle of {path} is chosen; at least one was expected.")
    values, counts = np.unique(chosen, return_counts=True)
    if (counts > 1).any():
        raise HeteroError(f"Particle {values[np.argmax(counts > 1)]:,} (counted from 0) is chosen more than once.")
    return chosen


def write_star(path: Path | str, blocks: dict[str, pd.DataFrame]) -> None:
    """Write tables as the loops of a star file, as RELION 3.1 and later do; it appears whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf8", newline="\n") as file:
        for name, table in blocks.items():
            file.write(f"\n# version 30001\n\ndata_{name}\n\nloop_\n")
            file.writelines(f"_{column} #{i}\n" for i, column in enumerate(table.columns, 1))
            table.to_csv(file, sep=" ", header=False, index=False, float_format="%.6f", na_rep="nan")
            file.write("\n")


def _scan(lines: Iterable[bytes], path: Path) -> list[StarBlock]:
    """One pass: block headers are parsed, rows only counted."""
    found: list[_Reading] = []
    for number, raw in enumerate(lines):
        line = raw.strip()
        if line[:5] == b"data_":
            found.append(_Reading(line[5:].decode(errors="replace")))
        elif found and line:
            found[-1].take(number, line)
    return [reading.block(path) for reading in found if reading.columns]


@dataclass
class _Reading:
    """A block of which line after line comes in."""

    name: str
    columns: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    loop: bool = False
    first: int = 0
    rows: int = 0
    last: bytes = b""
    comment: bool = False  # a comment came after the first row
    commented: bool = False  # and a row after it

    def take(self, number: int, line: bytes) -> None:
        if line[:1] == b"#":
            self.comment = self.rows > 0
        elif self.rows:
            self.rows, self.last = self.rows + 1, line
            self.commented |= self.comment
        elif line == b"loop_":
            self.loop = True
        elif line[:1] == b"_":
            if len(self.columns) == _MOST_COLUMNS:
                raise HeteroError(f"data_{self.name} has more than {_MOST_COLUMNS:,} columns; no star file does.")
            name, *value = _split(line)
            self.columns.append(name[1:])
            self.values[name[1:]] = value[0] if value else ""
        elif self.loop and self.columns:
            self.first, self.rows, self.last = number, 1, line

    def block(self, path: Path) -> StarBlock:
        words = len(self.last.split())
        if self.rows and b'"' not in self.last and b"'" not in self.last and words < len(self.columns):
            raise HeteroError(
                f"{path} is cut short: the last row of data_{self.name} has {words} of {len(self.columns)} columns."
            )
        if not self.loop:
            return StarBlock(self.name, tuple(self.columns), self.first, 1, self.values)
        return StarBlock(self.name, tuple(self.columns), self.first, self.rows, None, self.commented)


def _is_row(line: bytes) -> bool:
    return bool(line) and line[:1] != b"#"


def _split(line: bytes) -> list[str]:
    text = line.decode(errors="replace")
    try:
        return shlex.split(text)
    except ValueError:  # an unpaired quotation mark
        return text.split()


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
