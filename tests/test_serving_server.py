import logging

from mnist_cli.serving.server import LogLimit


def test_a_log_has_so_many_lines_a_second_and_the_number_of_the_others():
    limit = LogLimit(lines=2)
    written = [write(limit, second=1_000) for _ in range(5)]
    assert written == ["a line of 7", "a line of 7", None, None, None]
    assert write(limit, second=1_001) == "a line of 7  (3 lines before it are left out)"
    assert write(limit, second=1_001) == "a line of 7"
    assert write(limit, second=1_001) is None


def write(limit, second):
    record = logging.LogRecord("name", logging.INFO, __file__, 1, "a line of %d", (7,), None)
    record.created = second + 0.5
    return record.getMessage() if limit.filter(record) else None
