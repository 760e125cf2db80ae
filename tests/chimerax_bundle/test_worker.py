"""A worker that dies, lies or says nothing costs one sentence; the next command works."""

import itertools
import os
import signal
import stat
import struct
import sys
import time

import pytest
from scenes import blob, blob_array, write_mrc

HELLO = """print('{"hello": "hetero", "version": "0.1.0", "protocol": 1, "device": "cpu"}', flush=True); """
MISBEHAVIOUR = {
    "garbage": HELLO + "sys.stdin.readline(); print('Segmentation faul', flush=True); time.sleep(60)",
    "dies": HELLO + "sys.stdin.readline(); sys.exit('out of memory')",
    "deaf": HELLO + "time.sleep(60)",
    "silent": "time.sleep(60)",
    "newer": """print('{"hello": "hetero", "version": "9.0", "protocol": 99}', flush=True); time.sleep(60)""",
    "stranger": "print('Welcome to my shell', flush=True); time.sleep(60)",
    "no engine": "sys.exit('No module named hetero')",
}


@pytest.fixture
def fake(session, tmp_path, monkeypatch):
    """Make the engine's Python a script that misbehaves in a named way."""

    def become(kind):
        from chimerax.hetero.worker import close_worker

        close_worker(session)
        script = tmp_path / "python3"
        script.write_text(f"#!{sys.executable}\nimport sys, time\n{MISBEHAVIOUR[kind]}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("HETERO_PYTHON", str(script))
        return script

    return become


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("garbage", "wrote something other than an answer to 'level' and was stopped"),
        ("dies", "died while it worked on 'level' (out of memory)"),
        ("silent", "no engine spoke within 1 s"),
        ("newer", "version 9.0 and speaks protocol 99, where this bundle speaks protocol 1"),
        ("stranger", "what spoke is not the hetero engine"),
        ("no engine", "could not run the engine (No module named hetero)"),
    ],
)
def test_misbehaviour_is_one_sentence_and_the_next_command_works(
    session, run, sentence, engine, fake, monkeypatch, kind, part
):
    volume = blob(session)
    run("volume #1 level 0.9")
    fake(kind)
    monkeypatch.setattr("chimerax.hetero.worker_process.HELLO_TIMEOUT", 1.0 if kind == "silent" else 30.0)
    assert part in sentence("hetero level #1")
    assert volume.surfaces[0].level == 0.9
    monkeypatch.setenv("HETERO_PYTHON", engine)
    monkeypatch.setattr("chimerax.hetero.worker_process.HELLO_TIMEOUT", 60.0)
    (level,) = run("hetero level #1 method percentile")
    assert volume.surfaces[0].level == pytest.approx(level)


@pytest.fixture
def at_work(session, run, engine, monkeypatch):
    """Call a function with the real worker when it has begun to work on a request."""
    run("hetero engine")

    def when_working(action):
        status, calls = session.logger.status, []

        def watch(text, *args, **options):
            status(text, *args, **options)
            if text.startswith("hetero level:") and not calls:
                calls.append(text)
                action(session._hetero_worker)

        monkeypatch.setattr(session.logger, "status", watch)

    return when_working


def test_killed_in_mid_request(session, run, sentence, at_work):
    volume = blob(session)
    run("volume #1 level 0.9")
    at_work(lambda worker: os.kill(worker.pid, signal.SIGKILL))
    assert "The engine died while it worked on 'level'" in sentence("hetero level #1")
    assert volume.surfaces[0].level == 0.9
    (level,) = run("hetero level #1")
    assert volume.surfaces[0].level == pytest.approx(level)


@pytest.fixture
def control_c_is_heeded():
    """Also where a shell's background job began with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("control_c_is_heeded")
def test_control_c_stops_the_request_and_keeps_the_worker(session, run, sentence, at_work):
    for i in range(6):
        blob(session, f"blob {i}")
    at_work(lambda worker: signal.raise_signal(signal.SIGINT))
    pid = session._hetero_worker.pid
    assert sentence("hetero level #1-6") == "'level' was stopped; nothing was changed."
    run("hetero level #1 method percentile")
    assert session._hetero_worker.pid == pid


def test_stop_command(session, run, sentence, at_work, log):
    for i in range(6):
        blob(session, f"blob {i}")
    at_work(lambda worker: run("hetero stop"))
    assert "was stopped" in sentence("hetero level #1-6")
    run("hetero stop")
    assert "is not working on anything" in log.getvalue()


def test_a_second_command_meanwhile_is_a_sentence(session, run, sentence, at_work):
    for i in range(2):
        blob(session, f"blob {i}")
    told = []
    at_work(lambda worker: told.append(sentence("hetero level #2")))
    run("hetero level #1")
    assert "still working on 'level'" in told[0]


def test_a_worker_that_falls_silent_is_told_about_and_chimerax_lives_on(
    session, run, sentence, engine, fake, monkeypatch
):
    """No answer for a while: events are handled all the time, the user is told, and 'hetero stop' ends it."""
    from chimerax.hetero.worker import worker_of

    monkeypatch.setattr("chimerax.hetero.worker_process.CANCEL_TIMEOUT", 0.3)
    monkeypatch.setattr("chimerax.hetero.worker_process.SILENCE", 0.5)
    volume = blob(session)
    run("volume #1 level 0.9")
    fake("deaf")
    worker, events, told = worker_of(session), [], []

    def window_lives():
        events.append(time.monotonic())
        if len(told) == 2 and worker.busy:
            run("hetero stop")

    monkeypatch.setattr(worker, "_wait", window_lives)
    monkeypatch.setattr(
        session.logger, "status", lambda text, *_, **__: told.append(text) if "nothing" in text else None
    )
    assert "did not stop by itself" in sentence("hetero level #1")
    assert told[0] == "hetero level: the engine has said nothing for 0.5 s; 'hetero stop' stops it"
    assert len(told) == 2 and max(b - a for a, b in itertools.pairwise(events)) < 0.5
    assert volume.surfaces[0].level == 0.9
    monkeypatch.setenv("HETERO_PYTHON", engine)
    (level,) = run("hetero level #1 method percentile")
    assert volume.surfaces[0].level == pytest.approx(level)


def test_an_engine_without_memory_says_so_and_works_on(session, run, sentence, engine, tmp_path, monkeypatch):
    """The real engine under a limit of 3 GB is asked for a map of 5 GB (a file of holes)."""
    from chimerax.hetero.worker import close_worker

    write_mrc(tmp_path / "big.mrc", blob_array(8))
    header = bytearray((tmp_path / "big.mrc").read_bytes()[:1024])
    for start in (0, 28):  # voxels, and intervals, along x, y, z
        header[start : start + 12] = struct.pack("<3i", 1100, 1100, 1100)
    with open(tmp_path / "big.mrc", "wb") as file:
        file.write(header)
        file.truncate(len(header) + 4 * 1100**3)
    close_worker(session)
    script = tmp_path / "python3"
    script.write_text(f'#!/bin/sh\nulimit -v 3000000\nexec "{engine}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("HETERO_PYTHON", str(script))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "big.mrc cannot be read as an MRC map: it does not fit into memory" in sentence(
        f'hetero open "{tmp_path}/big.mrc"'
    )
    pid = session._hetero_worker.pid
    write_mrc(tmp_path / "small.mrc", blob_array())
    run(f'open "{tmp_path}/small.mrc"')
    run("hetero level #1 method percentile")
    assert session._hetero_worker.pid == pid
    close_worker(session)


def test_a_deaf_worker_is_ended_when_stopped(session, run, sentence, fake, monkeypatch):
    from chimerax.hetero.worker import worker_of

    monkeypatch.setattr("chimerax.hetero.worker_process.CANCEL_TIMEOUT", 0.3)
    blob(session)
    fake("deaf")
    worker = worker_of(session)
    monkeypatch.setattr(worker, "_wait", lambda: worker.cancel() if worker.busy else None)
    assert "did not stop by itself" in sentence("hetero level #1")
    assert not worker.alive


def test_engine_reports_and_remembers(session, run, log, engine, monkeypatch):
    hello = run("hetero engine")
    assert f"hetero engine {hello['version']}, protocol 1, device" in log.getvalue() and engine in log.getvalue()
    run(f'hetero engine "{engine}"')
    monkeypatch.delenv("HETERO_PYTHON")
    run("hetero engine")
    assert "chosen with 'hetero engine'" in log.getvalue()


def test_an_engine_that_does_not_work_is_not_remembered(session, run, sentence, engine, fake):
    from chimerax.hetero.settings import settings_of

    script = fake("no engine")
    assert "No module named hetero" in sentence(f'hetero engine "{script}"')
    assert "is not a Python that can be run" in sentence("hetero engine /nowhere/python")
    assert settings_of(session).python == ""


def test_no_engine_at_all_says_how_to_get_one(session, sentence, monkeypatch):
    from chimerax.hetero.worker import close_worker

    close_worker(session)
    blob(session)
    monkeypatch.delenv("HETERO_PYTHON", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "pip install hetero-em" in sentence("hetero level #1")


def test_the_engine_is_found_by_the_hetero_on_the_path(session, run, log, engine, tmp_path, monkeypatch):
    from chimerax.hetero.worker import close_worker

    close_worker(session)
    script = tmp_path / "hetero"
    script.write_text(f"#!{engine}\n")
    script.chmod(0o755)
    monkeypatch.delenv("HETERO_PYTHON")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    run("hetero engine")
    assert "that of the 'hetero' on the PATH" in log.getvalue()


def test_chimeraxs_own_python_settings_do_not_reach_the_worker(session):
    from chimerax.hetero.process import clean_environment

    environment = {"PYTHONHOME": "/cx", "PYTHONPATH": "/cx/lib", "HOME": "/h", "LD_LIBRARY_PATH": "/cx/lib:/opt/lib"}
    assert clean_environment(environment, prefix="/cx") == {"HOME": "/h", "LD_LIBRARY_PATH": "/opt/lib"}
    assert environment["PYTHONHOME"] == "/cx"


def test_the_worker_ends_with_chimerax(session, run, engine):
    run("hetero engine")
    pid = session._hetero_worker.pid
    session.triggers.activate_trigger("app quit", None)
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.02)
