import os
import subprocess
import sys

from mnist_cli.cli import tables

ROWS = [("name", "size"), ("[red]one", "1"), ("two", "1,000")]


def test_in_a_pipe_the_columns_line_up(capsys):
    tables.show(ROWS, left={0})
    assert capsys.readouterr().out == "name       size\n[red]one      1\ntwo       1,000\n"


def test_a_terminal_gets_a_rule_below_the_headings_and_colours():
    ours, theirs = os.openpty()
    code = f"from mnist_cli.cli import tables; tables.show({ROWS!r}, {{0}}, ['bold green', ''])"
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env={**os.environ, "TERM": "xterm"}, check=True)
    headings, rule, first, _ = os.read(ours, 10_000).decode().splitlines()
    assert "name" in headings
    assert set(rule.strip()) == {"─"}
    assert "\x1b[1;32m[red]one" in first
