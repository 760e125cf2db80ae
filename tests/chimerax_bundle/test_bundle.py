"""The bundle as a package: help, usage, metadata, size, and what importing it costs."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pytest
from scenes import is_command

BUNDLE = Path(__file__).parents[2] / "chimerax_bundle"
PROJECT = tomllib.loads((BUNDLE / "pyproject.toml").read_text())
COMMANDS = sorted(PROJECT["chimerax"]["command"])


class Page(HTMLParser):
    """Anchors, links and words of an HTML page."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.words = set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[name] for name in ("id", "name") if name in attrs}
        self.links |= {attrs["href"]} if "href" in attrs else set()

    def handle_data(self, data):
        self.words += data


@pytest.fixture
def page(session):
    """The installed help page."""
    folder = Path(import_module("chimerax.hetero").__file__).parent
    return Page((folder / "docs/user/commands/hetero.html").read_text(encoding="utf8"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_usage_and_a_help_anchor(session, run, log, page, command):
    from chimerax.core.commands.cli import command_url

    run(f"usage {command}")
    assert command in log.getvalue() and " -- " in log.getvalue()
    anchor = "-".join(command.split()[1:])
    assert command_url(command) == f"help:user/commands/hetero.html#{anchor}"
    assert anchor in page.anchors


def test_the_help_page_tells_every_keyword_and_its_links_lead_somewhere(session, run, log, page):
    for command in COMMANDS:
        run(f"usage {command}")
    keywords = set(re.findall(r"\[([a-z]\w*) ", log.getvalue()))
    assert {"method", "percentile", "onto", "particle", "outline", "frames"} <= keywords
    words = set(re.findall(r"\w+", page.words))
    assert not keywords - words, keywords - words
    for link in page.links:
        assert link.startswith(("http", "help:", "../")) or link.removeprefix("#") in page.anchors, link


def test_the_tutorial_s_commands_exist_and_its_pictures_are_there(session):
    """The pictures are made by these commands (make_tutorial.py), so the commands ran when they were made."""
    sys.path.insert(0, str(BUNDLE))
    try:
        from make_tutorial import PAGE, Steps
    finally:
        sys.path.remove(str(BUNDLE))
    page = PAGE.read_text(encoding="utf-8")
    folder = Path(import_module("chimerax.hetero").__file__).parent / "docs/user"
    for link in re.findall(r'(?:href|src)="([^"#]+)', page):
        if "userdocs" not in link:
            assert (folder / "tutorials" / link).is_file(), link
    steps = Steps(page).steps
    assert [kind for kind, _ in steps].count("picture") == 6
    for kind, words in steps:
        if kind == "chimerax" and words.startswith("hetero"):
            assert is_command(session, words), words


def test_every_command_of_the_metadata_can_be_registered(session):
    assert sorted(import_module("chimerax.hetero")._COMMAND_MODULES) == COMMANDS


def test_the_installed_bundle_is_this_one(session):
    info = session.toolshed.find_bundle("ChimeraX-Hetero", session.logger)
    assert info is not None and info.version == PROJECT["project"]["version"]
    assert sorted(command.name for command in info.commands) == COMMANDS


def test_the_bundle_loads_nothing_until_it_is_used(session):
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("chimerax.hetero")}
    try:
        import_module("chimerax.hetero")
        assert [name for name in sys.modules if name.startswith("chimerax.hetero")] == ["chimerax.hetero"]
    finally:
        sys.modules.update(kept)
        sys.modules["chimerax"].hetero = kept["chimerax.hetero"]


def test_the_wheel_is_small_and_says_what_the_project_says(session, tmp_path):
    copy = shutil.copytree(
        BUNDLE, tmp_path / "bundle", ignore=shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__")
    )
    build = [sys.executable, "-m", "pip", "wheel", str(copy), "--no-build-isolation", "--no-deps", "-w", str(tmp_path)]
    done = subprocess.run(build, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size <= 1_000_000
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        text = archive.read(metadata).decode()
        names = archive.namelist()
        assert "chimerax/hetero/docs/user/commands/hetero.html" in names
        assert sum(name.endswith(".png") for name in names) == 15  # icons, and pictures of the tutorial
    assert "Name: ChimeraX-Hetero" in text and f"Version: {PROJECT['project']['version']}" in text
    assert "ChimeraX :: Tool :: Hetero Latent :: Volume Data" in text
    for command in COMMANDS:
        assert f"ChimeraX :: Command :: {command} :: Volume Data" in text
