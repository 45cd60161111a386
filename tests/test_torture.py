import pytest

from torture import Skipped
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
