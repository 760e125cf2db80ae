"""The toolbar's tab and the presets, with ChimeraX's own managers of them."""

import os
from importlib import import_module

import pytest
from scenes import blob, is_command

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def bundle(session):
    return session.toolshed.find_bundle("ChimeraX-Hetero", session.logger)


@pytest.fixture
def buttons(session, bundle):
    """The tab, as ChimeraX's toolbar lays it out: section -> button -> (name, bundle, icon, description, more)."""
    from chimerax.toolbar.manager import ToolbarManager

    manager = ToolbarManager(session, "toolbar")
    for name, words in bundle.providers.items():
        kind, _, button = name.partition("/")
        if kind == "toolbar":
            manager.add_provider(bundle, button, **words)
    return manager._toolbar["Heterogeneity"]


def test_every_button_has_an_icon_and_says_what_it_does(buttons):
    names = [button for section in buttons.values() for button in section]
    assert set(names) == {"Open", "Level", "Series", "Latents", "Blocks", "Jobs", "Stop", "Engine", "Help"}
    for section in buttons.values():
        for _, _, icon, description, _ in section.values():
            assert os.path.isfile(icon) and len(description) > 10


def test_every_button_runs_a_command_that_there_is(session, run, monkeypatch, buttons, bundle):
    """All but Open, which asks for a folder first."""
    blob(session)
    session.update_loop.draw_new_frame()
    module, said = import_module("chimerax.hetero.buttons"), []
    monkeypatch.setattr(module, "run", lambda _session, words: said.append(words))
    for section in buttons.values():
        for name in section:
            if name != "Open":
                bundle.run_provider(session, name, None)
    assert len(said) == 8 and "hetero level #1" in said
    for words in said:
        if not words.startswith("ui "):  # PyPI's ChimeraX has no such command
            assert is_command(session, words), words


def test_open_asks_for_a_folder(session, run, monkeypatch, bundle, trained):
    from Qt.QtWidgets import QFileDialog

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(trained))
    bundle.run_provider(session, "Open", None)
    assert type(session.models.list()[0]).__name__ == "RunModel"


def test_level_needs_a_map(session, bundle):
    from chimerax.core.errors import UserError

    with pytest.raises(UserError, match="No map is displayed"):
        bundle.run_provider(session, "Level", None)


def test_presets_change_the_view(session, run):
    run('preset heterogeneity "blocks and maps (white)"')
    assert tuple(session.main_view.background_color[:3]) == (1, 1, 1) and session.main_view.silhouette.enabled
    run('preset heterogeneity "motion (black)"')
    assert tuple(session.main_view.background_color[:3]) == (0, 0, 0) and not session.main_view.silhouette.enabled
