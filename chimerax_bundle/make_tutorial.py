"""The tutorial's pictures, by the tutorial's own commands; run it in the ChimeraX environment:

python chimerax_bundle/make_tutorial.py

It works in a home folder of its own. The engine is the one of HETERO_PYTHON (a Python that has hetero-em).
"""

import os
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "chimerax_bundle"))

import headless

PAGE = Path(__file__).parent / "src/docs/user/tutorials/hetero.html"
SIZE = 450, 340


class Steps(HTMLParser):
    """``steps``: ("terminal" | "chimerax", command) and ("picture", name), in the page's order."""

    def __init__(self, text):
        super().__init__()
        self.steps, self._inside = [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Commands begin, or a picture is wanted."""
        attrs = dict(attrs)
        if tag == "pre":
            self._inside = attrs.get("class", "chimerax")
        elif tag == "img":
            self.steps.append(("picture", attrs["src"]))

    def handle_endtag(self, tag):
        """Commands end."""
        if tag == "pre":
            self._inside = None

    def handle_data(self, data):
        """One command a line."""
        if self._inside:
            self.steps += [(self._inside, line) for line in data.strip().splitlines()]


class Tutor:
    """Does the steps in a real ChimeraX without a window."""

    def __init__(self, home):
        self.home, self._panel, self._film = home, None, None
        self.session = headless.start(home)
        sys.modules["chimerax.ui"] = headless.stand_in_window()
        import_module("chimerax.hetero.cmd.latent").has_window = lambda _session: True
        self.chimerax("windowsize 900 680")

    def terminal(self, command):
        """A command of the engine."""
        words = command.replace("~", self.home).split()
        subprocess.run([os.environ["HETERO_PYTHON"], "-m", *words, "--quiet"], check=True)

    def chimerax(self, command):
        """A command of ChimeraX; panels open in the stand-in of its window."""
        from chimerax.core.commands import run

        if command.startswith("ui tool show"):
            tool = SimpleNamespace(name=command.split('"')[1])
            self._panel = import_module("chimerax.hetero").bundle_api.start_tool(self.session, None, tool)
        else:
            answer = run(self.session, command)
            if command.startswith("hetero latent"):
                self._panel = answer
            elif command.startswith("hetero movie"):
                self._film = answer
        self.session.ui.process()
        self.session.update_loop.draw_new_frame()  # surfaces are made when a frame is drawn

    def picture(self, name):
        """What is seen: a panel, a frame of the film, or the scene."""
        from PIL import Image

        path = str(PAGE.with_name(name))
        if name.endswith("_panel.png"):
            area = self._panel.tool_window.ui_area
            area.resize(*SIZE)
            self.session.update_loop.draw_new_frame()
            area.grab().save(path)
        elif name.endswith("_movie.png"):
            words = ["ffmpeg", "-v", "error", "-y", "-i", self._film, "-vf", r"select=eq(n\,6)", "-frames:v", "1", path]
            subprocess.run(words, check=True)
        else:
            self.chimerax(f'save "{path}" width {SIZE[0]} height {SIZE[1]} supersample 3')
        Image.open(path).convert("RGB").save(path, optimize=True)
        print(f"written: {path}")


def main():
    """Go through the page."""
    with tempfile.TemporaryDirectory() as home:
        tutor = Tutor(home)
        for kind, words in Steps(PAGE.read_text(encoding="utf-8")).steps:
            getattr(tutor, kind)(words)
        tutor.session.triggers.activate_trigger("app quit", None)


if __name__ == "__main__":
    main()
