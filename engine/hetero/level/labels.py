"""Levels that people chose: tables of maps and levels, and folders of EMDB entries with their headers."""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from hetero.errors import HeteroError
from hetero.foreign import check_file
from hetero.maps import Volume, list_maps, map_name, read_map

_COLUMNS = ("map", "level")
_LARGEST_HEADER = 1 << 26  # bytes
_ENTRY = re.compile(r"emd[_-](\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelledMap:
    """A map file and the level that a person chose for it, in the map's own values."""

    path: Path
    level: float

    def read(self) -> Volume:
        """The map.

        Raises:
            HeteroError: the map cannot be read, or the level lies outside its values.
        """
        volume = read_map(self.path)
        if not volume.data.min() < self.level <= volume.data.max():
            raise HeteroError(
                f"The level {self.level:g} given for {self.path} lies outside its values, "
                f"{volume.data.min():g} to {volume.data.max():g}."
            )
        return volume


def read_labels(path: Path | str) -> list[LabelledMap]:
    """Read a table with the columns ``map`` and ``level``; paths are taken from the table's own folder.

    Raises:
        HeteroError: not there, a column is missing, a level is no number, or a map is not there; says in which line.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HeteroError(f"{path} cannot be read as a table with the columns map and level.") from error
    if not set(_COLUMNS) <= set(columns):
        raise HeteroError(f"{path} has the columns {', '.join(columns) or 'none'}; map and level were expected.")
    if not rows:
        raise HeteroError(f"{path} holds no row; a map and its level were expected in each.")
    return [_labelled(path, line, row) for line, row in enumerate(rows, start=2)]


def _labelled(table: Path, line: int, row: dict[str, str]) -> LabelledMap:
    level = _number(row["level"])
    if level is None:
        raise HeteroError(f"{table}, line {line}: the level is '{row['level']}'; a number was expected.")
    found = table.parent / (row["map"] or "")
    if not found.is_file():
        raise HeteroError(f"{table}, line {line}: there is no map {found}.")
    return LabelledMap(found, level)


def read_emdb_folder(folder: Path | str) -> list[LabelledMap]:
    """Maps of a folder of EMDB entries with the primary contour level of their headers.

    Maps may lie beside their headers (``emd_1832.map.gz``, ``emd-1832.xml``) or as in the archive
    (``EMD-1832/map/emd_1832.map.gz``, ``EMD-1832/header/emd-1832.xml``). Entries without header or level are left out.

    Raises:
        HeteroError: not a folder, or no entry in it has both.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise HeteroError(f"{folder} is not a folder; a folder of EMDB entries was expected.")
    places = [folder, *sorted(folder.glob("EMD-*/map"))]
    maps = {m[1]: path for place in places for path in list_maps(place) if (m := _ENTRY.match(map_name(path)))}
    headers: dict[str, Path] = {}
    for path in sorted([*folder.glob("emd-*.xml"), *folder.glob("EMD-*/header/emd-*.xml")]):
        headers.setdefault(path.stem.split("-")[1], path)  # emd-1832.xml before emd-1832-v30.xml
    levels = {entry: header_level(headers[entry]) for entry in maps if entry in headers}
    labelled = [LabelledMap(maps[entry], level) for entry, level in levels.items() if level is not None]
    if not labelled:
        raise HeteroError(
            f"{folder} has {len(maps)} EMDB maps and {len(headers)} headers, but no map whose header gives a level."
        )
    return labelled


def header_level(path: Path | str) -> float | None:
    """Primary contour level of an EMDB header, of schema 1.9 or 3; None where it gives none.

    Raises:
        HeteroError: not XML, or XML that declares entities.
    """
    try:
        if check_file(path, "an EMDB header") > _LARGEST_HEADER:
            raise HeteroError(f"{path} is larger than any EMDB header is.")
        # The parser's own event, not the text "<!DOCTYPE": a file in UTF-16 would not show it.
        root = ElementTree.fromstring(Path(path).read_bytes(), ElementTree.XMLParser(target=_WithoutEntities(path)))
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise HeteroError(f"{path} cannot be read as an EMDB header: {error}.") from error
    return next(_levels(root.find("map") if root.find("map") is not None else root), None)


class _WithoutEntities(ElementTree.TreeBuilder):
    """Builds the tree, and refuses a document type: only there can entities be declared."""

    def __init__(self, path: Path | str):
        super().__init__()
        self._path = path

    def doctype(self, *_):
        raise HeteroError(f"{self._path} declares its own XML entities; an EMDB header was expected.")


def _levels(root: ElementTree.Element) -> Iterator[float]:
    contours = list(root.iter("contour"))
    for contour in sorted(contours, key=lambda c: c.get("primary", "false").lower() not in ("true", "1")):
        if (level := _number(contour.findtext("level"))) is not None:
            yield level
    for element in root.iter("contourLevel"):
        if (level := _number(element.text)) is not None:
            yield level


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
