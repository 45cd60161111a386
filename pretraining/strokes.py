"""Symbols drawn by program: the digits in the forms that people write, and letters as negative examples.

MNIST's writers were American. The 1 with a long up-stroke, the barred 7, the open 4 and the 9 with a tail like that of a
g are how most of the world writes them. A form is some strokes, a stroke is a curve through points (x, y) in a box of
height 1, y downwards. A point given twice in a row is a corner.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Mask = NDArray[np.float32]  # (height, width), 0 = paper .. 1 = ink
Stroke = list[tuple[float, float]]

CANVAS = 128  # px, side of a drawn symbol
SAMPLES = 12  # points drawn for each piece of a curve

OVAL: Stroke = [
    (0.38, 0),
    (0.12, 0.2),
    (0.05, 0.5),
    (0.12, 0.82),
    (0.36, 1),
    (0.62, 0.8),
    (0.68, 0.5),
    (0.6, 0.16),
    (0.36, 0),
]

# The forms of each digit: a relative frequency and the strokes.
DIGITS: dict[int, list[tuple[float, list[Stroke]]]] = {
    0: [
        (4, [OVAL]),
        (1, [[(0.5, 0.06), *OVAL[:-1], (0.4, 0.02), (0.3, 0.1)]]),
        (1, [[(0.62, 0.1), (0.38, 0), (0.08, 0.3), (0.1, 0.78), (0.36, 1), (0.66, 0.72), (0.66, 0.28), (0.5, 0.04)]]),
    ],
    1: [
        (2, [[(0.3, 0), (0.3, 1)]]),
        (2, [[(0.05, 0.28), (0.35, 0), (0.35, 0), (0.35, 1)]]),
        (3, [[(0, 0.5), (0.42, 0), (0.42, 0), (0.42, 1)]]),
        (2, [[(0, 0.75), (0.5, 0), (0.5, 0), (0.46, 1)]]),
        (1, [[(0, 0.55), (0.3, 0.25), (0.45, 0), (0.45, 0), (0.43, 1)]]),
        (1, [[(0.1, 0.25), (0.35, 0), (0.35, 0), (0.35, 1)], [(0.05, 1), (0.65, 1)]]),
        (1, [[(0, 0.34), (0.3, 0.3), (0.42, 0), (0.42, 0), (0.4, 1)]]),
    ],
    2: [
        (3, [[(0.06, 0.24), (0.3, 0), (0.6, 0.2), (0.4, 0.58), (0, 1), (0, 1), (0.66, 1)]]),
        (2, [[(0.06, 0.2), (0.34, 0), (0.6, 0.22), (0.36, 0.65), (0.05, 0.95), (0.12, 0.8), (0.4, 0.92), (0.7, 0.97)]]),
        (1, [[(0.08, 0.2), (0.34, 0), (0.58, 0.25), (0.3, 0.7), (0.05, 0.92), (0.2, 0.88), (0.45, 1), (0.68, 0.9)]]),
        (1, [[(0.02, 0.06), (0.4, 0), (0.55, 0.2), (0.4, 0.5), (0, 1), (0, 1), (0.62, 0.98)]]),
        (1, [[(0.12, 0.18), (0.3, 0), (0.46, 0.2), (0.34, 0.6), (0.06, 1), (0.06, 1), (0.7, 1)]]),
        (1, [[(0.02, 0.1), (0.24, 0), (0.36, 0.2), (0.3, 0.6), (0.06, 0.98), (0.06, 0.98), (0.44, 1)]]),
    ],
    3: [
        (3, [[(0.04, 0.12), (0.32, 0), (0.58, 0.22), (0.26, 0.46), (0.26, 0.46), (0.62, 0.7), (0.34, 1), (0, 0.88)]]),
        (2, [[(0.04, 0.02), (0.56, 0.02), (0.56, 0.02), (0.24, 0.4), (0.24, 0.4), (0.6, 0.66), (0.34, 1), (0, 0.9)]]),
        (1, [[(0.06, 0.1), (0.35, 0), (0.5, 0.22), (0.2, 0.45), (0.3, 0.45), (0.58, 0.7), (0.3, 1), (0, 0.84)]]),
    ],
    4: [
        (3, [[(0.16, 0), (0.02, 0.58), (0.02, 0.58), (0.68, 0.58)], [(0.5, 0.22), (0.46, 1)]]),
        (2, [[(0.1, 0.05), (0.08, 0.45), (0.3, 0.56), (0.56, 0.45)], [(0.58, 0), (0.52, 1)]]),
        (2, [[(0.46, 1), (0.5, 0), (0.5, 0), (0, 0.68), (0, 0.68), (0.7, 0.68)]]),
        (2, [[(0.36, 0), (0, 0.64), (0, 0.64), (0.7, 0.6)], [(0.46, 0.36), (0.42, 1)]]),
        (1, [[(0.05, 0), (0.03, 0.5), (0.03, 0.5), (0.55, 0.5)], [(0.55, 0), (0.55, 1)]]),
        (2, [[(0.4, 0), (0.06, 0.5), (0.06, 0.74), (0.3, 0.76), (0.68, 0.66)], [(0.48, 0.42), (0.42, 1)]]),
        (2, [[(0.46, 0), (0.22, 0.4), (0, 0.78), (0, 0.78), (0.62, 0.76)], [(0.5, 0.5), (0.38, 1)]]),
        (1, [[(0.5, 0), (0.16, 0.42), (0.02, 0.7), (0.2, 0.82), (0.6, 0.7)], [(0.64, 0.36), (0.5, 0.7), (0.36, 1)]]),
        (1, [[(0.2, 0), (0.04, 0.44), (0.3, 0.52), (0.6, 0.4), (0.6, 0.4), (0.62, 0), (0.62, 0), (0.56, 1)]]),
    ],
    5: [
        (
            3,
            [
                [(0.12, 0.03), (0.08, 0.45), (0.08, 0.45), (0.36, 0.36), (0.62, 0.66), (0.34, 1), (0, 0.9)],
                [(0.12, 0.03), (0.62, 0)],
            ],
        ),
        (
            2,
            [
                [
                    (0.62, 0),
                    (0.14, 0.02),
                    (0.14, 0.02),
                    (0.08, 0.42),
                    (0.08, 0.42),
                    (0.4, 0.38),
                    (0.6, 0.68),
                    (0.32, 1),
                    (0, 0.88),
                ]
            ],
        ),
        (1, [[(0.66, 0.02), (0.25, 0.02), (0.15, 0.3), (0.4, 0.5), (0.5, 0.75), (0.28, 1), (0, 0.9)]]),
        (
            1,
            [
                [(0.2, 0.1), (0.12, 0.5), (0.12, 0.5), (0.4, 0.45), (0.55, 0.7), (0.3, 1), (0, 0.9)],
                [(0.22, 0.02), (0.7, -0.06)],
            ],
        ),
        (1, [[(0.6, 0), (0.3, 0.02), (0.16, 0.34), (0.46, 0.46), (0.48, 0.8), (0.3, 1)]]),
        (1, [[(0.1, 0), (0.1, 0.42), (0.1, 0.42), (0.5, 0.46), (0.5, 0.8), (0.1, 0.98)], [(0.1, 0), (0.5, 0.02)]]),
    ],
    6: [
        (3, [[(0.5, 0), (0.16, 0.35), (0.06, 0.72), (0.32, 1), (0.58, 0.76), (0.36, 0.52), (0.1, 0.68)]]),
        (2, [[(0.36, 0), (0.08, 0.5), (0.1, 0.88), (0.36, 1), (0.56, 0.78), (0.36, 0.56), (0.1, 0.74)]]),
        (1, [[(0.2, 0), (0.06, 0.5), (0.14, 0.92), (0.42, 0.96), (0.52, 0.7), (0.3, 0.6), (0.1, 0.8)]]),
    ],
    7: [
        (2, [[(0, 0.03), (0.62, 0.03), (0.62, 0.03), (0.22, 1)]]),
        (3, [[(0, 0.04), (0.62, 0.02), (0.62, 0.02), (0.24, 1)], [(0.14, 0.5), (0.64, 0.46)]]),
        (
            2,
            [
                [(0.02, 0.2), (0.06, 0.04), (0.06, 0.04), (0.62, 0.03), (0.62, 0.03), (0.36, 0.45), (0.26, 1)],
                [(0.16, 0.52), (0.6, 0.5)],
            ],
        ),
        (1, [[(0.02, 0.16), (0.06, 0.02), (0.3, 0.08), (0.62, 0), (0.62, 0), (0.34, 0.5), (0.24, 1)]]),
        (1, [[(0, 0.06), (0.3, 0.1), (0.6, 0), (0.6, 0), (0.36, 0.5), (0.3, 1)], [(0.16, 0.55), (0.56, 0.5)]]),
    ],
    8: [
        (
            3,
            [
                [
                    (0.56, 0.12),
                    (0.3, 0),
                    (0.08, 0.2),
                    (0.34, 0.48),
                    (0.58, 0.76),
                    (0.3, 1),
                    (0.02, 0.78),
                    (0.34, 0.46),
                    (0.56, 0.14),
                ]
            ],
        ),
        (
            2,
            [
                [
                    (0.3, 0.46),
                    (0.08, 0.24),
                    (0.3, 0),
                    (0.54, 0.22),
                    (0.3, 0.46),
                    (0.02, 0.74),
                    (0.3, 1),
                    (0.6, 0.74),
                    (0.3, 0.46),
                ]
            ],
        ),
        (1, [[(0.6, 0.06), (0.25, 0.02), (0.12, 0.24), (0.5, 0.66), (0.34, 1), (0.04, 0.8), (0.4, 0.4), (0.66, 0.12)]]),
        (1, [[(0.66, 0), (0.4, 0.4), (0.06, 0.78), (0.3, 1), (0.5, 0.78), (0.24, 0.4), (0.14, 0.16), (0.4, 0.06)]]),
    ],
    9: [
        (2, [[(0.54, 0.2), (0.3, 0), (0.04, 0.24), (0.26, 0.48), (0.54, 0.22), (0.54, 0.22), (0.5, 1)]]),
        (
            3,
            [
                [
                    (0.56, 0.22),
                    (0.3, 0),
                    (0.04, 0.24),
                    (0.28, 0.48),
                    (0.56, 0.2),
                    (0.56, 0.5),
                    (0.52, 0.86),
                    (0.26, 1),
                    (0.02, 0.88),
                ]
            ],
        ),
        (2, [[(0.58, 0.16), (0.32, 0), (0.08, 0.26), (0.3, 0.46), (0.58, 0.16), (0.5, 0.6), (0.2, 1)]]),
        (1, [[(0.56, 0.2), (0.28, 0), (0.04, 0.22), (0.3, 0.42), (0.56, 0.2), (0.54, 0.7), (0.3, 0.96), (0, 0.98)]]),
        (1, [[(0.5, 0.24), (0.26, 0), (0.04, 0.22), (0.28, 0.44), (0.5, 0.24), (0.52, 0.8), (0.3, 0.9), (0.6, 1)]]),
        (1, [[(0.5, 0.1), (0.2, 0.06), (0.06, 0.3), (0.3, 0.44), (0.52, 0.14), (0.56, 0.5), (0.44, 0.9), (0.1, 0.96)]]),
        (2, [[(0.5, 0.08), (0.2, 0.1), (0.16, 0.36), (0.5, 0.36), (0.5, 0.08), (0.6, 0.6), (0.5, 0.94), (0, 0.96)]]),
        (1, [[(0.56, 0.06), (0.24, 0.02), (0.1, 0.2), (0.3, 0.36), (0.54, 0.3), (0.58, 0.7), (0.4, 1), (0.04, 0.92)]]),
    ],
}

# Letters that cannot be mistaken for digits.
LETTERS: list[list[Stroke]] = [
    [[(0, 1), (0.35, 0), (0.35, 0), (0.7, 1)], [(0.14, 0.62), (0.56, 0.62)]],  # A
    [[(0.6, 0.15), (0.3, 0), (0, 0.5), (0.3, 1), (0.62, 0.85)]],  # C
    [[(0.6, 0), (0, 0), (0, 0), (0, 1), (0, 1), (0.62, 1)], [(0, 0.48), (0.5, 0.48)]],  # E
    [[(0.6, 0), (0, 0), (0, 0), (0, 1)], [(0, 0.48), (0.46, 0.48)]],  # F
    [[(0, 0), (0, 1)], [(0.6, 0), (0.6, 1)], [(0, 0.5), (0.6, 0.5)]],  # H
    [[(0.5, 0), (0.5, 0.75), (0.25, 1), (0, 0.8)], [(0.2, 0), (0.75, 0)]],  # J
    [[(0, 0), (0, 1)], [(0.6, 0), (0, 0.55), (0, 0.55), (0.62, 1)]],  # K
    [[(0, 0), (0, 1), (0, 1), (0.56, 1)]],  # L
    [[(0, 1), (0.05, 0), (0.05, 0), (0.4, 0.6), (0.4, 0.6), (0.75, 0), (0.75, 0), (0.8, 1)]],  # M
    [[(0, 1), (0, 0), (0, 0), (0.6, 1), (0.6, 1), (0.6, 0)]],  # N
    [[(0, 1), (0, 0), (0, 0), (0.5, 0.1), (0.5, 0.45), (0, 0.52)]],  # P
    [[(0, 1), (0, 0), (0, 0), (0.5, 0.1), (0.48, 0.44), (0, 0.5), (0, 0.5), (0.58, 1)]],  # R
    [[(0, 0), (0.7, 0)], [(0.35, 0), (0.35, 1)]],  # T
    [[(0, 0), (0.02, 0.7), (0.3, 1), (0.58, 0.7), (0.6, 0)]],  # U
    [[(0, 0), (0.32, 1), (0.32, 1), (0.64, 0)]],  # V
    [[(0, 0), (0.2, 1), (0.2, 1), (0.42, 0.35), (0.42, 0.35), (0.64, 1), (0.64, 1), (0.84, 0)]],  # W
    [[(0, 0), (0.62, 1)], [(0.62, 0), (0, 1)]],  # X
    [[(0, 0), (0.32, 0.5)], [(0.64, 0), (0.1, 1)]],  # y
    [[(0, 0), (0.3, 0.5), (0.3, 1)], [(0.6, 0), (0.3, 0.5)]],  # Y
    [[(0.5, 0.5), (0.2, 0.36), (0, 0.7), (0.2, 1), (0.5, 0.7), (0.52, 0.4), (0.52, 0.4), (0.55, 0.95), (0.68, 1)]],  # a
    [[(0.5, 0.66), (0.2, 1), (0, 0.66), (0.2, 0.36), (0.5, 0.66), (0.54, 0), (0.54, 0), (0.54, 1)]],  # d
    [[(0.05, 0.68), (0.5, 0.62), (0.3, 0.36), (0, 0.68), (0.25, 1), (0.55, 0.9)]],  # e
    [[(0.5, 0.1), (0.3, 0), (0.2, 0.3), (0.2, 1)], [(0, 0.4), (0.45, 0.4)]],  # f
    [[(0, 0), (0, 1), (0, 1), (0.02, 0.6), (0.3, 0.45), (0.5, 0.65), (0.5, 1)]],  # h
    [
        [(0, 0.4), (0, 1), (0, 1), (0.2, 0.42), (0.36, 0.6), (0.36, 1), (0.36, 1), (0.55, 0.42), (0.72, 0.6), (0.72, 1)]
    ],  # m
    [[(0, 0.4), (0, 1), (0, 1), (0.25, 0.42), (0.5, 0.62), (0.5, 1)]],  # n
    [[(0, 0.3), (0, 1.3)], [(0, 0.6), (0.25, 0.36), (0.5, 0.62), (0.26, 0.92), (0, 0.76)]],  # p
    [[(0, 0.4), (0, 1), (0, 1), (0.1, 0.55), (0.4, 0.42)]],  # r
    [[(0.2, 0), (0.2, 0.85), (0.4, 1), (0.55, 0.9)], [(0, 0.32), (0.5, 0.32)]],  # t
    [[(0, 0.4), (0.05, 0.85), (0.3, 1), (0.5, 0.4), (0.5, 0.4), (0.5, 1)]],  # u
    [[(0, 0.4), (0.5, 1)], [(0.5, 0.4), (0, 1)]],  # x
    [[(0, 0), (0, 1)], [(0.4, 0.4), (0, 0.75), (0, 0.75), (0.44, 1)]],  # k
    [[(0, 0.5), (0.12, 0.9), (0.26, 0.6), (0.26, 0.6), (0.4, 0.9), (0.52, 0.5), (0.66, 0.48)]],  # w
]
# Letters that resemble digits. O, o, l and I are missing: nothing distinguishes them from digits.
LOOKALIKES: list[list[Stroke]] = [
    [[(0, 0), (0, 1)], [(0, 0), (0.5, 0.08), (0.42, 0.46), (0, 0.5), (0, 0.5), (0.6, 0.6), (0.52, 0.96), (0, 1)]],  # B
    [[(0, 0), (0, 1), (0, 1), (0.5, 0.86), (0.62, 0.46), (0.4, 0.08), (0, 0)]],  # D
    [[(0.6, 0.16), (0.3, 0), (0, 0.5), (0.3, 1), (0.62, 0.86), (0.62, 0.55), (0.62, 0.55), (0.34, 0.55)]],  # G
    [[(0.3, 0), (0, 0.5), (0.3, 1), (0.62, 0.5), (0.3, 0)], [(0.36, 0.7), (0.7, 1.1)]],  # Q
    [[(0, 0), (0.6, 0), (0.6, 0), (0, 1), (0, 1), (0.64, 1)]],  # Z
    [[(0, 0), (0.6, 0), (0.6, 0), (0, 1), (0, 1), (0.64, 1)], [(0.1, 0.5), (0.5, 0.5)]],  # Z with a bar
    [[(0.56, 0.12), (0.3, 0), (0.04, 0.24), (0.32, 0.5), (0.58, 0.76), (0.3, 1), (0, 0.88)]],  # S
    [[(0, 0), (0, 0.96), (0, 0.96), (0.3, 1), (0.5, 0.76), (0.3, 0.5), (0, 0.64)]],  # b
    [[(0.48, 0.2), (0.2, 0), (0, 0.25), (0.2, 0.5), (0.48, 0.2), (0.48, 0.2), (0.5, 0.8), (0.25, 1), (0, 0.86)]],  # g
    [[(0.48, 0.2), (0.2, 0), (0, 0.25), (0.2, 0.5), (0.48, 0.2), (0.48, 0.2), (0.46, 1), (0.46, 1), (0.66, 0.8)]],  # q
    [[(0.1, 0.4), (0.1, 1)], [(0.1, 0.1), (0.12, 0.12)]],  # i
    [[(0.3, 0.35), (0.3, 0.9), (0.1, 1.1), (0, 1)], [(0.3, 0.08), (0.32, 0.1)]],  # j
    [[(0.5, 0.1), (0.24, 0), (0, 0.5), (0.24, 1), (0.54, 0.9)]],  # c
]
PRINTED_LETTERS = "ACEFHJKLMNPRTUVWXYadefhkmnprtuvwxy"
PRINTED_LOOKALIKES = "BDGQSZbcgijqsz"
LOOKALIKE_FRACTION = 0.25  # of the letters drawn

# Typefaces that come with matplotlib, in the styles that print has.
FACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "Mono", "Mono-Bold")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)


def digit(value: int, rng: np.random.Generator) -> Mask:
    """Draw the digit `value` in one of its forms."""
    frequencies = np.array([frequency for frequency, _ in DIGITS[value]])
    form = rng.choice(len(frequencies), p=frequencies / frequencies.sum())
    return draw(DIGITS[value][form][1], rng)


def letter(rng: np.random.Generator) -> Mask:
    """Draw a letter by hand or in print."""
    drawn, in_print = (
        (LOOKALIKES, PRINTED_LOOKALIKES) if rng.random() < LOOKALIKE_FRACTION else (LETTERS, PRINTED_LETTERS)
    )
    if rng.random() < 0.5:
        return draw(drawn[rng.integers(len(drawn))], rng)
    return printed(in_print[rng.integers(len(in_print))], rng)


def printed(character: str, rng: np.random.Generator) -> Mask:
    """Set a character in one of FACES, with random weight, width, slant and rotation."""
    page = Image.new("L", (CANVAS, CANVAS), 0)
    weight = int(rng.integers(0, 5) * (rng.random() < 0.7))
    ImageDraw.Draw(page).text(
        (CANVAS / 2, CANVAS / 2),
        character,
        255,
        _face(FACES[rng.integers(len(FACES))]),
        anchor="mm",
        stroke_width=weight,
    )
    wide, slant, turn = np.exp(rng.normal(0, 0.15)), rng.normal(0, 0.1), rng.normal(0, 0.08)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[wide, slant], [0, 1]]
    offset = CANVAS / 2 - matrix @ [CANVAS / 2, CANVAS / 2]
    places = (*matrix[0], offset[0], *matrix[1], offset[1])
    moved = page.transform(page.size, Image.Transform.AFFINE, places, Image.Resampling.BILINEAR)
    return np.asarray(moved, dtype=np.float32) / np.float32(255)


@cache
def _face(name: str) -> ImageFont.FreeTypeFont:
    """Return one of FACES, so large that a letter fills most of the canvas."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / f"{name}.ttf", round(CANVAS * 0.7))


def scribble(rng: np.random.Generator) -> Mask:
    """Draw random strokes."""
    strokes = [
        [(float(x), float(y)) for x, y in rng.random((rng.integers(3, 9), 2))] for _ in range(rng.integers(2, 5))
    ]
    return draw(strokes, rng)


def draw(strokes: list[Stroke], rng: np.random.Generator) -> Mask:
    """Draw strokes with random variation of points, slant, proportions and pen width."""
    width = float(np.exp(rng.normal(0, 0.18)))
    slant = rng.normal(0.12, 0.2)  # px to the right per px upwards
    turn = rng.normal(0, 0.08)  # radians
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[width, -slant], [0, 1]]
    bend = rng.normal(0, 0.035, size=(2, 4))
    unsteady = rng.uniform(0.02, 0.055)
    paths = []
    for stroke in strokes:
        points = np.array(stroke) + _jitter(stroke, unsteady, rng)
        curve = _catmull_rom(points)
        wave = np.sin(np.outer(curve @ [0.7, 1.0], [2.1, 4.3]) * 2)
        paths.append((curve + wave @ bend[:, :2].T * 0.5) @ matrix.T)
    everything = np.concatenate(paths)
    low, high = everything.min(axis=0), everything.max(axis=0)
    pen = float(rng.uniform(0.03, 0.2)) * CANVAS * 0.7
    scale = (CANVAS - pen - 4) / max(float((high - low).max()), 0.1)
    offset = (CANVAS - (high - low) * scale) / 2
    page = Image.new("L", (2 * CANVAS, 2 * CANVAS), 0)  # twice the size, for smooth edges
    pencil = ImageDraw.Draw(page)
    for path in paths:
        points = ((path - low) * scale + offset) * 2
        pencil.line([tuple(point) for point in points], fill=255, width=max(1, round(2 * pen)), joint="curve")
        for x, y in (points[0], points[-1]):  # round ends
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
