import pytest

from mnist_cli.recognition.detection import Detection
from mnist_cli.recognition.numbers import group
from mnist_cli.recognition.predictions import NO_INK, Prediction
from mnist_cli.recognition.result import Result

HEIGHT = 40  # px, of a digit


def digits(text, gaps, widths=None, line=0, right=0.8):
    """Return the digits of a text, each with the gap before it in heights, of which the first is where the line begins."""
    found, x = [], 0.0
    for sign, gap, width in zip(text, gaps, widths or [0.6] * len(text), strict=True):
        x += gap
        probabilities = [(1 - right) / 9] * 10
        probabilities[int(sign)] = right
        box = round(x * HEIGHT), 100 * line, round(width * HEIGHT), HEIGHT
        found.append(Detection(box, Prediction(probabilities, 9.0), line))
        x += width
    return found


def texts(found):
    return [[number.text for number in line.numbers] for line in group(found)]


@pytest.mark.parametrize(
    ("text", "gaps", "expected"),
    [
        ("417", [0, 0.2, 0.2], ["417"]),
        ("417", [0, 0.2, 1.0], ["41", "7"]),
        ("4172355", [0, 0.1, 0.9, 0.8, 0.1, 0.9, 0.8], ["41", "7", "23", "5", "5"]),
        ("4172", [0, 0.9, 0.9, 0.9], ["4172"]),  # cells of a form
        ("417235", [0, 0.5, 0.5, 2.5, 0.5, 0.5], ["417", "235"]),  # two fields of cells
        ("417", [0, 3.0, 3.0], ["4", "1", "7"]),  # columns of a table
        ("41", [0, 0.4], ["41"]),
        ("41", [0, 3.0], ["4", "1"]),
        ("4172", [0, -0.2, -0.1, 1.0], ["417", "2"]),  # slanted digits overlap
    ],
)
def test_a_number_ends_at_a_gap_that_is_large_for_the_digits_and_for_the_line(text, gaps, expected):
    assert texts(digits(text, gaps)) == [expected]


def test_a_line_of_mostly_single_digits_is_parted_as_the_other_lines_of_the_page():
    counted = digits("78910", [0, 0.9, 0.9, 0.9, 0.1])
    assert texts(counted) == [["78910"]]  # alone, it could be a number in wide cells
    more = digits("13141516", [0, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1], line=1)
    assert texts([*counted, *more]) == [["7", "8", "9", "10"], ["13", "14", "15", "16"]]
    cells = digits("4172", [0, 0.9, 0.9, 0.9])
    assert texts([*cells, *more])[0] == ["4172"]  # no gap of the cells is as small as those of the other line


def test_the_room_beside_a_narrow_one_parts_no_number():
    assert texts(digits("2117", [0, 0.5, 0.7, 0.5], [0.6, 0.1, 0.1, 0.6])) == [["2117"]]


def test_a_line_ends_a_number():
    assert texts([*digits("41", [0, 0.2]), *digits("7", [0], line=1)]) == [["41"], ["7"]]
    assert group([]) == []


def test_a_number_has_a_box_around_its_digits_and_the_product_of_their_probabilities():
    tall = Detection((100, 90, 20, 60), NO_INK)
    (line,) = group([Detection((70, 100, 20, 40), digits("4", [0])[0].prediction), tall])
    (number,) = line.numbers
    assert number.text == "4?"
    assert number.box == (70, 90, 50, 60)
    assert number.confidence == pytest.approx(0.8 * 0.1)


def test_a_result_has_the_numbers_and_the_lines_and_its_text_is_without_spaces():
    result = Result(digits=[*digits("417", [0, 0.2, 1.0]), *digits("23", [0, 0.2], line=1)])
    assert result.text == "417\n23"
    assert result.numbers == ["41", "7", "23"]
    assert [line.text for line in result.lines] == ["41 7", "23"]
