import csv
import io
import json
from pathlib import Path

import numpy as np
from rich.console import Console

from mnist_cli.cli.writers import CsvWriter, JsonWriter, LineWriter, TableWriter
from mnist_cli.errors import ImageError
from mnist_cli.recognition.detection import Detection
from mnist_cli.recognition.predictions import NO_INK, Prediction
from mnist_cli.recognition.result import Result

FRAME = np.zeros((1, 28, 28), np.uint8)
SEVEN = Prediction([0.0, 0.125, 0.0, 0.0, 0.0, 0.0, 0.0, 0.75, 0.0, 0.125], 5.0, frame=FRAME)
CAT = Prediction(SEVEN.probabilities, -5.0, "not a digit", frame=FRAME)
UNCLEAR = Prediction(SEVEN.probabilities, 5.0, "unclear", frame=FRAME)
PAGE = [Detection((1, 2, 30, 40), SEVEN), Detection((50, 2, 31, 41), UNCLEAR, line=1)]

RESULTS = [
    Result(Path("seven.png"), prediction=SEVEN),
    Result(Path("none.png"), error=ImageError("there is no such file")),
    Result(Path("cat.png"), prediction=CAT),
    Result(Path("blank.png"), prediction=NO_INK),
]


def table(batches, width=80, **options):
    """Return what a table of these answers looks like, line by line."""
    console = Console(file=io.StringIO(), force_terminal=True, no_color=True, width=width)
    names = [str(result.path) for batch in batches for result in batch]
    writer = TableWriter(console, names, **{"top_k": 0, "many": False, "show": False, **options})
    for batch in batches:
        writer.write(batch)
    text = console.file.getvalue().replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
    return [line.rstrip() for line in text.splitlines()]


def test_lines(capsys):
    LineWriter(0).write(RESULTS)
    assert capsys.readouterr().out == "seven.png: 7  75.0 %\ncat.png: ?  not a digit\nblank.png: ?  no ink\n"


def test_lines_with_the_likeliest_digits(capsys):
    LineWriter(3).write(RESULTS)
    assert capsys.readouterr().out.splitlines() == [
        "seven.png: 7  75.0 %  1  12.5 %  9  12.5 %",
        "cat.png: ?  not a digit  7  75.0 %  1  12.5 %  9  12.5 %",
        "blank.png: ?  no ink",
    ]


def test_lines_of_pictures_with_many_digits(capsys):
    LineWriter(0).write([Result(Path("page.png"), digits=PAGE), Result(Path("blank.png"))])
    assert capsys.readouterr().out == "page.png: 7/?\nblank.png: ?  no digit\n"


def test_numbers_have_a_space_and_lines_a_slash_between_them(capsys):
    digits = [Detection((x, 0, 20, 40), SEVEN, line) for x, line in [(0, 0), (30, 0), (120, 0), (0, 1)]]
    result = Result(Path("page.png"), digits=digits)
    LineWriter(0).write([result])
    assert capsys.readouterr().out == "page.png: 77 7/7\n"
    assert [line.split() for line in table([[result]], many=True)][-2:] == [["page.png", "77", "7"], ["7"]]


def test_json_has_an_object_for_each_file(capsys):
    JsonWriter(2, many=False).write(RESULTS)
    seven, none, cat, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert seven == {
        "path": "seven.png",
        "digit": 7,
        "label": "7",
        "confidence": 0.75,
        "probabilities": SEVEN.probabilities,
        "reason": None,
        "top": [[7, 0.75], [1, 0.125]],
    }
    assert none == {**dict.fromkeys(seven), "path": "none.png", "reason": "there is no such file"}
    assert cat == {**seven, "path": "cat.png", "digit": None, "label": None, "reason": "not a digit"}


def test_json_of_pictures_with_many_digits(capsys):
    only = Result(Path("seven.png"), digits=PAGE[:1], prediction=SEVEN)
    JsonWriter(0, many=True).write([Result(Path("page.png"), digits=PAGE), only, Result(Path("blank.png"))])
    page, seven, blank = map(json.loads, capsys.readouterr().out.splitlines())
    assert (page["digit"], page["reason"], page["text"]) == (None, "several digits", "7\n?")
    assert page["digits"] == [
        {"digit": 7, "confidence": 0.75, "box": [1, 2, 30, 40], "reason": None},
        {"digit": None, "confidence": 0.75, "box": [50, 2, 31, 41], "reason": "unclear"},
    ]
    assert page["numbers"] == ["7", "?"]
    assert page["lines"] == [
        {"numbers": [{"text": text, "before": None, "confidence": 0.75, "box": digit["box"], "digits": [digit]}]}
        for text, digit in zip("7?", page["digits"], strict=True)
    ]
    assert (seven["digit"], seven["reason"]) == (7, None)
    assert (blank["digits"], blank["reason"], blank["text"]) == ([], "no digit", "")
    assert (blank["numbers"], blank["lines"]) == ([], [])


def test_csv_has_a_row_for_each_file_whatever_its_name(capsys):
    CsvWriter(many=False).write([*RESULTS, Result(Path('a "b",\nc.png'), prediction=SEVEN)])
    header, seven, none, cat, _, odd = csv.reader(io.StringIO(capsys.readouterr().out))
    assert ",".join(header) == "path,digit,confidence,reason,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9"
    assert seven == ["seven.png", "7", "0.75", "", *map(str, SEVEN.probabilities)]
    assert none == ["none.png", "", "", "there is no such file", *[""] * 10]
    assert cat == ["cat.png", "", "0.75", "not a digit", *map(str, SEVEN.probabilities)]
    assert odd == ['a "b",\nc.png', *seven[1:]]


def test_csv_has_a_row_for_each_of_many_digits(capsys):
    CsvWriter(many=True).write([Result(Path("page.png"), digits=PAGE), Result(Path("blank.png"))])
    header, first, second, blank = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header[-4:] == ["x", "y", "width", "height"]
    assert (first[:2], first[-4:]) == (["page.png", "7"], ["1", "2", "30", "40"])
    assert (second[1], second[3], second[-4:]) == ("", "unclear", ["50", "2", "31", "41"])
    assert blank == ["blank.png", "", "", "no digit", *[""] * 14]


def test_a_table_goes_on_in_the_next_batch_as_it_began():
    first, second = [Result(Path("a.png"), prediction=SEVEN)], [Result(Path("photos/b.png"), prediction=CAT)]
    assert table([RESULTS[1:2], first, second]) == [
        "file          digit      confidence",
        "───────────────────────────────────",
        "a.png             7          75.0 %",
        "photos/b.png      ?     not a digit",
    ]


def test_a_table_has_the_likeliest_digits_below_each_other():
    assert table([RESULTS[:1]], top_k=2)[2:] == [
        "seven.png         7          75.0 %",
        "                  1          12.5 %",
        "",
    ]


def test_a_table_keeps_a_long_name_whole():
    name = "x" * 100 + ".png"
    lines = table([[Result(Path(name), prediction=SEVEN)]], width=60)
    assert max(map(len, lines)) <= 60
    assert "".join(line.split(" ")[0] for line in lines[2:]) == name


def test_a_table_shows_the_model_input():
    lines = table([RESULTS], show=True)
    assert sum("▀" * 28 in line for line in lines) == 28


def test_a_table_of_pictures_with_many_digits():
    lines = table([[Result(Path("page.png"), digits=PAGE), Result(Path("blank.png"))]], many=True)
    assert [line.split() for line in lines if "─" not in line] == [
        ["file", "digits"],
        ["page.png", "7"],
        ["?"],
        ["blank.png", "no", "digit"],
    ]


def test_lines_below_a_picture_have_the_likeliest_of_each_of_many_digits(capsys):
    LineWriter(2).write([Result(Path("page.png"), digits=PAGE), Result(Path("blank.png"))])
    assert capsys.readouterr().out.splitlines() == [
        "page.png: 7/?",
        "  7  75.0 %  1  12.5 %",
        "  ?  unclear  7  75.0 %  1  12.5 %",
        "blank.png: ?  no digit",
    ]


def test_a_table_has_a_row_for_each_of_many_digits_with_the_likeliest_and_the_model_input():
    results = [Result(Path("page.png"), digits=PAGE), Result(Path("blank.png"))]
    lines = table([results], many=True, top_k=2, show=True, width=100)
    assert lines[0].split() == ["file", "digits", "digit", "confidence", "model", "input"]
    assert sum("▀" * 28 in line for line in lines) == 28
    starts = [line.partition("▀")[0].split() for line in lines]
    assert ["page.png", "7", "7", "75.0", "%"] in starts
    assert starts[starts.index(["?", "unclear"]) + 1] == ["7", "75.0", "%"]
    assert lines[-2].split() == ["blank.png", "no", "digit"]
