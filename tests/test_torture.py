import re
from pathlib import Path

import pytest
from typer.main import get_command

from mnist_cli.cli import app
from torture import Skipped, options
from torture.kinds import KINDS


@pytest.mark.torture
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_few_trials_of_each_kind_succeed(kind, tmp_path, record_property):
    seed = 1
    record_property("seed", seed)
    try:
        outcomes = list(kind.run(kind.quick, seed, tmp_path))
    except Skipped as reason:
        pytest.skip(str(reason))
    assert outcomes  # something was tried
    assert [failure for failure in outcomes if failure] == []


def test_the_command_in_the_security_policy_names_kinds_of_trials():
    policy = " ".join((Path(__file__).parent.parent / "SECURITY.md").read_text().split())
    command = re.search(r'`python -m torture ("[^`]*")`', policy)
    assert set(re.findall(r'"([^"]+)"', command[1])) <= {kind.name for kind in KINDS}


def test_the_full_run_kills_at_least_200_times():
    assert sum(kind.full for kind in KINDS if kind.name.startswith("kills ")) >= 200


@pytest.mark.parametrize("name", sorted({*options.COMMANDS}))
def test_each_option_has_values_to_draw_or_is_left_out(name):
    known = {*options.VALUES, *options.CHOICES, *options.LEFT_OUT}
    parameters = [one for one in get_command(app).commands[name].params if not getattr(one, "is_flag", False)]
    long = [option for one in parameters for option in one.opts[:1] if option.startswith("--")]
    assert [option for option in long if option not in known] == []
