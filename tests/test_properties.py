"""What is true of any input, tried on inputs that hypothesis makes up."""

import struct

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mnist_cli.datasets import mnist_files
from mnist_cli.errors import DataError, ImageError
from mnist_cli.evaluation.metrics import Predictions
from mnist_cli.pictures import binarize, normalize
from mnist_cli.recognition import sources

some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@some
@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
def test_an_idx_file_is_read_as_it_was_written(array):
    raw = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    assert np.array_equal(mnist_files.parse(raw, "file"), array)


@some
@given(st.binary(max_size=64))
def test_any_bytes_are_a_complete_idx_file_or_an_error(raw):
    try:
        array = mnist_files.parse(raw, "file")
    except DataError:
        return
    assert array.dtype == np.uint8
    assert raw.endswith(array.tobytes())
    assert len(raw) == 4 + 4 * array.ndim + array.size


pictures = st.one_of(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=50)),
    arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=30)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda size: arrays(np.uint8, (*size, 3))),
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.floats(0, 1, width=32)),
)


@some
@given(pictures)
def test_any_picture_is_drawn_as_mnist_draws_or_has_no_ink(array):
    try:
        drawn = [(ink, normalize.draw(ink)) for ink in binarize.candidates(sources.read(array))]
    except ImageError:
        return
    for ink, frame in drawn:
        assert frame.dtype == np.uint8
        assert frame.shape == (1, 28, 28)
        rows, columns = np.nonzero(frame[0] >= 64)
        assert rows.size  # there is some ink
        if min(map(np.ptp, np.nonzero(ink))) >= 7:  # of less the edges are as soft as the whole
            assert max(np.ptp(rows), np.ptp(columns)) < 24  # it fits 20x20


@st.composite
def predictions(draw):
    logits = draw(arrays(np.float64, st.tuples(st.integers(1, 30), st.just(10)), elements=st.floats(-50, 50)))
    labels = draw(arrays(np.int64, len(logits), elements=st.integers(0, 9)))
    return Predictions(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), labels)


@some
@given(predictions())
def test_the_metrics_of_any_predictions_are_consistent(predictions):
    evaluation, matrix = predictions.evaluation, predictions.confusion_matrix()
    low, high = evaluation.interval()
    assert 0 <= low <= evaluation.accuracy + 1e-9
    assert evaluation.accuracy <= high + 1e-9
    assert matrix.sum() == len(predictions) == sum(one.images for one in predictions.classes())
    assert evaluation.errors == len(predictions) - matrix.trace() == len(predictions.mistakes())
    assert sum(each.images for each in predictions.calibration()) == len(predictions)
    assert 0 <= predictions.calibration_error() <= 1 + 1e-9
    assert predictions.coverage()[1][-1] == np.float64(predictions.right.mean())
    assert all(0 <= score <= 1 for one in predictions.classes() for score in (one.precision, one.recall, one.f1))
