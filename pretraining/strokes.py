"""Symbols drawn by program: digits in the forms that people write, and letters as negative examples."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pretraining import typefaces, written_forms
from pretraining.typefaces import Glyph
from pretraining.written_forms import Form, Stroke

Mask = NDArray[np.float32]  # (height, width), 0 = paper .. 1 = ink
Path2D = NDArray[np.float64]  # (points, 2), x and y

CANVAS = 128  # px, side of a drawn symbol
SAMPLES = 12  # points drawn for each piece of a curve
LOOKALIKE_FRACTION = 0.25  # of the letters drawn
PEN = (0.01, 0.15)  # narrowest and widest pen, of the canvas
MAX_PEN = 0.22  # of the width of a form: a wider pen would fill its holes
WITHOUT_HOLES = (1, 2, 3, 5, 7)  # which people write with any pen, until the corner of a 1 is full of ink

# Typefaces that come with matplotlib, in the styles that print has.
FACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "Mono", "Mono-Bold")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)
FACES_WITH_MORE = tuple(face for face in FACES if face.startswith("DejaVu"))  # Greek and Cyrillic letters


def digit(value: int, rng: np.random.Generator) -> Mask:
    """Draw the digit `value` in one of its forms."""
    frequencies = np.array([form.frequency for form in written_forms.DIGITS[value]])
    form = written_forms.DIGITS[value][rng.choice(len(frequencies), p=frequencies / frequencies.sum())]
    return draw_form(form, rng, any_pen=value in WITHOUT_HOLES)


def draw_form(form: Form, rng: np.random.Generator, any_pen: bool = False) -> Mask:
    """Draw a digit in a form; on a display it is steadier than by hand."""
    unsteady = 0.3 if form.kind == "display" else 1
    return draw(written_forms.strokes_of(form.strokes), rng, unsteady, any_pen)


def letter(rng: np.random.Generator) -> Mask:
    """Draw a letter or another sign that is not a digit, by hand, in print or in a typeface like handwriting."""
    kind = rng.random()
    if kind < 0.4:
        drawn = written_forms.LOOKALIKES if rng.random() < LOOKALIKE_FRACTION else written_forms.LETTERS
        return draw(written_forms.strokes_of(drawn[rng.integers(len(drawn))]), rng)
    if kind < 0.7 and typefaces.handwriting():  # in which B, D, G, Q, c, i, j and q are too much like digits
        letters = written_forms.PRINTED_LETTERS
        return in_handwriting(letters[rng.integers(len(letters))], rng)
    some = rng.choice(
        [written_forms.PRINTED_LOOKALIKES, written_forms.PRINTED_LETTERS, written_forms.OTHER_SIGNS],
        p=[0.2, 0.55, 0.25],
    )
    return printed(some[rng.integers(len(some))], rng)


def printed(character: str, rng: np.random.Generator) -> Mask:
    """Set a character in one of FACES."""
    faces = FACES if character.isascii() else FACES_WITH_MORE
    return typeset(Glyph(character, _printed_faces() / f"{faces[rng.integers(len(faces))]}.ttf"), rng)


def in_handwriting(character: str, rng: np.random.Generator) -> Mask:
    """Set a character in a typeface like handwriting, or in print when none has been downloaded."""
    faces = typefaces.handwriting()
    return typeset(Glyph(character, faces[rng.integers(len(faces))]), rng) if faces else printed(character, rng)


def typeset(glyph: Glyph, rng: np.random.Generator) -> Mask:
    """Draw a character of a typeface over most of the canvas, with random weight, width, slant and rotation."""
    left, top, right, bottom = _font(glyph.path, CANVAS).getbbox(glyph.character)
    font = _font(glyph.path, round(0.7 * CANVAS * CANVAS / max(right - left, bottom - top, 0.4 * CANVAS)))
    left, top, right, bottom = font.getbbox(glyph.character)
    page = Image.new("L", (CANVAS, CANVAS), 0)
    corner = (CANVAS - left - right) / 2, (CANVAS - top - bottom) / 2
    weight = int(rng.integers(0, 5) * (rng.random() < 0.7))
    ImageDraw.Draw(page).text(corner, glyph.character, 255, font, stroke_width=weight)
    wide, slant, turn = np.exp(rng.normal(0, 0.15)), rng.normal(0, 0.1), rng.normal(0, 0.08)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[wide, slant], [0, 1]]
    offset = CANVAS / 2 - matrix @ [CANVAS / 2, CANVAS / 2]
    places = (*matrix[0], offset[0], *matrix[1], offset[1])
    moved = page.transform(page.size, Image.Transform.AFFINE, places, Image.Resampling.BILINEAR)
    return np.asarray(moved, dtype=np.float32) / np.float32(255)


def seven_segments(digit: str, rng: np.random.Generator) -> Mask:
    """Draw a digit as a display shows it, with straight segments of one width, upright or slanted."""
    pen, slant = round(CANVAS * rng.uniform(0.05, 0.12)), rng.uniform(0, 0.2)
    forms = [form for form in written_forms.DIGITS[int(digit)] if form.kind == "display"]
    page = Image.new("L", (CANVAS, CANVAS), 0)
    for stroke in written_forms.strokes_of(forms[int(rng.random() * len(forms))].strokes):
        points = [(0.2 + 0.8 * (x - slant * (y - 1)), 0.1 + 0.8 * y) for x, y in stroke]
        ImageDraw.Draw(page).line([(CANVAS * x, CANVAS * y) for x, y in points], 255, pen)
    return np.asarray(page, dtype=np.float32) / np.float32(255)


@cache
def _printed_faces() -> Path:
    """Return matplotlib's folder of typefaces."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """Return a typeface `size` px high."""
    return ImageFont.truetype(path, size)


def scribble(rng: np.random.Generator) -> Mask:
    """Draw random strokes."""
    strokes = [
        [(float(x), float(y)) for x, y in rng.random((rng.integers(3, 9), 2))] for _ in range(rng.integers(2, 5))
    ]
    return draw(strokes, rng)


def draw(strokes: list[Stroke], rng: np.random.Generator, unsteady: float = 1.0, any_pen: bool = False) -> Mask:
    """Draw strokes in some handwriting: points displaced, slanted, stretched, angular or smooth, with a pen that fills no hole.

    `unsteady` scales the displacement of the points: 0 for strokes that a person drew. `any_pen` is for those without holes.
    """
    points = np.concatenate([np.array(stroke) for stroke in strokes])
    wide = float(np.exp(rng.normal(0, 0.18)) if rng.random() < 0.75 else np.exp(rng.uniform(-0.8, 0.8)))
    curves = _curves(strokes, unsteady * rng.uniform(0.005, 0.055), rng)
    matrix = _slanted(rng) @ [[wide, 0], [0, 1]]
    paths = [curve @ matrix.T for curve in curves]
    pen = np.exp(rng.uniform(*np.log(PEN))) if rng.random() < 0.5 else rng.uniform(0.03, PEN[1])
    room = float(np.ptp(points[:, 0])) * wide
    if room > 0.2 and not any_pen:  # else it is a bar, which has nothing to fill
        everything = np.concatenate(paths)
        pen = min(pen, max(PEN[0], MAX_PEN * room / float(np.ptp(everything, axis=0).max())))
    return _inked(paths, pen * CANVAS, bool(rng.random() < 0.7))


def _slanted(rng: np.random.Generator) -> Path2D:
    """Return a matrix (2, 2) that slants, in a few hands by up to 45 degrees, and rotates a little."""
    slant = rng.normal(0.12, 0.2) if rng.random() < 0.75 else rng.uniform(-0.45, 1)  # to the right per unit upwards
    turn = rng.normal(0, 0.08)  # radians
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, -slant], [0, 1]]


def _curves(strokes: list[Stroke], deviation: float, rng: np.random.Generator) -> list[Path2D]:
    """Return the curves through the displaced points of the strokes, bent as a whole, with tremor and a gap in some."""
    bend = rng.normal(0, 0.035, size=(2, 2))
    is_angular = rng.random() < 0.12
    tremor = rng.uniform(0.002, 0.01) if rng.random() < 0.3 else 0.0
    curves = []
    for stroke in strokes:
        points = np.array(stroke) + _jitter(stroke, deviation, rng)
        curve = points if is_angular else _catmull_rom(points)
        wave = np.sin(np.outer(curve @ [0.7, 1.0], [2.1, 4.3]) * 2)
        curves.append(curve + wave @ bend.T * 0.5 + tremor * rng.normal(size=curve.shape))
    longest = max(range(len(curves)), key=lambda number: len(curves[number]))
    if rng.random() < 0.07 and len(curves[longest]) > 3 * SAMPLES:
        whole = curves.pop(longest)
        start, gap = int(rng.integers(SAMPLES, len(whole) - SAMPLES)), int(rng.integers(2, SAMPLES // 2))
        curves += [whole[:start], whole[start + gap :]]
    return curves


def _inked(paths: list[Path2D], pen: float, is_round: bool) -> Mask:
    """Return the paths drawn with a pen so many px wide, as large as the canvas allows."""
    everything = np.concatenate(paths)
    low, high = everything.min(axis=0), everything.max(axis=0)
    scale = (CANVAS - pen - 4) / max(float((high - low).max()), 0.1)
    offset = (CANVAS - (high - low) * scale) / 2
    page = Image.new("L", (2 * CANVAS, 2 * CANVAS), 0)  # twice the size, for smooth edges
    pencil = ImageDraw.Draw(page)
    for path in paths:
        points = ((path - low) * scale + offset) * 2
        pencil.line([tuple(point) for point in points], fill=255, width=max(1, round(2 * pen)), joint="curve")
        for x, y in (points[0], points[-1]) if is_round else ():
            pencil.ellipse((x - pen, y - pen, x + pen, y + pen), fill=255)
    return np.asarray(page.reduce(2), dtype=np.float32) / np.float32(255)


def _jitter(stroke: Stroke, deviation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return random displacements of the points, the same for both points of a corner."""
    moves = rng.normal(0, deviation, size=(len(stroke), 2))
    for number in range(1, len(stroke)):
        if stroke[number] == stroke[number - 1]:
            moves[number] = moves[number - 1]
    return moves


def _catmull_rom(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a smooth curve through points (N, 2), with a corner where a point comes twice (Catmull and Rom 1974)."""
    corners = [0, *(np.flatnonzero((points[1:] == points[:-1]).all(axis=1)) + 1), len(points)]
    pieces = []
    for start, end in pairwise(corners):
        part = points[start:end]
        if len(part) < 2:
            continue
        padded = np.concatenate([2 * part[:1] - part[1:2], part, 2 * part[-1:] - part[-2:-1]])
        a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
        t = np.linspace(0, 1, SAMPLES)[:, None, None]
        curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        pieces.append(curve.transpose(1, 0, 2).reshape(-1, 2))
    return np.concatenate(pieces)
