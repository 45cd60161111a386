import numpy as np
import pytest

from mnist_cli.pictures import parts
from mnist_cli.pictures.parts import Part


def draw(*boxes, size=(60, 200)):
    ink = np.zeros(size, np.float32)
    for top, left, height, width in boxes:
        ink[top : top + height, left : left + width] = 1
    return ink


def test_parts_are_connected_ink_and_where_it_is():
    found = parts.connected(draw((5, 10, 20, 4), (8, 50, 30, 6)))
    assert sorted((part.top, part.left, part.height, part.width) for part in found) == [(5, 10, 20, 4), (8, 50, 30, 6)]


@pytest.mark.parametrize(("gap", "count"), [(0, 3), (2, 3), (4, 2), (10, 1)])
def test_parts_are_connected_across_gaps_up_to_the_given_width(gap, count):
    assert len(parts.connected(draw((5, 10, 20, 4), (28, 10, 20, 4), (5, 22, 43, 4)), gap)) == count


def test_the_typical_height_is_not_that_of_specks_or_of_one_tall_part():
    heights = [6] * 5 + [44, 50, 48, 120]
    assert parts.typical_height([Part(0, 0, np.ones((height, 5), np.float32)) for height in heights]) == 48
    assert parts.typical_height([]) == 0


@pytest.mark.parametrize("width", [1, 2, 4, 7, 12])
def test_the_width_of_a_stroke_is_measured(width):
    assert parts.stroke_width(parts.connected(draw((5, 20, 45, width)))) == pytest.approx(width, abs=1.5)


def test_joined_parts_are_one_in_the_smallest_box():
    one = parts.joined(parts.connected(draw((5, 10, 20, 4), (8, 50, 30, 6))))
    assert (one.top, one.left, one.height, one.width) == (5, 10, 33, 46)
    assert parts.size([one]) == (33, 46)


def test_of_slanting_lines_whose_boxes_overlap_those_with_the_largest_are_left_out():
    rows, columns = np.mgrid[:300, :300]
    found = parts.connected(((rows + columns) % 6 < 3).astype(np.float32))
    assert found
    assert sum(part.height * part.width for part in found) <= parts.MAX_AREA * 300 * 300
    assert max(part.height for part in found) < 300
