import re

import pytest

from mnist_cli.config import PRETRAINED
from mnist_cli.errors import ExportError
from mnist_cli.exporting import comparison, webpage
from mnist_cli.exporting.comparison import Comparison
from mnist_cli.models import architectures, checkpoints
from mnist_cli.models.checkpoints import Checkpoint


def test_a_page_has_float32_weights_where_they_fit_else_float16(trained, val):
    images, labels = val[:500].arrays()
    export = webpage.make(checkpoints.load(trained), images, labels)
    assert export.size == f"A page of {len(export.content) / 1e6:.2f} MB, with the weights in float32"
    assert export.comparison.is_same
    export = webpage.make(checkpoints.load(PRETRAINED), images, labels)
    assert export.size.endswith("float16")
    assert export.comparison.has_same_predictions
    assert len(export.content) <= webpage.MAX_BYTES


def test_int8_weights_make_a_quarter_and_are_as_good(trained, val):
    images, labels = val[:2_000].arrays()
    whole, small = (webpage.make(checkpoints.load(trained), images, labels, int8) for int8 in (False, True))
    assert len(whole.content) - len(small.content) > 0.7 * 4 / 3 * 4 * 269_322
    assert small.comparison.is_as_good
    assert small.comparison.distance > 0


def test_a_page_that_would_be_too_large_or_predict_differently_is_refused(trained, val, monkeypatch):
    images, labels = val[:100].arrays()
    large = Checkpoint(PRETRAINED, architectures.build("mlp", 0, hidden=(1_000,)).eval(), None, [], {}, {})
    with pytest.raises(ExportError, match=r"the page would have 2,\d+,\d+ bytes, at most 2,000,000 .*--int8 halves it"):
        webpage.make(large, images, labels)
    assert webpage.make(large, images, labels, int8=True).comparison.images == 100
    monkeypatch.setattr(comparison, "compare", lambda *arguments: Comparison(100, 0.01, 1, 0.9, 0.9))
    with pytest.raises(ExportError, match="1 of 100 predictions differ"):
        webpage.make(checkpoints.load(trained), images, labels)


def test_a_page_names_no_other_host_and_lets_the_browser_contact_none():
    text = webpage.page(checkpoints.load(PRETRAINED), "float16").decode()
    assert re.findall(r"(?:src|href|action)=[\"'](?!data:|docs)[^\"']*", text) == []
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == set()
    assert "default-src 'none'" in text
    assert "connect-src" not in text
