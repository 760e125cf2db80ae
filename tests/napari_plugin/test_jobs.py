"""Jobs in processes of their own: they outlive who started them, are found again, stopped and gone on with."""

import json
import subprocess
import sys
import time

import pytest

from hetero.commands import load
from hetero.errors import HeteroError
from napari_hetero import background
from napari_hetero.background import BackgroundJob, list_jobs, new_job
from napari_hetero.widgets.jobs import JobsWidget
from napari_hetero.widgets.settings_form import SettingsForm

from .scenes import docked


@pytest.fixture(autouse=True)
def kept_here(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "jobs_folder", lambda: tmp_path / "jobs")
    yield
    for job in list_jobs():
        process = job._process()
        if process is not None:
            process.kill()
            process.wait(30)
        job.state()  # buries it


def until(what, seconds=120):
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.1)


@pytest.fixture
def particles(tmp_path):
    """400 small particles."""
    pytest.importorskip("torch", reason="there is no training without torch")
    from hetero.commands import simulate

    simulate.run(simulate.Settings(out=tmp_path / "p", particles=400, box=24, snr=5.0))
    return tmp_path / "p" / "particles.star"


def small(particles, out, **more):
    shape = {"width": 16, "layers": 1, "encoder_width": 16, "encoder_layers": 1, "threads": 1, "minutes": 0.001}
    return {"particles": str(particles), "out": str(out), "zdim": 1, "epochs": 2000, "patience": 0} | shape | more


def test_a_job_outlives_the_program_that_started_it(ensemble_folder, blocks_folder, tmp_path):
    code = (
        "import sys; from pathlib import Path; from napari_hetero import background as b;"
        "b.jobs_folder = lambda: Path(sys.argv[1]);"
        "b.new_job('occupancy', {'folder': sys.argv[2], 'blocks': sys.argv[3], 'out': sys.argv[4]}).start()"
    )
    arguments = [str(path) for path in (tmp_path / "jobs", ensemble_folder, blocks_folder, tmp_path / "o.csv")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    [job] = list_jobs()
    assert job.verb == "occupancy" and job.state() in (background.STARTING, background.RUNNING, background.DONE)
    until(lambda: job.state() == background.DONE)
    assert job.result()["names"] == [f"vol_{k}" for k in range(4)] and (tmp_path / "o.csv").is_file()


def test_bad_input_ends_in_one_sentence(tmp_path):
    with pytest.raises(HeteroError, match="no setting colour"):
        new_job("occupancy", {"colour": 1})
    assert list_jobs() == []
    job = new_job("blocks", {"folder": str(tmp_path / "gone"), "out": str(tmp_path / "out")})
    job.start()
    until(lambda: job.state() == background.FAILED)
    assert "gone" in job.failure() and "\n" not in job.failure()


def test_a_process_that_is_gone_is_told_from_one_that_works(tmp_path):
    job = new_job("blocks", {"folder": str(tmp_path), "out": str(tmp_path / "out")})
    assert job.state() == background.LOST  # nobody works on it
    for more in ({"created": 12345.0}, {}):  # begun here, and by ChimeraX
        (job.folder / "job.json").write_text(json.dumps({"verb": "blocks", "out": "x", "pid": 1} | more))
        assert job.state() == background.LOST  # another process has this number now
    job.stop()
    with pytest.raises(HeteroError, match="holds no job"):
        BackgroundJob(tmp_path)


def test_long_answers_are_read_from_their_end(tmp_path):
    job = new_job("blocks", {"folder": str(tmp_path), "out": str(tmp_path / "out")})
    answers = job.folder / "answers.jsonl"
    steps = [{"progress": {"done": k, "total": 9000, "message": "still at it"}} for k in range(9000)]
    answers.write_text("".join(json.dumps(step) + "\n" for step in steps) + '{"progress": {"do')
    assert job.report() == (8999, 9000, "still at it") and job.result() == {}
    with open(answers, "a") as file:
        file.write('ne": 1}}\n' + json.dumps({"result": {"values": [0.5] * 50_000}}) + "\n")
    assert job.state() == background.DONE and len(job.result()["values"]) == 50_000


def test_a_job_that_was_stopped_within_a_line_was_stopped(tmp_path, monkeypatch):
    """Whoever stops it writes to the file that it writes to; ChimeraX, too."""
    job = new_job("blocks", {"folder": str(tmp_path), "out": str(tmp_path / "out")})
    answers = job.folder / "answers.jsonl"
    step = json.dumps({"progress": {"done": 3, "total": 9, "message": "at it"}})
    answers.write_text(step + "\n" + step[:7])
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(BackgroundJob, "_process", lambda self: None if process.poll() is not None else process)
    job.stop()
    process.wait(30)
    assert job.state() == background.STOPPED and job.report() == (3, 9, "at it")
    assert job.failure() == "was stopped"


def test_cancel_go_on_and_reattach_in_the_dock(viewer, particles, tmp_path, qtbot):
    dock = docked(viewer, JobsWidget)
    assert "No jobs yet" in dock.empty.text() and dock.table.isHidden()
    dock.form.put(small(particles, tmp_path / "run"))
    dock.start.click()
    job = dock.chosen()
    assert job.verb == "train-vae" and dock.tabs.currentIndex() == 0
    qtbot.waitUntil(lambda: len(job.losses().get("loss", ())) > 2, timeout=120_000)
    dock.look()
    assert dock.table.item(0, 1).text() == background.RUNNING and not dock.plot.isHidden()
    assert len(dock.plot.lines["loss"].getData()[0]) > 2 and " of " in dock.message.text()
    other = docked(viewer, JobsWidget, "again")  # a dock that is opened later finds it
    assert other.chosen().folder == job.folder and other.cancel.isEnabled()
    other.cancel.click()
    qtbot.waitUntil(lambda: job.state() == background.STOPPED, timeout=60_000)
    dock.look()
    assert "goes on from its last checkpoint" in dock.message.text() and dock.again.isEnabled()
    qtbot.waitUntil(lambda: job._process() is None, timeout=60_000)
    assert not list(tmp_path.rglob(".partial*")) and "KeyboardInterrupt" in job.output()
    rows = len(job.losses()["loss"])
    dock.again.click()
    again = dock.chosen()
    assert again.number == 2 and again.settings == job.settings
    qtbot.waitUntil(lambda: len(again.losses().get("loss", ())) > rows + 2, timeout=120_000)
    dock.cancel.click()
    qtbot.waitUntil(lambda: again._process() is None, timeout=60_000)
    dock.look()
    dock.forget.click()
    assert dock.table.rowCount() == 1 and (tmp_path / "run" / "log.csv").is_file()


def test_bad_settings_in_the_form_are_said(viewer, tmp_path):
    dock = docked(viewer, JobsWidget)
    dock.start.click()
    assert "particles" in dock.problem.text() and list_jobs() == []
    dock.form.put({"particles": str(tmp_path / "p.star"), "out": str(tmp_path / "run"), "epochs": "many"})
    dock.start.click()
    assert "Setting epochs of 'train-vae' does not fit" in dock.problem.text() and list_jobs() == []


@pytest.mark.parametrize("verb", ["train-vae", "train-gmm", "train-linear", "blocks", "occupancy"])
def test_a_form_has_every_setting_and_gives_back_what_was_put(qtbot, verb, tmp_path):
    from dataclasses import fields

    from hetero.commands import settings_from

    form = SettingsForm(verb)
    qtbot.addWidget(form)
    assert list(form.fields) == [field.name for field in fields(load(verb).Settings)]
    assert all(field.native.toolTip() for field in form.fields.values())
    assert form.values() == {}
    values = {"out": str(tmp_path / "out")}
    values |= (
        {"particles": str(tmp_path / "p.star"), "zdim": 3} if verb.startswith("train") else {"folder": str(tmp_path)}
    )
    values |= {"vary": ["position"], "low": "100.5"} if verb == "train-gmm" else {}
    values |= {"invert": True, "chains": ["A", "B"]} if verb == "occupancy" else {}
    form.put(values)
    assert form.values() == values
    settings = settings_from(verb, form.values())
    if verb == "train-gmm":
        assert settings.vary == ("position",) and settings.low == 100.5 and settings.epochs is None
