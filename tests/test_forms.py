"""What forms and photos have beside digits, drawn as ink."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_cli.pictures import forms
from mnist_cli.pictures.parts import connected


def draw_digits(heights=(48, 48, 48), size=(120, 300)):
    """Return a page with crooked strokes of some heights, 60 px apart, none of which is a straight line."""
    ink = np.zeros(size, np.float32)
    for number, height in enumerate(heights):
        for row in range(height):
            left = 40 + 60 * number + round(8 * np.sin(row / height * 2 * np.pi))
            ink[36 + row, left : left + 5] = 1
    return ink


def test_what_lies_in_the_hole_of_a_ring_makes_that_a_frame_and_what_lies_in_its_bay_does_not():
    ring, bay = (np.zeros((200, 200), np.float32) for _ in range(2))
    for ink in (ring, bay):
        ink[20:24, 20:180] = ink[176:180, 20:180] = ink[20:180, 20:24] = 1
        ink[60:140, 90:94] = ink[60:64, 90:120] = ink[100:104, 90:120] = 1  # an F
    ring[20:180, 176:180] = 1
    assert not forms.without_frames(ring)[:50].any()
    assert forms.without_frames(bay)[:50].any()


def test_digits_alone_are_left_as_they_are():
    ink = draw_digits()
    assert np.array_equal(forms.without_frames(ink), ink)


@pytest.mark.parametrize(
    "bars", [((46, 28, 118), (62, 100, 160)), ((76, 88, 178), (62, 42, 102))], ids=["upper", "lower"]
)
def test_the_bars_of_digits_that_touch_are_no_rule(bars):
    ink = draw_digits()
    for top, left, right in bars:  # the first as long as a rule may be, the second joins the third digit to the others
        ink[top : top + 5, left:right] = 1
    assert np.array_equal(forms.without_frames(ink), ink)


def test_a_line_through_all_digits_is_a_rule():
    ink = draw_digits()
    ink[86:90, 20:200] = ink[60:63, 20:200] = 1
    assert np.array_equal(forms.without_frames(ink)[:, :30], draw_digits()[:, :30])


def test_parallel_lines_taller_than_the_digits_are_dividers():
    ink = draw_digits()
    ink[25:95, 68:71] = ink[25:95, 128:131] = 1
    assert np.array_equal(forms.without_frames(ink), draw_digits())


def test_a_single_line_is_a_divider_when_it_is_thinner_than_the_pen():
    thin, thick = draw_digits(), draw_digits()
    thin[25:95, 70:72] = 1
    thick[25:95, 70:75] = 1
    assert np.array_equal(forms.without_frames(thin), draw_digits())
    assert np.array_equal(forms.without_frames(thick), thick)  # it may be a 1


def test_a_strip_along_a_side_is_the_table_and_a_stroke_there_is_not():
    table, one = draw_digits(), draw_digits()
    table[:, :4] = 1
    one[36:84, :4] = 1
    assert np.array_equal(forms.without_frames(table), draw_digits())
    assert np.array_equal(forms.without_frames(one), one)


def test_a_skewed_box_goes_and_the_digits_in_it_stay():
    ink = draw_digits()
    for x in range(15, 230):
        for y in (20, 100):
            row = y + round(0.02 * (x - 15))
            ink[row : row + 2, x] = 1
    ink[20:100, 15:17] = ink[24:106, 228:230] = 1
    assert np.array_equal(forms.without_frames(ink) > 0, draw_digits() > 0)


@pytest.mark.parametrize("degrees", [-9, -4, 2, 4, 9])
def test_boxes_that_are_askew_are_removed_and_their_digits_are_not(degrees):
    page = Image.new("L", (480, 220), 0)
    pencil = ImageDraw.Draw(page)
    for left in range(60, 420, 60):
        pencil.rectangle((left, 70, left + 60, 150), outline=255, width=2)
        pencil.ellipse((left + 18, 90, left + 42, 132), outline=255, width=6)
    askew = page.rotate(degrees, Image.Resampling.BICUBIC)
    parts = connected(forms.without_frames((np.asarray(askew) > 127).astype(np.float32)))
    heights = [part.height for part in parts if part.height > 5]  # where lines cross, a crumb may be left
    assert len(heights) == 6
    assert all(30 < height < 60 for height in heights)
