"""`hetero train`, `hetero siren`, `hetero jobs`: trainings that outlive ChimeraX, are stopped and taken up again."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from scenes import halves, write_mrc

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(autouse=True)
def home(session, tmp_path, monkeypatch):
    """A home folder of its own: jobs lie in it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def until(settle, true, seconds=60):
    """Let ChimeraX go on until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        settle()
        time.sleep(0.1)


def test_a_linear_model_is_trained_and_opened(session, run, log, trained, home, tmp_path):
    job = run(f'hetero train linear "{trained.parent}/particles.star" out "{tmp_path}/run" zdim 2')
    assert job.result["n"] == 300 and "job 1, train-linear, has finished" in log.getvalue()
    (model,) = session.models.list()
    assert model.info["system"] == "linear" and model.zdim == 2 and model.folder == str(tmp_path / "run")
    assert json.loads((home / "hetero_jobs/1/job.json").read_text())["pid"] == job.pid
    assert run("hetero decode #1 particle 3").full_matrix().std() > 0


def test_bad_particles_are_one_sentence(session, sentence, run, log, trained, tmp_path):
    assert "nowhere.star is not there" in sentence("hetero train vae /nowhere.star")
    text = sentence(f'hetero train linear "{trained.parent}/particles.star" epochs 3')
    assert "'train-linear' has no setting epochs" in text
    run("hetero jobs")
    assert "has no setting epochs" in log.getvalue() and not session.models.list()


@pytest.fixture
def long_job(run, trained, tmp_path):
    """A training that would go on for long, not waited for."""
    star = trained.parent / "particles.star"
    return run(f'hetero train vae "{star}" out "{tmp_path}/vae" zdim 2 epochs 5000 wait false')


def test_a_training_is_followed_and_stopped(session, run, log, settle, long_job, tmp_path):
    until(settle, lambda: "(" in long_job.message)  # 3 of 5000
    assert os.path.isfile(os.path.join(long_job.folder, "log.txt"))
    run("hetero jobs stop 1")
    assert not _runs(long_job.pid) and "goes on from its last checkpoint" in log.getvalue()
    (job,) = run("hetero jobs")
    assert job.state == "was stopped"


def test_the_task_manager_stops_it_too(session, long_job):
    from chimerax.hetero.jobs import JobTask

    (task,) = [task for task in session.tasks.list() if isinstance(task, JobTask) and task.job is long_job]
    task.terminate()
    assert not _runs(long_job.pid)


def test_a_job_of_an_earlier_chimerax_is_taken_up_again(session, run, log, settle, trained, home, tmp_path):
    """Another process starts it and ends; this one lists it, follows it, and opens the result."""
    words = f"""
import json, subprocess, sys
sys.path.insert(0, {str(os.path.dirname(__file__))!r})
import headless
session = headless.start({str(home)!r})
from chimerax.core.commands import run
star, out = {str(trained.parent / "particles.star")!r}, {str(tmp_path / "run")!r}
run(session, f'hetero train linear "{{star}}" out "{{out}}" zdim 2 wait false')
import os
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", words], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    (job,) = run("hetero jobs")
    assert job.verb == "train-linear"
    until(settle, lambda: _read(job).ended)
    (job,) = run("hetero jobs")
    assert job.state == "finished" and job.pid != os.getpid()
    run("hetero jobs open 1")
    assert session.models.list()[0].zdim == 2


def test_lines_that_were_cut_off_are_passed_over(tmp_path):
    """A process that is ended within a line leaves half of it."""
    from chimerax.hetero.jobs import Job

    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    answers = tmp_path / "answers.jsonl"
    step = json.dumps({"progress": {"done": 3, "total": 9, "message": "at it"}})
    answers.write_text(f"{step}\n{step[:7]}")
    job = Job(str(tmp_path), "blocks", "out", process.pid)
    job.stop()
    process.wait(30)
    again = _read(Job(str(tmp_path), "blocks", "out", process.pid))
    assert (again.failure, again.message) == ("was stopped", "at it (3 of 9)")
    assert answers.read_text().splitlines()[1] == step[:7]


def test_a_job_that_dies_says_so(session, run, log, settle, long_job):
    until(settle, lambda: "(" in long_job.message)
    os.kill(long_job.pid, signal.SIGKILL)
    until(settle, lambda: long_job.ended)
    assert "'train-vae' ended without a result" in long_job.failure
    until(settle, lambda: "job 1: 'train-vae' ended without a result" in log.getvalue())


def test_siren_finds_the_blocks_of_open_maps(session, run, log, tmp_path):
    left, right = halves()
    rng = np.random.default_rng(0)
    folder = tmp_path / "maps"
    folder.mkdir()
    for i in range(40):
        there = np.zeros((32,) * 3, np.float32)
        there[left] = rng.random() < 0.5
        there[right] = rng.random() < 0.5
        write_mrc(folder / f"vol_{i:02d}.mrc", there + 0.05 * rng.standard_normal(there.shape).astype(np.float32))
    (folder / "ensemble.csv").write_text("name,level\n" + "".join(f"vol_{i:02d},0.5\n" for i in range(40)))
    run(f'hetero open "{folder}"')
    job = run(f'hetero siren #1 minKda 0.5 save "{tmp_path}/found"')
    assert job.result["n"] == 2
    blocks = next(m for m in session.models.list() if type(m).__name__ == "BlocksModel")
    sizes = sorted(row["n_voxels"] for row in blocks.rows)
    assert sizes == pytest.approx(sorted(mask.sum() for mask in (left, right)), rel=0.05)


@pytest.mark.parametrize(
    ("command", "verbs", "ours"),
    [
        ("train", ("train-vae", "train-gmm", "train-linear"), {"ctf"}),  # train-gmm calls it ctf_file
        ("siren", ("blocks",), {"save"}),
        ("analyze", ("analyze",), {"clusters", "umap"}),  # k, skip_umap
        ("classes", ("classes",), {"color", "save"}),
        ("populations", ("populations",), {"save"}),
        ("path", ("traverse",), {"from", "to", "through", "method", "frames", "save"}),
    ],
)
def test_the_keywords_of_a_command_are_settings_of_the_engine(session, run, log, engine, command, verbs, ours):
    words = f"""
import dataclasses, json
from hetero.commands import load
print(json.dumps([f.name for verb in {verbs} for f in dataclasses.fields(load(verb).Settings)]))
"""
    done = subprocess.run([engine, "-c", words], check=True, capture_output=True, text=True)
    run(f"usage hetero {command}")
    keywords = set(re.findall(r"\[([a-z]\w*) ", log.getvalue())) - ours - {"wait"}
    snake = {re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", keyword) for keyword in keywords}
    assert len(snake) >= 3 and snake <= set(json.loads(done.stdout)), snake - set(json.loads(done.stdout))


def test_sentences(session, run, sentence, tmp_path):
    write_mrc(tmp_path / "a.mrc", np.ones((8, 8, 8), np.float32))
    run(f'open "{tmp_path}/a.mrc"')
    assert "is a single map" in sentence("hetero siren #1")
    assert "There is no job 7" in sentence("hetero jobs stop 7")
    assert "No number was given" in sentence("hetero jobs open")


def _read(job):
    job.look()
    return job


def _runs(pid):
    from chimerax.hetero.process import is_alive

    for _ in range(100):
        if not is_alive(pid):
            return False
        time.sleep(0.05)
    return True
