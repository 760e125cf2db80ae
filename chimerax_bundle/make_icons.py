"""The icons of the toolbar, drawn with Pillow: python chimerax_bundle/make_icons.py"""

from pathlib import Path

from PIL import Image, ImageDraw

SIZE, FINE = 64, 8
INK, RED, GREEN, BLUE, SAND = "#3b4252", "#ee6677", "#228833", "#4477aa", "#ccbb44"


def canvas():
    """An empty icon, eight times as large, and its pencil in units of 1/64."""
    image = Image.new("RGBA", (SIZE * FINE,) * 2, (0, 0, 0, 0))
    return image, ImageDraw.Draw(image)


def at(*numbers):
    """Units of 1/64 to pixels."""
    return [FINE * number for number in numbers]


def draw_open(pen):
    """A folder."""
    pen.polygon(at(6, 16, 26, 16, 32, 23, 58, 23, 58, 54, 6, 54), fill=SAND, outline=INK, width=24)


def draw_level(pen):
    """A hill, cut at a height."""
    pen.polygon(at(4, 54, 20, 20, 30, 32, 42, 12, 60, 54), fill=BLUE)
    pen.line(at(2, 36, 62, 36), fill=RED, width=36)


def draw_latents(pen):
    """A cloud of points, one of them marked."""
    for x, y in ((14, 44), (20, 36), (24, 46), (30, 40), (36, 44), (42, 22), (48, 28), (50, 18), (40, 30), (28, 30)):
        pen.ellipse(at(x - 4, y - 4, x + 4, y + 4), fill=BLUE)
    pen.ellipse(at(39, 15, 53, 29), outline=RED, width=28)


def draw_blocks(pen):
    """Three blocks."""
    for box, color in (((8, 30, 30, 54), RED), ((34, 30, 56, 54), GREEN), ((21, 8, 43, 27), BLUE)):
        pen.rounded_rectangle(at(*box), radius=32, fill=color)


def draw_series(pen):
    """Maps behind one another, and a slider."""
    for i, color in enumerate((SAND, GREEN, BLUE)):
        pen.ellipse(at(8 + 11 * i, 8, 34 + 11 * i, 34), fill=color)
    pen.line(at(6, 50, 58, 50), fill=INK, width=24)
    pen.ellipse(at(28, 43, 42, 57), fill=RED)


def draw_jobs(pen):
    """Bars that fill."""
    for y, share, color in ((10, 1.0, GREEN), (28, 0.6, BLUE), (46, 0.25, SAND)):
        pen.rectangle(at(6, y, 58, y + 10), outline=INK, width=12)
        pen.rectangle(at(6, y, 6 + 52 * share, y + 10), fill=color)


def draw_stop(pen):
    """A stop."""
    pen.rounded_rectangle(at(14, 14, 50, 50), radius=40, fill=RED)


def draw_engine(pen):
    """A chip."""
    for i in (18, 28, 38, 48):
        pen.line(at(i, 4, i, 60), fill=INK, width=20)
        pen.line(at(4, i, 60, i), fill=INK, width=20)
    pen.rectangle(at(12, 12, 54, 54), fill=BLUE)


def draw_help(pen):
    """A question mark."""
    pen.arc(at(18, 8, 46, 36), 180, 90, fill=INK, width=48)
    pen.line(at(32, 33, 32, 44), fill=INK, width=48)
    pen.ellipse(at(28, 49, 36, 57), fill=INK)


def main():
    """Write them all."""
    folder = Path(__file__).parent / "src" / "icons"
    folder.mkdir(exist_ok=True)
    for name, draw in globals().copy().items():
        if name.startswith("draw_"):
            image, pen = canvas()
            draw(pen)
            image.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(folder / f"{name[5:]}.png", optimize=True)


if __name__ == "__main__":
    main()
