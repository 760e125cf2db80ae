"""What becomes of a job's result: it is opened, or the run it is about learns of it."""

import html
import os
from pathlib import Path

from chimerax.core.commands import run as run_command

from ..models.places import places_of
from .runs import run_of


def open_result(session, job):
    """Open what a job has made."""
    {"blocks": _blocks, "occupancy": _occupancy, "analyze": _analysis}.get(job.verb, _folder)(session, job)


def _folder(session, job):
    run_command(session, f'hetero open "{job.out}"')


def _blocks(session, job):
    if job.result["n"]:
        run_command(session, f'hetero blocks "{job.out}"')
    else:
        session.logger.warning("no blocks were found: nothing in these maps comes and goes together")


def _occupancy(session, job):
    run = _with_table(session, job, job.out)
    block = job.result["columns"][0]
    session.logger.info(f"{run}: occupancies of {job.result['n']:,} particles in {job.out}")
    session.logger.info(
        f"'hetero latent {run.atomspec} color {block}' shows them, and "
        f"""'hetero select {run.atomspec} where "{block} > 0.7"' goes by them"""
    )


def _analysis(session, job):
    run = _with_table(session, job, job.result["labels"])
    page = Path(job.result["report"])
    session.logger.info(f'{run}: <a href="{page.as_uri()}">{html.escape(str(page))}</a>', is_html=True)
    for sentence in job.result["trust"]["warnings"]:
        session.logger.warning(sentence)
    plane = "axes umap1,umap2 color cluster" if "umap1" in run.places.names else "color cluster"
    session.logger.info(f"'hetero latent {run.atomspec} {plane}' shows its particles")


def _with_table(session, job, table):
    """The run that a job was about, which knows the columns of ``table`` from now on."""
    words = job.settings
    run = run_of(session, words.get("run") or words["folder"], epoch=words.get("epoch"))
    kept = [path for path in run.tables if os.path.basename(path) != os.path.basename(table)]  # not an older analysis
    places_of(session, run, [*kept, table])
    run.tell()
    return run
