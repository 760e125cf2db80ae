"""`hetero install`: an environment of the engine's own, made for real; the engine in it is a small stand-in."""

import os
import subprocess
import sys
import zipfile

import pytest

HELLO = """import sys
print('{"hello": "hetero", "version": "9.9", "protocol": 1, "device": "cpu"}', flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def no_torch(session, monkeypatch):
    """As on a machine with a driver: torch is not fetched for an engine that is a stand-in."""
    monkeypatch.setattr("chimerax.hetero.install._DRIVERS", (sys.executable,))


def write_wheel(folder, engine=HELLO):
    """A wheel of a package hetero-em whose `python -m hetero serve` only greets."""
    path = folder / "hetero_em-9.9-py3-none-any.whl"
    info = "hetero_em-9.9.dist-info"
    files = {
        "hetero/__init__.py": "",
        "hetero/__main__.py": engine,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: hetero-em\nVersion: 9.9\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    return path


def test_the_engine_is_installed_tried_and_remembered(session, run, log, tmp_path):
    from chimerax.hetero.settings import settings_of

    task = run(f'hetero install "{tmp_path}/engine" source "{write_wheel(tmp_path)}"')
    session.ui.process()
    python = str(tmp_path / "engine" / "bin" / "python")
    assert not task.failure and settings_of(session).python == python
    assert f"hetero engine 9.9 is installed in {tmp_path}/engine" in log.getvalue()
    assert "Successfully installed hetero-em-9.9" in log.getvalue()  # pip's own words
    prefix = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], check=True, capture_output=True, text=True)
    assert prefix.stdout.strip() == str(tmp_path / "engine") != sys.prefix


def test_an_engine_that_does_not_speak_is_taken_away_again(session, run, log, tmp_path):
    from chimerax.hetero.settings import settings_of

    wheel = write_wheel(tmp_path, "raise SystemExit('this engine is broken')")
    with pytest.raises(Exception, match="this engine is broken"):
        run(f'hetero install "{tmp_path}/engine" source "{wheel}"')
    assert settings_of(session).python == "" and not (tmp_path / "engine").exists()


def test_a_source_that_pip_refuses_is_one_sentence(run, sentence, tmp_path):
    (tmp_path / "no.whl").write_text("nothing")
    assert "The engine was not installed: " in sentence(
        f'hetero install "{tmp_path}/engine" source "{tmp_path}/no.whl"'
    )
    assert not (tmp_path / "engine").exists()


def test_a_folder_of_something_else_is_kept(sentence, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    assert "holds something that is no environment" in sentence(f'hetero install "{tmp_path}/mine"')
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]
    assert "is not there" in sentence(f'hetero install "{tmp_path}/e" source /nowhere.whl')


def test_the_cuda_build_is_taken_only_where_there_is_a_driver(session):
    from chimerax.hetero.install import steps

    with_it, without = (["".join(words) for words, _ in steps("/e", driver=driver)] for driver in (True, False))
    assert not any("whl/cpu" in words for words in with_it)
    if sys.platform.startswith("linux"):
        (torch,) = (words for words in without if "whl/cpu" in words)
        assert torch.endswith("torch") and without.index(torch) == len(without) - 2


def test_where_the_small_torch_is_out_of_reach_the_engine_is_installed_all_the_same(
    session, run, log, tmp_path, monkeypatch
):
    monkeypatch.setattr("chimerax.hetero.install._DRIVERS", ())
    monkeypatch.setattr("chimerax.hetero.install._CPU_TORCH", f"file://{tmp_path}/nowhere")
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    task = run(f'hetero install "{tmp_path}/engine" source "{write_wheel(tmp_path)}"')
    session.ui.process()
    assert not task.failure and "going on without it" in log.getvalue()
    assert f"hetero engine 9.9 is installed in {tmp_path}/engine" in log.getvalue()
