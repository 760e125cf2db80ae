"""A page that needs nothing but itself: text, tables and pictures in one HTML file."""

import base64
import html
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hetero.files import atomic_path

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd }
img { max-width: 100% } code { background: #f2f2f2; padding: .1em .3em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
.warning { border-left: .3rem solid #cc6600; background: #fff4e5; padding: .5em .8em }
td, th { padding: .15rem .8rem; text-align: right; border-bottom: 1px solid #eee }
"""


@dataclass(frozen=True)
class Section:
    """A part of a page, in this order under its title.

    Attributes:
        title: its heading.
        text: sentences; each line a paragraph.
        table: shown whole.
        pictures: PNG files that go into the page.
        code: commands, a line each.
        warnings: sentences that stand out, before the text.
    """

    title: str
    text: str = ""
    table: pd.DataFrame | None = None
    pictures: tuple[Path, ...] = ()
    code: str = ""
    warnings: tuple[str, ...] = ()


def write_report(path: Path | str, title: str, sections: list[Section]) -> None:
    """Write the page; whole or not at all. Nothing in it is fetched from anywhere."""
    body = "\n".join(_section(section) for section in sections)
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f'<p class="warning">{html.escape(line)}</p>' for line in section.warnings]
    parts += [f"<p>{html.escape(line)}</p>" for line in section.text.splitlines() if line]
    if section.table is not None:
        parts.append(section.table.to_html(border=0, float_format=lambda x: f"{x:.4g}"))
    for picture in section.pictures:
        data = base64.b64encode(Path(picture).read_bytes()).decode("ascii")
        parts.append(f'<p><img alt="{html.escape(picture.stem)}" src="data:image/png;base64,{data}"></p>')
    if section.code:
        parts.append(f"<pre><code>{html.escape(section.code)}</code></pre>")
    return "\n".join(parts)
