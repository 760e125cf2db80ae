"""What is written to the log as a table or a picture."""

import base64
import html

from chimerax.core.commands import StringArg, run

_MOST_ROWS = 50


def log_table(session, titles, rows):
    """Log a table: ``titles`` and rows of texts, the first of very many.

    A cell ``("swatch", "#rrggbb")`` is a patch of that colour.
    """
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows[:_MOST_ROWS])
    table = f"<table border=1 cellpadding=4 cellspacing=0><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    session.logger.info(table, is_html=True)
    if len(rows) > _MOST_ROWS:
        session.logger.info(f"the table shows the first {_MOST_ROWS} of {len(rows)}")


def log_picture(session, path, width=600):
    """Log a PNG file; the picture itself is in the log, so the file may go away."""
    with open(path, "rb") as file:
        data = base64.b64encode(file.read()).decode("ascii")
    session.logger.info(f'<img src="data:image/png;base64,{data}" width="{width}">', is_html=True)


def show_key(session, entries, treatment="distinct"):
    """A colour key at the upper left: ``entries`` ("#rrggbb", text) from top to bottom.

    Args:
        treatment: ``blended`` for colours of numbers.
    """
    if len(entries) < 2:  # ChimeraX's key needs two colours
        return
    height = 0.045 * len(entries)
    pairs = [StringArg.unparse(f"{color}:{text}") for color, text in entries[::-1]]  # stacked from the bottom
    place = f"pos 0.03,{0.95 - height:.4f} size 0.03,{height:.4f}"
    look = f'fontSize 20 colorTreatment {treatment} labelSide "right/bottom" justification left ticks false'
    run(session, f"key {' '.join(pairs)} {place} {look}", log=False)


def _cell(value):
    if isinstance(value, tuple):
        color = html.escape(value[1])
        return f'<td style="background-color:{color}">{color}</td>'
    return f"<td>{html.escape(value)}</td>"
