"""The written forms of the digits in the school scripts and habits of many countries, on displays and in print; letters too.

MNIST's writers were American. A 1 with an up-stroke or a foot, a 7 with a bar, a wave or a foot, an open 4, a 9 with a
straight leg and a 0 drawn as a circle are how most of the world writes them. A form is a text: the points "x,y" of its
strokes in hundredths of the height, y downwards, a `*` behind a corner, ` / ` where the pen is lifted.
"""

from typing import NamedTuple

Stroke = list[tuple[float, float]]  # points (x, y) in a box of height 1; a point given twice in a row is a corner


class Form(NamedTuple):
    """One form of a digit."""

    kind: str  # by which tables and tests name it; forms of one kind differ little
    frequency: float  # relative to the other forms of the digit
    strokes: str


def strokes_of(text: str) -> list[Stroke]:
    """Return the strokes that the text of a form describes."""
    strokes: list[Stroke] = []
    for part in text.split(" / "):
        stroke: Stroke = []
        for point in part.split():
            x, y = point.rstrip("*").split(",")
            stroke += [(int(x) / 100, int(y) / 100)] * (2 if point.endswith("*") else 1)
        strokes.append(stroke)
    return strokes


# A display's seven segments, which do not touch: (x, y) of their ends.
SEGMENTS = {
    "top": "7,0 49,0",
    "upper right": "56,6 56,44",
    "lower right": "56,56 56,94",
    "bottom": "7,100 49,100",
    "lower left": "0,56 0,94",
    "upper left": "0,6 0,44",
    "middle": "7,50 49,50",
}


def on_a_display(*dark: str) -> str:
    """Return the form in which a display shows a digit, whose segments are all lit but the dark ones."""
    return " / ".join(ends for name, ends in SEGMENTS.items() if name not in dark)


DIGITS: dict[int, list[Form]] = {
    0: [
        Form("oval", 4, "38,0 12,20 5,50 12,82 36,100 62,80 68,50 60,16 36,0"),
        Form("oval", 1, "36,0 60,16 68,50 62,80 36,100 12,82 5,50 12,20 36,0"),
        Form("one stroke, ends cross", 1, "50,6 38,0 12,20 5,50 12,82 36,100 62,80 68,50 60,16 40,2 30,10"),
        Form("one stroke, ends cross", 1, "20,0 36,8 12,24 5,54 14,86 36,100 60,82 66,50 58,18 34,4 14,14"),
        Form("one stroke, ends cross", 1, "56,-6 34,4 10,28 8,70 34,100 62,76 62,28 44,6 24,0"),
        Form("one stroke, open", 1, "62,10 38,0 8,30 10,78 36,100 66,72 66,28 50,4"),
        Form("one stroke, open", 1, "34,0 10,20 4,50 12,84 36,100 62,82 68,50 62,20 50,6"),
        Form("one stroke, with a loop", 1, "60,0 50,14 34,4 10,24 5,56 16,90 40,100 62,78 64,40 52,12 36,10 44,0 60,2"),
        Form("circle", 3, "50,0 15,15 0,50 15,85 50,100 85,85 100,50 85,15 50,0"),
        Form("circle", 1.5, "50,0 85,15 100,50 85,85 50,100 15,85 0,50 15,15 48,1"),
        Form("circle", 1.5, "40,0 12,14 0,50 14,88 44,100 76,86 88,50 74,12 40,0"),
        Form("narrow", 5, "16,0 4,20 0,50 5,82 16,100 27,80 32,50 28,18 16,0"),
        Form("narrow", 3.5, "12,0 3,22 0,50 4,80 12,100 20,78 24,50 20,20 12,0"),
        Form("narrow", 3.5, "22,2 10,8 0,50 6,92 16,100 30,70 30,30 18,0"),
        Form("rounded box", 2.5, "50,0 16,0 4,4 0,16 0,84 4,96 16,100 50,100 62,96 66,84 66,16 62,4 50,0"),
        Form("rounded box", 1.5, "40,0 18,0* 0,18* 0,82* 18,100* 48,100* 66,82* 66,18* 48,0* 40,0"),
        Form("rounded box", 1.5, "36,0 12,2 2,12 0,50 2,88 12,98 36,100 56,98 64,88 66,50 64,12 56,2 36,0"),
        Form("block", 1, "0,0 60,0* 60,100* 0,100* 0,0"),
        Form("display", 3, on_a_display("middle")),
        Form("slashed", 0.5, "38,0 12,20 5,50 12,82 36,100 62,80 68,50 60,16 36,0 / 56,14 18,86"),
    ],
    1: [
        Form("bar", 4, "30,0 30,100"),
        Form("with a tick", 3, "5,28 35,0* 35,100"),
        Form("with a tick", 1.5, "0,34 30,30 42,0* 40,100"),
        Form("with a tick", 1.5, "8,18 30,0* 30,100"),
        Form("with an up-stroke", 3, "0,50 42,0* 42,100"),
        Form("with an up-stroke", 2, "0,75 50,0* 46,100"),
        Form("with an up-stroke", 1, "0,92 50,0* 48,100"),
        Form("with an up-stroke", 1, "0,55 30,25 45,0* 43,100"),
        Form("with an up-stroke", 1, "0,46 24,34 44,0* 42,100"),
        Form("with a foot", 1, "10,25 35,0* 35,100 / 5,100 65,100"),
        Form("with a foot", 1, "6,20 30,0* 30,100 / 0,98 58,100"),
        Form("with a foot", 1, "30,0 30,100 / 0,100 60,100"),
        Form("with a foot", 0.5, "12,20 34,0* 34,100* 0,100* 66,100"),
        Form("with a foot", 0.5, "10,2 30,0* 30,100 / 6,100 54,100"),
        Form("with up-stroke and foot", 1.5, "0,45 40,0* 40,100 / 10,100 70,100"),
        Form("with up-stroke and foot", 1, "0,60 44,0* 42,98 / 8,100 76,98"),
        Form("display", 1.5, on_a_display("top", "bottom", "lower left", "upper left", "middle")),
    ],
    2: [
        Form("straight foot", 3, "6,24 30,0 60,20 40,58 0,100* 66,100"),
        Form("straight foot", 1, "2,6 40,0 55,20 40,50 0,100* 62,98"),
        Form("straight foot", 1, "12,18 30,0 46,20 34,60 6,100* 70,100"),
        Form("straight foot", 1, "2,10 24,0 36,20 30,60 6,98* 44,100"),
        Form("straight foot", 1, "0,26 10,6 32,0 56,10 58,34 30,70 2,100* 64,100"),
        Form("looped", 2, "6,20 34,0 60,22 36,65 5,95 12,80 40,92 70,97"),
        Form("looped", 1, "8,20 34,0 58,25 30,70 5,92 20,88 45,100 68,90"),
        Form("looped", 1, "10,22 36,0 58,20 44,56 18,92 2,96 4,80 22,80 44,98 74,88"),
        Form("looped", 1, "4,18 30,0 50,16 40,52 14,96 0,90 12,78 34,94 60,100 78,86"),
        Form("looped", 1, "14,30 6,12 30,0 54,14 44,54 12,92 0,88 14,76 40,96 66,96"),
        Form("wavy foot", 1, "4,22 30,0 58,20 36,62 0,98* 18,90 42,100 68,90"),
        Form("wavy foot", 1, "10,30 4,14 28,0 56,16 44,50 2,98* 24,92 50,100 70,94"),
        Form("long and slanted", 1, "0,20 22,0 40,14 30,50 0,98* 20,94 46,100"),
        Form("block", 0.6, "0,0 58,0* 58,50* 0,50* 0,100* 58,100"),
        Form("display", 1, on_a_display("upper left", "lower right")),
    ],
    3: [
        Form("round", 3, "4,12 32,0 58,22 26,46* 62,70 34,100 0,88"),
        Form("round", 1, "6,10 35,0 50,22 20,45 30,45 58,70 30,100 0,84"),
        Form("round", 1, "0,14 28,0 54,20 24,44* 60,72 30,100 0,84"),
        Form("round", 1, "4,16 24,0 46,10 46,34 20,48* 52,58 58,82 30,100 0,90"),
        Form("with a loop in the middle", 1, "6,10 34,0 54,18 36,44 22,50 26,40 46,50 60,74 34,100 0,88"),
        Form("flat top", 2, "4,2 56,2* 24,40* 60,66 34,100 0,90"),
        Form("flat top", 1, "0,0 54,0* 22,42* 50,50 60,76 36,100 0,92"),
        Form("block", 0.6, "0,0 58,0* 58,100* 0,100 / 6,50 58,50"),
        Form("display", 1, on_a_display("upper left", "lower left")),
    ],
    4: [
        Form("open", 3, "16,0 2,58* 68,58 / 50,22 46,100"),
        Form("open", 2, "10,5 8,45 30,56 56,45 / 58,0 52,100"),
        Form("open", 1, "5,0 3,50* 55,50 / 55,0 55,100"),
        Form("open", 2, "36,0 0,64* 70,60 / 46,36 42,100"),
        Form("open", 1, "20,0 4,44 30,52 60,40* 62,0* 56,100"),
        Form("open", 1, "8,0 0,54* 58,54 / 60,4 58,100"),
        Form("open and slanted", 2, "40,0 6,50 6,74 30,76 68,66 / 48,42 42,100"),
        Form("open and slanted", 2, "46,0 22,40 0,78* 62,76 / 50,50 38,100"),
        Form("open and slanted", 1, "50,0 16,42 2,70 20,82 60,70 / 64,36 50,70 36,100"),
        Form("open and slanted", 1, "44,0 24,28 4,56* 64,56 / 56,20 44,60 30,100"),
        Form("open and slanted", 1, "34,0 6,40 4,52 20,56 56,46 / 64,4 50,50 34,100"),
        Form("closed", 2, "46,100 50,0* 0,68* 70,68"),
        Form("closed", 1, "50,0 0,66* 72,66 / 50,0 50,100"),
        Form("closed", 0.5, "44,0 0,58* 64,58 / 44,-4 42,100"),
        Form("display", 1.2, on_a_display("top", "lower left", "bottom")),
        Form("block", 0.5, "0,0 0,52* 58,52 / 58,0 58,100"),
    ],
    5: [
        Form("two strokes", 3, "12,3 8,45* 36,36 62,66 34,100 0,90 / 12,3 62,0"),
        Form("two strokes", 1, "10,0 10,42* 50,46 50,80 10,98 / 10,0 50,2"),
        Form("two strokes", 1, "14,0 8,40* 40,40 56,66 40,96 0,94 / 14,2 58,4"),
        Form("one stroke", 2, "62,0 14,2* 8,42* 40,38 60,68 32,100 0,88"),
        Form("one stroke", 1, "66,2 25,2 15,30 40,50 50,75 28,100 0,90"),
        Form("one stroke", 1, "60,0 30,2 16,34 46,46 48,80 30,100"),
        Form("loose bar", 1, "20,10 12,50* 40,45 55,70 30,100 0,90 / 22,2 70,-6"),
        Form("loose bar", 1, "16,8 10,46* 38,42 56,68 34,100 0,92 / 26,-4 74,-8"),
        Form("loose bar", 1, "18,6 8,44* 40,40 54,72 26,100 0,88 / 30,4 72,0"),
        Form("loose bar", 1, "10,14 6,46* 36,44 54,70 28,100 0,92 / 16,0 66,4"),
        Form("block", 0.6, "58,0 0,0* 0,48* 58,48* 58,100* 0,100"),
        Form("display", 1, on_a_display("upper right", "lower left")),
    ],
    6: [
        Form("curved", 3, "50,0 16,35 6,72 32,100 58,76 36,52 10,68"),
        Form("curved", 2, "36,0 8,50 10,88 36,100 56,78 36,56 10,74"),
        Form("curved", 1, "20,0 6,50 14,92 42,96 52,70 30,60 10,80"),
        Form("curved", 1, "60,8 40,0 10,36 4,74 28,100 56,82 48,56 22,54 6,74"),
        Form("straight stem", 1, "42,0 20,30 2,72 20,100 50,92 54,66 30,58 6,76"),
        Form("straight stem", 1, "10,0 4,50 8,88 34,100 58,84 54,60 28,54 4,70"),
        Form("closed ring", 1, "46,0 14,44 4,76 28,100 54,80 40,54 10,62 4,78"),
        Form("flat top", 1, "56,0 8,0* 2,50 4,92 30,100 56,88 54,58 28,50 4,58"),
        Form("flat top", 1, "54,2 12,0* 6,100* 52,96 56,52* 8,54"),
        Form("block", 1, "58,0 0,0* 0,100* 58,100* 58,48* 0,48"),
        Form("block", 0.7, "48,0 2,0* 0,100* 62,100* 62,52* 2,52"),
        Form("display", 1, on_a_display("upper right")),
    ],
    7: [
        Form("plain", 2, "0,3 62,3* 22,100"),
        Form("plain", 1, "0,0 56,0* 30,100"),
        Form("plain", 0.5, "2,14 4,0* 60,0* 40,36 30,100"),
        Form("with a cross-bar", 3, "0,4 62,2* 24,100 / 14,50 64,46"),
        Form("with a cross-bar", 1, "2,2 56,0* 24,100 / 10,46 62,46"),
        Form("with a cross-bar", 1, "2,20 6,4* 62,3* 36,45 26,100 / 16,52 60,50"),
        Form("with a wave", 1, "2,16 6,2 30,8 62,0* 34,50 24,100"),
        Form("with a wave", 1, "0,12 14,0 34,10 60,0* 36,48 28,100"),
        Form("with wave and cross-bar", 1, "0,6 30,10 60,0* 36,50 30,100 / 16,55 56,50"),
        Form("with wave and cross-bar", 1, "0,14 14,0 36,10 62,0* 38,46 28,100 / 12,50 62,48"),
        Form("with a foot", 1, "0,2 60,0* 30,100 / 14,100 46,100"),
        Form("with a foot", 1, "0,4 60,2* 32,100 / 16,100 50,98 / 18,50 60,48"),
        Form("with a long flag", 1, "0,26 4,0* 66,0* 40,40 30,100"),
        Form("with a long flag", 1, "2,34 2,2* 64,2* 36,48 28,100 / 18,54 60,52"),
        Form("block", 0.5, "0,0 58,0* 58,100"),
        Form("display", 0.8, on_a_display("bottom", "lower left", "upper left", "middle")),
        Form("display", 0.5, on_a_display("bottom", "lower left", "middle")),
    ],
    8: [
        Form("one stroke", 3, "56,12 30,0 8,20 34,48 58,76 30,100 2,78 34,46 56,14"),
        Form("one stroke", 2, "30,46 8,24 30,0 54,22 30,46 2,74 30,100 60,74 30,46"),
        Form("one stroke", 1, "34,0 58,18 30,46 4,74 30,100 60,78 32,48 8,20 32,2"),
        Form("one stroke, open", 1, "60,6 25,2 12,24 50,66 34,100 4,80 40,40 66,12"),
        Form("one stroke, open", 1, "66,0 40,40 6,78 30,100 50,78 24,40 14,16 40,6"),
        Form(
            "two circles",
            1.5,
            "30,0 10,8 6,26 16,42 30,46 46,42 54,26 50,8 30,0 / 30,48 8,56 0,74 10,94 30,100 52,94 60,74 52,56 30,48",
        ),
        Form(
            "two circles",
            1,
            "30,0 10,10 6,26 14,42 30,48 46,42 54,26 48,8 30,0 / 30,44 12,54 6,72 14,92 30,98 48,92 54,72 48,54 30,44",
        ),
        Form("block", 1, "0,0 58,0* 58,100* 0,100* 0,0* 0,48* 58,48"),
        Form("block", 0.7, "0,0 58,0* 58,100* 0,100* 0,0 / 0,52 58,52"),
        Form("block", 0.5, "8,0 52,0* 52,46* 8,46* 8,0 / 8,46 0,54* 0,100* 60,100* 60,54* 52,46"),
        Form("display", 1.2, on_a_display()),
        Form("hourglass", 0.5, "4,0 54,0* 2,100* 58,100* 4,0"),
    ],
    9: [
        Form("straight leg", 2, "54,20 30,0 4,24 26,48 54,22* 50,100"),
        Form("straight leg", 1, "52,10 28,0 6,12 4,34 24,46 50,36 54,4* 54,100"),
        Form("straight leg", 1, "50,6 20,2 4,22 18,44 44,38 52,6* 52,100"),
        Form("slanted leg", 2, "58,16 32,0 8,26 30,46 58,16 50,60 20,100"),
        Form("slanted leg", 1, "54,14 30,0 6,22 24,44 54,18* 24,100"),
        Form("slanted leg", 1, "60,18 40,0 12,14 10,36 32,44 58,24 44,62 16,100"),
        Form("hooked", 3, "56,22 30,0 4,24 28,48 56,20 56,50 52,86 26,100 2,88"),
        Form("hooked", 1, "56,20 28,0 4,22 30,42 56,20 54,70 30,96 0,98"),
        Form("hooked", 1, "50,10 20,6 6,30 30,44 52,14 56,50 44,90 10,96"),
        Form("hooked", 2, "50,8 20,10 16,36 50,36 50,8 60,60 50,94 0,96"),
        Form("hooked", 1, "56,6 24,2 10,20 30,36 54,30 58,70 40,100 4,92"),
        Form("hooked", 1, "50,24 26,0 4,22 28,44 50,24 52,80 30,90 60,100"),
        Form("ring on a stick", 1, "34,0 10,8 4,26 14,44 34,48 52,40 58,22 50,6 34,0 / 58,20 56,100"),
        Form("block", 0.8, "58,52 0,52* 0,0* 58,0* 58,100* 0,100"),
        Form("block", 0.5, "58,48 0,48* 0,0* 58,0* 58,100"),
        Form("display", 1, on_a_display("lower left")),
        Form("display", 0.5, on_a_display("lower left", "bottom")),
    ],
}

# Letters that cannot be mistaken for digits: A C E F H J K L M N P R T U V W X y Y a d e f h m n p r t u x k w.
LETTERS = [
    "0,100 35,0* 70,100 / 14,62 56,62",
    "60,15 30,0 0,50 30,100 62,85",
    "60,0 0,0* 0,100* 62,100 / 0,48 50,48",
    "60,0 0,0* 0,100 / 0,48 46,48",
    "0,0 0,100 / 60,0 60,100 / 0,50 60,50",
    "50,0 50,75 25,100 0,80 / 20,0 75,0",
    "0,0 0,100 / 60,0 0,55* 62,100",
    "0,0 0,100* 56,100",
    "0,100 5,0* 40,60* 75,0* 80,100",
    "0,100 0,0* 60,100* 60,0",
    "0,100 0,0* 50,10 50,45 0,52",
    "0,100 0,0* 50,10 48,44 0,50* 58,100",
    "0,0 70,0 / 35,0 35,100",
    "0,0 2,70 30,100 58,70 60,0",
    "0,0 32,100* 64,0",
    "0,0 20,100* 42,35* 64,100* 84,0",
    "0,0 62,100 / 62,0 0,100",
    "0,0 32,50 / 64,0 10,100",
    "0,0 30,50 30,100 / 60,0 30,50",
    "50,50 20,36 0,70 20,100 50,70 52,40* 55,95 68,100",
    "50,66 20,100 0,66 20,36 50,66 54,0* 54,100",
    "5,68 50,62 30,36 0,68 25,100 55,90",
    "50,10 30,0 20,30 20,100 / 0,40 45,40",
    "0,0 0,100* 2,60 30,45 50,65 50,100",
    "0,40 0,100* 20,42 36,60 36,100* 55,42 72,60 72,100",
    "0,40 0,100* 25,42 50,62 50,100",
    "0,30 0,130 / 0,60 25,36 50,62 26,92 0,76",
    "0,40 0,100* 10,55 40,42",
    "20,0 20,85 40,100 55,90 / 0,32 50,32",
    "0,40 5,85 30,100 50,40* 50,100",
    "0,40 50,100 / 50,40 0,100",
    "0,0 0,100 / 40,40 0,75* 44,100",
    "0,50 12,90 26,60* 40,90 52,50 66,48",
]
# Letters that resemble digits: B G Q Z with a bar q j c. Those that people tell from a digit by the context alone are
# missing: O o D are a 0, l and I a 1, Z a 2, g a 9, b a 6, and S a 5 in some hand.
LOOKALIKES = [
    "0,0 0,100 / 0,0 50,8 42,46 0,50* 60,60 52,96 0,100",
    "60,16 30,0 0,50 30,100 62,86 62,55* 34,55",
    "30,0 0,50 30,100 62,50 30,0 / 36,70 70,110",
    "0,0 60,0* 0,100* 64,100 / 10,50 50,50",
    "48,20 20,0 0,25 20,50 48,20* 46,100* 66,80",
    "30,35 30,90 10,110 0,100 / 30,8 32,10",
    "50,10 24,0 0,50 24,100 54,90",
]
PRINTED_LETTERS = "ACEFHJKLMNPRTUVWXYadefhkmnprtuvwxy"
PRINTED_LOOKALIKES = "BDGQcijq"
OTHER_SIGNS = "ΓΔΞΠΣΦΨΩαγηλμξπφχψωДЖИФЦШЮЯйжшыюя#%&@$*+="  # that not every typeface has
