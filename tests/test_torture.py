import pytest

from torture import Skipped
from torture.kinds import KINDS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_share_of_the_torture_is_survived(kind, tmp_path, record_property):
    seed = 1
    record_property("seed", seed)
    try:
        failures = [failure for failure in kind.run(kind.share, seed, tmp_path) if failure]
    except Skipped as reason:
        pytest.skip(str(reason))
    assert failures == []
